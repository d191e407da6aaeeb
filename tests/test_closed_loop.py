"""The gallery's closed loop: what it certifies holds for trajectories that it did not draw."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import lsq_linear

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "plot_closed_loop.py"

pytestmark = pytest.mark.slow  # solves 3000 quadratic programs, trains, compresses and certifies


@pytest.fixture(scope="module")
def example():
    matplotlib = pytest.importorskip("matplotlib")
    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    try:
        return runpy.run_path(str(EXAMPLE))
    finally:
        matplotlib.pyplot.close("all")
        matplotlib.use(before)


def test_forces_are_optimal(example):
    """No feasible sequence of forces is cheaper, by the conditions of optimality."""
    matrix, state = example["M"], example["N"]
    for x in example["X"][:50]:
        u = lsq_linear(matrix, -state @ x, (-1, 1), method="bvls").x
        assert u[0] == pytest.approx(example["exact"](x))
        gradient = matrix.T @ (matrix @ u + state @ x)
        free = np.abs(u) < 1 - 1e-9
        assert np.all(np.abs(gradient[free]) < 1e-7)
        assert np.all(gradient[~free] * u[~free] <= 1e-7)


def test_the_network_of_the_loop_is_the_loop(example):
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (200, 2))
    u = example["small"].predict(x)
    ahead = x @ example["A"].T + u[:, None] * example["B"]
    z = x @ example["U"].T
    np.testing.assert_allclose(example["loop"].predict(z), ahead @ example["U"].T, atol=1e-4)


def test_no_trajectory_leaves_the_certified_ellipse(example):
    center, r, proof = example["center"], example["low"], example["proof"]
    assert proof.verified
    assert proof.bound < 1
    assert r > 0.2
    rng = np.random.default_rng(2)
    away = rng.standard_normal((20_000, 2))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    share = np.sqrt(rng.uniform(0, 1, (len(away), 1)))
    share[:2000] = 1
    z = center + r * share * away
    previous = np.linalg.norm(z - center, axis=1)
    for _ in range(20):
        z = example["loop"].predict(z)
        now = np.linalg.norm(z - center, axis=1)
        assert np.all(now <= proof.bound * previous + example["error"] + 1e-9)
        previous = now


def test_compressed_is_smaller_and_close(example):
    report = example["small"].compression_report_
    assert report.ratio >= 4
    x = np.random.default_rng(3).uniform(-0.5, 0.5, (20_000, 2))
    apart = np.abs(example["dense"].predict(x) - example["small"].predict(x)).max()
    assert 0 < apart <= report.certified.largest
