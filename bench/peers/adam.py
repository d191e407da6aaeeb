"""Multi-layer perceptrons trained by Adam, and pruned by magnitude: the usual way.

Plain PyTorch: ReLU hidden layers, cross-entropy or squared error, shuffled mini-batches, the
default Adam (Kingma and Ba, arXiv:1412.6980) at a constant rate. Pruning removes the smallest
weights of the hidden layers once and trains the others on (Han et al., arXiv:1506.02626).
Samples are rows. Standardise X beforehand; what the caller does to X is not timed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

try:
    import torch
except ImportError as error:
    raise ImportError('The Adam baseline needs PyTorch: pip install "fastbcd[torch]"') from error


@dataclass
class AdamNet:
    """A network trained by `fit_adam` or `prune_and_finetune`.

    Attributes
    ----------
    network : torch.nn.Sequential
        Linear layers with ReLU between them.
    classes : array of shape (n_classes,) or None
        Labels in the order of the outputs; None for a regression.
    epoch_seconds : list of float
        Training time of each epoch, without the callback.
    scores : list of float
        What the callback returned after each epoch.
    """

    network: torch.nn.Sequential
    classes: NDArray[Any] | None
    epoch_seconds: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    @property
    def linear_layers(self) -> list[torch.nn.Linear]:
        """The linear layers, first to last."""
        return [layer for layer in self.network if isinstance(layer, torch.nn.Linear)]

    def decision_function(self, X: ArrayLike) -> NDArray[np.float32]:
        """Compute the raw outputs, of shape (n_samples, n_outputs)."""
        with torch.no_grad():
            return np.asarray(self.network(_tensor(X)).numpy())

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float32]:
        """Compute the class probabilities, of shape (n_samples, n_classes)."""
        if self.classes is None:
            raise AttributeError("predict_proba needs a classifier; this network is a regressor.")
        return np.asarray(torch.from_numpy(self.decision_function(X)).softmax(dim=1).numpy())

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predict labels (n_samples,), or targets (n_samples, n_targets), flat if only one."""
        outputs = self.decision_function(X)
        if self.classes is not None:
            return np.asarray(self.classes[outputs.argmax(axis=1)])
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Compute the accuracy of a classifier, or the mean R^2 of a regressor."""
        y, predicted = np.asarray(y), self.predict(X)
        if self.classes is not None:
            return float(np.mean(predicted == y))
        y, predicted = y.reshape(len(y), -1), predicted.reshape(len(y), -1)
        residual = ((y - predicted) ** 2).sum(axis=0)
        return float(np.mean(1.0 - residual / ((y - y.mean(axis=0)) ** 2).sum(axis=0)))


#: Called after each epoch with the network; its result is kept in `AdamNet.scores`.
Callback = Callable[[AdamNet], float]


def fit_adam(
    X: ArrayLike,
    y: ArrayLike,
    hidden: Sequence[int],
    epochs: int,
    seed: int = 0,
    *,
    task: Literal["classification", "regression"] = "classification",
    learning_rate: float = 1e-3,
    batch_size: int = 256,
    seconds: float = float("inf"),
    callback: Callback | None = None,
) -> AdamNet:
    """Train a multi-layer perceptron by Adam, in float32.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
    y : array of shape (n_samples,), or (n_samples, n_targets) for a regression
    hidden : sequence of int
        Number of units of each hidden layer.
    epochs : int
        Passes over the data.
    seed : int
        Fixes the first weights (PyTorch's default distribution) and the shuffling.
    task : {"classification", "regression"}
    learning_rate, batch_size : float, int
    seconds : float
        Training stops after this time, even within an epoch.
    callback : callable, optional
        Called as ``callback(net)`` after each epoch and not timed, for instance
        ``lambda net: net.score(X_test, y_test)``.

    Returns
    -------
    AdamNet
    """
    inputs, classes = _tensor(X), None
    if task == "classification":
        classes, codes = np.unique(np.asarray(y), return_inverse=True)
        targets, n_outputs = torch.from_numpy(codes), len(classes)
    else:
        targets = _tensor(y).reshape(len(inputs), -1)
        n_outputs = targets.shape[1]
    widths = [inputs.shape[1], *hidden, n_outputs]
    modules: list[torch.nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for n_in, n_out in pairwise(widths):
            modules += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
    net = AdamNet(torch.nn.Sequential(*modules[:-1]), classes)
    _train(net, inputs, targets, {}, epochs, seconds, seed, learning_rate, batch_size, callback)
    return net


def prune_and_finetune(
    net: AdamNet,
    X: ArrayLike,
    y: ArrayLike,
    sparsity: float,
    seconds: float,
    seed: int = 0,
    *,
    scope: Literal["layer", "global"] = "layer",
    learning_rate: float = 1e-3,
    batch_size: int = 256,
    callback: Callback | None = None,
) -> AdamNet:
    """Set the smallest hidden weights to zero, then train the remaining ones by Adam.

    Parameters
    ----------
    net : AdamNet
        Left as it is: a copy is pruned.
    X, y : arrays
        As in `fit_adam`; the labels must be among ``net.classes``.
    sparsity : float
        Share of the weights that become zero, in each hidden layer or over all of them. The
        output layer and the biases stay dense.
    seconds : float
        Training time; 0 prunes only.
    seed : int
        Fixes the shuffling.
    scope : {"layer", "global"}
        Rank the weights within each hidden layer, or all hidden layers together.
    learning_rate, batch_size, callback
        As in `fit_adam`.

    Returns
    -------
    AdamNet
        Its `epoch_seconds` and `scores` start anew.
    """
    pruned = AdamNet(copy.deepcopy(net.network), net.classes)
    inputs = _tensor(X)
    if net.classes is None:
        targets = _tensor(y).reshape(len(inputs), -1)
    else:
        targets = torch.from_numpy(np.searchsorted(net.classes, np.asarray(y)))
    weights = [layer.weight for layer in pruned.linear_layers[:-1]]
    groups = [weights] if scope == "global" else [[weight] for weight in weights]
    masks: dict[torch.Tensor, torch.Tensor] = {}
    with torch.no_grad():
        for group in groups:
            sizes = torch.cat([weight.abs().flatten() for weight in group])
            n_zero = round(sparsity * len(sizes))
            threshold = float(sizes.kthvalue(n_zero).values) if n_zero else -1.0
            for weight in group:
                masks[weight] = (weight.abs() > threshold).to(weight.dtype)
                weight.mul_(masks[weight])
    _train(pruned, inputs, targets, masks, None, seconds, seed, learning_rate, batch_size, callback)
    return pruned


def _train(
    net: AdamNet,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    masks: dict[torch.Tensor, torch.Tensor],
    epochs: int | None,
    seconds: float,
    seed: int,
    learning_rate: float,
    batch_size: int,
    callback: Callback | None,
) -> None:
    """Run Adam. A weight that is zero and whose gradient is masked stays exactly zero."""
    generator = torch.Generator().manual_seed(seed)
    loss = torch.nn.MSELoss() if net.classes is None else torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.network.parameters(), lr=learning_rate)
    spent = 0.0
    while (epochs is None or len(net.epoch_seconds) < epochs) and spent < seconds:
        start = perf_counter()
        order = torch.randperm(len(inputs), generator=generator)
        for first in range(0, len(inputs), batch_size):
            if spent + perf_counter() - start >= seconds:
                break
            batch = order[first : first + batch_size]
            optimizer.zero_grad()
            loss(net.network(inputs[batch]), targets[batch]).backward()
            for weight, mask in masks.items():
                if weight.grad is not None:
                    weight.grad.mul_(mask)
            optimizer.step()
        net.epoch_seconds.append(perf_counter() - start)
        spent += net.epoch_seconds[-1]
        if callback is not None:
            net.scores.append(callback(net))


def _tensor(values: ArrayLike) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
