"""For developers: where the time of an epoch goes: products, elementwise passes, Python.

It replaces functions of the solver by timed ones, so it knows internal modules; no page shows its
figures.

    python -m bench.minibatch.profile [--data mnist] [--epochs 3] [--quick]

Calls of BLAS and of compiled kernels are timed one by one, which itself costs about a
microsecond a call. The first epoch is left out.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable
from time import perf_counter
from types import ModuleType
from typing import Any

from bench.data import HIDDEN, fit_fastbcd, load
from fastbcd.linalg import batch_products as _products
from fastbcd.solvers.minibatch import MiniBatchSolver
from fastbcd.solvers.minibatch import refresh as _refresh
from fastbcd_kernels import loss_descent, minibatch_step, minibatch_weights

GROUPS: dict[str, list[tuple[ModuleType, list[str]]]] = {
    "products and solves": [
        (_products, ["product", "cross_product", "subtract_outer", "decay_and_add_gram"]),
        (_products, ["squared_norm", "spd_inverse"]),
        (_refresh, ["activation_gain"]),
    ],
    "elementwise": [
        (minibatch_step, [n for n in vars(minibatch_step) if not n.startswith("gather")]),
        (minibatch_weights, list(vars(minibatch_weights))),
        (loss_descent, list(vars(loss_descent))),
    ],
    "gathering rows": [(minibatch_step, ["gather_rows"])],
}


def timed(function: Callable[..., Any], spent: dict[str, float], group: str) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        start = perf_counter()
        try:
            return function(*args, **options)
        finally:
            spent[group] += perf_counter() - start

    return call


def profile(name: str, epochs: int) -> dict[str, float]:
    """Return the seconds of each group in all epochs but the first, and in total."""
    split = load(name)
    spent: dict[str, float] = defaultdict(float)
    fit_fastbcd(split, HIDDEN[name], 0, 1, solver="minibatch")  # compiles
    replaced = []
    for group, members in GROUPS.items():
        for module, names in members:
            for member in names:
                function = getattr(module, member)
                if callable(function) and (
                    hasattr(function, "py_func") or function.__module__ == module.__name__
                ):
                    replaced.append((module, member, function))
                    setattr(module, member, timed(function, spent, group))
    step, seen = MiniBatchSolver.step, []

    def watched(self: Any, problem: Any, state: Any) -> None:
        if len(seen) == 1:
            spent.clear()
        start = perf_counter()
        step(self, problem, state)
        spent["all"] += perf_counter() - start
        seen.append(state.step)

    MiniBatchSolver.step = watched  # type: ignore[method-assign]  # to time it
    try:
        fit_fastbcd(split, HIDDEN[name], 0, epochs, solver="minibatch")
    finally:
        MiniBatchSolver.step = step  # type: ignore[method-assign]  # to time it
        for module, member, function in replaced:
            setattr(module, member, function)
    spent["steps"] = seen[-1] - seen[0]
    return dict(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="mnist", choices=list(HIDDEN))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="digits: shows that it runs")
    options = parser.parse_args()
    spent = profile("digits" if options.quick else options.data, max(2, options.epochs))
    steps, total = spent.pop("steps"), spent.pop("all")
    spent["Python and the rest"] = total - sum(spent.values())
    print("| part | share | microseconds a step |\n|---|---|---|")
    for group, seconds in spent.items():
        print(f"| {group} | {seconds / total:.0%} | {1e6 * seconds / steps:.0f} |")
    print(f"| all | 100% | {1e6 * total / steps:.0f} |")


if __name__ == "__main__":
    main()
