"""Compressed ReLU networks trained on by Adam, and the learning-compression algorithm.

Plain PyTorch: cross-entropy, shuffled batches of 256, Adam with the usual constants, a rate that
falls to zero as a cosine over the seconds that are given. Every hidden layer has parameters of
its own kind: weights on a mask, two factors, the cores of a tensor train, or the levels of a
codebook (their gradient is the sum over the weights that share one, as in Han et al.,
arXiv:1510.00149). The output layer and all intercepts are trained, too. Weights are
(n_in, n_out), as in scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    import torch
except ImportError as error:
    raise ImportError('Training on needs PyTorch: pip install "fastbcd[torch]"') from error

Array = NDArray[Any]
Tensor = torch.Tensor

BATCH = 256


class Masked:
    """Weights where a mask is true, zero elsewhere."""

    def __init__(self, weight: Array, mask: Array | None = None) -> None:
        self.values = _parameter(weight)
        self.mask = torch.ones_like(self.values) if mask is None else _tensor(mask)
        self.parameters = [self.values]

    def weight(self) -> Tensor:
        """Return the matrix."""
        return self.values * self.mask


class Product:
    """Two factors."""

    def __init__(self, left: Array, right: Array) -> None:
        self.parameters = [_parameter(left), _parameter(right)]

    def weight(self) -> Tensor:
        """Return the matrix."""
        return self.parameters[0] @ self.parameters[1]


class Shared:
    """Levels (n_out or 1, k), and which one each weight (n_in, n_out) has."""

    def __init__(self, levels: Array, codes: Array) -> None:
        self.parameters = [_parameter(levels)]
        self.codes = torch.from_numpy(codes.T.astype(np.int64))

    def weight(self) -> Tensor:
        """Return the matrix."""
        levels = self.parameters[0].expand(len(self.codes), -1)
        return torch.gather(levels, 1, self.codes).T


class Train:
    """Cores (r_{k-1}, m_k, r_k) of a tensor train of the row-major entries of a matrix."""

    def __init__(self, cores: Sequence[Array], shape: tuple[int, int]) -> None:
        self.parameters = [_parameter(core) for core in cores]
        self.shape = shape

    def weight(self) -> Tensor:
        """Return the matrix."""
        product = self.parameters[0].reshape(-1, self.parameters[0].shape[2])
        for core in self.parameters[1:]:
            product = (product @ core.reshape(core.shape[0], -1)).reshape(-1, core.shape[2])
        return product.reshape(self.shape)


Part = Masked | Product | Shared | Train


@dataclass(frozen=True)
class Rows:
    """Training rows and their labels 0 .. k-1."""

    x: Array
    y: Array


def fine_tune(
    parts: Sequence[Part],
    intercepts: Sequence[Array],
    rows: Rows,
    seconds: float,
    *,
    rate: float = 1e-2,
    seed: int = 0,
    each_step: Callable[[float], None] | None = None,
) -> tuple[list[Array], list[Array]]:
    """Train all parts by Adam; return the matrices and the intercepts.

    Parameters
    ----------
    parts : sequence of Part
        One per layer; changed in place.
    intercepts : sequence of arrays
        Where they start.
    rows : Rows
        What to train on.
    seconds : float
        How long; training stops when they are spent.
    rate : float
        Adam's first rate.
    seed : int
        Fixes the shuffling.
    each_step : callable, optional
        Called before each step with the share of the time that is spent.
    """
    biases = [_parameter(b) for b in intercepts]
    parameters = [p for part in parts for p in part.parameters] + biases
    optimizer = torch.optim.Adam(parameters, lr=rate)
    start = perf_counter()
    for x, y in _batches(rows, seed):
        spent = (perf_counter() - start) / seconds if seconds > 0 else 1.0
        if spent >= 1:
            break
        if each_step is not None:
            each_step(spent)
        for group in optimizer.param_groups:
            group["lr"] = rate * 0.5 * (1 + np.cos(np.pi * spent))
        optimizer.zero_grad()
        _loss([part.weight() for part in parts], biases, x, y).backward()
        optimizer.step()
    with torch.no_grad():
        return [part.weight().numpy() for part in parts], [b.detach().numpy() for b in biases]


def gradual_magnitude(
    weights: Sequence[Array],
    intercepts: Sequence[Array],
    rows: Rows,
    n_left: int,
    seconds: float,
    *,
    rate: float = 6e-3,
    seed: int = 0,
) -> tuple[list[Array], list[Array]]:
    """Prune by magnitude little by little while Adam trains on (Zhu, Gupta, arXiv:1710.01878).

    The sparsity rises as a cubic over the first two thirds of the time, over all hidden layers
    together; what is gone may not return.
    """
    parts = [Masked(weight) for weight in weights]
    total = sum(weight.size for weight in weights[:-1])
    begun = -1

    def prune(spent: float) -> None:
        nonlocal begun
        stage = min(int(spent * 60), 40)
        if stage == begun:
            return
        begun = stage
        left = n_left + (total - n_left) * (1 - stage / 40) ** 3
        with torch.no_grad():
            sizes = torch.cat([part.weight().abs().flatten() for part in parts[:-1]])
            threshold = sizes.kthvalue(max(1, len(sizes) - round(left) + 1)).values
            for part in parts[:-1]:
                part.mask.copy_((part.weight().abs() >= threshold).float())

    if seconds <= 0:
        prune(1.0)
    return fine_tune(parts, intercepts, rows, seconds, rate=rate, seed=seed, each_step=prune)


def learning_compression(
    weights: Sequence[Array],
    intercepts: Sequence[Array],
    rows: Rows,
    project: Callable[[list[Array]], list[Array]],
    seconds: float,
    *,
    n_steps: int = 30,
    penalties: tuple[float, float] = (1e-3, 1.0),
    rate: float = 0.2,
    seed: int = 0,
) -> tuple[list[Array], list[Array]]:
    r"""Alternate learning and compression (Carreira-Perpiñán, Idelbayev, CVPR 2018).

    The augmented Lagrangian of min L(w) subject to w in the compressed set:

    .. math:: w \leftarrow \min_w L(w) + \mu/2\, ||w - \theta - \lambda/\mu||^2, \quad
              \theta \leftarrow P(w - \lambda/\mu), \quad
              \lambda \leftarrow \lambda - \mu (w - \theta),

    with a penalty that rises geometrically. The L step is gradient descent with momentum 0.9 and
    the authors' bound 1/mu of its rate, which falls from L step to L step. A run that diverges is
    done over with a quarter of the rate, and has its time anew.

    Parameters
    ----------
    weights, intercepts, rows, seed
        As in :func:`fine_tune`.
    project : callable
        The C step: hidden matrices to their nearest compressed ones.
    seconds : float
        Shared evenly by the L steps.
    n_steps : int
        How many of them.
    penalties : (float, float)
        First and last mu.
    rate : float
        First rate of the descent.
    """
    values = [_parameter(weight) for weight in weights]
    biases = [_parameter(b) for b in intercepts]
    theta = [_tensor(t) for t in project([w.detach().numpy() for w in values[:-1]])]
    lam = [torch.zeros_like(t) for t in theta]
    batches = _batches(rows, seed)
    spent = 0.0
    for step, mu in enumerate(np.geomspace(*penalties, n_steps)):
        start = perf_counter()
        until = seconds * (step + 1) / n_steps
        speed = min(rate * 0.95**step, 1 / mu)
        optimizer = torch.optim.SGD([*values, *biases], lr=speed, momentum=0.9, nesterov=True)
        while spent + perf_counter() - start < until:
            x, y = next(batches)
            optimizer.zero_grad()
            _loss(values, biases, x, y).backward()
            with torch.no_grad():
                for w, t, m in zip(values, theta, lam, strict=False):
                    w.grad += mu * (w - t) - m
            optimizer.step()
        with torch.no_grad():
            shifted = [(w - m / mu).numpy() for w, m in zip(values, lam, strict=False)]
            theta = [_tensor(t) for t in project(shifted)]
            for w, t, m in zip(values, theta, lam, strict=False):
                m.sub_(mu * (w - t))
        spent += perf_counter() - start
    found = [*(t.numpy() for t in theta), values[-1].detach().numpy()]
    if not all(np.isfinite(matrix).all() for matrix in found):
        return learning_compression(
            weights,
            intercepts,
            rows,
            project,
            seconds,
            n_steps=n_steps,
            penalties=penalties,
            rate=rate / 4,
            seed=seed,
        )
    return found, [b.detach().numpy() for b in biases]


def _loss(weights: Sequence[Tensor], biases: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        x = torch.relu(torch.addmm(bias, x, weight))
    return torch.nn.functional.cross_entropy(torch.addmm(biases[-1], x, weights[-1]), y)


def _batches(rows: Rows, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches for ever."""
    x, y = _tensor(rows.x), torch.from_numpy(rows.y.astype(np.int64))
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(x), generator=generator)
        for first in range(0, len(x), BATCH):
            batch = order[first : first + BATCH]
            yield x[batch], y[batch]


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))


def _parameter(values: Array) -> Tensor:
    return _tensor(values).requires_grad_()
