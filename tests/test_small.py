"""Small layers are computed by NumPy, large ones by kernels, and both compute the same."""

import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from fastbcd import compress
from fastbcd.formats import DenseMatrix, SparseMatrix
from fastbcd.formats.products import product
from fastbcd.formats.products.row_chain import Workspace
from fastbcd.network.network import Layer
from fastbcd.schemes import Prune, Quantize
from fastbcd.schemes.nearest.kmeans import nearest_codes
from fastbcd.schemes.nearest.support import refit
from fastbcd.solvers.refine.batches import Batches
from fastbcd.solvers.refine.blocks import block_of
from fastbcd.solvers.refine.chain import moments
from fastbcd.statistics.metric import Metric
from fastbcd.utils import small


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def both(monkeypatch):
    """Return a function that runs work as for a small layer, then as for a large one."""

    def run(work):
        found = []
        for bound in (1 << 12, -1):
            monkeypatch.setattr(small, "SMALL", bound)
            found.append(work())
        return found

    return run


def test_bound_is_inclusive():
    assert small.is_small(small.SMALL)
    assert not small.is_small(small.SMALL + 1)


@pytest.mark.parametrize("density", [0.0, 0.1, 0.6, 1.0])
@pytest.mark.parametrize("repeated", [False, True])
def test_refit(rng, both, density, repeated):
    rows = rng.standard_normal((90, 20))
    if repeated:  # a pivot is lost: the later of two equal inputs gets no weight
        rows[:, 7] = rows[:, 3]
    metric = Metric(rows.T @ rows / 90, np.ones(8))
    mask = rng.random((20, 8)) < density
    mask[:, 0] = False
    target = rng.standard_normal((20, 8))
    few, many = both(lambda: refit(mask, target, metric))
    np.testing.assert_allclose(few, many, rtol=1e-6, atol=1e-9)
    assert not few[~mask].any()
    if repeated and density == 1.0:
        assert not few[7].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("levels", [1, 2, 3, 16, 300])
@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0])
def test_codes(rng, both, dtype, levels, factor):
    codebook = np.sort(rng.standard_normal(levels))
    values = rng.standard_normal((40, 7)).astype(dtype)
    middles = 0.5 * (codebook[1:] + codebook[:-1])
    values[: min(levels - 1, 40), 0] = middles[:40]  # halfway between two levels
    few, many = both(lambda: nearest_codes(values, codebook, np.full(7, factor)))
    assert few.dtype == many.dtype
    np.testing.assert_array_equal(few, many)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("slope", [0.0, 0.1, 1.0])
def test_bias_and_activation_are_the_same_bits(rng, monkeypatch, dtype, slope):
    z = rng.standard_normal((50, 7)).astype(dtype)
    z[3, :4] = np.nan, np.inf, -np.inf, 0
    bias = rng.standard_normal(7).astype(dtype)
    bias[3] = 0
    found = []
    for bound in (z.size, 0):
        monkeypatch.setattr(product, "IN_CACHE", bound)
        found.append(z.copy())
        product.finish_rows(found[-1], bias, slope, Workspace())
    np.testing.assert_array_equal(*found)


def test_codes_of_no_columns(both):
    few, many = both(lambda: nearest_codes(np.empty((4, 0)), np.array([0.0, 1.0]), np.empty(0)))
    assert few.shape == many.shape == (4, 0)


@pytest.mark.parametrize("drop", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batches_are_the_same_bits(rng, both, drop, dtype):
    x = (rng.standard_normal((60, 9)) + 8 * (np.arange(9) > 5)).astype(dtype)

    def work():
        batches = Batches(x, np.arange(60), 25, drop, np.random.RandomState(0))
        return [batches.next(np.arange(9))[1].copy() for _ in range(5)]

    few, many = both(work)
    np.testing.assert_array_equal(few, many)


def weights(kind, rng):
    dense = rng.standard_normal((23, 9)).astype(np.float32)
    if kind == "dense":
        return DenseMatrix(dense)
    if kind == "quantised":
        return Quantize(bits=3).project(dense)
    dense[:, 2] = 0
    pruned = Prune(density=0.6 if kind == "half" else 0.2).project(dense)
    if kind == "empty":
        return SparseMatrix.from_dense(np.zeros_like(dense))
    both = Prune(density=0.2) + Quantize(bits=3)
    return both.project(dense) if kind == "pruned and quantised" else pruned


@pytest.mark.parametrize(
    "kind", ["dense", "quantised", "pruned", "half", "empty", "pruned and quantised"]
)
def test_steps_of_a_layer(rng, both, kind):
    layer = Layer(weights(kind, rng), rng.standard_normal(9).astype(np.float32), "relu")
    x = rng.standard_normal((200, 23)).astype(np.float32)
    pulls = rng.standard_normal((6, 9, 50)).astype(np.float32)

    def work():
        block = block_of(layer.weight)(layer, False, False)
        block.measure(moments(x))
        outs = []
        for k, pull in enumerate(pulls):
            v = np.ascontiguousarray(x[k * 30 : k * 30 + 50].T)
            outs.append(block.forward(v))
            outs.append(block.backward(pull))
            block.step(v, pull, 0.5, 0.9, 0.01)
        return [*outs, block.weight(), block.intercept]

    for few, many in zip(*both(work), strict=True):
        np.testing.assert_allclose(few, many, rtol=1e-3, atol=2e-4)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_small_compress_compiles_few_kernels(monkeypatch):
    """The kernels that take longest to compile are never called."""

    def forbidden(*args):
        raise AssertionError("a small job called a kernel that NumPy replaces")

    names = ["masked_refit.masked_refit", "masked_refit.masked_inverses", "dense_step.step"]
    names += [f"sparse_batch.{name}" for name in ("gather", "forward", "backward", "gradient")]
    names += ["sparse_batch.step", "sparse_product.sparse_block", "codebook_fit.assign"]
    for name in names:
        module, _, kernel = name.partition(".")
        monkeypatch.setattr(sys.modules[f"fastbcd_kernels.{module}"], kernel, forbidden)
    data, y = load_digits(return_X_y=True)
    model = MLPClassifier((32,), max_iter=40, random_state=0).fit(data / 16, y)
    made = compress(model, data / 16, y, ratio=10, random_state=0)
    assert made.score(data / 16, y) > 0.9


FIRST_FIT = """
import fastbcd_kernels
from sklearn.datasets import load_digits
from fastbcd import BCDClassifier
compiled = []
fastbcd_kernels.before_compiling[:] = [compiled.append]
X, y = load_digits(return_X_y=True)
assert BCDClassifier((16,), random_state=0).fit(X[:600], y[:600]).score(X[:600], y[:600]) > 0.9
assert not compiled, compiled
"""


def test_a_first_small_fit_compiles_nothing(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", FIRST_FIT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
