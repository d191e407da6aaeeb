"""The kernels against what else computes the same: NumPy, LAPACK, TensorLy, the memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from bench.conftest import Record
from bench.timing import race
from fastbcd.linalg.spd import SMALL, SPDSystem
from fastbcd.schemes.nearest.thresholds import hard_threshold
from fastbcd.schemes.nearest.trains import decompose, train_ranks
from fastbcd.solvers.batch.engine import LockStep, Rows
from fastbcd.solvers.batch.settings import BatchSettings
from fastbcd_kernels.activation_step import piecewise_linear_step

RHO, GAMMA, ALPHA = 1.0, 0.5, 1.0


def relu_step_numpy(
    u: np.ndarray[Any, Any], z: np.ndarray[Any, Any], v: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Take the ReLU-proximal step as one writes it in NumPy; the kernel also returns two sums."""
    g = (RHO + ALPHA) / GAMMA
    c = (RHO * z + ALPHA * u) / (RHO + ALPHA)
    up = np.maximum((v + g * c) / (1 + g), 0)
    down = np.minimum(c, 0)
    return np.where((up - v) ** 2 + g * (up - c) ** 2 <= v**2 + g * (down - c) ** 2, up, down)


def test_relu_step(benchmark: Any, record: Record, quick: bool) -> None:
    """Bytes per second of five arrays (three read, two written), against a plain copy's two."""
    n, d = (512, 64) if quick else (7352, 1024)
    rng = np.random.default_rng(0)
    u, z, v = rng.standard_normal((3, n, d)).astype(np.float32)
    miss = u - z
    weight = np.ones(n)
    expected = relu_step_numpy(u, z, v)
    ours = u.copy()
    piecewise_linear_step(ours, miss.copy(), v, 0.0, RHO, GAMMA, ALPHA, weight)
    # Where the two candidates cost the same, rounding decides between them.
    assert np.isclose(ours, expected, rtol=1e-5, atol=1e-5).mean() > 1 - 1e-5

    def step() -> object:
        return piecewise_linear_step(ours, miss, v, 0.0, RHO, GAMMA, ALPHA, weight)

    target = np.empty_like(u)
    rounds = 3 if quick else 31
    kernel, copy, numpy = race(
        [step, lambda: np.copyto(target, u), lambda: relu_step_numpy(u, z, v)], rounds
    )
    share = (5 * u.nbytes / kernel) / (2 * u.nbytes / copy)
    seconds = {"kernel": kernel, "copy": copy, "numpy": numpy}
    what = f"ReLU-proximal step, {n} x {d} float32"
    record(
        f"{what}: share of the copy bandwidth",
        f"{share:.0%} of {2 * u.nbytes / copy / 1e9:.1f} GB/s",
        "at least 60 %",
        share >= 0.6,
        **seconds,
    )
    record(
        f"{what}: against the NumPy expression",
        f"{numpy / kernel:.1f} times faster",
        "at least 5 times faster",
        numpy / kernel >= 5,
        **seconds,
    )
    benchmark.pedantic(step, rounds=rounds, warmup_rounds=1)


def test_tensor_train(benchmark: Any, record: Record, quick: bool) -> None:
    """One matrix, decomposed from scratch by both; ours also from the train of its neighbour."""
    tensorly = pytest.importorskip(
        "tensorly", reason="compares with TensorLy: pip install tensorly"
    )
    from tensorly.decomposition import tensor_train

    side, rank = (64, 8) if quick else (1024, 80)
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((side, side)).astype(np.float32)
    modes = (4,) * round(np.log(side * side) / np.log(4))
    ranks = train_ranks(modes, rank)
    tensor = weight.reshape(modes)
    nearby = (weight + 0.01 * rng.standard_normal((side, side))).astype(np.float32)
    start = decompose(nearby, modes, ranks)

    def error(dense: np.ndarray[Any, Any]) -> float:
        return float(np.linalg.norm(weight.astype(np.float64) - dense.reshape(weight.shape)))

    def dense(cores: Any) -> np.ndarray[Any, Any]:
        return np.asarray(tensorly.tt_to_tensor([core.astype(np.float64) for core in cores]))

    peer_error = error(dense(tensor_train(tensor, rank=list(ranks)).factors))
    excess = error(dense(decompose(weight, modes, ranks))) / peer_error - 1
    rounds = 3 if quick else 7
    cold, warm, peer = race(
        [
            lambda: decompose(weight, modes, ranks),
            lambda: decompose(weight, modes, ranks, start),
            lambda: tensor_train(tensor, rank=list(ranks)),
        ],
        rounds,
    )
    seconds = {"cold": cold, "warm": warm, "tensorly": peer}
    what = f"tensor train of {side} x {side} as 4^{len(modes)}, rank {rank}, float32"
    record(
        f"{what}: against TensorLy",
        f"{peer / cold:.1f} times faster",
        "at least 8 times faster",
        peer / cold >= 8,
        **seconds,
    )
    record(f"{what}: the same, started from a neighbour", f"{peer / warm:.1f} times faster")
    record(
        f"{what}: error against TensorLy's",
        f"{excess:+.1e} relative",
        "equal to 1e-6",
        excess <= 1e-6,
    )
    benchmark.pedantic(lambda: decompose(weight, modes, ranks), rounds=rounds, warmup_rounds=1)


