"""The networks that the measurements export: MNIST 784-300-100-10, dense and compressed.

The dense one is scikit-learn's MLPClassifier. The pruned one keeps 5 % of the hidden weights. The
compressed one has these on a codebook of 4 bits per layer, and all weights of the output layer
on one of 4 bits too. They are kept in the cache of the trained networks, by version of fastbcd.
"""

from __future__ import annotations

import fastbcd
from bench.compress.networks import cache_folder, problem
from fastbcd import compress, load
from fastbcd.schemes import Prune, Quantize

SPARSITY, BITS = 0.95, 4

NAMES = ("dense", "pruned", "pruned, 4 bits")


def networks(fresh=False):
    """Return the three networks by name, and the data, all float32."""
    of = problem("mnist")
    data = of.data
    paths = {
        name: cache_folder() / f"export_{name.replace(', ', '_')}_{fastbcd.__version__}.safetensors"
        for name in NAMES
    }
    if fresh or not all(path.exists() for path in paths.values()):
        prune, quantize = Prune(sparsity=SPARSITY), Quantize(bits=BITS)
        dense = compress(of.model, data.x[:1000], scheme={}, epochs=0)
        pruned = compress(of.model, data.x, data.y, scheme=prune, random_state=0)
        # Starting from the pruned network, each layer keeps the share that it was given.
        kept = [layer.n_params for layer in pruned.layers_[:-1]]
        scheme = {index: Prune(n_nonzero=count) + quantize for index, count in enumerate(kept)}
        scheme["output"] = quantize
        compressed = compress(pruned, data.x, data.y, scheme=scheme, random_state=0)
        for path, estimator in zip(paths.values(), (dense, pruned, compressed), strict=True):
            estimator.save(path)
    return {name: load(path) for name, path in paths.items()}, data
