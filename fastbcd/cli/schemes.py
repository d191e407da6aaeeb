"""Schemes and budgets from options."""

from __future__ import annotations

from argparse import Namespace
from functools import reduce
from operator import add
from typing import Any

from fastbcd.schemes import LowRank, Prune, Quantize, TensorTrain

KINDS: dict[str, Any] = {
    "prune": Prune,
    "low-rank": LowRank,
    "tensor-train": TensorTrain,
    "quantize": Quantize,
}

AMOUNTS = {
    "prune": ("sparsity", "sparsity"),
    "low-rank": ("rank", "rank"),
    "tensor-train": ("tt_rank", "rank"),
    "quantize": ("bits", "bits"),
}
"""The option that states how much, and the parameter of the scheme."""

BUDGETS = ("max_bytes", "ratio", "max_score_drop")

PLAIN_ROWS = ("prune", "low-rank")
"""Schemes whose rows can be scaled."""


def make_scheme(options: Namespace, n_hidden: int) -> Any:
    """Return the scheme that the options describe, or None."""
    parts = []
    for kind in named(options):
        option, parameter = AMOUNTS[kind]
        amount = getattr(options, option)
        parts.append(KINDS[kind](**({} if amount is None else {parameter: amount})))
    hidden = reduce(add, parts) if parts else None
    if options.output_bits is None:
        return hidden
    by_layer: dict[int | str, Any] = dict.fromkeys(range(n_hidden), hidden)
    return {**by_layer, "output": Quantize(bits=options.output_bits)}


def named(options: Namespace) -> list[str]:
    """Return the kinds of schemes that the options name."""
    chosen = options.scheme or ()
    return [
        kind
        for kind, (option, _) in AMOUNTS.items()
        if kind in chosen or getattr(options, option) is not None
    ]


def check_fit(options: Namespace) -> None:
    """Refuse options of a fit that contradict each other."""
    _check_amounts(options, "")
    unscaled = [kind for kind in named(options) if kind not in PLAIN_ROWS]
    if options.standardize and unscaled:
        raise ValueError(
            f"--standardize is absorbed by the first layer, which --{_option(unscaled[0])} does "
            "not allow. Fit without it, then run fastbcd compress."
        )


def budget(options: Namespace) -> dict[str, Any]:
    """Return the budget, after checking that there is exactly one.

    Raises
    ------
    ValueError
        If there is none, or more than one.
    """
    found = {name: getattr(options, name) for name in BUDGETS}
    found = {name: value for name, value in found.items() if value is not None}
    given = [f"--{name.replace('_', '-')}" for name in found]
    amounts = [
        f"--{_option(kind)}"
        for kind, (name, _) in AMOUNTS.items()
        if getattr(options, name) is not None
    ]
    if options.output_bits is not None:
        amounts.append("--output-bits")
    if len(found) > 1 or (found and amounts):
        raise ValueError(
            f"{' and '.join(given + amounts)} are two budgets. Keep only one of: amounts, "
            "--max-bytes, --ratio or --max-score-drop."
        )
    if not found:
        _check_amounts(options, ", or a budget such as --ratio 10")
    if not found and not amounts:
        raise ValueError(
            "no budget is given. Add exactly one: --ratio, --max-bytes, --max-score-drop, or "
            "amounts (--sparsity, --rank, --tt-rank, --bits)."
        )
    return found


def _check_amounts(options: Namespace, otherwise: str) -> None:
    for kind in options.scheme or ():
        if getattr(options, AMOUNTS[kind][0]) is None:
            raise ValueError(f"--scheme {kind} needs an amount: --{_option(kind)}{otherwise}.")


def _option(kind: str) -> str:
    return AMOUNTS[kind][0].replace("_", "-")
