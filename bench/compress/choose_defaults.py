"""How the defaults of the refinement were chosen: on training rows held out, never on test rows.

    FASTBCD_DATA=FOLDER python -m bench.compress.choose_defaults [mnist letter watch_har wide]

A part of the training rows is held out, of writers (MNIST) or people (watch_har) of whom there are
no others: rows of somebody whom the dense network knows prefer what is learned by heart. That is a
sixth of the rows of MNIST in the order of the file, every sixth of letter, and two of seven people.
"wide" is a wide network on MNIST. With ``--rows`` only so many of the other rows are seen, picked
at random. The dense network, scikit-learn's MLPClassifier, is trained without the rows held out,
compressed once by layers, and refined with each variant of the settings. What is printed is the
accuracy of the rows held out, at each sparsity and on average. The rows that the network is refined
on, and the seed, are the same for all variants.

For developers: settings that users cannot set are varied, so the internal refinement is called.
"""

from __future__ import annotations

import argparse
import pickle
import warnings
from functools import cache
from pathlib import Path
from time import process_time

import numpy as np
from sklearn.neural_network import MLPClassifier

from bench.data import load, sources
from fastbcd import compress
from fastbcd.compression.lengths import batch_size
from fastbcd.compression.settings import DEFAULTS
from fastbcd.io.importing import read as importing
from fastbcd.schemes import Prune
from fastbcd.solvers.refine import Descent, RefineSettings, Targets, refine

NETWORKS = {
    "mnist": ((300, 100), 16),
    "letter": ((200, 100), 30),
    "watch_har": ((200, 100), 30),
    "wide": ((1024, 1024, 1024), 8),
}
"""Hidden layers and epochs of the dense networks."""

SPARSITIES = {
    "mnist": (0.9, 0.95, 0.98, 0.99),
    "letter": (0.9, 0.95, 0.98, 0.99),
    "watch_har": (0.9, 0.95, 0.98, 0.99),
    "wide": (0.9, 0.95, 0.98),
}

FOLDS = 6
"""So many choices of rows held out there are."""

PLAIN = {"most": 40, "radius": 0.0, "drop": 0.0, "decay": 0.0}
"""At most 40 epochs, no input dropped, no row moved."""

