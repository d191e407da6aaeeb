"""Make a trained network small: :func:`compress`, its budgets and its report."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from fastbcd.compression.report import CompressionReport as CompressionReport
from fastbcd.compression.report import LayerReport as LayerReport
from fastbcd.compression.report import report as report
from fastbcd.estimators.base import BCDEstimator
from fastbcd.estimators.compressing import (
    check_options,
    compress_fitted,
    compress_source,
    is_pair,
    wants,
)
from fastbcd.estimators.from_network import estimator_of
from fastbcd.estimators.scalers import region_inside
from fastbcd.io.importing.layout import image_rows
from fastbcd.io.importing.read import check_agreement, read
from fastbcd.io.importing.wrappers import check_rows, unwrap
from fastbcd.schemes.by_layer import SchemeChoice

__all__ = ["CompressionReport", "LayerReport", "compress", "report"]


def compress(
    model: Any,
    X: ArrayLike,
    y: ArrayLike | None = None,
    *,
    scheme: SchemeChoice = None,
    max_bytes: int | None = None,
    ratio: float | None = None,
    max_score_drop: float | None = None,
    max_error: float | None = None,
    certify: Any = False,
    scoring: Any = None,
    validation_data: tuple[ArrayLike, ArrayLike | None] | None = None,
    task: str | None = None,
    class_labels: ArrayLike | None = None,
    allocation: str = "global",
    epochs: float | str = "auto",
    sample_weight: ArrayLike | None = None,
    random_state: int | np.random.RandomState | None = None,
    verbose: int = 0,
) -> Any:
    """Return a smaller network that predicts nearly the same; ``model`` is not changed.

    The layers are compressed one after another, each fitted to the outputs of the dense layer
    on the inputs that the layers compressed before it produce. Then all layers are refined
    together. Neurons that nothing depends on any more are removed. With labels for at
    least 10,000 rows, a classifier that is only quantised is first fine-tuned as a dense network
    for 30 % of the epochs.

    Exactly one budget is given: amounts in ``scheme``, ``max_bytes``, ``ratio``,
    ``max_score_drop`` or ``max_error``. With one of the last four, ``scheme`` may name the kinds to
    choose from, without an amount: ``Prune()``.

    Parameters
    ----------
    model : estimator
        A fitted BCDClassifier or BCDRegressor, an MLPClassifier or MLPRegressor of
        scikit-learn, a Pipeline, GridSearchCV, RandomizedSearchCV or TransformedTargetRegressor
        around one of them, or a torch.nn.Sequential of linear layers, convolutions, poolings and
        activations. What was read is compared with ``model`` on rows of ``X``.
    X : (n_samples, n_features) array or sparse matrix
        Rows like those that the network will see; 1,000 are useful, 20,000 are plenty. For a
        PyTorch network of images an array (n_samples, channels, height, width); the result takes
        them as rows, ``X.transpose(0, 2, 3, 1).reshape(len(X), -1)``. One that begins with Flatten
        takes any array, and the result ``X.reshape(len(X), -1)`` if it has not four axes.
    y : array, optional
        Their targets: labels (n_samples,), or indicators or numbers with one column for each
        output. Without them the dense network's own outputs are imitated, as also with
        ``loss="hinge"``, where ``y`` only serves the scores.
    scheme : Scheme or dict, optional
        One scheme for all hidden layers, or ``{layer index or "output": scheme}``.
    max_bytes : int, optional
        Bound of the bytes of all arrays. Numbers are stored as float32.
    ratio : float, optional
        How many times smaller than the dense network, in bytes of all arrays. It counts from
        ``model`` with dense weights, in the type of its numbers, also where they are compressed
        already: its result may then be larger than ``model``, and the report says so.
    max_score_drop : float, optional
        The smallest network found is returned whose score is at most this much below that of
        the dense network, both on ``validation_data``.
    max_error : float, optional
        The smallest network found is returned whose certified difference from the dense network is
        at most this, for each output and for every input of the region ``certify``. Outputs are
        those of :func:`certify_difference`: scores before a softmax, or predictions.
    certify : bool or region, default=False
        Where to compare both networks for certain: True for the smallest box that holds all rows
        of ``X``, or a region of :func:`certify` in the columns of ``X``. The attribute
        ``certified`` of the report then holds the certified Lipschitz constants before and after,
        and the certified difference of each output. It takes up to 90 seconds.
    scoring : str or callable, optional
        As in scikit-learn, for ``max_score_drop``. Default: the estimator's ``score``.
    validation_data : (X, y), optional
        Rows to judge ``max_score_drop`` on, which neither network was trained on. Without them a
        fifth of the rows is set aside. If the dense network was trained on
        those rows, the drop is overestimated and the result is larger than necessary.
    task : {"classification", "regression", "multilabel"}, optional
        What the outputs of a PyTorch network mean; other models know. By default a final Softmax
        or LogSoftmax, or a Sigmoid of one output, makes it a classifier, and a Sigmoid of several
        outputs gives labels of which a row may have several. Raw outputs are those of a
        classifier if there are several and ``y`` is one label per row, or if ``y`` holds strings
        or truth values. Without ``y``, raw outputs are numbers: a network of logits becomes a
        BCDRegressor that predicts the logits; give ``task="classification"`` for a
        BCDClassifier. Targets that can be read in two ways, such as labels 0 and 1 for one output,
        are refused.
    class_labels : array-like, optional
        The classes of a PyTorch classifier, in the order of its outputs; for one output two, that
        of negative outputs first. By default 0, 1, ... if ``y`` holds such numbers and 0 is among
        them, and the sorted labels of ``y`` if there are as many as outputs.
    allocation : {"global", "uniform"}, default="global"
        With one ``Prune`` of a given sparsity for all hidden layers: "global" takes it as the
        sparsity of all of them together and gives each layer what it needs, "uniform" prunes
        every layer by as much.
    epochs : float or "auto", default="auto"
        Passes of the refinement over the rows. 0 leaves it out, which takes seconds. "auto" takes
        3000 steps of 200 rows, but at most 80 passes, and 100 for low rank and tensor trains; and
        half as many again, up to 40, where all weights of a layer are codes of at most 4 bits.
    sample_weight : (n_samples,) array, optional
        Non-negative weights of the rows.
    random_state : int, RandomState or None, default=None
        Chooses rows and their order.
    verbose : int, default=0
        1 shows a progress bar on stderr with the time that is left, or a line now and then where
        there is no terminal, and one line for each size that ``max_score_drop`` tries. 2 says more.

    Returns
    -------
    BCDClassifier, BCDRegressor, Pipeline or TransformedTargetRegressor
        Fitted, with the classes and feature names of ``model``; ``compression_report_`` tells
        what was saved. A Pipeline keeps its (copied) preprocessing. Of a search, its
        ``best_estimator_`` compressed. In a TransformedTargetRegressor, scores are those of the
        transformed targets.

    Raises
    ------
    TypeError, ValueError
        For a model or layer that is not supported, outputs that differ from those of ``model``,
        data that do not fit it or can be read in two ways, weights that are not finite, or a
        budget that cannot be met.

    Warns
    -----
    BudgetWarning
        If ``max_score_drop`` cannot be met; the best network found is returned.
    ConvergenceWarning
        After an interruption (Ctrl-C) during the refinement or the search; the best network so far
        is returned.

    Notes
    -----
    The layers are fitted as in optimal brain surgeon and GPTQ (Frantar et al., arXiv:2208.11580,
    arXiv:2210.17323), in the metric of the inputs, but by the solvers of each scheme; the
    refinement is block coordinate descent in shortened steps, after NN-BCD (arXiv:2303.06815).

    Cost: n (d^2 + 2 d m) flops for what the data say of a layer of d inputs and m outputs, from at
    most 20,000 rows, and O(d^3 + d^2 m) for its scheme; then 6 flops in the refinement for each
    weight that is left and each row that passes, and once per epoch 8000 d^2 for the metric of a
    layer and the inverses on its supports. Memory: the rows in the network's type, d^2 numbers for
    a layer, and 60 MB at most for its inverses.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.neural_network import MLPClassifier
    >>> from fastbcd import compress
    >>> X, y = load_digits(return_X_y=True)
    >>> mlp = MLPClassifier((64,), max_iter=50, random_state=0, tol=1).fit(X, y)
    >>> small = compress(mlp, X, y, ratio=4, random_state=0)
    >>> small.compression_report_.ratio >= 4
    True
    """
    options: dict[str, Any] = {
        "scheme": scheme,
        "max_bytes": max_bytes,
        "ratio": ratio,
        "max_score_drop": max_score_drop,
        "max_error": max_error,
        "scoring": scoring,
        "allocation": allocation,
        "epochs": epochs,
        "sample_weight": sample_weight,
        "random_state": random_state,
        "verbose": verbose,
    }
    told: dict[str, Any] = {"task": task, "class_labels": class_labels}
    wrapper = unwrap(model)
    if wrapper is not None:
        rows = wrapper.rows(X)
        check_rows(model, wrapper, X, rows)
        if validation_data is not None and is_pair(validation_data):  # others are refused later
            judges, goals = validation_data
            goals = None if goals is None else wrapper.targets(goals)
            validation_data = wrapper.rows(judges), goals
        targets = None if y is None else wrapper.targets(y)
        region = region_inside(model, certify) if wants(certify) else False
        options |= {"validation_data": validation_data, "certify": region, **told}
        inner = compress(wrapper.inner, rows, targets, **options)
        small = wrapper.wrap(inner)
        small.compression_report_ = inner.compression_report_
        return small
    check_options(
        scheme,
        max_bytes,
        ratio,
        max_score_drop,
        allocation,
        validation_data,
        certify,
        max_error,
    )
    options["certify"] = certify
    if isinstance(model, BCDEstimator):
        check_is_fitted(model)
        return compress_fitted(model, X, y, validation_data=validation_data, **told, **options)
    rows, input_shape = image_rows(model, X)
    known = y
    if validation_data is not None:
        judges, goals = validation_data
        known = goals if y is None else y
        validation_data = image_rows(model, judges)[0], goals
    source = read(model, known, input_shape, **told)
    return compress_source(
        source,
        lambda network: estimator_of(source, network),
        rows,
        y,
        validation_data=validation_data,
        agree=lambda: check_agreement(source, model, X),
        **options,
    )
