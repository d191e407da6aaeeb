"""What the command line says, in terms of its options."""

from __future__ import annotations

import re
import sys

OPTIONS = {
    "hidden_layer_sizes": "--hidden",
    "max_iter": "--max-iter",
    "max_bytes": "--max-bytes",
    "max_score_drop": "--max-score-drop",
    "validation_data": "--validation",
    "random_state": "--seed",
    "n_jobs": "--jobs",
    "target_opset": "--opset",
    "input_shape": "--input-shape",
}
"""Parameters of Python that a message may name anywhere."""

WITH_VALUE = {
    "tol": "--tol",
    "ratio": "--ratio",
    "epochs": "--epochs",
    "sparsity": "--sparsity",
    "rank": "--rank",
    "bits": "--bits",
    "activation": "--activation",
    "encoding": "--ramps",
    "arithmetic": "--arithmetic",
}
"""Parameters whose names are also words: they are options where a value follows."""

ANY = re.compile(
    rf"\b(?:(?P<name>{'|'.join([*OPTIONS, *WITH_VALUE])})=(?=\S)|(?P<word>{'|'.join(OPTIONS)})\b)"
)


def in_options(message: str) -> str:
    """Return a message with the names of options for the parameters of Python."""

    def option(found: re.Match[str]) -> str:
        name = found["name"]
        return OPTIONS[found["word"]] if name is None else f"{(OPTIONS | WITH_VALUE)[name]} "

    return ANY.sub(option, message)


def tell(text: object, quiet: bool = False) -> None:
    """Print a result, unless the command shall be quiet."""
    if not quiet:
        print(text)


def note(text: str, quiet: bool = False) -> None:
    """Print on stderr what a user should know of the work, unless the command shall be quiet."""
    if not quiet:
        print(f"fastbcd: note: {text}.", file=sys.stderr)
