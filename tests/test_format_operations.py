"""Every format goes through every operation; a format that nobody knows does, too, or is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from deployed import classifier, matrices, rows

import fastbcd
from fastbcd import export, storage
from fastbcd.compression import report
from fastbcd.formats import FORMATS, DenseMatrix, Format
from fastbcd.formats.operations import (
    cores_of,
    factors,
    scale_inputs,
    scale_outputs,
    spread_inputs,
    summands,
    take_inputs,
    take_outputs,
)
from fastbcd.network.dead import remove_dead
from fastbcd.network.network import Layer, Network
from fastbcd.solvers.refine import RefineSettings, Targets, refine

ROOT = Path(fastbcd.__file__).parent


class Stranger(Format):
    """A format that no other module has heard of: twice a matrix."""

    kind: ClassVar[str] = "stranger"

    def __init__(self, half):
        self.half = half
        self.shape = half.shape

    dtype = property(lambda self: self.half.dtype)
    n_params = property(lambda self: self.half.size)
    flops = property(lambda self: 2 * self.half.size)

    def matmul(self, v):
        return 2 * (v @ self.half)

    def to_dense(self):
        return 2 * self.half

    def state_dict(self):
        return {"half": self.half}

    @classmethod
    def from_state(cls, state):
        return cls(state["half"])

    def scaled(self, factor):
        return Stranger(self.half * self.dtype.type(factor))

    def parameters(self):
        return [self.half]

    def with_parameters(self, parameters):
        return Stranger(*parameters)

    def pull_back(self, gradient):
        return [2 * gradient]


def of_every_kind(dtype=np.float64):
    found = matrices(dtype)
    rng = np.random.default_rng(7)
    found["stranger"] = Stranger(rng.standard_normal(found["dense"].shape).astype(dtype) / 9)
    return found


each_format = pytest.mark.parametrize("name", of_every_kind())


@each_format
@pytest.mark.parametrize("size", [1, 7])
def test_rows_and_columns_are_taken(name, size):
    matrix = of_every_kind()[name]
    dense = matrix.to_dense()
    inputs, outputs = np.arange(2, 2 + size), np.arange(3, 3 + size)
    some = take_inputs(matrix, inputs)
    np.testing.assert_allclose(some.to_dense(), dense[inputs], atol=1e-14)
    spread = spread_inputs(some, inputs, len(dense)).to_dense()
    np.testing.assert_array_equal(spread[inputs], some.to_dense())
    assert not np.delete(spread, inputs, axis=0).any()
    taken = take_outputs(matrix, outputs)
    np.testing.assert_allclose(taken.to_dense(), dense[:, outputs], atol=1e-14)
    assert taken.dtype == matrix.dtype


@each_format
def test_rows_and_columns_are_scaled(name):
    matrix = of_every_kind()[name]
    dense = matrix.to_dense()
    rng = np.random.default_rng(3)
    left, right = (rng.uniform(0.5, 2, n) for n in matrix.shape)
    close = {"rtol": 1e-12, "atol": 1e-14}
    np.testing.assert_allclose(
        scale_inputs(matrix, left).to_dense(), left[:, None] * dense, **close
    )
    np.testing.assert_allclose(scale_outputs(matrix, right).to_dense(), dense * right, **close)


@each_format
def test_factors_summands_and_steps_make_up_the_matrix(name):
    matrix = of_every_kind()[name]
    dense = matrix.to_dense()
    product, *rest = factors(matrix)
    for factor in rest:
        product = product @ factor
    np.testing.assert_allclose(product, dense, atol=1e-12)
    np.testing.assert_allclose(sum(part.to_dense() for part in summands(matrix)), dense, atol=1e-12)
    v = rows(5, np.float64)
    steps = matrix.steps()
    if steps is not None:
        applied = v
        for step in steps:
            applied = step.apply(applied)
        np.testing.assert_allclose(applied, v @ dense, atol=1e-12)
    assert (cores_of(matrix) is None) == (matrix.kind != "tensor_train")


@each_format
def test_a_gradient_is_pulled_back_to_the_parameters(name):
    matrix = of_every_kind()[name]
    parameters = matrix.parameters()
    gradient = np.random.default_rng(4).standard_normal(matrix.shape)
    if not parameters:
        with pytest.raises(TypeError, match=type(matrix).__name__):
            matrix.pull_back(gradient)
        return
    pulled = matrix.pull_back(gradient)
    for k, (parameter, pull) in enumerate(zip(parameters, pulled, strict=True)):
        assert pull.shape == parameter.shape
        # W is linear in each parameter: the difference is exact.
        change = np.random.default_rng(k).standard_normal(parameter.shape)
        moved = [*parameters]
        moved[k] = parameter + change
        step = matrix.with_parameters(moved).to_dense() - matrix.to_dense()
        np.testing.assert_allclose(np.vdot(pull, change), np.vdot(gradient, step), rtol=1e-9)


@each_format
def test_dead_neurons_go_or_the_layer_stays_no_larger(name):
    matrix = of_every_kind()[name]
    rng = np.random.default_rng(5)
    n_in, n_out = matrix.shape
    first = np.zeros((5, n_in))
    first[:, : n_in // 2] = rng.standard_normal((5, n_in // 2))
    last = np.zeros((n_out, 3))
    last[: n_out // 3] = rng.standard_normal((n_out // 3, 3))
    network = Network(
        [
            Layer(DenseMatrix(first), rng.standard_normal(n_in), "relu"),
            Layer(matrix, rng.standard_normal(n_out), "relu"),
            Layer(DenseMatrix(last), np.zeros(3), "identity"),
        ]
    )
    small, _ = remove_dead(network)
    x = rng.standard_normal((20, 5))
    np.testing.assert_allclose(small.forward(x), network.forward(x), atol=1e-10)
    assert small.n_bytes <= network.n_bytes


@each_format
def test_files_reports_and_pytorch_take_it(name):
    clf = classifier(of_every_kind()[name])
    x = rows(dtype=np.float64)
    again = storage.from_bytes(storage.to_bytes(clf))
    np.testing.assert_array_equal(again.predict_proba(x), clf.predict_proba(x))
    assert type(again.layers_[0]) is type(clf.layers_[0])
    assert report(clf.network_).layers[0].format == clf.layers_[0].kind
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        outputs = export.to_torch(clf)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(outputs, clf.network_.forward(x), atol=1e-10)


@each_format
def test_onnx_takes_it(name):
    pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    clf = classifier(of_every_kind(np.float32)[name])
    x = rows()
    _, chances = ReferenceEvaluator(export.to_onnx(clf)).run(None, {"X": x})
    np.testing.assert_allclose(chances, clf.predict_proba(x), atol=1e-5)


@each_format
def test_c_takes_it_or_names_it(name, tmp_path):
    matrix = of_every_kind(np.float32)[name]
    path = tmp_path / "net.h"
    if name in ("stranger", "train without a cut"):
        with pytest.raises(ValueError, match=rf"{matrix.kind}.*allow_dense=True"):
            export.to_c(classifier(matrix), path)
        assert not path.exists()
    export.to_c(classifier(matrix), path, allow_dense=True)
    assert "net_predict_proba" in path.read_text(encoding="ascii")


@each_format
def test_a_refinement_moves_the_weights_and_is_no_worse(name):
    matrix = of_every_kind(np.float32)[name]
    rng = np.random.default_rng(6)
    x = rng.standard_normal((400, matrix.shape[0])).astype(np.float32)
    truth = (2 * rng.standard_normal((matrix.shape[0], 3)) / 5).astype(np.float32)
    last = rng.standard_normal((matrix.shape[1], 3)).astype(np.float32)
    start = Network(
        [
            Layer(matrix, np.zeros(matrix.shape[1], np.float32), "relu"),
            Layer(DenseMatrix(last), np.zeros(3, np.float32), "identity"),
        ]
    )
    targets = Targets(x @ truth, None, classify=False)
    course = RefineSettings(epochs=20, batch_size=50)
    found = refine(start, x, targets, course, np.random.RandomState(0))
    every = np.arange(len(x))
    before, after = (targets.loss(net.forward(x), every) for net in (start, found))
    assert type(found.layers[0].weight) is type(matrix)
    if np.count_nonzero(matrix.to_dense()) < 5 or name == "codebook of 1":
        assert after <= before  # hardly a weight, or one value to choose from
    else:
        assert after < 0.9 * before
        assert not np.array_equal(found.layers[0].weight.to_dense(), matrix.to_dense())


def test_the_table_holds_every_format():
    kinds = {matrix.kind for matrix in of_every_kind().values()}
    assert kinds >= {kind for kind, cls in FORMATS.items() if cls.__module__.startswith("fastbcd.")}


def test_what_a_format_is_is_asked_in_one_place_outside_its_package():
    """Whoever asks for a class breaks for the next format. The list only shrinks."""
    allowed = {
        "schemes/protocol.py": 1,  # warm_start: a method can start from results of its own kind
    }
    pattern = re.compile(r"isinstance\([^)]*(?:Matrix\b|, kind\))")
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        count = len(pattern.findall(path.read_text(encoding="utf-8")))
        if count and not place.startswith("formats/"):
            found[place] = count
    assert found == allowed
