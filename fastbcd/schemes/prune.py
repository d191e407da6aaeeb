"""Weight pruning: keep the entries of largest magnitude."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbcd.formats import Format, SparseMatrix
from fastbcd.schemes import curves as _curves
from fastbcd.schemes.nearest import support as _support
from fastbcd.schemes.nearest.thresholds import (
    block,
    keep_blocks,
    keep_columns,
    keep_largest,
    keep_pattern,
    pattern,
)
from fastbcd.schemes.nearest.thresholds import hard_threshold as hard_threshold
from fastbcd.schemes.protocol import Level, Scheme, exactly_one
from fastbcd.statistics.metric import Metric
from fastbcd.utils.types import Float, Float64
from fastbcd.utils.validation import is_fraction, is_integer

UNITS = ("unit", "input", "neuron")
"""Structures of which ``compress`` removes inputs and neurons for good."""


@dataclass
class Prune(Scheme):
    """Keep exactly the given number of weights of each layer, those of largest magnitude.

    Pass one of the amounts. Without a structure of units, the projection is the exact minimiser of
    ``||W - T||`` over all T with this number of non-zeros and this structure.

    Parameters
    ----------
    sparsity : float in [0, 1), optional
        Share of the weights that become zero.
    density : float in (0, 1], optional
        Share of the weights that stay: ``1 - sparsity``.
    n_nonzero : int, optional
        Number of weights that stay.
    structure : str, optional
        With ``None``, any weight may be removed. ``"neuron"`` removes whole output neurons; the
        amount is then a share of the neurons of each layer. ``"input"`` removes inputs of the
        network; the amount is then a share of them. ``"unit"`` removes inputs and neurons of all
        layers; the amount is then a share of the weights of the whole network. The last two are for
        ``compress`` alone, as the only scheme. The network then reads fewer columns, which
        ``features_used_`` names, and still takes whole rows. ``"2:4"``, or any ``"N:M"``, keeps N
        of every M consecutive inputs of each neuron; the amount is then N / M and must not be set.
        ``"4x4"``, or any ``"RxC"``, keeps whole blocks of R inputs by C neurons, with at most the
        weights that are asked for. Between such layers, ``compress`` does not remove dead neurons,
        because the groups would shift.
    n_inputs : int, optional
        Number of inputs of the network that stay, with ``structure="input"`` or ``"unit"``; the
        fourth amount, instead of one of the first three.

    Notes
    -----
    Inputs and neurons go by a second-order price: the least rise of the loss, in nats in a
    classification, if their outgoing weights become zero and those of the others repair what they
    can (optimal brain surgeon, Hassibi and Stork, NeurIPS 1992, for whole rows in the metric of the
    loss). The least price per weight saved goes first, over all layers, in rounds with a short
    refinement in between. Each round costs O(d^3) flops for a layer of d inputs.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbcd.schemes import Prune
    >>> Prune(n_nonzero=2).project(np.array([[3.0, -1.0], [0.5, -4.0]])).to_dense()
    array([[ 3.,  0.],
           [ 0., -4.]])
    """

    sparsity: float | None = None
    density: float | None = None
    n_nonzero: int | None = None
    structure: str | None = None
    n_inputs: int | None = None

    def check(self, shape: tuple[int, int]) -> None:
        """Raise ValueError if the parameters do not describe a pruned matrix of ``shape``."""
        if self.structure in ("unit", "input"):
            raise ValueError(
                f"structure={self.structure!r} is for the whole network: "
                f"compress(model, X, y, scheme={self}), without a dict by layer, sums or fit."
            )
        if self.n_inputs is not None:
            raise ValueError(
                f"n_inputs={self.n_inputs!r} counts the inputs of the network, for "
                'structure="unit" or "input"; remove it, or set one of these.'
            )
        free = self.structure is None or self.structure == "neuron"
        if not free and block(str(self.structure)) is None:
            if pattern(str(self.structure)) is None:
                raise ValueError(
                    f'structure={self.structure!r} must be None, "unit", "input", "neuron", a '
                    'pattern such as "2:4" or blocks such as "4x4".'
                )
            if not self._no_amount:
                raise ValueError(
                    f"structure={self.structure!r} fixes how many weights stay; leave sparsity, "
                    "density and n_nonzero out."
                )
            return
        name = exactly_one(self, "sparsity", "density", "n_nonzero")
        value = getattr(self, name)
        size = shape[0] * shape[1]
        if name == "n_nonzero":
            if not is_integer(value, 1) or value > size:
                raise ValueError(
                    f"n_nonzero={value!r} must be an integer between 1 and the {size} weights."
                )
        else:
            self._check_share(name)

    def check_units(self, n_inputs: int, n_weights: int) -> None:
        """Raise ValueError if the amount does not fit a network whose inputs and neurons go.

        Parameters
        ----------
        n_inputs, n_weights : int
            Inputs and weights of the network.
        """
        if self.structure == "neuron":
            names = ["sparsity", "density", "n_nonzero"]
        else:
            names = ["sparsity", "density", "n_inputs"]
            names += ["n_nonzero"] if self.structure == "unit" else []
        for name in ("n_nonzero", "n_inputs"):
            value = getattr(self, name)
            if name not in names and value is not None:
                raise ValueError(
                    f"{name}={value!r} is no amount of structure={self.structure!r}; give one of "
                    f"{', '.join(names)}."
                )
        name = exactly_one(self, *names)
        value = getattr(self, name)
        if name in ("sparsity", "density"):
            self._check_share(name)
        elif name == "n_inputs" and (not is_integer(value, 1) or value > n_inputs):
            raise ValueError(
                f"n_inputs={value!r} must be an integer between 1 and the {n_inputs} inputs of the "
                "network."
            )
        elif name == "n_nonzero" and (not is_integer(value, 1) or value > n_weights):
            raise ValueError(
                f"n_nonzero={value!r} must be an integer between 1 and the {n_weights} weights."
            )

    def _check_share(self, name: str) -> None:
        value = getattr(self, name)
        if name == "sparsity" and not is_fraction(value, low_too=True):
            raise ValueError(f"sparsity={value!r} must be in [0, 1), for example 0.9.")
        if name == "density" and not is_fraction(value, high_too=True):
            raise ValueError(f"density={value!r} must be in (0, 1], for example 0.1.")

    def kept_of(self, size: float) -> float:
        """Return how much of ``size`` stays at most."""
        if self.n_nonzero is not None:
            return float(self.n_nonzero)
        density = 1 - self.sparsity if self.sparsity is not None else self.density
        assert density is not None
        return size * density

    def _kept(self, size: int) -> int:
        """Return the number of non-zeros, never fewer than one."""
        if self.n_nonzero is not None:
            return int(self.n_nonzero)
        density = 1 - self.sparsity if self.sparsity is not None else self.density
        assert density is not None
        return max(1, round(density * size))

    @property
    def _no_amount(self) -> bool:
        amounts = (self.sparsity, self.density, self.n_nonzero, self.n_inputs)
        return all(amount is None for amount in amounts)

    @property
    def is_open(self) -> bool:
        """Whether no amount is given, so that a budget may choose it."""
        return self._no_amount and (self.structure is None or self.structure in UNITS)

    def share_of(self, n_weights: int) -> int | None:
        """Return how many of ``n_weights`` weights stay, if a share is given."""
        if self._no_amount or self.n_nonzero is not None or self.structure is not None:
            return None
        return self._kept(n_weights)

    def with_nonzeros(self, count: int | None) -> Prune:
        """Return the scheme with ``count`` weights that stay, or with no amount for None."""
        return Prune(n_nonzero=count, structure=self.structure)

    def neurons_kept(self, n_out: int) -> int | None:
        """Return how many output neurons stay with ``structure="neuron"``."""
        if self.structure != "neuron":
            return None
        return min(n_out, self._kept(n_out))

    def _keep(self, weight: Float) -> Float:
        if self.structure is None:
            return keep_largest(weight, self._kept(weight.size))
        if self.structure == "neuron":
            return keep_columns(weight, min(weight.shape[1], self._kept(weight.shape[1])))
        rows_and_columns = block(self.structure)
        if rows_and_columns is not None:
            return keep_blocks(weight, rows_and_columns, self._kept(weight.size))
        n_and_m = pattern(self.structure)
        assert n_and_m is not None
        return keep_pattern(weight, *n_and_m)

    def project(self, weight: Float, warm: Format | None = None) -> SparseMatrix:
        """Return the nearest matrix with the given number of non-zeros."""
        self.check((weight.shape[0], weight.shape[1]))
        return SparseMatrix.from_dense(self._keep(weight))

    def project_scaled(
        self, weight: Float, scale: Float, warm: Format | None = None
    ) -> SparseMatrix:
        """Return the entries of ``weight`` that are kept of ``scale * weight``: the nearest."""
        kept = self._keep(scale * weight) != 0
        return SparseMatrix.from_dense(np.where(kept, weight, weight.dtype.type(0)))

    def project_in_metric(
        self,
        target: Float64,
        metric: Metric,
        dtype: np.dtype[Any],
        warm: Format | None = None,
    ) -> SparseMatrix:
        """Return the best matrix found with the given number of non-zeros, values exact.

        See :mod:`fastbcd.schemes.nearest.support`.
        """
        self.check((target.shape[0], target.shape[1]))
        start = None if warm is None else warm.to_dense()
        return SparseMatrix.from_dense(
            _support.prune(target, metric, self._keep, start).astype(dtype)
        )

    def curve(
        self,
        target: Float64,
        metric: Metric,
        dtype: np.dtype[Any],
        span: tuple[float, float] | None = None,
    ) -> list[Level]:
        """Return errors over densities: measured by short searches, interpolated between."""
        counts = _curves.counts_between(target.size, span)
        grid = _curves.between(counts)
        errors = [metric.error(w - target) for w in self.path(target, metric, counts)]
        shape = (target.shape[0], target.shape[1])
        return [
            Level(Prune(n_nonzero=k), k, _curves.sparse_bytes(k, shape, dtype), error)
            for k, error in zip(
                grid.tolist(), _curves.interpolated(grid, counts, errors), strict=True
            )
        ]

    def path(self, target: Float64, metric: Metric, counts: Sequence[int]) -> list[Float64]:
        """Return good weights with each of ``counts``, ascending, non-zeros.

        Parameters
        ----------
        target, metric
            As in :meth:`project_in_metric`.
        counts : sequence of int
            Numbers of non-zeros, ascending.
        """
        key = (id(target), *counts)
        if key not in metric.searched:
            keep = [Prune(n_nonzero=count)._keep for count in counts]
            metric.searched[key] = target, _curves.pruned_path(target, metric, counts, keep)
        return metric.searched[key][1]
