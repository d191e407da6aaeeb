"""Schemes that keep more weights than are wanted, for a refinement to start from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastbcd.formats import Format, SparseMatrix
from fastbcd.schemes import Combination, Prune, Quantize
from fastbcd.schemes.protocol import Scheme
from fastbcd.statistics.metric import Metric
from fastbcd.utils.types import Float64

TIMES, MOST = 4, 0.5
"""A layer starts with so many times the weights that are wanted, with no more than this share of
all unless more are wanted."""

MANY = 24
"""Weights that an output keeps, on average, beyond which more in the beginning are of no use: then
the supports of the layer-by-layer pass are as good as those that a way down finds."""


def pruning_of(scheme: Scheme | None) -> Prune | None:
    """Return how ``scheme`` prunes, if that is freely and all that it does but quantising."""
    if isinstance(scheme, Combination) and scheme._factors is None:
        scheme = scheme.prune
    return scheme if type(scheme) is Prune and scheme.structure is None else None


def quantizing_of(scheme: Scheme | None) -> Quantize | None:
    """Return how ``scheme`` quantises, if it does that alone or after pruning freely."""
    if isinstance(scheme, Combination) and pruning_of(scheme) is not None:
        return scheme.quantize
    return scheme if isinstance(scheme, Quantize) else None


def denser(
    schemes: Sequence[Scheme | None], shapes: Sequence[tuple[int, int]]
) -> tuple[list[Scheme | None], list[int]] | None:
    """Return schemes that keep more weights, and how many each pruned layer keeps in the end.

    Nothing is quantised in the beginning. None unless some layer is pruned below ``MOST``, and
    where a layer is pruned in a structure, which a moving support would not keep.
    """
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
        more.append(Rough(n_nonzero=max(kept, min(TIMES * kept, round(MOST * size)))))
        left.append(kept)
    starts = [scheme.n_nonzero for scheme in more if isinstance(scheme, Prune)]
    return None if starts == left else (more, left)


def are_many(schemes: Sequence[Scheme | None], shapes: Sequence[tuple[int, int]]) -> bool:
    """Return whether the outputs of pruned layers keep more than ``MANY`` weights on average.

    Never where something is quantised, too: then it is the places that cost.
    """
    if any(map(quantizing_of, schemes)):
        return False
    kept = outputs = 0
    for scheme, (rows, columns) in zip(schemes, shapes, strict=True):
        pruning = pruning_of(scheme)
        if pruning is not None:
            kept += pruning.n_nonzero or pruning.share_of(rows * columns) or 0
            outputs += columns
    return kept > MANY * outputs


class Rough(Prune):
    """Pruning by a short search: most of what it keeps will go."""

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
