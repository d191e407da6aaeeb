"""The comment at the top of a header: a description, and a program that uses it."""

from __future__ import annotations

import re

import numpy as np

from fastbcd._version import __version__
from fastbcd.io.export.c.text import real
from fastbcd.network.network import Network
from fastbcd.network.tasks import Task
from fastbcd.utils.types import Float, Float64

SHOWN = 8
"""Features of the example's row that are written out; the others are zero."""

_PROGRAM = """\
#include <stdio.h>
#include "{file}"

int main(void)
{{
    static const float x[@@N_FEATURES] = {{{row}}};
{body}
    return 0;
}}"""

_BODIES = {
    "classes": """\
    float proba[@@N_CLASSES];
    const int k = @predict(x);
    @predict_proba(x, proba);
    printf("class number %d, probability %.3f\\n", k, (double)proba[k]);""",
    "labels": """\
    uint8_t labels[@@N_OUTPUTS];
    float proba[@@N_OUTPUTS];
    @predict(x, labels);
    @predict_proba(x, proba);
    printf("first label %d, probability %.3f\\n", labels[0], (double)proba[0]);""",
    "value": """\
    printf("%.4g\\n", (double)@predict(x));""",
    "values": """\
    float values[@@N_OUTPUTS];
    @predict(x, values);
    printf("first value %.4g\\n", (double)values[0]);""",
}

_MEANING = {
    "classes": "int @predict(x)                  index of the class: its label is @classes[index]\n"
    "void @predict_proba(x, proba)    probability of each class",
    "labels": "void @predict(x, labels)         zero or one for each label\n"
    "void @predict_proba(x, proba)    probability of each label",
    "value": "float @predict(x)                the predicted value",
    "values": "void @predict(x, values)         the predicted values",
}


def comment(
    network: Network, task: Task, kind: str, file: str, arithmetic: str, rows: Float64 | None
) -> str:
    """Return the comment at the head of a header.

    Parameters
    ----------
    network : Network
        Computes what the example's program prints.
    task : Task
        What its outputs mean.
    kind : {"classes", "labels", "value", "values"}
        What the functions of the header return.
    file : str
        Name of the header.
    arithmetic : {"float", "int8"}
        Told in the comment.
    rows : (n, n_features) array, optional
        The first one makes the example.
    """
    row = np.zeros((1, network.n_inputs), np.float32)
    if rows is not None:
        row[0, :SHOWN] = rows[0, :SHOWN]
    shown = ", ".join(real(value) for value in row[0, :SHOWN])
    # A file name is text of the user's: it must not end the comment.
    file = file if re.fullmatch(r"[\w.+-]+", file, re.ASCII) else "header.h"
    body = _BODIES[kind]
    about = "" if arithmetic == "float" else ", up to the rounding of int8 arithmetic"
    text = f"""\
Written by fastbcd {__version__}: {_what(network, kind)}.

{_MEANING[kind]}
void @outputs(x, outputs)        what these are made of

x holds @@N_FEATURES finite floats, prepared as in training; it is not changed.
Include the header in one C99 or C++ file. Arithmetic is {arithmetic}.

Constants take @@TABLE_BYTES bytes of flash besides the code. Scratch memory takes
@@RAM_BYTES bytes in static buffers, so calls must not overlap. To have it on the stack
instead, #define @@BUFFER as nothing before the header is included.

Example, which prints "{_printed(network, task, kind, row)}"{about}:

{_indented(_PROGRAM.format(file=file, row=shown, body=body))}"""
    lines = (f" * {line}".rstrip() for line in text.splitlines())
    return "/*\n" + "\n".join(lines) + "\n */\n"


def _what(network: Network, kind: str) -> str:
    sizes = [layer.n_inputs for layer in network.layers]
    sizes.append(network.layers[-1].weight.shape[1])
    kinds = {"classes": "a classifier", "labels": "a classifier of several labels per row"}
    return f"{kinds.get(kind, 'a regressor')}, {'-'.join(map(str, sizes))}"


def _printed(network: Network, task: Task, kind: str, row: Float) -> str:
    """Return what the example prints."""
    outputs = network.forward(row)
    if kind in ("value", "values"):
        return f"{'first value ' if kind == 'values' else ''}{outputs[0, 0]:.4g}"
    proba = task.probabilities(outputs)[0]
    if kind == "labels":
        return f"first label {task.decode(outputs)[0, 0]}, probability {proba[0]:.3f}"
    best = int(outputs.argmax())
    return f"class number {best}, probability {proba[best]:.3f}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())
