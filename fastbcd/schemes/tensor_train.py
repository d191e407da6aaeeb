"""Tensor train: the matrix, seen as a tensor of many modes, cut by small ranks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastbcd.formats import Format, TensorTrainMatrix
from fastbcd.schemes.nearest.train_fit import fit_train
from fastbcd.schemes.nearest.trains import decompose, default_modes, train_ranks
from fastbcd.schemes.protocol import Level, Scheme, warm_start
from fastbcd.statistics.metric import Metric
from fastbcd.utils.types import Float, Float64
from fastbcd.utils.validation import is_integer


@dataclass
class TensorTrain(Scheme):
    """Decompose the row-major entries of each layer into a tensor train of bounded rank.

    Parameters
    ----------
    rank : int, default=8
        Maximum of all ranks. A rank is reduced if the unfolding cannot have it.
    modes : sequence of int, optional
        Sizes of the tensor's modes; their product is the number of weights. By default
        both sides of the matrix are factored into small modes, so that the train can be
        multiplied by without forming the matrix. In estimators, the inputs of a dense layer
        behind a convolution are factored as height, width and channels, one after the other.

    Notes
    -----
    The projection is the TT-SVD (Oseledets, SIAM J. Sci. Comput. 33, 2011), whose error is at most
    sqrt(number of modes - 1) times the smallest possible error. It is computed through Gram
    matrices and warm-started from the previous train, if any; see
    :mod:`fastbcd.schemes.nearest.train_sweep`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbcd.schemes import TensorTrain
    >>> train = TensorTrain(rank=2).project(np.ones((16, 16)))
    >>> train.modes, train.ranks
    ((4, 4, 4, 4), (1, 2, 2, 2, 1))
    """

    rank: int = 8
    modes: Sequence[int] | None = None

    def check(self, shape: tuple[int, int]) -> None:
        """Raise ValueError if the parameters do not describe a train for ``shape``."""
        if not is_integer(self.rank, 1):
            raise ValueError(f"rank={self.rank!r} must be a positive integer, such as 8.")
        if self.modes is None:
            return
        modes: Any = self.modes
        given = list(modes) if isinstance(modes, Iterable) else []
        if len(given) < 2 or any(not is_integer(m, 1) for m in given):
            raise ValueError(f"modes={self.modes!r} must be at least two positive integers.")
        if prod(given) != prod(shape):
            raise ValueError(
                f"modes={tuple(given)} multiply to {prod(given)}, but there are "
                f"{prod(shape)} weights. Leave modes out to have them chosen, for example "
                f"{default_modes(shape[0]) + default_modes(shape[1])}."
            )

    def for_image(self, shape: tuple[int, int], image: tuple[int, int, int]) -> TensorTrain:
        """Return the train with modes for height, width and channels, unless it has modes.

        Parameters
        ----------
        shape : (n_in, n_out)
            Shape of the weight matrix.
        image : (h, w, c)
            Height, width and channels; n_in is their product.
        """
        if self.modes is not None:
            return self
        inputs = [mode for size in image if size > 1 for mode in default_modes(size)]
        return TensorTrain(self.rank, (*inputs, *default_modes(shape[1])))

    def project(self, weight: Float, warm: Format | None = None) -> TensorTrainMatrix:
        """Return a train near ``weight``."""
        shape = (weight.shape[0], weight.shape[1])
        self.check(shape)
        modes = default_modes(shape[0]) + default_modes(shape[1])
        if self.modes is not None:
            modes = tuple(int(mode) for mode in self.modes)
        ranks = train_ranks(modes, self.rank)
        near = warm_start(TensorTrainMatrix, warm, shape)
        alike = near is not None and (near.modes, near.ranks) == (modes, ranks)
        start = near.cores if near is not None and alike else None
        return TensorTrainMatrix(decompose(weight, modes, ranks, start), shape)

    def project_in_metric(
        self,
        target: Float64,
        metric: Metric,
        dtype: np.dtype[Any],
        warm: Format | None = None,
    ) -> TensorTrainMatrix:
        """Return a train near ``target`` in the data's metric.

        The plain projection, then sweeps in which one core after the other solves its
        least-squares problem; see :func:`fastbcd.schemes.nearest.train_fit.fit_train`.
        """
        start = self.project(target)
        cores = fit_train(list(start.cores), target, metric)
        return TensorTrainMatrix([core.astype(dtype) for core in cores], start.shape)

    def curve(
        self,
        target: Float64,
        metric: Metric,
        dtype: np.dtype[Any],
        span: tuple[float, float] | None = None,
    ) -> list[Level]:
        """Return the errors of ranks 1, 2, 3, 4, 6, 8, 12, .. as long as they save numbers."""
        levels: list[Level] = []
        for rank in sorted({round(2 ** (k / 2)) for k in range(14)}):
            scheme = TensorTrain(rank=rank, modes=self.modes)
            train = scheme.project_in_metric(target, metric, dtype)
            if levels and (train.n_params >= target.size or train.n_params <= levels[-1].n_params):
                break
            error = metric.error(train.to_dense() - target)
            levels.append(Level(scheme, train.n_params, train.n_bits // 8, error))
        return levels
