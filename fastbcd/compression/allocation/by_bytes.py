"""The best network within so many bytes, by the error curves of the layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fastbcd.compression.allocation.greedy import allocate
from fastbcd.compression.job import Job
from fastbcd.compression.one_shot import OneShot
from fastbcd.formats import DenseMatrix
from fastbcd.network.network import Network
from fastbcd.schemes import LowRank, Prune, Quantize
from fastbcd.schemes.by_layer import SchemeChoice
from fastbcd.schemes.protocol import Level, Scheme

FULL, FILLS = 0.95, 4
"""A byte budget is spent when this share of it is; at most so many passes try to."""

LATER = 1 / 3
"""What an error of a layer of factors counts before a refinement, relative to the same one of the
layer before it: what an early layer lets through no later one brings back, while the error of a
late layer is made up for by those before it, which are trained for it."""


class Sizes:
    """What every layer costs in error at every size, measured once.

    Numbers are stored as float32: a budget in bytes is better spent on more of them.

    Parameters
    ----------
    job : Job
        Network and data; its numbers become float32.
    choice : SchemeChoice
        The kinds of schemes to choose from; None for pruning, quantised or not, and low rank. The
        output layer may be quantised without being pruned, too; in hidden layers that won on
        paper, by the curves, and lost on rows held out.
    """

    def __init__(self, job: Job, choice: SchemeChoice) -> None:
        self._job = job
        layers = [
            replace(
                layer,
                weight=DenseMatrix(layer.weight.to_dense().astype(np.float32)),
                intercept=layer.intercept.astype(np.float32),
            )
            for layer in job.network.layers
        ]
        job.use(Network(layers))
        self._intercepts = sum(layer.intercept.nbytes for layer in layers)
        job.progress.stage("measuring the layers", len(layers))
        self._curves = job.calibration.curves(
            _families(choice, len(layers)), tell=lambda done, _: job.progress.update(done)
        )
        if not any(self._curves):
            raise ValueError(
                f"scheme={choice!r} has no amount that a budget could choose. Give Prune(), "
                "LowRank(), TensorTrain(), Quantize() or Prune() + Quantize() without amounts."
            )
        for layer, curve in zip(layers, self._curves, strict=True):
            size = layer.weight.n_params
            curve.append(Level(None, size, layer.weight.n_bits // 8, 0.0))
        self._weighted = discounted(self._curves) if job.epochs > 0 else self._curves

    @property
    def dense_bytes(self) -> int:
        """Bytes of the dense network as it was given."""
        return sum(
            layer.weight.to_dense().nbytes + layer.intercept.nbytes
            for layer in self._job.network.layers
        )

    @property
    def smallest(self) -> int:
        """Bytes below which no choice of sizes comes."""
        return self._intercepts + sum(min(c.n_bytes for c in curve) for curve in self._curves)

    @property
    def largest(self) -> int:
        """Bytes of the dense network in float32."""
        return self._intercepts + sum(curve[-1].n_bytes for curve in self._curves)

    def one_shot(self, limit: int, fills: int = FILLS) -> OneShot | None:
        """Compress to at most ``limit`` bytes, and spend what dead neurons give back.

        Parameters
        ----------
        limit : int
            Bound of the bytes.
        fills : int
            Bound of the passes; more spend more of the limit.

        Returns
        -------
        OneShot or None
            None if that is not possible.
        """
        best: OneShot | None = None
        asked, enough, too_much = limit, 0, None
        for _ in range(fills):
            try:
                found = self.spending(asked)
            except KeyboardInterrupt:
                if best is None:
                    raise
                self._job.interrupted = True
                break
            if found is None:
                break
            size = found.network.n_bytes
            if size <= limit:
                enough = asked
                if best is None or size > best.network.n_bytes:
                    best = found
                if size >= FULL * limit:
                    break
            else:
                too_much = asked
            # Too much was asked for, or neurons died and left room. Where that makes indices
            # shorter the size jumps: then the middle of what was enough and what was too much.
            asked = round(asked * limit / size)
            if too_much is not None and not enough < asked < too_much:
                asked = (enough + too_much) // 2
        return best

    def spending(self, n_bytes: int) -> OneShot | None:
        """Compress by the schemes that ``n_bytes`` buy before dead neurons are removed.

        Returns
        -------
        OneShot or None
            About so large, or smaller; None if even the smallest choice costs more.
        """
        schemes = self._allocated(n_bytes)
        return None if schemes is None else self._job.one_shot(schemes)

    def _allocated(self, n_bytes: int) -> list[Scheme | None] | None:
        chosen = allocate(self._weighted, n_bytes - self._intercepts, lambda level: level.n_bytes)
        return None if chosen is None else [level.scheme for level in chosen]


def discounted(curves: list[list[Level]]) -> list[list[Level]]:
    """Return the curves with errors as they count before a refinement, where all are of factors."""
    schemes = [level.scheme for curve in curves for level in curve if level.scheme is not None]
    if not all(isinstance(scheme, LowRank) for scheme in schemes):
        return curves
    return [
        [replace(level, error=level.error * LATER**index) for level in curve]
        for index, curve in enumerate(curves)
    ]


def _families(choice: SchemeChoice, n_layers: int) -> list[list[Scheme]]:
    """Return the kinds of schemes to measure for each layer."""
    if isinstance(choice, Scheme):
        return [[choice] for _ in range(n_layers - 1)] + [[]]
    if isinstance(choice, Mapping):
        families: list[list[Scheme]] = [[] for _ in range(n_layers)]
        for key, scheme in choice.items():
            if scheme is not None:
                families[-1 if key == "output" else int(key)] = [scheme]
        return families
    found: list[list[Scheme]] = [
        [Prune(), Prune() + Quantize(), LowRank()] for _ in range(n_layers)
    ]
    found[-1].append(Quantize())
    return found
