"""Small fitted networks in every format, for the tests of storage and export."""

from __future__ import annotations

import numpy as np

from fastbcd._network import Layer, Network
from fastbcd._report import report
from fastbcd.estimators import BCDClassifier, BCDRegressor
from fastbcd.formats import (
    CodebookMatrix,
    CodebookSparseMatrix,
    CodebookTrainMatrix,
    DenseMatrix,
    LowRankMatrix,
    SparseMatrix,
    SumMatrix,
    TensorTrainMatrix,
)

N_IN, HIDDEN = 24, 18


def weight(rng, shape, density=1.0):
    dense = rng.standard_normal(shape) / np.sqrt(shape[0] * max(density, 0.1))
    return dense * (rng.random(shape) < density)


def codes(rng, n, levels):
    return rng.integers(levels, size=n).astype(np.uint8 if levels <= 256 else np.uint16)


def sparse(rng, shape, dtype, density=0.1):
    return SparseMatrix.from_dense(weight(rng, shape, density).astype(dtype))


def codebook_sparse(rng, shape, dtype, levels, density=0.1, scaled=False):
    places = sparse(rng, shape, dtype, density)
    scale = rng.uniform(0.5, 2, shape[1]).astype(dtype) if scaled else None
    return CodebookSparseMatrix(
        codes(rng, places.values.size, levels),
        rng.standard_normal(levels).astype(dtype),
        places.columns,
        places.row_lengths,
        shape[1],
        scale,
    )


def codebook(rng, shape, dtype, levels, scaled=False):
    scale = rng.uniform(0.5, 2, shape[1]).astype(dtype) if scaled else None
    values = (rng.standard_normal(levels) / 4).astype(dtype)
    return CodebookMatrix(codes(rng, shape, levels), values, scale)


def train_sizes(shape):
    return (shape[0] // 2, 2, shape[1]), (1, 3, 2, 1)


def matrices(dtype=np.float32, shape=(N_IN, HIDDEN), seed=0):
    """Return a matrix of every format, and of the special cases of each, by name."""
    rng = np.random.default_rng(seed)
    modes, ranks = train_sizes(shape)
    cores = [
        rng.standard_normal((ranks[k], mode, ranks[k + 1])).astype(dtype) / 3
        for k, mode in enumerate(modes)
    ]
    entries = sum(core.size for core in cores)
    low_rank = LowRankMatrix(
        rng.standard_normal((shape[0], 2)).astype(dtype) / 5,
        rng.standard_normal((2, shape[1])).astype(dtype),
    )
    fat = LowRankMatrix(
        rng.standard_normal((shape[0], 17)).astype(dtype) / 17,
        rng.standard_normal((17, shape[1])).astype(dtype),
    )
    uneven = (shape[0] // 2 * 3, 2 * shape[1] // 3)
    return {
        "dense": DenseMatrix(weight(rng, shape).astype(dtype)),
        "dense of zeros": DenseMatrix(np.zeros(shape, dtype)),
        "sparse": sparse(rng, shape, dtype),
        "sparse with escapes": sparse(rng, shape, dtype, 0.005),
        "sparse, empty": SparseMatrix.from_dense(np.zeros(shape, dtype)),
        "sparse, full": sparse(rng, shape, dtype, 1.0),
        "low rank": low_rank,
        "low rank, too high": fat,
        "train": TensorTrainMatrix(cores, shape),
        "train without a cut": TensorTrainMatrix(
            [
                rng.standard_normal((1, uneven[0], 2)).astype(dtype) / 2,
                rng.standard_normal((2, uneven[1], 1)).astype(dtype) / 2,
            ],
            shape,
        ),
        **{
            f"codebook of {levels}": codebook(rng, shape, dtype, levels, levels in (3, 16))
            for levels in (1, 2, 3, 5, 6, 16, 17, 100, 256, 300)
        },
        **{
            f"codebook sparse of {levels}": codebook_sparse(
                rng, shape, dtype, levels, scaled=levels == 3
            )
            for levels in (1, 2, 3, 7, 16, 40, 300)
        },
        "codebook sparse with escapes": codebook_sparse(rng, shape, dtype, 16, 0.005),
        "codebook sparse, empty": codebook_sparse(rng, shape, dtype, 16, 0.0),
        "codebook train": CodebookTrainMatrix(
            codes(rng, entries, 16),
            rng.standard_normal(16).astype(dtype) / 3,
            modes,
            ranks,
            shape,
            0.75,
        ),
        "sum": SumMatrix([low_rank, sparse(rng, shape, dtype)]),
        "sum of three": SumMatrix(
            [low_rank, codebook_sparse(rng, shape, dtype, 16), codebook(rng, shape, dtype, 4)]
        ),
    }


def network(first, activation="relu", n_out=3, seed=0):
    """Return a network whose first layer is ``first``."""
    rng = np.random.default_rng(seed)
    dtype = first.dtype
    last = weight(rng, (first.shape[1], n_out)).astype(dtype)
    biases = [rng.standard_normal(n).astype(dtype) / 2 for n in (first.shape[1], n_out)]
    return Network(
        [Layer(first, biases[0], activation), Layer(DenseMatrix(last), biases[1], "identity")]
    )


def fitted(estimator, net):
    estimator.set_params(hidden_layer_sizes=tuple(x.weight.shape[1] for x in net.layers[:-1]))
    estimator.network_ = net
    estimator.n_features_in_ = net.layers[0].weight.shape[0]
    estimator.n_iter_, estimator.best_iter_ = 7, 5
    estimator.compression_report_ = report(net)
    return estimator


def classifier(first=None, classes=("a", "b", "c"), multilabel=False, activation="relu", **params):
    """Return a fitted classifier whose first layer is ``first``."""
    first = matrices()["dense"] if first is None else first
    net = network(first, activation, len(classes))
    clf = fitted(BCDClassifier(**params), net)
    clf.classes_ = np.arange(len(classes)) if multilabel else np.array(classes)
    clf._n_labels = len(classes) if multilabel else 0
    return clf


def regressor(first=None, n_out=1, activation="relu", flat=True, **params):
    """Return a fitted regressor whose first layer is ``first``."""
    first = matrices()["dense"] if first is None else first
    reg = fitted(BCDRegressor(**params), network(first, activation, n_out))
    reg._two_dimensional = not flat
    return reg


def rows(n=64, dtype=np.float32, n_in=N_IN, seed=1):
    return np.random.default_rng(seed).standard_normal((n, n_in)).astype(dtype)