def spd_problem(n: int, m: int) -> tuple[np.ndarray[Any, Any], ...]:
    """Return a Gram matrix (n, n), a ridge (n,) and right-hand sides (n, m)."""
    rng = np.random.default_rng(0)
    v = rng.standard_normal((2 * n, n))
    return v.T @ v, np.full(n, 0.1), rng.standard_normal((n, m))


@pytest.mark.parametrize("n", [6, 10, 32, 64, 1024])
def test_spd_solve(benchmark: Any, record: Record, quick: bool, n: int) -> None:
    """Factor and solve; both contestants work on a copy of the matrix."""
    if quick and n > 64:
        n = 128
    m = max(n, 512)
    gram, ridge, rhs = spd_problem(n, m)
    ridged = gram + np.diag(ridge)

    def ours() -> Any:
        return SPDSystem(gram.copy(), ridge).solve(rhs)

    def lapack() -> Any:
        factor = cho_factor(ridged.copy(), overwrite_a=True, check_finite=False)
        return cho_solve(factor, rhs, check_finite=False)

    np.testing.assert_allclose(ours(), lapack(), rtol=1e-6, atol=1e-9)
    rounds = 3 if quick else 15
    own, peer = race([ours, lapack], rounds)
    large = n > SMALL
    record(
        f"SPD solve, {n} unknowns, {m} right-hand sides, "
        f"{'LAPACK' if large else 'compiled kernel'}: against scipy's Cholesky solve",
        f"{own / peer:.2f} times its time",
        "at most 1.1 times" if large else "",
        own / peer <= 1.1 if large else None,
        ours=own,
        scipy=peer,
    )
    benchmark.pedantic(ours, rounds=rounds, warmup_rounds=1)


@pytest.mark.parametrize(
    ("n_inputs", "width", "n_outputs", "n_networks", "size"),
    [(43, 25, 2, 4, 128), (125, 25, 7, 10, 64), (64, 100, 10, 2, 128)],
)
def test_batch_steps(
    benchmark: Any,
    record: Record,
    quick: bool,
    n_inputs: int,
    width: int,
    n_outputs: int,
    n_networks: int,
    size: int,
) -> None:
    """Forty steps of networks in lock-step: against NumPy, and the products alone by BLAS."""
    n, rng = 1000, np.random.default_rng(0)
    if quick:
        n_inputs, width, size = 8, 8, 16
    x = rng.standard_normal((n, n_inputs)).astype(np.float32)
    y = np.eye(n_outputs, dtype=np.float32)[rng.integers(n_outputs, size=n)]
    order = rng.integers(n, size=(40, size))
    engines = [
        LockStep(
            Rows(x, np.ones(n_inputs), y, None),
            (width,),
            "relu",
            "cross_entropy",
            np.ones((n_networks, n), np.float32),
            range(n_networks),
            np.zeros(n_outputs),
            BatchSettings(compiled_from=least),
            0,
        )
        for least in (0, n + 1)
    ]
    v = rng.standard_normal((size, width)).astype(np.float32)
    d = rng.standard_normal((size, n_outputs)).astype(np.float32)
    batch, (first, last) = x[:size], engines[0].averaged(0)[0]
    square = np.eye(width, dtype=np.float32)

    def products() -> None:
        for _ in range(40 * n_networks):
            batch @ first
            v @ last
            d @ last.T
            v.T @ d
            batch.T @ v
            square @ last

    rounds = 3 if quick else 15
    with threadpool_limits(1):
        own, plain, blas = race(
            [lambda: engines[0].advance(order), lambda: engines[1].advance(order), products], rounds
        )
    record(
        f"{n_networks} networks {n_inputs}-{width}-{n_outputs}, batches of {size}: a step against "
        "the same by NumPy",
        f"{plain / own:.1f} times faster, {own / 40 * 1e6:.0f} us, {own / blas:.1f} times its "
        "matrix products alone",
        "",
        None,
        ours=own,
        numpy=plain,
        blas=blas,
    )
    benchmark.pedantic(lambda: engines[0].advance(order), rounds=rounds, warmup_rounds=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_top_k(benchmark: Any, record: Record, quick: bool, dtype: str) -> None:
    """Keep the largest tenth of the entries."""
    size = 10_000 if quick else 1_000_000
    k = size // 10
    x = np.random.default_rng(0).standard_normal(size).astype(dtype)

    def numpy() -> Any:
        magnitude = np.abs(x)
        return np.where(magnitude >= np.partition(magnitude, size - k)[size - k], x, 0)

    def ours() -> Any:
        return hard_threshold(x, k)

    np.testing.assert_array_equal(ours(), numpy())
    rounds = 3 if quick else 31
    own, peer = race([ours, numpy], rounds)
    record(
        f"top {k} of {size}, {dtype}: against np.partition and a mask",
        f"{peer / own:.1f} times faster",
        "at least 3 times faster",
        peer / own >= 3,
        ours=own,
        numpy=peer,
    )
    benchmark.pedantic(ours, rounds=rounds, warmup_rounds=1)
