"""From the outputs of a network to predictions, in C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fastbcd.io.export.c.text import array, integer, string
from fastbcd.network.losses.links import Link
from fastbcd.network.tasks import Classification, MultilabelClassification, Task

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

SIMPLEX = """\
/* The probability vector nearest to the outputs: an order of the classes, not calibrated. */
static inline void @predict_proba(const float *x, float *proba)
{
    float threshold, sum = 0;
    int before, kept = @@N_OUTPUTS;
    @outputs(x, proba);
    for (int j = 0; j < @@N_OUTPUTS; j++) {
        proba[j] = VALUE;
        sum += proba[j];
    }
    /* Entries at or below the threshold drop out, until none does. */
    do {
        before = kept;
        threshold = (sum - 1) / (float)kept;
        sum = 0;
        kept = 0;
        for (int j = 0; j < @@N_OUTPUTS; j++) {
            if (proba[j] > threshold) {
                sum += proba[j];
                kept++;
            }
        }
    } while (kept != before && kept > 0);
    for (int j = 0; j < @@N_OUTPUTS; j++) {
        proba[j] = proba[j] > threshold ? proba[j] - threshold : 0;
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
class TaskCode:
    """What is predicted, in C.

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


def task_code(task: Task) -> TaskCode:
    """Return the functions that turn the outputs of a network into what ``task`` predicts."""
    if task.link is None:
        return TaskCode("value", VALUE) if task.n_outputs == 1 else TaskCode("values", VALUES)
    proba = _probabilities(task.link)
    if isinstance(task, MultilabelClassification):
        predict = LABELS.replace("THRESHOLD", f"{task.threshold}f")
        return TaskCode("labels", f"{predict}\n{proba}")
    assert isinstance(task, Classification)
    return TaskCode("classes", f"{ARGMAX}\n{proba}", task.classes)


def _probabilities(link: Link) -> str:
    """Return the function ``@predict_proba``."""
    plain = link.scale == 1 and link.shift == 0
    value = "proba[j]" if plain else f"{link.scale}f * (proba[j] - {link.shift}f)"
    if link.form == "simplex":
        line = "        proba[j] = VALUE;\n"
        return SIMPLEX.replace(line, "" if plain else line.replace("VALUE", value))
    if link.form == "sigmoid":
        comment = "The probability of each label, by itself."
        if not plain:
            comment = "An order of the labels rather than calibrated probabilities."
        negative = "-proba[j]" if plain else f"-{value}"
        return SQUASHED.replace("COMMENT", comment).replace("VALUE", negative)
    return SOFTMAX


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
