"""The networks that the measurements export: MNIST 784-300-100-10, dense and compressed.

The dense one is scikit-learn's MLPClassifier. The compressed one keeps 5 % of the hidden weights,
on a codebook of 4 bits per layer; all weights of the output layer are on one of 4 bits too. Both
are kept in the folder that ``--cache`` names, because they take a minute or two.
"""

from __future__ import annotations

from pathlib import Path

from bench.compress.networks import load as load_data
from bench.compress.networks import train
from fastbcd import compress, load
from fastbcd.schemes import Prune, Quantize

SPARSITY, BITS = 0.95, 4


def add_arguments(parser):
    parser.add_argument("--data", required=True, help="folder that holds mnist.npz")
    parser.add_argument("--cache", required=True, help="folder that the networks are kept in")


def networks(args):
    """Return the dense network, the pruned one, the compressed one, and X_test, y_test."""
    X, y, X_test, y_test = load_data("mnist", args.data)
    folder = Path(args.cache)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.safetensors" for name in ("dense", "pruned", "compressed")]
    if not all(path.exists() for path in paths):
        model = train("mnist", X, y)
        dense = compress(model, X[:1000], scheme={}, epochs=0)
        prune, quantize = Prune(sparsity=SPARSITY), Quantize(bits=BITS)
        pruned = compress(model, X, y, scheme=prune, random_state=0)
        # Per layer, the sparsity that the allocation over both layers settled on.
        kept = [layer.n_params for layer in pruned.layers_[:-1]]
        scheme = {index: Prune(n_nonzero=count) + quantize for index, count in enumerate(kept)}
        compressed = compress(pruned, X, y, scheme={**scheme, "output": quantize}, random_state=0)
        for estimator, path in zip((dense, pruned, compressed), paths, strict=True):
            estimator.save(path)
    return *(load(path) for path in paths), X_test, y_test
