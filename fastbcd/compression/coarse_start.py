"""Schemes that keep more weights than are wanted, as the start of a refinement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbcd.compression.settings import DEFAULTS, CompressionSettings
from fastbcd.formats import Format, SparseMatrix
from fastbcd.schemes import Combination, Prune, Quantize
from fastbcd.schemes.protocol import Scheme
from fastbcd.statistics.metric import Metric
from fastbcd.utils.types import Float64


def pruning_of(scheme: Scheme | None) -> Prune | None:
    """Return the pruning of ``scheme`` if it prunes without structure and has no factors."""
    if isinstance(scheme, Combination) and scheme._factors is None:
        scheme = scheme.prune
    return scheme if type(scheme) is Prune and scheme.structure is None else None


def quantizing_of(scheme: Scheme | None) -> Quantize | None:
    """Return the quantisation of ``scheme``, alone or after pruning without structure."""
    if isinstance(scheme, Combination) and pruning_of(scheme) is not None:
        return scheme.quantize
    return scheme if isinstance(scheme, Quantize) else None


def denser(
    schemes: Sequence[Scheme | None],
    shapes: Sequence[tuple[int, int]],
    settings: CompressionSettings = DEFAULTS,
) -> tuple[list[Scheme | None], list[int]] | None:
    """Return schemes that keep more weights, and the final number of weights of each pruned layer.

    The schemes do not quantise. The result is None if no layer is pruned below ``settings.most``,
    or if a layer is pruned in a structure, which a moving support would not keep.
    """
    times, most = settings.times, settings.most
    more: list[Scheme | None] = []
    left: list[int] = []
    for scheme, (rows, columns) in zip(schemes, shapes, strict=True):
        pruning = pruning_of(scheme)
        if pruning is None:
            if isinstance(scheme, Prune):
                return None
            more.append(None if quantizing_of(scheme) is not None else scheme)
            continue
        size = rows * columns
        kept = pruning.n_nonzero or pruning.share_of(size)
        assert kept is not None  # a scheme without an amount compresses nothing
        more.append(Rough(n_nonzero=max(kept, min(times * kept, round(most * size)))))
        left.append(kept)
    starts = [scheme.n_nonzero for scheme in more if isinstance(scheme, Prune)]
    return None if starts == left else (more, left)


def are_many(
    schemes: Sequence[Scheme | None],
    shapes: Sequence[tuple[int, int]],
    settings: CompressionSettings = DEFAULTS,
) -> bool:
    """Return whether outputs of pruned layers keep more than ``settings.many`` weights on average.

    Always False if a layer is quantised as well: then the indices take most of the bytes.
    """
    if any(map(quantizing_of, schemes)):
        return False
    kept = outputs = 0
    for scheme, (rows, columns) in zip(schemes, shapes, strict=True):
        pruning = pruning_of(scheme)
        if pruning is not None:
            kept += pruning.n_nonzero or pruning.share_of(rows * columns) or 0
            outputs += columns
    return kept > settings.many * outputs


class Rough(Prune):
    """Pruning by a short search, because most of the kept weights are removed later."""

    def project_in_metric(
        self,
        target: Float64,
        metric: Metric,
        dtype: np.dtype[Any],
        warm: Format | None = None,
    ) -> SparseMatrix:
        """Return a good matrix with the given number of non-zeros, values exact."""
        assert self.n_nonzero is not None
        (weight,) = self.path(target, metric, [self.n_nonzero])
        return SparseMatrix.from_dense(weight.astype(dtype))
