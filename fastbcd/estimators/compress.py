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

    The layers are compressed one after another. Each is fitted to the outputs of the dense layer,
    on the inputs that the previously compressed layers produce. Then all layers are refined
    together. Neurons without any effect are removed. With labels for at least 10,000 rows, a
    classifier that is only quantised is first fine-tuned as a dense network for 30 % of the epochs.

    Set exactly one budget: amounts in ``scheme``, ``max_bytes``, ``ratio``, ``max_score_drop`` or
    ``max_error``. With one of the last four, ``scheme`` may restrict the kinds to choose from,
    without an amount: ``Prune()``.

    Parameters
    ----------
    model : estimator
        A fitted BCDClassifier or BCDRegressor, an MLPClassifier or MLPRegressor of scikit-learn, a
        Pipeline, GridSearchCV, RandomizedSearchCV or TransformedTargetRegressor around one of them,
        or a torch.nn.Sequential of linear layers, convolutions, poolings and activations. The
        network that was read is compared with ``model`` on rows of ``X``.
    X : (n_samples, n_features) array or sparse matrix
        Typical input rows; 1,000 are useful, 20,000 are plenty. For a PyTorch network of images, an
        array (n_samples, channels, height, width); the compressed network takes rows,
        ``X.transpose(0, 2, 3, 1).reshape(len(X), -1)``. For a network that begins with Flatten, any
        array; unless it has four axes, the compressed network takes ``X.reshape(len(X), -1)``.
    y : array, optional
        Targets: labels (n_samples,), or indicators or numbers with one column per output. Without
        targets, the refinement imitates the outputs of the dense network. With ``loss="hinge"`` it
        does so in any case, and ``y`` is used only for scores.
    scheme : Scheme or dict, optional
        One scheme for all hidden layers, or ``{layer index or "output": scheme}``.
    max_bytes : int, optional
        Maximum number of bytes of all arrays. Weights are stored as float32.
    ratio : float, optional
        How many times smaller than the dense network the result must be, in bytes of all arrays.
        The size of the dense network is that of ``model`` with dense weights in their dtype, even
        if they are compressed already. The result may then be larger than ``model``, and the report
        says so.
    max_score_drop : float, optional
        Acceptable drop in score. The result is the smallest network found whose score on
        ``validation_data`` is at most this much below the score of the dense network.
    max_error : float, optional
        Acceptable difference of each output from the dense network's output, certified for every
        input of the region ``certify``. The result is the smallest network found that meets it.
        Outputs are scores before a softmax, or predictions, as in :func:`certify_difference`.
    certify : bool or region, default=False
        Where to certify the difference of both networks: True for the smallest box that holds all
        rows of ``X``, or a region of :func:`certify` in the columns of ``X``. The attribute
        ``certified`` of the report then holds the certified Lipschitz constants before and after,
        and the certified difference of each output. It takes up to 90 seconds.
    scoring : str or callable, optional
        As in scikit-learn, for ``max_score_drop``. Default: the estimator's ``score``.
    validation_data : (X, y), optional
        Rows that neither network was trained on. They are used for ``max_score_drop``. With labels
        they also calibrate the probabilities of a classifier, under any budget, by a factor on the
        outputs (Guo et al., ICML 2017), which the output layer absorbs; not with ``certify``, which
        compares the outputs with those of the dense network. Without them, a fifth of the rows is
        set aside for ``max_score_drop``; if the dense network was trained on those rows, the drop
        is overestimated and the result is larger than necessary.
    task : {"classification", "regression", "multilabel"}, optional
        Meaning of the outputs of a PyTorch network; for other models it is known. By default, a
        final Softmax or LogSoftmax, or a Sigmoid with one output, makes the network a classifier,
        and a Sigmoid with several outputs makes it a classifier with several labels per row. Raw
        outputs belong to a classifier if there are several and ``y`` is one label per row, or if
        ``y`` holds strings or booleans. Without ``y``, raw outputs are numbers: a network that ends
        in logits becomes a BCDRegressor that predicts the logits; set ``task="classification"`` to
        get a BCDClassifier. Ambiguous targets, such as labels 0 and 1 for one output, raise an
        error.
    class_labels : array-like, optional
        The classes of a PyTorch classifier, in the order of its outputs. For one output, two
        classes, first the one of negative outputs. By default 0, 1, ... if ``y`` holds such numbers
        and 0 occurs; otherwise the sorted labels of ``y``, if there are as many as outputs.
    allocation : {"global", "uniform"}, default="global"
        With one ``Prune`` for all hidden layers: "global" applies the sparsity to all of them
        together and distributes the weights among the layers; "uniform" prunes every layer to this
        sparsity.
    epochs : float or "auto", default="auto"
        Number of passes of the refinement over the rows. 0 skips the refinement; compression then
        takes seconds. "auto" means 3000 steps of 200 rows, but at most 80 passes (100 for low rank
        and tensor trains). If all weights of a layer are quantised to at most 4 bits, it is 1.5
        times as many, up to 40.
    sample_weight : (n_samples,) array, optional
        Non-negative weights of the rows.
    random_state : int, RandomState or None, default=None
        Seed of the choice and the order of rows.
    verbose : int, default=0
        1 shows a progress bar with the remaining time on stderr, or occasional lines without a
        terminal, and one line for each size that ``max_score_drop`` tries. 2 prints more details.

    Returns
    -------
    BCDClassifier, BCDRegressor, Pipeline or TransformedTargetRegressor
        The fitted estimator, with the classes and feature names of ``model``;
        ``compression_report_`` describes the compression. A Pipeline keeps a copy of its
        preprocessing. For a search, the compressed ``best_estimator_`` is returned. Scores in a
        TransformedTargetRegressor refer to the transformed targets.

    Raises
    ------
    TypeError, ValueError
        If a model or layer is not supported, the outputs of the network that was read differ from
        those of ``model``, the data do not fit or are ambiguous, weights are not finite, or a
        budget cannot be met.

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
    refinement takes preconditioned gradient steps layer by layer, derived from NN-BCD
    (arXiv:2303.06815).

    Cost: for a layer with d inputs and m outputs, the statistics of n rows (at most 20,000) take n
    (d^2 + 2 d m) flops, and its scheme takes O(d^3 + d^2 m). The refinement takes 6 flops per
    weight left and row, and in each epoch 8000 d^2 flops for the metric of a layer, plus the
    inverses on its supports. Memory: the rows in the dtype of the network, d^2 numbers per layer,
    and at most 60 MB for the inverses.

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
