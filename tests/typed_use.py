"""Code as users write it, with every public name: checked by their type checkers, never run.

Each ``assert_type`` states what a reader is promised; ``test_typing.py`` has it checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import fastbcd
from fastbcd import (
    BCDClassifier,
    BCDRegressor,
    compress,
    datasets,
    display,
    exceptions,
    export,
    formats,
    info,
    layers,
    load,
    schemes,
    warmup,
)
from fastbcd.compression import CompressionReport, LayerReport, report
from fastbcd.schemes.quantize import shared_codebook
from fastbcd.solvers import ConvergenceRecord
from fastbcd.storage import encoded_size, save

Array = NDArray[np.float64]


def train(x: Array, y: NDArray[np.int64], values: Array) -> tuple[BCDClassifier, BCDRegressor]:
    clf = BCDClassifier(
        (64, 32),
        activation="relu",
        solver="auto",
        loss="cross_entropy",
        scheme=schemes.Prune(sparsity=0.9),
        class_weight={0: 1.0, 1: 2.0},
        random_state=0,
    )
    assert_type(clf.fit(x, y, sample_weight=np.ones(len(x))), BCDClassifier)
    assert_type(clf.partial_fit(x, y, classes=[0, 1]), BCDClassifier)
    labels: NDArray[np.int64] = clf.predict(x)
    shares: NDArray[np.floating] = clf.predict_proba(x)
    logarithms: NDArray[np.floating] = clf.predict_log_proba(x)
    score: float = clf.score(x, y)
    parameters: Mapping[str, object] = clf.get_params()
    print(labels, shares, logarithms, score, parameters, clf.classes_)
    reg = BCDRegressor(32, scheme={0: schemes.LowRank(rank=4), "output": None}).fit(x, values)
    assert_type(reg, BCDRegressor)
    assert_type(reg.set_params(proximal=2.0), BCDRegressor)
    outputs: NDArray[np.floating] = reg.predict(x)
    print(outputs, reg.score(x, values), reg.partial_fit(x, values))
    return clf, reg


def images(x: Array, y: NDArray[np.int64]) -> BCDClassifier:
    sizes = (layers.Conv2D(8, kernel_size=3), layers.MaxPool2D(2), layers.AveragePool2D(2), 32)
    return BCDClassifier(sizes, input_shape=(8, 8, 1)).fit(x, y)


def look(clf: BCDClassifier) -> None:
    assert_type(clf.n_iter_, int)
    assert_type(clf.best_iter_, int)
    assert_type(clf.objective_curve_, NDArray[np.float64])
    assert_type(clf.validation_scores_, list[float])
    assert_type(clf.convergence_, ConvergenceRecord)
    assert_type(clf.layers_, list[formats.Format])
    for weight, intercept in zip(clf.coefs_, clf.intercepts_, strict=True):
        print(weight.shape, intercept.dtype)
    assert_type(clf.network_.n_bytes, int)
    record = clf.convergence_
    print(record.objective[-1], record.n_rises, record.decreases, record.loss, record.rate)


def shrink(clf: BCDClassifier, x: Array, y: NDArray[np.int64]) -> BCDClassifier:
    small = clf.compress(x, y, max_bytes=20_000)
    assert_type(small, BCDClassifier)
    loose: BCDClassifier = compress(clf, x, y, scheme=schemes.TensorTrain(rank=4), verbose=1)
    told = small.compression_report_
    assert_type(told, CompressionReport)
    assert_type(told.layers, Sequence[LayerReport])
    assert_type(told.ratio, float)
    assert_type(told.total.n_bytes, int)
    told.to_html("report.html")
    print(told, told.to_frame(), report(loose.network_), told.score_before, told.score_after)
    return small


def choose(weights: list[Array]) -> list[schemes.Scheme]:
    both = schemes.Prune(sparsity=0.95) + schemes.Quantize(bits=4)
    assert_type(both, schemes.Scheme)
    values = shared_codebook(weights, 16)
    assert_type(values, tuple[float, ...])
    pruned = schemes.Prune(structure="neuron", density=0.5).project(weights[0])
    assert_type(pruned, formats.SparseMatrix)
    factors = schemes.LowRank(energy=0.9).project(weights[0])
    assert_type(factors, formats.LowRankMatrix)
    train = schemes.TensorTrain(rank=4).project(weights[0])
    assert_type(train, formats.TensorTrainMatrix)
    coded = schemes.Quantize(codebook=values).project(weights[0])
    assert_type(coded, formats.CodebookMatrix)
    print(coded.codes, coded.codebook, coded.scale, factors.left, factors.right, train.cores)
    parts: list[formats.Format] = [pruned, factors, train, coded]
    for matrix in [*parts, formats.DenseMatrix(weights[0]), formats.SumMatrix([pruned, factors])]:
        assert_type(matrix.n_bits, int)
        print(matrix.kind, matrix.shape, matrix.matmul(weights[0]), matrix.to_dense())
        print(encoded_size(matrix), matrix.n_params, matrix.flops, matrix.state_dict())
    kinds = (formats.CodebookSparseMatrix, formats.CodebookTrainMatrix)
    print(isinstance(both.project(weights[0]), kinds))
    return [both, schemes.Prune(n_nonzero=100)]


def ship(small: BCDClassifier, folder: Path, x: Array) -> None:
    small.save(folder / "net.safetensors")
    save(small, folder / "again.safetensors")
    again: BCDClassifier = load(folder / "net.safetensors")
    small.to_onnx(folder / "net.onnx")
    small.to_c(folder / "net.h", arithmetic="int8", X=x)
    export.to_onnx(again, folder / "net.onnx")
    export.to_c(again, folder / "net.h")
    print(again.to_torch(), again.to_sklearn(), export.to_torch(again), export.to_sklearn(again))


def draw(clf: BCDClassifier, small: BCDClassifier, x: Array, y: NDArray[np.int64]) -> None:
    course = display.ConvergenceDisplay.from_estimator(clf).plot()
    assert_type(course, display.ConvergenceDisplay)
    display.CompressionDisplay.from_report(small.compression_report_).plot()
    display.WeightDisplay.from_estimator(small, layer=0).plot(kind="inputs", image_shape=(8, 8))
    frontier = display.FrontierDisplay.from_estimator(clf, x, y, ratios=(2, 4), epochs=0)
    assert_type(frontier.paths, dict[str, list[tuple[float, float]]])
    display.FrontierDisplay.from_path({"pruned": [small]}, x, y).plot()


def fetch() -> None:
    assert_type(datasets.data_home(), Path)
    mnist = datasets.fetch_mnist(data_home="data", verbose=1)
    print(mnist, datasets.fetch_uci_har(), datasets.fetch_solar_flares())
    print(datasets.fetch_watch_har(), datasets.window_features(np.zeros((256, 3)), window=128))


def begin() -> None:
    done = warmup("float32", verbose=1)
    assert_type(done.n_compiled, int)
    assert_type(fastbcd.__version__, str)
    print(info()["versions"]["numpy"], done.seconds, done.missed)


def guard(clf: BCDClassifier, x: Array) -> None:
    try:
        clf.compress(x, max_bytes=1)
    except exceptions.BudgetError as error:
        print(error)
    print(exceptions.BudgetWarning, exceptions.ConvergenceWarning, exceptions.ExportWarning)
