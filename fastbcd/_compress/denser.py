"""Schemes that keep more weights than are wanted, for a refinement to start from."""

from __future__ import annotations

from collections.abc import Sequence

from fastbcd.schemes import Prune
from fastbcd.schemes._base import Scheme

TIMES, MOST = 4, 0.5
"""A layer starts with so many times the weights that are wanted, with no more than this share of
all unless more are wanted."""


def denser(
    schemes: Sequence[Scheme | None], shapes: Sequence[tuple[int, int]]
) -> tuple[list[Scheme | None], list[int]] | None:
    """Return schemes that keep more weights, and how many each pruned layer keeps in the end.

    None unless all that is compressed is pruned, without a structure, and some below ``MOST``.
    """
    more: list[Scheme | None] = []
    left: list[int] = []
    for scheme, (rows, columns) in zip(schemes, shapes, strict=True):
        if scheme is None:
            more.append(None)
            continue
        if not (type(scheme) is Prune and scheme.structure is None):
            return None
        size = rows * columns
        kept = scheme.n_nonzero or scheme.share_of(size)
        assert kept is not None  # a scheme without an amount compresses nothing
        more.append(scheme.with_nonzeros(max(kept, min(TIMES * kept, round(MOST * size)))))
        left.append(kept)
    starts = [scheme.n_nonzero for scheme in more if isinstance(scheme, Prune)]
    return None if starts == left else (more, left)
