"""The documented example of a scheme of one's own keeps the contract of all schemes."""

from __future__ import annotations

import importlib.util
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import test_schemes as contract
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning

from fastbcd import BCDClassifier, compress, load

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "examples" / "plot_add_a_scheme.py"
SHAPES = [(12, 8), (8, 12), (24, 24)]


@pytest.fixture(scope="module")
def example():
    """The part between the marks, as a module of its own."""
    text = SOURCE.read_text(encoding="utf-8")
    code = text.split("# [scheme:begin]\n")[1].split("# [scheme:end]\n")[0]
    spec = importlib.util.spec_from_loader("kronecker_example", loader=None)
    module = importlib.util.module_from_spec(spec)
    sys.modules["kronecker_example"] = module  # pickle looks for it there
    exec(compile(code, str(SOURCE), "exec"), module.__dict__)
    yield module
    del sys.modules["kronecker_example"]


def test_it_is_as_short_as_promised():
    text = SOURCE.read_text(encoding="utf-8")
    code = text.split("# [scheme:begin]\n")[1].split("# [scheme:end]\n")[0]
    lines = [line for line in code.splitlines() if line.strip()]
    said = [line for line in lines if line.strip().startswith(('"""', "import", "from"))]
    assert len(lines) - len(said) <= 60


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("outer", [(1, 1), (2, 4), (4, 2)], ids=str)
def test_it_keeps_the_contract_of_all_schemes(example, shape, outer):
    scheme = example.Kronecker(outer)
    for dtype in (np.float32, np.float64):
        contract.test_a_projection_has_the_shape_and_the_type_of_the_weight(scheme, shape, dtype)
        contract.test_a_projection_does_not_depend_on_the_memory_order(scheme, shape, dtype)
        contract.test_projecting_a_projection_changes_nothing(scheme, shape, dtype)
        contract.test_a_weight_of_zeros_stays_zero(scheme, shape, dtype)
        contract.test_a_warm_start_is_as_near_as_a_cold_one(scheme, shape, dtype)
    contract.test_a_projection_commutes_with_scaling(scheme, shape)
    contract.test_a_warm_start_of_another_kind_or_size_is_ignored(scheme, shape)
    contract.test_a_warm_start_is_not_changed(scheme, shape)


def test_no_other_kronecker_product_is_nearer(example):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(12, 8))
    found = example.Kronecker((3, 2)).project(weight)
    error = np.sum((weight - found.to_dense()) ** 2)
    for size in (1e-3, 0.1, 1.0):
        for _ in range(20):
            a = found.a + size * rng.normal(size=found.a.shape)
            # The best B for this A, by least squares.
            blocks = weight.reshape(3, 4, 2, 4)
            b = np.einsum("pq,prqs->rs", a, blocks) / np.sum(a * a)
            assert error <= np.sum((weight - np.kron(a, b)) ** 2) * (1 + 1e-12)


def test_its_format_keeps_the_contract_of_formats(example):
    rng = np.random.default_rng(1)
    matrix = example.Kronecker((2, 4)).project(rng.normal(size=(6, 12)))
    v = rng.normal(size=(5, 6))
    np.testing.assert_allclose(matrix.matmul(v), v @ matrix.to_dense(), atol=1e-13)
    again = type(matrix).from_state(matrix.state_dict())
    np.testing.assert_array_equal(again.to_dense(), matrix.to_dense())
    np.testing.assert_allclose(matrix.scaled(-2.0).to_dense(), -2 * matrix.to_dense())
    assert matrix.n_bits == 64 * matrix.n_params


@pytest.mark.parametrize("solver", ["full", "minibatch"])
def test_the_solvers_and_compress_take_it(example, solver):
    X, y = load_iris(return_X_y=True)
    scheme = {0: example.Kronecker((2, 4)), 1: example.Kronecker((4, 2))}
    clf = BCDClassifier((16, 8), solver=solver, scheme=scheme, max_iter=200, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf.fit(X, y)
    assert [layer.kind for layer in clf.layers_] == ["kronecker", "kronecker", "dense"]
    assert clf.score(X, y) > 0.93
    if solver == "full":
        assert clf.convergence_.n_rises == 0
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    assert clone(clf).scheme == scheme
    small = compress(BCDClassifier((16, 8), random_state=0).fit(X, y), X, scheme=scheme)
    assert small.layers_[0].kind == "kronecker"


def gradient_is_right(matrix, rng):
    gradient = rng.normal(size=matrix.shape)
    for k, (parameter, pull) in enumerate(
        zip(matrix.parameters(), matrix.pull_back(gradient), strict=True)
    ):
        change = rng.normal(size=parameter.shape)
        moved = list(matrix.parameters())
        moved[k] = parameter + change
        step = matrix.with_parameters(moved).to_dense() - matrix.to_dense()
        np.testing.assert_allclose(np.vdot(pull, change), np.vdot(gradient, step), rtol=1e-10)


def test_its_steps_and_gradients_are_right(example):
    rng = np.random.default_rng(2)
    matrix = example.Kronecker((2, 4)).project(rng.normal(size=(6, 12)))
    gradient_is_right(matrix, rng)
    v = applied = rng.normal(size=(5, 6))
    for step in matrix.steps():
        applied = step.apply(applied)
    np.testing.assert_allclose(applied, v @ matrix.to_dense(), atol=1e-13)


def test_it_is_refined_saved_and_exported(example, tmp_path):
    """One scheme and one format, and every way out of Python is open."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    dense = BCDClassifier((32,), max_iter=30, random_state=0, solver="minibatch").fit(X, y)
    scheme = {0: example.Kronecker((8, 8))}
    plain = dense.compress(X, y, scheme=scheme, epochs=0)
    small = dense.compress(X, y, scheme=scheme, epochs=20)
    assert small.score(X, y) > plain.score(X, y) + 0.05
    assert not np.array_equal(small.layers_[0].to_dense(), plain.layers_[0].to_dense())
    small.save(tmp_path / "net.safetensors")
    again = load(tmp_path / "net.safetensors")
    assert again.scheme == scheme
    assert isinstance(again.layers_[0], example.KroneckerMatrix)
    np.testing.assert_array_equal(again.predict_proba(X), small.predict_proba(X))
    small.to_c(tmp_path / "net.h")
    size = (
        (tmp_path / "net.h")
        .read_text(encoding="ascii")
        .split("#define NET_TABLE_BYTES ")[1]
        .split()[0]
    )
    assert int(size) < small.network_.n_bytes + 64
    if importlib.util.find_spec("onnx"):
        from onnx.reference import ReferenceEvaluator

        _, chances = ReferenceEvaluator(small.to_onnx()).run(None, {"X": X[:9]})
        np.testing.assert_allclose(chances, small.predict_proba(X[:9]), atol=1e-5)
    if importlib.util.find_spec("torch"):
        import torch

        with torch.no_grad():
            outputs = small.to_torch()(torch.from_numpy(X[:9])).numpy()
        np.testing.assert_allclose(outputs, small.network_.forward(X[:9]), atol=1e-4)


def test_a_shape_that_does_not_fit_is_refused_by_name(example):
    X, y = load_iris(return_X_y=True)
    clf = BCDClassifier((16, 8), scheme=example.Kronecker((3, 2)))
    with pytest.raises(ValueError, match=r"layer 0 .* outer=\(3, 2\) must divide"):
        clf.fit(X, y)
