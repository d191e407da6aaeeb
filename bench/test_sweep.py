"""One sweep of the full solver at UCI-HAR shapes: against its lower bound, and as published."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy.linalg import blas

from bench.conftest import Record
from bench.timing import race
from fastbcd.network.layers.activations import ACTIVATIONS
from fastbcd.network.layers.patches import WHOLE_ROW
from fastbcd.network.losses.losses import LOSSES
from fastbcd.objective.terms import Penalties, Problem
from fastbcd.schemes import TensorTrain
from fastbcd.solvers import FullSolver
from fastbcd.solvers.starts import orthogonal

RHO, GAMMA, PROXIMAL, TAU = 0.5, 0.5, 1.0, 5.0


class Case(NamedTuple):
    """A network and its data."""

    name: str
    widths: tuple[int, ...]
    n_samples: int
    rank: int
    modes: tuple[tuple[int, ...], ...]
    """Modes of the published method's trains, for weights of shape (n_out, n_in)."""


HAR = Case(
    "UCI-HAR shapes",
    (561, 1024, 1024, 1024, 512, 6),
    7352,
    80,
    ((6, 22, 34, 2, 2, 2, 2, 2, 2, 2), (4,) * 10, (4,) * 10, (4,) * 9 + (2,)),
)
TINY = Case(
    "tiny shapes", (24, 64, 64, 64, 32, 6), 512, 8, ((6, 4, 4, 4, 4), (4,) * 6, (4,) * 6, (2,) * 11)
)


def counted_flops(widths: tuple[int, ...], n: int) -> int:
    """Count the products over samples that one sweep cannot do without.

    For a layer d -> m: 2 n d m each for the cross product V'U of the W-step and for Z = V W + b.
    Every layer but the first also has its inputs updated, 2 n d m each for s W and for the
    residual times K, and needs the Gram matrix of the new inputs, a symmetric product of n d^2.
    Solves, trains and element-wise work are not counted: the floor has none of them.
    """
    layers = list(pairwise(widths))
    first, others = layers[0], layers[1:]
    return 4 * n * first[0] * first[1] + sum(8 * n * d * m + n * d * d for d, m in others)


def data(case: Case) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Make inputs uniform on [-1, 1] and one-hot targets that a linear map tells apart."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (case.n_samples, case.widths[0])).astype(np.float32)
    scores = x @ rng.standard_normal((case.widths[0], case.widths[-1]))
    return x, np.eye(case.widths[-1], dtype=np.float32)[scores.argmax(axis=1)]


class Ours:
    """The package's solver, started as its estimators start it."""

    def __init__(self, case: Case) -> None:
        x, y = data(case)
        n_layers = len(case.widths) - 1
        relu, identity = ACTIVATIONS["relu"], ACTIVATIONS["identity"]
        self.problem = Problem(
            x,
            y,
            np.ones(case.n_samples),
            LOSSES["squared"],
            [relu] * (n_layers - 1) + [identity],
            [WHOLE_ROW] * n_layers,
            [TensorTrain(rank=case.rank)] * (n_layers - 1) + [None],
            Penalties(rho=RHO, gamma=GAMMA, tau=TAU, proximal=PROXIMAL),
        )
        weights = orthogonal(list(case.widths), np.random.RandomState(0))
        intercepts = [np.zeros(width, np.float32) for width in case.widths[1:]]
        self.solver = FullSolver(accelerate=False)
        self.state = self.solver.init(
            self.problem, [w.astype(np.float32) for w in weights], intercepts
        )

    def sweep(self) -> None:
        """Update every block once."""
        self.solver.step(self.problem, self.state)


def sgemm(n: int, d: int) -> tuple[Any, float]:
    """Return a float32 product of the size of a hidden layer's, and its flops."""
    rng = np.random.default_rng(0)
    a = np.asfortranarray(rng.standard_normal((d, d)), dtype=np.float32)
    b = np.asfortranarray(rng.standard_normal((d, n)), dtype=np.float32)
    c = np.zeros((d, n), np.float32, order="F")
    return lambda: blas.sgemm(1.0, a, b, c=c, overwrite_c=True), 2.0 * n * d * d


@pytest.fixture(scope="module")
def case(quick: bool) -> Case:
    """Return the network to sweep over."""
    return TINY if quick else HAR


def test_sweep_against_its_floor(benchmark: Any, record: Record, quick: bool, case: Case) -> None:
    """Seconds of a sweep over counted flops / the rate of sgemm in the same run."""
    ours = Ours(case)
    product, product_flops = sgemm(case.n_samples, max(case.widths))
    rounds = 3 if quick else 7
    sweep, gemm = race([ours.sweep, product], rounds)
    assert np.isfinite(ours.state.record.terms[-1].total)
    flops = counted_flops(case.widths, case.n_samples)
    rate = product_flops / gemm
    floor = flops / rate
    record(
        f"one float32 sweep, {case.name}, TT rank {case.rank}: against its lower bound "
        f"({flops / 1e9:.3g} GFLOP at {rate / 1e9:.0f} GFLOP/s)",
        f"{sweep:.3g} s, {sweep / floor:.2f} times {floor:.3g} s",
        "at most 1.5 times",
        sweep <= 1.5 * floor,
        sweep=sweep,
        sgemm=gemm,
        counted_flops=flops,
        n_kept=ours.state.record.n_kept_copies,
    )
    benchmark.pedantic(ours.sweep, rounds=rounds, warmup_rounds=1)


def test_sweep_as_published(benchmark: Any, record: Record, quick: bool, case: Case) -> None:
    """The same blocks in the same order, by the published formulas in PyTorch and TensorLy."""
    pytest.importorskip("torch", reason='compares with PyTorch: pip install "fastbcd[torch]"')
    pytest.importorskip("tensorly", reason="compares with TensorLy: pip install tensorly")
    from bench.peers.published_nnbcd import PublishedNNBCD

    ours = Ours(case)
    x, y = data(case)
    published = PublishedNNBCD(
        case.widths,
        rank=case.rank,
        modes=case.modes,
        gamma=GAMMA,
        rho=RHO,
        alpha=PROXIMAL,
        tau=TAU,
        init_rank=min(400, 5 * case.rank),
    ).initialise(x.T, y.T)
    rounds = 3 if quick else 5
    sweep, peer = race([ours.sweep, published.sweep], rounds)
    record(
        f"one float32 sweep, {case.name}, TT rank {case.rank}: against the published steps",
        f"{sweep:.3g} s against {peer:.3g} s, {peer / sweep:.2f} times faster",
        "at least 2.5 times faster",
        peer >= 2.5 * sweep,
        ours=sweep,
        published=peer,
    )
    benchmark.pedantic(ours.sweep, rounds=rounds, warmup_rounds=1)
