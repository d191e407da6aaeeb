"""Write a fitted network as one C99 header."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from fastbcd.estimators import BCDClassifier, BCDRegressor
from fastbcd.io.export.c.example import comment
from fastbcd.io.export.c.float import FloatWriter
from fastbcd.io.export.c.int8 import Int8Writer
from fastbcd.io.export.c.task import class_table, task_of
from fastbcd.io.export.c.text import Tables, identifier
from fastbcd.io.export.c.weights import affine_layers
from fastbcd.io.export.refusals import refuse_images
from fastbcd.solvers.fit import as_dense
from fastbcd.utils import validation as check
from fastbcd.utils.files import write_atomic
from fastbcd.utils.types import Float64

ARITHMETIC = ("float", "int8")

MOST_ROWS = 4096
"""Rows that the ranges of the activations are taken from."""


def to_c(
    estimator: Any,
    path: str | os.PathLike[str],
    *,
    arithmetic: str = "float",
    name: str | None = None,
    X: ArrayLike | None = None,
    allow_dense: bool = False,
) -> None:
    """Write a fitted network as one C99 header, which is also C++.

    The header holds the weights as constants, in their compressed form, and functions that
    multiply by them while they decode: ``NAME_predict``, ``NAME_outputs`` and, for a classifier,
    ``NAME_predict_proba``. It needs no heap and no library but ``expf`` and ``tanhf`` of
    ``math.h``, and only where probabilities or activations ask for them. A comment at its head
    explains it by a worked example.

    Parameters
    ----------
    estimator : BCDClassifier or BCDRegressor
        Fitted. Others become one by :func:`fastbcd.compress`.
    path : str or path
        File to write. An existing one is replaced in one step, and stays if anything fails.
    arithmetic : {"float", "int8"}, default="float"
        "float" computes in single precision. "int8" rounds weights and activations to 8 bits and
        adds in 32, for processors without a floating-point unit; it needs ``X``, and layers
        that see no images.
    name : str, optional
        What all names in the header begin with: a C identifier. Made of the file's name by
        default.
    X : (n_samples, n_features) array, optional
        Rows like those that the network will see. "int8" takes from them the range of every
        activation, of 4096 evenly spaced ones if there are more; values beyond it are clipped.
    allow_dense : bool, default=False
        Write a matrix that has no compressed form in C with all its entries rather than refuse
        it.

    Raises
    ------
    ValueError
        If a parameter cannot be used, or a layer cannot be expressed. Nothing is written then.
    OSError
        If the file cannot be written.
    """
    if not isinstance(estimator, BCDClassifier | BCDRegressor):
        raise TypeError(
            f"Cannot write {type(estimator).__name__} in C. Supported are BCDClassifier and "
            "BCDRegressor; fastbcd.compress makes one of scikit-learn's MLPs and of PyTorch's "
            "Sequential. Steps of a Pipeline before the network must be done by the caller of C."
        )
    check_is_fitted(estimator)
    check.check_choice("arithmetic", arithmetic, ARITHMETIC)
    target = Path(path)
    prefix = identifier(name, target)
    rows = None
    if X is not None:
        checked = estimator._check_inputs(X)
        every = -(-checked.shape[0] // MOST_ROWS)
        rows = np.asarray(as_dense(checked[::every]), np.float64)
    elif arithmetic == "int8":
        raise ValueError(
            'arithmetic="int8" needs X, rows like those that the network will see: they tell the '
            "range of every activation. A few hundred training rows do."
        )
    text = header(estimator, target.name, prefix, arithmetic, rows, allow_dense)
    write_atomic(target, text.encode("ascii"))


def header(
    estimator: BCDClassifier | BCDRegressor,
    file: str,
    prefix: str,
    arithmetic: str,
    rows: Float64 | None,
    allow_dense: bool,
) -> str:
    """Return the text of the header; see :func:`to_c`."""
    if arithmetic == "int8":
        refuse_images(
            estimator.network_, 'to_c(arithmetic="int8")', 'Write it with arithmetic="float"'
        )
    layers = affine_layers(estimator.network_, cores=arithmetic == "float", allow_dense=allow_dense)
    tables = Tables()
    if arithmetic == "float":
        forward = FloatWriter(tables).write(layers)
    else:
        assert rows is not None
        forward = Int8Writer(tables).write(layers, rows)
    n_outputs = layers[-1].shape[1]
    task = task_of(estimator, n_outputs)
    code = f"{forward.text}\n{task.text}"
    scratch = forward.ram + (4 * n_outputs if "float outputs[" in task.text else 0)
    sizes = {"N_FEATURES": estimator.network_.n_inputs, "N_OUTPUTS": n_outputs}
    if task.classes is not None:
        sizes["N_CLASSES"] = n_outputs
    sizes |= {"TABLE_BYTES": tables.n_bytes, "RAM_BYTES": scratch}
    blocks = [
        comment(estimator, task, file, arithmetic, rows),
        "#ifndef @@H\n#define @@H\n",
        ("#include <math.h>\n" if "expf(" in code or "tanhf(" in code else "")
        + "#include <stdint.h>\n",
        "".join(f"#define @@{key} {value}\n" for key, value in sizes.items()),
        "#ifndef @@BUFFER\n#define @@BUFFER static\n#endif\n",
        "" if task.classes is None else class_table(task.classes),
        *tables.definitions,
        code,
        "#endif",
    ]
    text = "\n".join(block for block in blocks if block)
    return text.replace("@@", f"{prefix.upper()}_").replace("@", f"{prefix}_") + "\n"
