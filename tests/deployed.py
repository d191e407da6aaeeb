"""Small fitted networks in every format, for the tests of storage and export."""

from __future__ import annotations

import dataclasses

import numpy as np

from fastbcd.compression.report import report
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
from fastbcd.layers import AveragePool2D, Conv2D, MaxPool2D
from fastbcd.network.layers.architecture import Architecture, check_layers
from fastbcd.network.network import Layer, Network
from fastbcd.network.tasks import Classification, MultilabelClassification, Regression

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
    several = MultilabelClassification(len(classes))
    clf.set_task(several if multilabel else Classification(np.array(classes)))
    return clf


def regressor(first=None, n_out=1, activation="relu", flat=True, **params):
    """Return a fitted regressor whose first layer is ``first``."""
    first = matrices()["dense"] if first is None else first
    reg = fitted(BCDRegressor(**params), network(first, activation, n_out))
    reg.set_task(Regression(n_out, flat=flat))
    return reg


def rows(n=64, dtype=np.float32, n_in=N_IN, seed=1):
    return np.random.default_rng(seed).standard_normal((n, n_in)).astype(dtype)


SHAPE = (9, 8, 2)
"""Of the images that the networks of :func:`image_networks` see."""

ARCHITECTURES = {
    "one": (Conv2D(6, 3),),
    "a single channel out": (Conv2D(1, 2), 4),
    "padded": (Conv2D(5, (3, 2), padding=(2, 1)), 6),
    "same": (Conv2D(5, 3, padding="same"), MaxPool2D((2, 1)), 6),
    "strided": (Conv2D(5, (2, 3), stride=(2, 3)), 6),
    "padded, strided": (Conv2D(5, 3, stride=(3, 2), padding=(1, 2)), Conv2D(4, 2, padding=1)),
    "maxima that lose pixels": (Conv2D(5, 2), MaxPool2D(3), 6),
    "means that lose pixels": (AveragePool2D((2, 3)), Conv2D(5, 2, padding=1), 6),
    "means first and last": (AveragePool2D((2, 1)), Conv2D(5, 3), AveragePool2D(2)),
    "means, then dense": (AveragePool2D(4), 6),
    "both": (Conv2D(5, 2), MaxPool2D((1, 2)), AveragePool2D((3, 1)), Conv2D(4, 2), MaxPool2D(1)),
    "all of the image": (Conv2D(5, SHAPE[:2]), Conv2D(4, 1), 6),
}


def image_network(hidden, weight_of=None, dtype=np.float32, activation="relu", n_out=3, seed=0):
    """Return a network with random weights; ``weight_of(rng, shape, dtype)`` makes matrices."""
    rng = np.random.default_rng(seed)
    layout = Architecture.of(check_layers(hidden), int(np.prod(SHAPE)), n_out, SHAPE)
    layers = []
    for shape, view, pool in zip(layout.shapes, layout.views, layout.pools, strict=True):
        matrix = DenseMatrix(weight(rng, shape).astype(dtype))
        if weight_of is not None and len(layers) < len(layout.shapes) - 1:
            matrix = weight_of(rng, shape, dtype)
        intercept = (rng.standard_normal(shape[1]) / 2).astype(dtype)
        layers.append(Layer(matrix, intercept, activation, view, pool))
    layers[-1] = dataclasses.replace(layers[-1], activation="identity")
    return Network(layers)


def image_classifier(hidden, weight_of=None, **options):
    """Return a fitted classifier of images."""
    clf = fitted(BCDClassifier(), image_network(hidden, weight_of, **options))
    clf.set_params(hidden_layer_sizes=hidden, input_shape=SHAPE)
    clf.n_features_in_ = int(np.prod(SHAPE))
    clf.classes_ = np.arange(clf.network_.layers[-1].weight.shape[1])
    return clf


def image_weights():
    """Return makers of matrices of every format, for :func:`image_network`."""

    def low_rank(rng, shape, dtype):
        left, right = rng.standard_normal((shape[0], 2)), rng.standard_normal((2, shape[1]))
        return LowRankMatrix((left / np.sqrt(2 * shape[0])).astype(dtype), right.astype(dtype))

    def train(rng, shape, dtype):
        modes = (shape[0], shape[1])
        if shape[0] % 2 == 0:
            modes = (shape[0] // 2, 2, shape[1])
        ranks = (1, *(2 for _ in modes[1:]), 1)
        cores = [
            (rng.standard_normal((ranks[k], mode, ranks[k + 1])) / 2).astype(dtype)
            for k, mode in enumerate(modes)
        ]
        return TensorTrainMatrix(cores, shape)

    def of_codes(rng, shape, dtype):
        return codebook(rng, shape, dtype, 5, scaled=True)

    def of_coded_non_zeros(rng, shape, dtype):
        return codebook_sparse(rng, shape, dtype, 7, 0.4, scaled=True)

    def sparse_parts(rng, shape, dtype):
        return sparse(rng, shape, dtype, 0.4)

    def total(rng, shape, dtype):
        makers = (low_rank, of_coded_non_zeros, of_codes, sparse_parts)
        return SumMatrix([make(rng, shape, dtype) for make in makers])

    return {
        "sparse": sparse_parts,
        "low rank": low_rank,
        "train": train,
        "codebook": of_codes,
        "codebook sparse": of_coded_non_zeros,
        "sum": total,
    }


def images(n=40, dtype=np.float32, seed=1):
    return rows(n, dtype, int(np.prod(SHAPE)), seed)
