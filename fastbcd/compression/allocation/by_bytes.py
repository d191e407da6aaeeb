"""The best network within a number of bytes, by the error curves of the layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fastbcd.compression.allocation.greedy import allocate
from fastbcd.compression.budget import CHOOSABLE
from fastbcd.compression.coarse_start import pruning_of
from fastbcd.compression.job import Job
from fastbcd.compression.notes import dense_bytes
from fastbcd.compression.one_shot import OneShot
from fastbcd.compression.settings import DEFAULTS, CompressionSettings
from fastbcd.formats import DenseMatrix
from fastbcd.network.layers.encoding import PiecewiseLinearEncoding
from fastbcd.network.network import Layer, Network
from fastbcd.schemes import Combination, LowRank, Prune, Quantize
from fastbcd.schemes.by_layer import SchemeChoice
from fastbcd.schemes.protocol import Level, Scheme


class Sizes:
    """The error of every layer at every size, measured before the search.

    Parameters are stored as float32, because more parameters of lower precision use a byte budget
    better. If even the smallest sizes of all layers exceed a budget, neurons are removed and the
    layers are measured again.

    Parameters
    ----------
    job : Job
        Network and data; the network becomes float32.
    choice : SchemeChoice
        Kinds of schemes to choose from; None for pruning, with or without quantisation, and low
        rank. The output layer may also be quantised without pruning. In hidden layers this had
        better curves but lower accuracy on held-out rows.
    """

    settings: CompressionSettings = DEFAULTS

    def __init__(self, job: Job, choice: SchemeChoice) -> None:
        self.settings = job.settings
        self._job, self._choice = job, choice
        self.dense_bytes: int = dense_bytes(job.original)
        layers = [
            replace(
                layer,
                weight=DenseMatrix(layer.weight.to_dense().astype(np.float32)),
                intercept=layer.intercept.astype(np.float32),
            )
            for layer in job.network.layers
        ]
        job.use(Network(layers))
        self._measure(layers)

    def _measure(self, layers: Sequence[Layer]) -> None:
        """Measure the error curves of the dense ``layers`` of the job's calibration."""
        job, choice = self._job, self._choice
        self.made: int | None = None
        self._intercepts = sum(layer.intercept.nbytes for layer in layers)
        job.progress.stage("measuring the layers", len(layers))
        self._curves = job.calibration.curves(
            _families(choice, len(layers)), tell=lambda done, _: job.progress.update(done)
        )
        if not any(self._curves):
            raise ValueError(
                f"scheme={choice!r} has no open amount for the budget to choose. Use {CHOOSABLE}."
            )
        for layer, curve in zip(layers, self._curves, strict=True):
            size = layer.weight.n_params
            curve.append(Level(None, size, layer.weight.n_bits // 8, 0.0))
        if job.encoding is not None:
            shape = layers[0].weight.shape
            self._curves[0] = [
                replace(level, n_bytes=level.n_bytes + _of_features(level, shape, job.encoding))
                for level in self._curves[0]
            ]
        self._weighted = discounted(self._curves, self.settings) if job.epochs > 0 else self._curves

    @property
    def smallest(self) -> int:
        """Number of bytes of the smallest sizes of all layers, before dead neurons are removed."""
        return self._intercepts + sum(min(c.n_bytes for c in curve) for curve in self._curves)

    @property
    def largest(self) -> int:
        """Number of bytes of the dense network in float32."""
        return self._intercepts + sum(curve[-1].n_bytes for curve in self._curves)

    def one_shot(self, limit: int, fills: int | None = None) -> OneShot | None:
        """Compress to at most ``limit`` bytes, and spend the bytes of dead neurons again.

        Parameters
        ----------
        limit : int
            Maximum number of bytes.
        fills : int, optional
            Maximum number of passes; more passes use more of the limit. By default that of the
            settings.

        Returns
        -------
        OneShot or None
            None if that is not possible.
        """
        room, full = self.settings.room, self.settings.full
        fills = self.settings.fills if fills is None else fills
        if limit < self.smallest:
            while room * limit < self.smallest and self._narrow(room * limit):
                pass
        best: OneShot | None = None
        largest = 0
        asked, enough, too_much = max(limit, self.smallest), 0, None
        # What is left of an encoding is known afterwards, as are dead neurons.
        for _ in range(fills if self._job.encoding is None else 2 * fills):
            try:
                found = self.spending(asked)
            except KeyboardInterrupt:
                if best is None:
                    raise
                self._job.interrupted = True
                break
            assert found is not None  # the search stays above the smallest size
            size = self._job.n_bytes(found.network, found.schemes)
            self.made = size if self.made is None else min(size, self.made)
            if size <= limit:
                enough = asked
                if best is None or size > largest:
                    best, largest = found, size
                if size >= full * limit:
                    break
            elif asked == self.smallest:
                break
            else:
                too_much = asked
            # The request was too large, or dead neurons have left room. If indices become shorter,
            # the size jumps; then the middle between sufficient and excessive requests is tried.
            # Features of an encoding make it jump, too.
            asked = round(asked * limit / size)
            jumps = self._job.encoding is not None
            if too_much is not None and (jumps or not enough < asked < too_much):
                asked = (enough + too_much) // 2
            asked = max(asked, self.smallest)
        return best

    def _narrow(self, goal: float) -> bool:
        """Remove neurons so that the smallest sizes approach ``goal`` bytes; return whether any
        could be removed.
        """
        job = self._job
        dense = job.calibration.network
        widths = [layer.weight.shape[1] for layer in dense.layers[:-1]]
        may_go = not dense.sees_images and _removes_weights(self._choice)
        if not may_go or max(widths, default=1) == 1:
            return False
        share = float(np.clip(goal / self.smallest, *self.settings.narrower))
        schemes: list[Scheme | None] = [
            Prune(density=max(1, int(share * width)) / width, structure="neuron")
            for width in widths
        ]
        narrow = job.reconstruct("removing neurons", [*schemes, None]).network
        job.narrow(narrow)
        self._measure(narrow.layers)
        return True

    def spending(self, n_bytes: int) -> OneShot | None:
        """Compress with the schemes that use ``n_bytes`` before dead neurons are removed.

        Returns
        -------
        OneShot or None
            A network of about this size or smaller; None if the smallest sizes exceed it.
        """
        schemes = self._allocated(n_bytes)
        return None if schemes is None else self._job.one_shot(schemes)

    def _allocated(self, n_bytes: int) -> list[Scheme | None] | None:
        chosen = allocate(self._weighted, n_bytes - self._intercepts, lambda level: level.n_bytes)
        return None if chosen is None else [level.scheme for level in chosen]


def _of_features(level: Level, shape: tuple[int, int], encoding: PiecewiseLinearEncoding) -> int:
    """Return the bytes that the features of an encoding take behind a first layer, about.

    Weights that lie anywhere leave out a share exp(-n / k) of k features on average, and those that
    are left cost as much as the others.
    """
    whole = encoding.astype(np.dtype(np.float32)).n_bytes
    pruning = pruning_of(level.scheme)
    if pruning is None:
        return whole
    kept = pruning.n_nonzero or pruning.share_of(shape[0] * shape[1]) or 0
    return round(whole * -math.expm1(-kept / shape[0]))


def discounted(
    curves: list[list[Level]], settings: CompressionSettings = DEFAULTS
) -> list[list[Level]]:
    """Return the curves with errors weighted for a refinement, if all schemes are low rank."""
    schemes = [level.scheme for curve in curves for level in curve if level.scheme is not None]
    if not all(isinstance(scheme, LowRank) for scheme in schemes):
        return curves
    return [
        [replace(level, error=level.error * settings.later**index) for level in curve]
        for index, curve in enumerate(curves)
    ]


def _removes_weights(choice: SchemeChoice) -> bool:
    """Return whether ``choice`` removes single weights, so that neurons may be removed."""
    if isinstance(choice, Combination):
        return choice.prune is not None
    return choice is None or isinstance(choice, Prune)


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