VARIANTS = {
    "default": {},
    "rate 0.5": {"rate": 0.5},
    "rate 1": {"rate": 1.0},
    "rate 4": {"rate": 4.0},
    "steps four times as long": {"rate": 8.0},
    "no dropping": {"drop": 0.0},
    "drop 0.15, decay 7e-4": {"drop": 0.15, "decay": 7e-4},
    "decay 7e-4": {"decay": 7e-4},
    "no row moved": {"radius": 0.0},
    "at most 40 epochs": {"most": 40},
    "briefly, rows as they are": PLAIN,
    "briefly, no labels, supports fixed": {**PLAIN, "labels": False, "moving": 0.0},
    "rows moved half as far": {"radius": 0.05},
    "rows moved half as far again": {"radius": 0.15},
    "supports fixed": {"moving": 0.0},
    "no more weights at first": {"times": 1},
    "twice the weights at first": {"times": 2},
    "four times the weights at first": {"times": 4},
    "layers exchange no weights": {"together": False},
    "momentum 0.7": {"momentum": 0.7, "momentum_undropped": 0.7},
    "momentum 0.9": {"momentum": 0.9, "momentum_undropped": 0.9},
    "momentum 0.9, rate 1": {"momentum": 0.9, "momentum_undropped": 0.9, "rate": 1.0},
    "batches of 100": {"batch_size": 100},
    "labels count 0.6": {"trust": 0.4},
    "labels alone": {"trust": 0.0},
    "labels not smoothed": {"smoothing": 0.0},
    "labels smoothed by 0.01": {"smoothing": 0.01},
    "labels smoothed by 0.05": {"smoothing": 0.05},
    "labels smoothed by 0.1": {"smoothing": 0.1},
    "half the steps": {"steps": 1500},
    "no labels": {"labels": False},
    "no labels, steps four times as long": {"labels": False, "rate": 8.0},
    "no labels, no dropping": {"labels": False, "drop": 0.0, "decay": 0.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=["mnist", "letter", "watch_har"])
    parser.add_argument("--only", nargs="*", help="names of variants")
    parser.add_argument("--fold", type=int, default=0, choices=range(FOLDS))
    parser.add_argument("--rows", type=int, help="how many rows are seen, all by default")
    parser.add_argument("--cache", type=Path, help="folder that keeps the dense networks")
    args = parser.parse_args()
    for name in args.data:
        split, held, x, y, dense = without_held_out(name, args.cache, args.fold, args.rows)
        source = importing.read(dense).network
        outputs, labels = source.forward(x), np.eye(y.max() + 1, dtype="f4")[y]

        @cache
        def start(density, dense=dense, x=x):
            scheme = Prune(density=min(density, DEFAULTS.most))
            return compress(dense, x, scheme=scheme, epochs=0, random_state=0).network_

        densities = [1 - s for s in SPARSITIES[name]]
        starts = [start(density) for density in densities]
        show("one-shot", starts, split, held, 0.0)
        for variant in args.only or VARIANTS:
            settings = {"batch_size": batch_size(len(x)), **VARIANTS[variant]}
            passes = settings.pop("steps", DEFAULTS.steps) * RefineSettings.batch_size / len(x)
            settings["epochs"] = min(passes, settings.pop("most", DEFAULTS.max_epochs))
            targets = Targets(
                outputs,
                labels if settings.pop("labels", True) else None,
                True,
                trust=settings.pop("trust", None),
                smoothing=settings.pop("smoothing", None),
            )
            times, together = settings.pop("times", None), settings.pop("together", True)
            descents = []
            for density, few in zip(densities, starts, strict=True):
                more = times or times_of(few)
                many = start(more * density)
                descents.append(descent(many, few, together) if more > 1 else None)
            begin = process_time()
            refined = [
                refine(s, x, targets, RefineSettings(**settings), np.random.RandomState(0), None, d)
                for s, d in zip(starts, descents, strict=True)
            ]
            show(variant, refined, split, held, process_time() - begin)


def times_of(few):
    """Return how many times the weights of ``few`` its refinement starts with."""
    hidden = [layer.weight for layer in few.layers[:-1]]
    outputs = sum(weight.shape[1] for weight in hidden)
    return (
        1 if sum(weight.n_params for weight in hidden) > DEFAULTS.many * outputs else DEFAULTS.times
    )


def descent(many, few, together):
    """Return a descent from one network to the weights of another."""
    left = [layer.weight.n_params for layer in few.layers[:-1]]
    return Descent(many, (sum(left),) if together else tuple(left))


def without_held_out(name, cache, fold=0, n_rows=None):
    """Return the data, the places of the rows held out, the other rows, and their network."""
    data = "mnist" if name == "wide" else name
    split, origin = load(data), sources(data)
    if name == "watch_har":
        people = np.unique(origin)
        out = np.isin(origin, people[[fold, fold + 1]])
    elif data == "mnist":
        out = origin * FOLDS // len(origin) == fold
    else:
        out = origin % FOLDS == fold
    held, rows = np.flatnonzero(out), np.flatnonzero(~out)
    if n_rows is not None:
        rows = np.sort(np.random.default_rng(fold).permutation(rows)[:n_rows])
    x, y = np.ascontiguousarray(split.x[rows]), split.y[rows]
    dense = network(name, f"{fold}{'' if n_rows is None else f'_{n_rows}'}", x, y, cache)
    print(f"{name}: dense {dense.score(split.x[held], split.y[held]):.4f}", flush=True)
    return split, held, x, y, dense


def network(name, key, x, y, cache):
    """Return the dense network, trained or read from the cache."""
    path = None if cache is None else cache / f"held_out_{name}_{key}.pickle"
    if path is not None and path.exists():
        return pickle.loads(path.read_bytes())
    sizes, epochs = NETWORKS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dense = MLPClassifier(sizes, max_iter=epochs, random_state=0).fit(x, y)
    if path is not None:
        path.write_bytes(pickle.dumps(dense))
    return dense


def show(name, networks, split, held, seconds):
    """Print the accuracies of the rows held out."""
    scores = [
        float(np.mean(net.forward(split.x[held]).argmax(axis=1) == split.y[held]))
        for net in networks
    ]
    row = "  ".join(f"{score:.4f}" for score in scores)
    print(f"  {name:24} {row}   mean {np.mean(scores):.5f}   {seconds:6.1f} s cpu", flush=True)


if __name__ == "__main__":
    main()
