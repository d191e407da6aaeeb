"""A budget alone: what ``compress`` makes of a network when only a size or a score is named.

    FASTBCD_DATA=FOLDER python -m bench.compress.budgets [--networks mnist]

Refined with labels; the schemes are its own choice. Bytes are those of the arrays, numbers as
float32; a file, whose gaps and codes are packed, is smaller. For ``max_score_drop``, 10 % of the
rows are held out and judge; the accuracy is that of the test rows.
"""

from __future__ import annotations

from argparse import Namespace
from time import perf_counter

from bench.compress.contestants import REFINED, ours, warm_up
from bench.compress.networks import Problem, dense_network, problem
from bench.compress.tables import Row, Table, judge, options_of
from fastbcd import compress, storage

RATIOS = (10, 20, 40, 80)
MAX_DROP = 0.005


def measure(of: Problem, table: Table, quick: bool) -> list[str]:
    """Add the rows of a network: a ratio of its bytes, or the score that may be lost.

    Returns the amounts.
    """
    ratios = (4,) if quick else RATIOS
    for ratio in ratios:
        try:
            ours(of, table, f"{ratio}x", only=(REFINED,), ratio=ratio)
        except ValueError as error:
            print(f"{ratio}x: left out, {error}", flush=True)
    drop = f"drop {MAX_DROP}"
    table.add(of.name, drop, REFINED, lambda: smallest(of, drop))
    return [*(f"{ratio}x" for ratio in ratios), drop]


def smallest(of: Problem, amount: str) -> Row:
    """Measure the smallest network whose score drops by no more than ``MAX_DROP``."""
    start = perf_counter()
    x, y = of.data.x, of.data.y
    small = compress(of.model, x, y, max_score_drop=MAX_DROP, random_state=0)
    seconds = perf_counter() - start
    print(f"{of.name}, {amount}: a file of {len(storage.to_bytes(small))} bytes", flush=True)
    return judge(of, amount, REFINED, small.network_, seconds, labels=True)


def run(options: Namespace) -> Table:
    """Measure what is missing and print the table."""
    table = Table("frontier", options)
    for name in options.networks:
        of = problem(name)
        warm_up(of, ratio=4)
        amounts = measure(of, table, options.quick)
        dense = float(of.model.score(of.data.x_test, of.data.y_test))
        print(f"\n{name}: dense {dense:.4f}, {dense_network(of).n_bytes} bytes", end="")
        table.show([name], amounts)
    return table


if __name__ == "__main__":
    run(options_of(__doc__))
