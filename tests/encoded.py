"""Networks that read columns through a piecewise-linear encoding, for the tests of all parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from deployed import fitted, weight

from fastbcd.estimators import BCDClassifier, BCDRegressor
from fastbcd.formats import DenseMatrix
from fastbcd.network.layers.encoding import PiecewiseLinearEncoding
from fastbcd.network.network import Layer, Network
from fastbcd.network.tasks import Classification, Regression

N_COLUMNS, N_FEATURES = 6, 24

HIDDEN_FORMATS = (
    "dense",
    "sparse",
    "low rank",
    "train",
    "codebook of 16",
    "codebook sparse of 7",
    "codebook train",
    "sum of three",
)
"""Names in :func:`deployed.matrices`, of a first layer."""


def encoding(dtype=np.float32, selects=False, seed=0):
    """Return an encoding of 6 columns as 24 features; with ``selects`` of 5, four of them plain."""
    rng = np.random.default_rng(seed)
    plain = np.array([0, 2, 3, 4]) if selects else np.arange(N_COLUMNS)
    columns = np.sort(rng.integers(0, 5 if selects else N_COLUMNS, N_FEATURES - len(plain)))
    starts = rng.standard_normal(len(columns)).astype(dtype)
    slopes = rng.uniform(0.3, 4, len(columns)).astype(dtype)
    return PiecewiseLinearEncoding(N_COLUMNS, plain, columns, starts, slopes)


def network(first=None, dtype=np.float32, selects=False, activation="relu", n_out=3, seed=0):
    """Return a network with an encoding, whose first layer has the weights ``first``."""
    rng = np.random.default_rng(seed)
    if first is None:
        first = DenseMatrix(weight(rng, (N_FEATURES, 18)).astype(dtype))
    dtype, hidden = first.dtype, first.shape[1]
    last = DenseMatrix(weight(rng, (hidden, n_out)).astype(dtype))
    biases = [rng.standard_normal(n).astype(dtype) / 2 for n in (hidden, n_out)]
    view = encoding(dtype, selects)
    layers = [Layer(first, biases[0], activation, view), Layer(last, biases[1], "identity")]
    return Network(layers)


def classifier(first=None, **options):
    """Return a fitted classifier of three classes with such a network."""
    net = network(first, **options)
    clf = fitted(BCDClassifier(), net)
    clf.n_features_in_ = N_COLUMNS
    clf.set_task(Classification(np.array(["a", "b", "c"])))
    return clf


def regressor(first=None, n_out=1, **options):
    """Return a fitted regressor with such a network."""
    reg = fitted(BCDRegressor(), network(first, n_out=n_out, **options))
    reg.n_features_in_ = N_COLUMNS
    reg.set_task(Regression(n_out, flat=n_out == 1))
    return reg


def rows(n=64, dtype=np.float32, seed=1):
    """Return rows for these networks."""
    return np.random.default_rng(seed).standard_normal((n, N_COLUMNS)).astype(dtype)


def extremes(dtype=np.float32):
    """Return rows of numbers on both sides of all ramps, and rows of zeros and of huge numbers."""
    x = rows(8, dtype, seed=2)
    x[0], x[1] = 1e30, -1e30
    x[2] = 0
    x[3, ::2], x[4, 1::2] = 1e6, -1e6
    return x


def by_quantiles(x, n_ramps, dtype=np.float32):
    """Return the encoding of columns that vary, by ramps between neighbouring quantiles."""
    columns, starts, slopes = [], [], []
    for column, values in enumerate(x.T):
        edges = np.unique(np.quantile(values, np.linspace(0, 1, n_ramps + 1)))
        columns += [column] * (len(edges) - 1)
        starts += edges[:-1].tolist()
        slopes += (1 / np.diff(edges)).tolist()
    return PiecewiseLinearEncoding(
        x.shape[1],
        np.arange(x.shape[1]),
        np.array(columns),
        np.array(starts, dtype),
        np.array(slopes, dtype),
    )


def trained(estimator, x, y, n_ramps=8):
    """Return ``estimator``, trained on encoded rows of ``x``, as one that takes ``x`` itself."""
    view = by_quantiles(x, n_ramps, x.dtype)
    encoding = estimator.encoding
    estimator.set_params(encoding=None).fit(view.rows(x), y).set_params(encoding=encoding)
    estimator.network_ = estimator.network_.encoded(view)
    estimator.n_features_in_ = x.shape[1]
    return estimator


def slow_rows(view, x):
    """Return the features of rows, number by number."""
    found = np.empty((len(x), view.n_features), x.dtype)
    for row, features in zip(x, found, strict=True):
        values = [row[column] for column in view.plain]
        for column, start, slope in zip(view.columns, view.starts, view.slopes, strict=True):
            values.append(min(max((row[column] - start) * slope, 0), 1))
        features[:] = values
    return found


def without(net, features):
    """Return the network with the weights of some features set to zero, all at their places."""
    dense = net.layers[0].weight.to_dense()
    dense[features] = 0
    first = replace(net.layers[0], weight=type(net.layers[0].weight)(dense))
    return Network([first, *net.layers[1:]])
