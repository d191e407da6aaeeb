"""Write a network as one C99 header."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from fastbcd.io.export.c.example import comment
from fastbcd.io.export.c.float import FloatWriter
from fastbcd.io.export.c.int8 import Int8Writer
from fastbcd.io.export.c.integers import tell_changes
from fastbcd.io.export.c.quantise import IntegerNetwork, quantise
from fastbcd.io.export.c.task import class_table, task_code
from fastbcd.io.export.c.text import Tables, identifier
from fastbcd.io.export.c.weights import Affine, affine_layers
from fastbcd.io.export.refusals import refuse_encoding, refuse_images
from fastbcd.network.chunks import as_dense
from fastbcd.network.network import Network
from fastbcd.network.tasks import Task
from fastbcd.utils import validation as check
from fastbcd.utils.files import write_atomic
from fastbcd.utils.types import Float, Float64

ARITHMETIC = ("float", "int8")

MATH = ("expf", "tanhf", "log1pf", "erfcf")
"""Functions of math.h that a header may call."""

MOST_ROWS = 4096
"""Rows that the ranges of the activations are taken from."""


def write_c(
    network: Network,
    task: Task,
    path: str | os.PathLike[str],
    *,
    arithmetic: str = "float",
    name: str | None = None,
    X: Float | None = None,
    allow_dense: bool = False,
) -> None:
    """Write a network as one C99 header; see :func:`fastbcd.export.to_c` for the options.

    Parameters
    ----------
    network, task
        The network, and what its outputs mean.
    path : str or path
        File to write.
    X : (n, n_features) array or sparse matrix, optional
        Checked rows.

    Raises
    ------
    ValueError
        If a parameter cannot be used, or a layer cannot be expressed. Nothing is written then.

    Warns
    -----
    ExportWarning
        If rows of ``X`` are predicted otherwise in int8 arithmetic.
    """
    check.check_choice("arithmetic", arithmetic, ARITHMETIC)
    target = Path(path)
    prefix = identifier(name, target)
    rows = None
    if X is not None:
        every = -(-X.shape[0] // MOST_ROWS)
        rows = np.asarray(as_dense(X[::every]), np.float64)
    elif arithmetic == "int8":
        raise ValueError(
            'arithmetic="int8" needs X, rows like those that the network will see: they tell the '
            "range of every activation. A few hundred training rows do."
        )
    if arithmetic == "int8":
        target_name, mend = 'to_c(arithmetic="int8")', 'Write it with arithmetic="float"'
        refuse_images(network, target_name, mend)
        encoding = network.encoding
        if encoding is not None and len(encoding.plain) and len(encoding.columns):
            refuse_encoding(network, target_name, mend)  # its features are not of one unit
    layers = affine_layers(network, cores=arithmetic == "float", allow_dense=allow_dense)
    integers = None
    if arithmetic == "int8":
        assert rows is not None
        integers = quantise(layers, rows, network.encoding)
        tell_changes(network, task, integers, X)
    text = header(network, task, target.name, prefix, layers, integers, rows)
    write_atomic(target, text.encode("ascii"))


def header(
    network: Network,
    task: Task,
    file: str,
    prefix: str,
    layers: list[Affine],
    integers: IntegerNetwork | None,
    rows: Float64 | None,
) -> str:
    """Return the text of the header; see :func:`write_c`.

    Parameters
    ----------
    network, task
        The network, and what its outputs mean.
    file, prefix : str
        Name of the header, and what all names in it begin with.
    layers : list of Affine
        The layers of the network.
    integers : IntegerNetwork or None
        The same in integers, if C shall compute with them.
    rows : (n, n_features) array, optional
        The first one makes the example.
    """
    tables = Tables()
    if integers is None:
        arithmetic, forward = "float", FloatWriter(tables).write(layers)
    else:
        arithmetic, forward = "int8", Int8Writer(tables).write(integers, network.n_inputs)
    n_outputs = layers[-1].shape[1]
    predicted = task_code(task)
    code = f"{forward.text}\n{predicted.text}"
    scratch = forward.ram + (4 * n_outputs if "float outputs[" in predicted.text else 0)
    sizes = {"N_FEATURES": network.n_inputs, "N_OUTPUTS": n_outputs}
    if predicted.classes is not None:
        sizes["N_CLASSES"] = n_outputs
    sizes |= {"TABLE_BYTES": tables.n_bytes, "RAM_BYTES": scratch}
    blocks = [
        comment(network, task, predicted.kind, file, arithmetic, rows),
        "#ifndef @@H\n#define @@H\n",
        ("#include <math.h>\n" if any(f"{name}(" in code for name in MATH) else "")
        + "#include <stdint.h>\n",
        "".join(f"#define @@{key} {value}\n" for key, value in sizes.items()),
        "#ifndef @@BUFFER\n#define @@BUFFER static\n#endif\n",
        "" if predicted.classes is None else class_table(predicted.classes),
        *tables.definitions,
        code,
        "#endif",
    ]
    text = "\n".join(block for block in blocks if block)
    return text.replace("@@", f"{prefix.upper()}_").replace("@", f"{prefix}_") + "\n"
