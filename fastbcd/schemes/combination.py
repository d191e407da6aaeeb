"""Several schemes at once, written as a sum: ``Prune(sparsity=0.95) + Quantize(bits=4)``."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np

from fastbcd.formats import (
    CodebookTrainMatrix,
    Format,
    LowRankMatrix,
)
from fastbcd.formats.operations import cores_of
from fastbcd.schemes import curves as _curves
from fastbcd.schemes.low_rank import LowRank
from fastbcd.schemes.nearest.codebook_factors import quantise_factors
from fastbcd.schemes.nearest.low_rank_plus_sparse import fit_in_turns
from fastbcd.schemes.nearest.quantized_train import quantize_train
from fastbcd.schemes.protocol import Level, Scheme, warm_start
from fastbcd.schemes.prune import Prune
from fastbcd.schemes.quantize import Quantize
from fastbcd.schemes.tensor_train import TensorTrain
from fastbcd.statistics.metric import Metric
from fastbcd.utils.types import Float, Float64

BITS = (2, 3, 4, 5, 6)
"""Bits that a budget chooses among for weights that are pruned too."""

POSSIBLE = (
    "Possible are Prune + Quantize, LowRank or TensorTrain + Quantize, LowRank or TensorTrain + "
    "Prune, and all three."
)


@dataclass(repr=False)
class Combination(Scheme):
    """Several schemes at once; made by adding them up.

    ==========================================  ====================================================
    ``Prune(..) + Quantize(..)``                the non-zeros take few different values
    ``LowRank(..) + Prune(..)``                 a low-rank matrix plus a sparse one
    ``LowRank(..) + Quantize(..)``              the factors take few different values
    ``LowRank(..) + Prune(..) + Quantize(..)``  a sum of two matrices, each with a codebook
    ==========================================  ====================================================

    ``TensorTrain`` may stand for ``LowRank``. The order does not matter. Parameters are reached
    by the names below: ``GridSearchCV(clf, {"scheme__quantize__bits": [2, 3, 4]})``.

    Parameters
    ----------
    low_rank : LowRank, optional
        Factors.
    tensor_train : TensorTrain, optional
        Cores; not together with ``low_rank``.
    prune : Prune, optional
        Which weights stay, or with factors, how many are corrected.
    quantize : Quantize, optional
        What the stored numbers are taken from.

    Notes
    -----
    With factors and pruning the two parts are fitted in turns, each to what the other leaves over;
    no turn raises the error (GoDec: Zhou and Tao, ICML 2011). Quantised factors are encoded one
    after the other, the rest being solved for again; see
    :mod:`fastbcd.schemes.nearest.quantized_train`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbcd.schemes import Prune, Quantize
    >>> scheme = Prune(n_nonzero=3) + Quantize(levels=2)
    >>> print(scheme)
    Prune(n_nonzero=3) + Quantize(levels=2)
    >>> scheme.project(np.array([[3.0, -1.0], [0.5, 4.0]])).to_dense()
    array([[ 3.5, -1. ],
           [ 0. ,  3.5]])
    """

    low_rank: LowRank | None = None
    tensor_train: TensorTrain | None = None
    prune: Prune | None = None
    quantize: Quantize | None = None

    @property
    def parts(self) -> list[Scheme]:
        """The schemes that are combined."""
        every = (getattr(self, field.name) for field in fields(self))
        return [scheme for scheme in every if scheme is not None]

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts)) or "Combination()"

    def __str__(self) -> str:
        """Return the schemes with the parameters that differ from their defaults."""
        return " + ".join(map(str, self.parts)) or "Combination()"

    def check(self, shape: tuple[int, int]) -> None:
        """Raise ValueError if the schemes do not go together, or one does not fit ``shape``."""
        for field in fields(self):
            scheme = getattr(self, field.name)
            if scheme is not None and not isinstance(scheme, KINDS[field.name]):
                raise ValueError(
                    f"{field.name}={scheme!r} must be a {KINDS[field.name].__name__} or None."
                )
        if self.low_rank is not None and self.tensor_train is not None:
            raise ValueError(f"low_rank and tensor_train both factor the weights. {POSSIBLE}")
        if len(self.parts) < 2:
            raise ValueError(f"A combination takes two schemes at least. {POSSIBLE}")
        if self._factors is not None and self.quantize is not None and self.quantize.per != "layer":
            raise ValueError(
                f'quantize: per={self.quantize.per!r} has no meaning for factors. Set per="layer".'
            )
        for scheme in self.parts:
            scheme.check(shape)

    @property
    def _factors(self) -> LowRank | TensorTrain | None:
        return self.tensor_train if self.low_rank is None else self.low_rank

    def project(self, weight: Float, warm: Format | None = None) -> Format:
        """Return a matrix of the combined form near ``weight``."""
        self.check((weight.shape[0], weight.shape[1]))
        if self._factors is None:
            return self._sparse(weight, warm)
        if self.prune is None:
            return self._factored(weight, warm)
        return fit_in_turns(weight, self._factored, self._sparse, warm)

    def project_scaled(self, weight: Float, scale: Float, warm: Format | None = None) -> Format:
        """Return a pruned and perhaps quantised matrix with the entries that count by ``scale``.

        Other combinations are projected plainly.
        """
        if self.prune is None or self._factors is not None:
            return self.project(weight, warm)
        self.check((weight.shape[0], weight.shape[1]))
        return self._sparse(weight, warm, self.prune.project_scaled(weight, scale))

    def _sparse(self, weight: Float, warm: Format | None, pruned: Format | None = None) -> Format:
        assert self.prune is not None
        pruned = self.prune.project(weight) if pruned is None else pruned
        if self.quantize is None:
            return pruned
        return self.quantize.project_nonzeros(pruned.to_dense(), warm)

    def project_in_metric(
        self,
        target: Float64,
        metric: Metric,
        dtype: np.dtype[Any],
        warm: Format | None = None,
    ) -> Format:
        """Return a matrix of the combined form near ``target`` in the data's metric.

        Pruned and quantised, or of low rank and quantised: all in the metric. Other combinations
        are projected plainly.
        """
        if self.quantize is not None and self.low_rank is not None and self.prune is None:
            plain = self.project(target.astype(dtype))
            return _nearer(plain, self.low_rank, self.quantize, target, metric)
        if self.prune is None or self.quantize is None or self._factors is not None:
            return self.project(target.astype(dtype), warm)
        pruned = self.prune.project_in_metric(target, metric, np.dtype(np.float64))
        return self.quantize.nonzeros_in_metric(pruned.to_dense().astype(np.float64), metric, dtype)

    @property
    def is_open(self) -> bool:
        """Whether a budget may choose the amount: for pruning without one, and quantisation."""
        if self.prune is None or self.quantize is None or self._factors is not None:
            return False
        return self.prune.is_open and self.prune.structure is None

    def share_of(self, n_weights: int) -> int | None:
        """Return how many of ``n_weights`` weights stay, if pruning decides that."""
        if self.prune is None or self._factors is not None:
            return None
        return self.prune.share_of(n_weights)

    def with_nonzeros(self, count: int | None) -> Combination:
        """Return the scheme with ``count`` weights that stay, or with no amount for None."""
        assert self.prune is not None
        return replace(self, prune=self.prune.with_nonzeros(count))

    def curve(
        self,
        target: Float64,
        metric: Metric,
        dtype: np.dtype[Any],
        span: tuple[float, float] | None = None,
    ) -> list[Level]:
        """Return errors of pruned and quantised weights over densities and bits.

        On a support the best weights and their rounding err at right angles: both errors add up.
        """
        if self.prune is None or self.quantize is None or self._factors is not None:
            return []
        options = [self.quantize]
        if self.quantize.is_open:
            options = [replace(self.quantize, bits=bits) for bits in BITS]
        points = _curves.pruned_and_quantised(self.prune, options, target, metric, dtype, span)
        return [
            Level(Combination(prune=self.prune.with_nonzeros(k), quantize=quantize), k, size, error)
            for quantize, k, size, error in points
        ]

    def _factored(self, weight: Float, warm: Format | None) -> Format:
        assert self._factors is not None
        if self.quantize is None:
            return self._factors.project(weight, warm)
        start: Format | None = None
        coded = warm_start(CodebookTrainMatrix, warm, weight.shape)
        if coded is not None:
            train = coded.to_train()
            start = train
            if self.low_rank is not None and len(train.cores) == 2:
                start = LowRankMatrix(train.cores[0][0], train.cores[1][:, :, 0])
        made = self._factors.project(weight, start)
        cores: Any = cores_of(made)
        if cores is None:
            left, right = made.parameters()
            cores = left[None], right[:, :, None]
        quantize = self.quantize

        def codebook_of(numbers: Float64) -> Float:
            return quantize.codebook_of(numbers).astype(weight.dtype)

        return quantize_train(weight, cores, codebook_of)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the schemes by name and, if ``deep``, their parameters as ``prune__sparsity``."""
        params = super().get_params()
        if deep:
            for name, scheme in list(params.items()):
                if scheme is not None:
                    params |= {f"{name}__{key}": v for key, v in scheme.get_params().items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set schemes by name, or their parameters by names such as ``prune__sparsity``.

        Raises
        ------
        ValueError
            If a name is not a parameter of this combination.
        """
        for key, value in params.items():
            name, _, rest = key.partition("__")
            scheme = getattr(self, name) if name in KINDS else None
            if key in KINDS:
                setattr(self, key, value)
            elif scheme is not None and rest in scheme.get_params():
                scheme.set_params(**{rest: value})
            else:
                raise ValueError(
                    f"{self} has no parameter {key!r}. Its parameters are "
                    f"{', '.join(self.get_params())}."
                )
        return self


KINDS: dict[str, type[Scheme]] = {
    "low_rank": LowRank,
    "tensor_train": TensorTrain,
    "prune": Prune,
    "quantize": Quantize,
}
"""The schemes that can be combined, by the names that they have in a combination."""


def _nearer(
    plain: Format, low_rank: LowRank, quantize: Quantize, target: Float64, metric: Metric
) -> Format:
    """Return the quantised product that the metric leads to, or ``plain`` if that is nearer."""
    best = low_rank.project_in_metric(target, metric, np.dtype(np.float64))
    levels = quantize.codebook_of(best.left.reshape(-1, 1))
    made = quantise_factors(
        best.left, best.right, levels, target, metric, grid=quantize.keeps_values
    )
    if made is None:
        return plain
    errors = [metric.error(format_.to_dense() - target) for format_ in (made, plain)]
    if errors[1] <= errors[0]:
        return plain
    return CodebookTrainMatrix(
        made.codes,
        made.codebook.astype(plain.dtype),
        made.modes,
        made.ranks,
        made.shape,
        made.scale,
    )
