"""Fitted networks as PyTorch modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fastbcd._types import Float
from fastbcd.export._images import refuse_images
from fastbcd.formats import Format, LowRankMatrix

if TYPE_CHECKING:
    import torch

LEAK = 0.01
"""Slope of the leaky ReLU for negative arguments."""


def to_torch(estimator: Any) -> torch.nn.Sequential:
    """Return the network as a ``torch.nn.Sequential`` of linear layers and activations.

    Its outputs are those of ``estimator.network_.forward``: the logits of a classifier, on which
    ``torch.nn.CrossEntropyLoss`` works (``argmax(1)`` is an index into ``estimator.classes_``), or
    the predictions of a regressor, (n, n_outputs).

    Low-rank layers become two linear layers, so that they stay small and fast. All others become
    dense: PyTorch has no modules for them. Training goes on with all of their weights.

    Parameters
    ----------
    estimator : BCDClassifier or BCDRegressor
        Fitted.

    Returns
    -------
    torch.nn.Sequential
        In evaluation mode, of the type of the network's numbers.

    Raises
    ------
    ImportError
        If PyTorch is not installed: ``pip install 'fastbcd[torch]'``.
    """
    check_is_fitted(estimator)
    try:
        import torch
    except ImportError:
        raise ImportError("to_torch needs PyTorch: pip install 'fastbcd[torch]'") from None
    activations: dict[str, Callable[[], torch.nn.Module]] = {
        "relu": torch.nn.ReLU,
        "leaky_relu": lambda: torch.nn.LeakyReLU(LEAK),
        "hard_tanh": torch.nn.Hardtanh,
        "logistic": torch.nn.Sigmoid,
        "tanh": torch.nn.Tanh,
    }
    refuse_images(estimator.network_, "to_torch")
    modules: list[torch.nn.Module] = []
    for layer in estimator.network_.layers:
        *thin, last = _factors(layer.weight)
        modules += [_linear(torch, factor) for factor in thin]
        modules.append(_linear(torch, last, layer.intercept))
        if layer.activation != "identity":
            modules.append(activations[layer.activation]())
    return torch.nn.Sequential(*modules).eval()


def _factors(weight: Format) -> list[Float]:
    """Return the matrices to multiply by, one after another."""
    n_in, n_out = weight.shape
    if isinstance(weight, LowRankMatrix) and weight.rank * (n_in + n_out) < n_in * n_out:
        return [weight.left, weight.right]
    return [weight.to_dense()]


def _linear(torch: Any, weight: Float, intercept: Float | None = None) -> Any:
    # Empty at first, so that no random numbers are drawn.
    linear = torch.nn.utils.skip_init(torch.nn.Linear, *weight.shape, bias=intercept is not None)
    linear.weight = torch.nn.Parameter(torch.from_numpy(np.array(weight.T, order="C")))
    if intercept is not None:
        linear.bias = torch.nn.Parameter(torch.from_numpy(intercept.copy()))
    return linear
