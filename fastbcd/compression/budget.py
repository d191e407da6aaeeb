"""The budget of a call of compress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastbcd.schemes.by_layer import SchemeChoice
from fastbcd.schemes.protocol import Scheme
from fastbcd.utils import validation as check

CHOOSABLE = "Prune(), LowRank(), Quantize() or Prune() + Quantize()"
"""The schemes whose amounts a budget can choose."""


@dataclass(frozen=True)
class Budget:
    """The budget of a call of compress.

    Parameters
    ----------
    kind : {"scheme", "max_bytes", "ratio", "max_score_drop", "max_error"}
        Kind of the budget.
    amount : float
        Its value; unused for "scheme".
    scheme : SchemeChoice
        The argument ``scheme``.
    allocation : {"global", "uniform"}
        Distribution of one sparsity over the layers.
    """

    kind: str
    amount: float
    scheme: SchemeChoice
    allocation: str

    @classmethod
    def check(
        cls,
        scheme: Any,
        max_bytes: Any,
        ratio: Any,
        max_score_drop: Any,
        allocation: Any,
        max_error: Any = None,
    ) -> Budget:
        """Check that exactly one budget is given."""
        check.check_choice("allocation", allocation, ("global", "uniform"))
        numbers = {"max_bytes": max_bytes, "ratio": ratio, "max_score_drop": max_score_drop}
        numbers["max_error"] = max_error
        given = {name: value for name, value in numbers.items() if value is not None}
        named = list(scheme.values()) if isinstance(scheme, Mapping) else [scheme]
        by_layer = isinstance(scheme, Mapping)
        fixed = [
            s
            for s in named
            if isinstance(s, Scheme)
            # Units are chosen over all layers together, so not in a dict.
            and (not s.is_open or (by_layer and getattr(s, "structure", None) is not None))
        ]
        if fixed and given:
            name, value = next(iter(given.items()))
            raise ValueError(
                f"{name}={value!r} chooses how much of each layer stays, which it can do for "
                f"{CHOOSABLE} without an amount; scheme={fixed[0]!r} is none of these. Name one of "
                f"these, or leave {name} out and give every part of the scheme that needs an "
                "amount one, such as Prune(sparsity=0.9)."
            )
        if scheme is not None and not given:
            given["scheme"] = 0.0
        if len(given) != 1:
            found = " and ".join(given) if given else "none"
            raise ValueError(
                "compress takes exactly one of scheme (with an amount), max_bytes, ratio, "
                f"max_score_drop, max_error; {found} given. With one of the last four, scheme may "
                f"name schemes without an amount: {CHOOSABLE}."
            )
        kind, amount = next(iter(given.items()))
        if kind == "ratio":
            amount = check.check_number("ratio", amount, 1)
        elif kind == "max_score_drop":
            amount = check.check_number("max_score_drop", amount, 0, strict=False)
        elif kind == "max_error":
            amount = check.check_number("max_error", amount, 0)
        elif kind == "max_bytes":
            amount = check.check_integer("max_bytes", amount, 1)
        return cls(kind, float(amount), scheme, allocation)
