"""How the steps of factors and of codes were chosen: on training rows held out, never on test rows.

    FASTBCD_DATA=FOLDER python -m bench.compress.choose_steps [mnist letter watch_har]

As :mod:`bench.compress.choose_defaults` does for pruned layers: a part of the training rows is held
out, the dense network is trained without them and compressed with labels, once for each
variant of a constant. What is printed is the accuracy of the rows held out, at each amount and on
average.

For developers: constants that users cannot set are varied, so internal modules are patched.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import fields, replace
from pathlib import Path
from time import process_time
from unittest.mock import patch

from bench.compress.choose_defaults import FOLDS, show, without_held_out
from fastbcd import compress
from fastbcd.compression import settings
from fastbcd.compression.settings import DEFAULTS as COMPRESSION
from fastbcd.schemes import LowRank, Quantize
from fastbcd.solvers.refine import settings as refine_settings
from fastbcd.solvers.refine.settings import DEFAULTS as REFINE

AMOUNTS = {
    "factors": [{"scheme": LowRank(), "ratio": ratio} for ratio in (5, 10, 20)],
    "codes": [{"scheme": Quantize(bits=bits)} for bits in (4, 2, 1)],
}

VARIANTS = {
    "factors": {
        "default": {},
        "half steps": {"factor_step": REFINE.factor_step / 2},
        "twice the steps": {"factor_step": REFINE.factor_step * 2},
        "no decay": {"factor_decay": 0.0},
        "ten times the decay": {"factor_decay": REFINE.factor_decay * 10},
        "late layers count 1/2": {"later": 1 / 2},
        "late layers count alike": {"later": 1.0},
        "at most 40 epochs": {"max_factored": 40},
    },
    "codes": {
        "default": {},
        "8 directions": {"leading": 8},
        "64 directions": {"leading": 64},
        "all directions": {"leading": 1 << 20},
        "a third of the steps": {"caution_dense": REFINE.caution_dense / 3},
        "three times the steps": {"caution_dense": REFINE.caution_dense * 3},
        "two thirds of the epochs": {"longer": 1.0},
        "codes at once": {"dense_first_rows": 1 << 40},
        "dense for half of the epochs": {"dense_first_share": 0.5},
        "dense steps twice as long": {"dense_first_rate": COMPRESSION.dense_first_rate * 2},
        "dense steps half as long": {"dense_first_rate": COMPRESSION.dense_first_rate / 2},
    },
}
"""Settings of the compression or of the refinement, by name, that differ from the defaults."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=["mnist", "letter", "watch_har"])
    parser.add_argument("--kinds", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--only", nargs="*", help="names of variants")
    parser.add_argument("--fold", type=int, default=0, choices=range(FOLDS))
    parser.add_argument("--cache", type=Path, help="folder that keeps the dense networks")
    args = parser.parse_args()
    for name in args.data:
        split, held, x, y, dense = without_held_out(name, args.cache, args.fold)
        for kind in args.kinds:
            print(f" {kind}: {', '.join(map(amount, AMOUNTS[kind]))}")
            for variant in args.only or VARIANTS[kind]:
                begin = process_time()
                with ExitStack() as patches:
                    for owner, defaults in ((refine_settings, REFINE), (settings, COMPRESSION)):
                        names = {field.name for field in fields(defaults)}
                        changes = {k: v for k, v in VARIANTS[kind][variant].items() if k in names}
                        changed = replace(defaults, **changes)
                        patches.enter_context(patch.object(owner, "DEFAULTS", changed))
                    found = [
                        compress(dense, x, y, random_state=0, **how).network_
                        for how in AMOUNTS[kind]
                    ]
                show(variant, found, split, held, process_time() - begin)


def amount(how):
    """Return what is asked of ``compress``, for people."""
    return f"{how['ratio']}x" if "ratio" in how else f"{how['scheme'].bits} bits"


if __name__ == "__main__":
    main()
