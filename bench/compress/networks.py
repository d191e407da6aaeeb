"""The trained networks that the tables of compression start from.

scikit-learn's MLPClassifier with its defaults, a fixed seed and a fixed number of epochs, the last
or the best of them; trained once and kept in a cache folder outside the tree: FASTBCD_BENCH_CACHE,
else a folder of the user's cache. The data are those of :mod:`bench.data`.
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from bench.data import Split, load
from fastbcd.formats import DenseMatrix, Format
from fastbcd.network.network import Layer, Network
from fastbcd.solvers.reconstruct import remove_dead

Matrix = NDArray[Any]

CALIBRATION_ROWS = 20_000
"""Training rows that every one-shot method sees, the same ones for all."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: its data set, hidden layers and epochs.

    With ``best``, the network of the best epoch on a tenth of the rows is kept. On MNIST the last
    one's test score differs by .003 from machine to machine: sums are rounded differently.
    """

    data: str
    hidden: tuple[int, ...]
    epochs: int
    best: bool = False


RECIPES = {
    "mnist": Recipe("mnist", (300, 100), 15, best=True),
    "letter": Recipe("letter", (200, 100), 30),
    "watch_har": Recipe("watch_har", (200, 100), 30),
    "wide": Recipe("mnist", (1024, 1024, 1024), 8),
    "digits": Recipe("digits", (48, 32), 60),
}


@dataclass(frozen=True)
class Problem:
    """A trained network and the rows around it.

    Attributes
    ----------
    model : MLPClassifier
        The dense network.
    data : Split
        Training and test rows.
    x : (n, d) array
        The calibration rows: a fixed random choice of training rows.
    """

    name: str
    model: MLPClassifier
    data: Split
    x: Matrix

    @property
    def weights(self) -> list[Matrix]:
        """Copies of the weights, (n_in, n_out) each."""
        return [np.array(w, np.float32) for w in self.model.coefs_]

    @property
    def intercepts(self) -> list[Matrix]:
        """Copies of the intercepts."""
        return [np.array(b, np.float32) for b in self.model.intercepts_]

    @property
    def hidden_sizes(self) -> list[int]:
        """Number of weights of each hidden layer; the output layer is left dense."""
        return [w.size for w in self.model.coefs_[:-1]]


def problem(name: str) -> Problem:
    """Return the network called ``name``, trained now or read from the cache.

    ``name`` may end in a seed, as in "watch_har/3": another network and, where the data have no
    customary split, another split; of watch_har that means other people.
    """
    recipe, seed = RECIPES[base_of(name)], int(name.partition("/")[2] or 0)
    data = load(recipe.data, seed)
    rows = np.random.default_rng(0).permutation(len(data.x))[:CALIBRATION_ROWS]
    return Problem(name, _trained(recipe, data, seed), data, np.ascontiguousarray(data.x[rows]))


def base_of(name: str) -> str:
    """Return the name of a network without its seed."""
    return name.partition("/")[0]


def _trained(recipe: Recipe, data: Split, seed: int) -> MLPClassifier:
    shape = "-".join(map(str, recipe.hidden))
    epochs = f"{recipe.epochs}{'best' * recipe.best}"
    key = f"{recipe.data}_{shape}_{epochs}_seed{seed}_sklearn{sklearn.__version__}.pickle"
    path = cache_folder() / key
    if path.exists():
        return pickle.loads(path.read_bytes())
    print(f"training {recipe.data} {recipe.hidden}", flush=True)
    model = MLPClassifier(
        recipe.hidden,
        max_iter=recipe.epochs,
        early_stopping=recipe.best,
        n_iter_no_change=recipe.epochs if recipe.best else 10,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(data.x, data.y)
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_bytes(pickle.dumps(model))
    beside.replace(path)
    return model


def cache_folder() -> Path:
    """Return the folder of trained networks; it exists afterwards."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("FASTBCD_BENCH_CACHE") or Path(home) / "fastbcd-bench")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def assemble(formats: Sequence[Format], intercepts: Sequence[Matrix]) -> Network:
    """Return a ReLU network without dead neurons, so that its bytes are real."""
    return remove_dead(_chain(formats, intercepts))[0]


def dense_network(of: Problem) -> Network:
    """Return the network as it was trained."""
    return _chain([DenseMatrix(weight) for weight in of.weights], of.intercepts)


def _chain(formats: Sequence[Format], intercepts: Sequence[Matrix]) -> Network:
    last = len(formats) - 1
    return Network([
        Layer(weight, intercept, "identity" if index == last else "relu")
        for index, (weight, intercept) in enumerate(zip(formats, intercepts, strict=True))
    ])  # fmt: skip
