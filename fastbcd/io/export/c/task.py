"""What an estimator makes of the outputs of its network, in C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.estimators import BCDClassifier, BCDRegressor
from fastbcd.io.export.c.text import array, integer, string

ARGMAX = """\
/* The index of the most probable class: its label is @classes[index]. */
static inline int @predict(const float *x)
{
    @@BUFFER float outputs[@@N_OUTPUTS];
    int best = 0;
    @outputs(x, outputs);
    for (int j = 1; j < @@N_OUTPUTS; j++) {
        if (outputs[j] > outputs[best]) {
            best = j;
        }
    }
    return best;
}
"""

LABELS = """\
/* Whether each label applies: zeros and ones. */
static inline void @predict(const float *x, uint8_t *labels)
{
    @@BUFFER float outputs[@@N_OUTPUTS];
    @outputs(x, outputs);
    for (int j = 0; j < @@N_OUTPUTS; j++) {
        labels[j] = outputs[j] > THRESHOLD;
    }
}
"""

VALUE = """\
/* The predicted value. */
static inline float @predict(const float *x)
{
    float value;
    @outputs(x, &value);
    return value;
}
"""

VALUES = """\
/* The predicted values. */
static inline void @predict(const float *x, float *values)
{
    @outputs(x, values);
}
"""

SOFTMAX = """\
/* The probability of each class. */
static inline void @predict_proba(const float *x, float *proba)
{
    float most, sum = 0;
    @outputs(x, proba);
    most = proba[0];
    for (int j = 1; j < @@N_OUTPUTS; j++) {
        most = proba[j] > most ? proba[j] : most;
    }
    for (int j = 0; j < @@N_OUTPUTS; j++) {
        proba[j] = expf(proba[j] - most);
        sum += proba[j];
    }
    for (int j = 0; j < @@N_OUTPUTS; j++) {
        proba[j] /= sum;
    }
}
"""

CLIPPED = """\
/* An order of the classes rather than calibrated probabilities. */
static inline void @predict_proba(const float *x, float *proba)
{
    float sum = 0;
    @outputs(x, proba);
    for (int j = 0; j < @@N_OUTPUTS; j++) {
        const float p = VALUE;
        proba[j] = p < 0 ? 0 : p > 1 ? 1 : p;
        sum += proba[j];
    }
    for (int j = 0; j < @@N_OUTPUTS; j++) {
        proba[j] = sum > 0 ? proba[j] / sum : 1.0f / @@N_OUTPUTS;
    }
}
"""

SQUASHED = """\
/* COMMENT */
static inline void @predict_proba(const float *x, float *proba)
{
    @outputs(x, proba);
    for (int j = 0; j < @@N_OUTPUTS; j++) {
        proba[j] = 1 / (1 + expf(VALUE));
    }
}
"""


@dataclass(frozen=True)
class Task:
    """What is predicted.

    Parameters
    ----------
    kind : {"classes", "labels", "value", "values"}
        One class per row, several labels per row, one number, or several.
    text : str
        C functions ``@predict`` and, for a classifier, ``@predict_proba``.
    classes : array or None
        Labels of the classes.
    """

    kind: str
    text: str
    classes: NDArray[Any] | None = None


def task_of(estimator: BCDClassifier | BCDRegressor, n_outputs: int) -> Task:
    """Return what a fitted estimator predicts."""
    if isinstance(estimator, BCDRegressor):
        return Task("value", VALUE) if n_outputs == 1 else Task("values", VALUES)
    loss = estimator._loss()
    if estimator._multilabel:
        threshold = f"{estimator._threshold()}f"
        predict = LABELS.replace("THRESHOLD", threshold)
        comment = "The probability of each label, by itself."
        value = "-proba[j]"
        if loss != "logistic":
            comment = "An order of the labels rather than calibrated probabilities."
            value = f"-4 * (proba[j] - {threshold})"
        proba = SQUASHED.replace("COMMENT", comment).replace("VALUE", value)
        return Task("labels", f"{predict}\n{proba}")
    proba = {
        "cross_entropy": SOFTMAX,
        "squared": CLIPPED.replace("VALUE", "proba[j]"),
        "hinge": CLIPPED.replace("VALUE", "(proba[j] + 1) / 2"),
    }[loss]
    return Task("classes", f"{ARGMAX}\n{proba}", np.asarray(estimator.classes_))


def class_table(classes: NDArray[Any]) -> str:
    """Return the definition of ``@classes``: integers, doubles or strings in UTF-8."""
    values = classes.tolist()
    if classes.dtype.kind in ("b", "i", "u"):
        low, high = min(values), max(values)
        if low >= -(2**31) and high < 2**31:
            c_type = "int32_t"
        else:
            c_type = "int64_t" if high < 2**63 else "uint64_t"
        return array(c_type, "@classes", map(integer, values))
    if classes.dtype.kind == "f":
        return array("double", "@classes", map(repr, values))
    return array("char *const", "@classes", [string(str(value)) for value in values])
