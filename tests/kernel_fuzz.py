"""Calls every kernel with numbers of all kinds: run by test_kernels_fuzz.

Shapes, indices and codes are those that the kernels ask for; the numbers are not. Every array lies
between guards, which no kernel may overwrite. The last line printed says which call was running.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fastbcd.utils.kernel_types import kernels
from fastbcd_kernels.sparse_product import BLOCK
from fastbcd_kernels.top_k import SMALLEST

LARGE = SMALLEST + 100
"""Entries from which the selection samples first."""

GUARD = 256
"""Bytes before and behind every array."""

DONE = "every kernel came back"

KINDS = ("normal", "zero", "nan", "some nan", "inf", "mixed inf", "denormal", "huge", "ties")


class Fuzz:
    """Makes arrays of one kind of numbers and one type, each between guards.

    Parameters
    ----------
    kind : str
        One of ``KINDS``.
    real : dtype
        Type of the data.
    size : int
        Rows, columns and whatever else is counted: 0, 1 or more.
    """

    def __init__(self, kind: str, real: Any, size: int) -> None:
        self.kind, self.real, self.n = kind, np.dtype(real), size
        self.rng = np.random.default_rng([KINDS.index(kind), self.real.itemsize, size])
        self.buffers: list[tuple[Any, int]] = []

    def place(self, values: Any, dtype: Any) -> Any:
        """Return a copy between guards."""
        values = np.ascontiguousarray(values, dtype)
        buffer = np.full(values.nbytes + 2 * GUARD, 0xA5, np.uint8)
        self.buffers.append((buffer, values.nbytes))
        inside = buffer[GUARD : GUARD + values.nbytes].view(values.dtype).reshape(values.shape)
        inside[...] = values
        return inside

    def numbers(self, *shape: int, dtype: Any = None) -> Any:
        """Return an array of the kind."""
        dtype = np.dtype(dtype or self.real)
        info = np.finfo(dtype)
        x = self.rng.standard_normal(shape)
        pick = self.rng.random(shape)
        if self.kind == "zero":
            x = np.zeros(shape)
        elif self.kind == "nan":
            x = np.full(shape, np.nan)
        elif self.kind == "some nan":
            x[pick < 0.3] = np.nan
        elif self.kind == "inf":
            x = np.full(shape, np.inf)
        elif self.kind == "mixed inf":
            x = np.where(pick < 0.3, np.inf, np.where(pick > 0.7, -np.inf, x))
        elif self.kind == "denormal":
            x = x * float(info.smallest_subnormal) * 8
        elif self.kind == "huge":
            x = np.sign(x) * float(info.max) * (0.9 + 0.1 * pick)
        elif self.kind == "ties":
            x = np.round(x)
        return self.place(x, dtype)

    def f(self, *shape: int) -> Any:
        """Return numbers in the type of the data."""
        return self.numbers(*shape)

    def d(self, *shape: int) -> Any:
        """Return numbers in float64."""
        return self.numbers(*shape, dtype=np.float64)

    def s(self, *shape: int) -> Any:
        """Return numbers in float32."""
        return self.numbers(*shape, dtype=np.float32)

    def ints(self, high: int, *shape: int, dtype: Any = np.int64) -> Any:
        """Return whole numbers below ``high``."""
        return self.place(self.rng.integers(0, max(high, 1), shape), dtype)

    def bools(self, *shape: int) -> Any:
        """Return truths."""
        return self.place(self.rng.random(shape) < 0.5, np.bool_)

    def supports(self, m: int, d: int) -> tuple[Any, Any]:
        """Return start and index of m ascending supports among d inputs."""
        own = [np.flatnonzero(self.rng.random(d) < 0.6) for _ in range(m)]
        start = np.r_[0, np.cumsum([len(rows) for rows in own])].astype(np.int64)
        index = np.concatenate([*own, np.empty(0, np.int64)])
        return self.place(start, np.int64), self.place(index, np.int64)

    def offsets(self, start: Any) -> Any:
        """Return where the triangle of each support begins."""
        sizes = np.diff(start)
        return self.place(np.r_[0, np.cumsum(sizes * (sizes + 1) // 2)], np.int64)

    def key(self, x: Any) -> Any:
        """Return the same memory as unsigned integers."""
        return x.view(f"u{x.itemsize}")

    def check(self) -> None:
        """Raise if a guard was overwritten."""
        for buffer, size in self.buffers:
            intact = (buffer[:GUARD] == 0xA5).all() and (buffer[GUARD + size :] == 0xA5).all()
            assert intact, "a kernel wrote outside of its arrays"


def top_k_arguments(g: Fuzz, n: int, k: int) -> tuple[Any, ...]:
    x = g.f(n)
    return x, g.key(x), 31 if g.real.itemsize == 4 else 63, k, g.f(n)


def chain(g: Fuzz) -> tuple[Any, ...]:
    n = g.n
    sparse = g.place(np.r_[0, np.cumsum(g.rng.integers(0, n + 1, n))], np.uint64)
    nnz = int(sparse[-1])
    table = [[n, n, n, 0, 0, 0, 0, 0, n], [n, n, n, nnz, -1, -1, -1, -1, -1]]
    return (
        g.f(n), 0, g.place(table, np.int64), g.f(2), g.f(nnz + n * n),
        g.ints(nnz, nnz, dtype=np.uint8), g.ints(n, nnz, dtype=np.uint16), sparse, g.f(2 * n),
        g.place(np.zeros(n + 1), np.uint64), g.f(2, n), g.f(n),
    )  # fmt: skip


def sparse_block(g: Fuzz, coded: bool) -> tuple[Any, ...]:
    n = g.n
    starts = g.place(np.r_[0, np.cumsum(g.rng.integers(0, n + 1, n))], np.uint64)
    nnz = int(starts[-1])
    codes = g.ints(nnz, nnz if coded else 0, dtype=np.uint8)
    return (
        g.f(n, BLOCK), g.f(nnz), codes, g.ints(n, nnz, dtype=np.uint16), starts,
        g.f(n), g.f(n), 0.1, g.f(n, BLOCK),
    )  # fmt: skip


def images(g: Fuzz) -> tuple[int, tuple[int, int, int], tuple[int, int], int, int]:
    """Return a number of images, their shape, a window, their numbers and those after pooling."""
    side = 2 * g.n
    return g.n, (side, side, 2), (2, 2), side * side * 2, g.n * g.n * 2


def patches(g: Fuzz, back: bool) -> tuple[Any, ...]:
    side = g.n + 1
    wide, narrow = g.f(g.n * (side + 1) ** 2, 8), g.f(g.n, side * side * 2)
    sizes = (side, side, 2), (2, 2), (1, 1), (1, 1)
    return (wide, *sizes, narrow) if back else (narrow, *sizes, wide)


def lists(g: Fuzz) -> tuple[Any, Any, int]:
    start, index = g.supports(g.n, g.n)
    return start, index, len(index)


def metric(g: Fuzz, last: Callable[[int, int], tuple[Any, ...]]) -> tuple[Any, ...]:
    start, index, nnz = lists(g)
    return (g.d(g.n, g.n), start, index, g.d(nnz), *last(nnz, g.n))


def refit(g: Fuzz) -> tuple[Any, ...]:
    start, index, nnz = lists(g)
    return g.d(g.n, g.n), g.d(g.n, g.n), start, index, 0, g.n, g.d(nnz)


def inverses(g: Fuzz) -> tuple[Any, ...]:
    start, index, _ = lists(g)
    offset = g.offsets(start)
    return g.s(g.n, g.n), start, index, offset, 0, g.n, g.s(int(offset[-1]))


def plane(g: Fuzz) -> tuple[Any, ...]:
    gram, start, index, target, *rest = metric(
        g, lambda nnz, n: (g.d(4), g.d(n), 0, n, g.d(n, n), g.d(n), g.ints(4, nnz))
    )
    return (gram, g.d(g.n, g.n), start, index, target, *rest)


def sparse_step(g: Fuzz) -> tuple[Any, ...]:
    start, index, nnz = lists(g)
    offset = g.offsets(start)
    return (
        g.s(nnz), start, index, offset, g.s(int(offset[-1])), g.s(g.n), 0.9, 0.1, 0.01,
        g.s(nnz), g.s(nnz), g.s(g.n),
    )  # fmt: skip


def outputs(g: Fuzz, *more: float) -> tuple[Any, ...]:
    n, k = g.n, max(g.n, 1)
    return (g.f(n, k), g.f(n, k), g.f(n, k), 1.0, 0.5, g.d(n), *more)


def lock_step(g: Fuzz, activation: int, loss: int, l2: float) -> tuple[Any, ...]:
    """Two networks of one hidden layer, three batches, the fourth step among them."""
    d, b, nets = max(g.n, 1), g.n + 1, 2
    sizes, widest, largest = (d, d, d), d, d * d
    values = [0, b * d, 2 * b * d, 3 * b * d]
    begins = np.zeros((7, 4), np.int64)
    begins[0, :3] = 0, d * d, 2 * d * d
    begins[1, :3] = 2 * d * d + d * np.arange(3)
    begins[2, :2], begins[3, :2] = (0, d * d), (d * d, d * d + d)
    begins[4, :2], begins[5, :2] = (0, d * d), (d * d, 2 * d * d)
    begins[6] = values
    work = values[-1] + 2 * b * widest + 2 * largest + 2 * widest
    return (
        g.s(b, d),
        g.s(b, d),
        g.s(b) if l2 else g.s(0),
        g.s(nets, b),
        g.place(np.tile(np.arange(b), (3, 1)), np.int64),
        g.place(sizes, np.int64),
        g.place(begins, np.int64),
        g.s(d),
        g.s(d * d) if l2 else g.s(0),
        g.s(nets, 2 * d * d + 2 * d),
        g.s(nets, 2 * d * d + 2 * d),
        g.s(nets, d * d + d),
        g.s(nets, 2 * d * d),
        g.place(np.zeros((nets, 2, 2)), np.float64),
        g.place([2.0, 1.0, 0.1], np.float64),
        g.s(work),
        g.place(np.zeros(b * d), np.int32),
        activation,
        loss,
        0.1,
        0.03,
        20.0,
        0.001,
        4,
        4,
        2,
        3.0,
        l2,
    )


def losses(g: Fuzz, *more: float) -> tuple[Any, ...]:
    n, k = g.n, max(g.n, 1)
    return (g.f(n, k), g.f(k), g.f(n, k), g.f(n), *more, g.f(k))


def pooled(g: Fuzz) -> tuple[Any, ...]:
    n, shape, window, wide, narrow = images(g)
    pieces = (np.array([0.0, 1.0]), np.zeros(2), np.array([-np.inf, 0.0, np.inf]))
    return (
        g.f(n, wide), g.f(n, wide), g.f(n, narrow), shape, window,
        *(g.place(part, np.float64) for part in pieces), 1.0, 1.0, 0.5, g.d(n),
    )  # fmt: skip


def cuts(g: Fuzz) -> tuple[Any, ...]:
    m = g.n + 2
    prefix = [g.place(np.cumsum(g.d(m + 1)), np.float64) for _ in range(3)]
    edges, back = np.arange(m + 1), np.zeros((min(m, 4) + 1, m + 1))
    work = g.d(m + 1), g.d(m + 1), g.place(back, np.int32)
    return (*prefix, g.place(edges, np.int64), *work)


CASES: dict[str, Callable[[Fuzz], list[tuple[Any, ...]]]] = {
    "activation_step.piecewise_linear_step": lambda g: [
        (g.f(g.n, g.n), g.f(g.n, g.n), g.f(g.n, g.n), slope, 1.0, 1.0, 0.5, g.d(g.n))
        for slope in (0.0, 0.1, 1.0)
    ],
    "activation_step.hard_tanh_step": lambda g: [
        (g.f(g.n, g.n), g.f(g.n, g.n), g.f(g.n, g.n), 1.0, 1.0, 0.5, g.d(g.n))
    ],
    "activation_step.sigmoid_step": lambda g: [
        (*(g.f(g.n, g.n) for _ in range(3)), *shape, rho, 1.0, 1e-3, g.d(g.n), 1e-9)
        for shape in ((0.0, 1.0, 1.0), (0.5, 0.5, 0.5))
        for rho in (0.0, 1.0)
    ],
    "codebook_fit.optimal_cuts": lambda g: [cuts(g)],
    "codebook_fit.assign": lambda g: [
        (g.f(g.n, g.n), g.d(size), g.d(7), g.ints(1, g.n, g.n, dtype=np.uint16))
        for size in (1, g.n)
        if size
    ],
    "codebook_fit.grid_sums": lambda g: [
        (g.d(g.n, g.n), g.d(g.n), levels, g.d(g.n), g.d(g.n)) for levels in (2, 3)
    ],
    "codebook_fit.snap": lambda g: [
        (g.s(g.n), g.s(g.n), g.s(3), g.s(4), g.ints(1, g.n, dtype=np.int32), g.s(g.n))
    ],
    "codebook_metric.nearest_plane": lambda g: [plane(g)],
    "codebook_metric.descend": lambda g: [
        metric(g, lambda nnz, n: (g.d(4), g.d(n), 5, 0, n, g.d(n), g.ints(4, nnz)))
    ],
    "codebook_metric.normal_equations": lambda g: [
        metric(g, lambda nnz, n: (g.ints(4, nnz), 0, n, g.d(n, 4, 4), g.d(n, 4)))
    ],
    "batch_steps.take_steps": lambda g: [
        lock_step(g, activation, loss, l2)
        for activation, loss, l2 in ((0, 0, 0.0), (1, 1, 0.1), (2, 2, 0.0), (0, 3, 0.1))
    ],
    "dense_step.step": lambda g: [
        (g.s(g.n, g.n), g.s(g.n), 0.9, 0.1, 0.01, g.s(g.n, g.n), g.s(g.n, g.n), g.s(g.n))
    ],
    "loss_descent.squared_descent": lambda g: [losses(g)],
    "loss_descent.softmax_descent": lambda g: [losses(g, 0.1)],
    "loss_descent.logistic_descent": lambda g: [losses(g, 0.1)],
    "loss_descent.hinge_descent": lambda g: [losses(g)],
    "masked_refit.masked_refit": lambda g: [refit(g)],
    "masked_refit.masked_inverses": lambda g: [inverses(g)],
    "minibatch_step.gather_rows": lambda g: [
        (g.f(g.n + 1, g.n), g.ints(g.n + 1, g.n), g.f(g.n * g.n), 0, s, g.f(g.n, g.n))
        for s in (0.0, 0.5, np.nan)
    ],
    "minibatch_step.add_noise": lambda g: [(g.f(g.n, g.n), g.f(g.n * g.n), 0, 0.5)],
    "minibatch_step.add_spread": lambda g: [
        (g.f(g.n, g.n), 0.5, 1, 3, g.f(g.n * g.n), 0, g.f(g.n), g.f(g.n, g.n))
    ],
    "minibatch_step.center_rows": lambda g: [(g.f(g.n, g.n), g.f(g.n), g.f(g.n), 3.0)],
    "minibatch_step.mask_piecewise_linear": lambda g: [
        (g.f(g.n, g.n), g.f(g.n, g.n), 0.1, g.f(g.n))
    ],
    "minibatch_step.mask_hard_tanh": lambda g: [(g.f(g.n, g.n), g.f(g.n, g.n), g.f(g.n))],
    "minibatch_step.running_mean": lambda g: [(g.f(g.n, g.n), g.f(g.n), 0.1, g.f(g.n))],
    "minibatch_weights.momentum_update": lambda g: [
        (g.f(g.n, g.n), g.f(*copy), g.f(g.n, g.n), g.f(g.n, g.n), g.bools(*copy), 0.1, 0.9, 1.0)
        for copy in ((g.n, g.n), (0, 0))
    ],
    "minibatch_weights.scale_on_support": lambda g: [(g.f(g.n, g.n), g.f(g.n), g.bools(g.n, g.n))],
    "minibatch_weights.average": lambda g: [(g.f(g.n), g.f(g.n), 0.1)],
    "output_step.squared_step": lambda g: [outputs(g)],
    "output_step.hinge_step": lambda g: [outputs(g)],
    "output_step.logistic_step": lambda g: [outputs(g, 1e-9)],
    "output_step.cross_entropy_step": lambda g: [outputs(g, 1e-9)],
    "patches.gather_patches": lambda g: [patches(g, back=False)],
    "patches.scatter_patches": lambda g: [patches(g, back=True)],
    "patches.move_images": lambda g: [
        (g.f(g.n, 8), (2, 2, 2), g.place(g.ints(9, g.n, 2) - 4, np.int64), g.f(g.n, 8))
    ],
    "pooling.average_pool": lambda g: [
        (g.f(n, wide), shape, window, g.f(n, narrow))
        for n, shape, window, wide, narrow in [images(g)]
    ],
    "pooling.add_to_windows": lambda g: [
        (g.f(n, narrow), shape, window, 0.25, g.f(n, wide))
        for n, shape, window, wide, narrow in [images(g)]
    ],
    "pooling.max_pool": lambda g: [
        (g.f(n, wide), shape, window, g.f(n, narrow))
        for n, shape, window, wide, narrow in [images(g)]
    ],
    "pooling.max_pool_back": lambda g: [
        (g.f(n, narrow), g.f(n, wide), shape, window, g.f(n, wide))
        for n, shape, window, wide, narrow in [images(g)]
    ],
    "pooling.max_pool_step": lambda g: [pooled(g)],
    "residual.weighted_squared_distance": lambda g: [(g.f(g.n, g.n), g.f(g.n, g.n), g.d(g.n))],
    "residual.column_sums": lambda g: [(g.f(g.n, g.n), g.d(g.n), g.d(g.n))],
    "residual.add_bias_piecewise_linear": lambda g: [
        (g.f(g.n, g.n), g.f(g.n), slope) for slope in (0.0, 0.1, 1.0)
    ],
    "row_chain.chain_row": lambda g: [chain(g)],
    "sparse_batch.gather": lambda g: [
        (
            g.f(g.n + 1, g.n),
            g.ints(g.n + 1, g.n),
            g.place(np.arange(g.n), np.int64),
            g.ints(256, g.n * g.n, dtype=np.uint8),
            dropped,
            0,
            g.n,
            g.s(g.n, g.n),
        )
        for dropped in (0, 128)
    ],
    "sparse_batch.forward": lambda g: [
        (start, index, g.s(nnz), g.s(g.n), g.s(g.n, g.n), g.s(g.n, g.n))
        for start, index, nnz in [lists(g)]
    ],
    "sparse_batch.backward": lambda g: [
        (start, index, g.s(nnz), g.s(g.n, g.n), g.s(g.n, g.n)) for start, index, nnz in [lists(g)]
    ],
    "sparse_batch.gradient": lambda g: [
        (start, index, g.s(g.n, max(g.n, 1)), g.s(g.n, max(g.n, 1)), g.s(g.n), g.s(nnz))
        for start, index, nnz in [lists(g)]
    ],
    "sparse_batch.step": lambda g: [sparse_step(g)],
    "sparse_product.sparse_block": lambda g: [sparse_block(g, True), sparse_block(g, False)],
    "sparse_product.finish_block": lambda g: [(g.f(g.n, BLOCK), g.f(g.n), g.f(g.n), 0.1)],
    "sparse_product.transpose_block": lambda g: [(g.f(min(g.n, BLOCK), g.n), g.f(g.n, BLOCK))],
    "spd_solve.spd_solve": lambda g: [(g.d(g.n, g.n), g.d(g.n, 2))],
    "top_k.kth_largest_key": lambda g: [
        top_k_arguments(g, g.n, k)[1:4] for k in {1, g.n // 2, g.n} if 1 <= k <= g.n
    ],
    "top_k.hard_threshold": lambda g: [
        *(top_k_arguments(g, g.n, k) for k in {0, 1, g.n // 2, g.n} if k <= g.n),
        *(top_k_arguments(g, LARGE, k) for k in (1, LARGE // 3) if g.n > 1),
    ],
}
"""Arguments of each kernel, several lists of them for some."""


def run() -> None:
    """Call all kernels."""
    found = kernels()
    for name, arguments_of in CASES.items():
        for real in (np.float32, np.float64):
            for kind in KINDS:
                for size in (0, 1, 9):
                    g = Fuzz(kind, real, size)
                    for place, arguments in enumerate(arguments_of(g)):
                        print(name, np.dtype(real), kind, size, place, flush=True)
                        found[name](*arguments)
                        g.check()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    run()
    print(DONE)
