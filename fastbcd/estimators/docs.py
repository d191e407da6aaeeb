"""The part of the estimators' docstrings that they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

SHARED = """hidden_layer_sizes : int, layer, or sequence of them, default=(100,)
        Widths of the hidden layers. For images and signals, convolutions and poolings of
        :mod:`fastbcd.network.layers.specs` may come first.
    input_shape : (h, w) or (h, w, c), default=None
        What images the rows of ``X`` are, pixel by pixel; convolutions, poolings and
        ``random_shift`` need it.
    random_shift : int, default=0
        Pixels by which ``fit`` moves each image at most, up or down and to the left or right, at
        random each time that it is seen. Where things may lie a bit elsewhere, such as digits,
        1 or 2 can do as much as several times the rows. Mini-batches only.
    activation : {"relu", "leaky_relu", "hard_tanh", "identity"}, default="relu"
        Activation of the hidden layers.
    solver : {"auto", "full", "minibatch"}, default="auto"
        "full" takes exact sweeps over all data (arXiv 2303.06815); "minibatch" takes closed-form
        steps on batches, for anything but small data. "auto" is "full" with a certificate, or if
        there are fewer than 1000 rows and fewer than 1000 inputs of each layer, else
        "minibatch". The latter has its own schedule and reads none of
        ``rho, gamma, tau, alpha, init, tol, accelerate``; ``max_iter`` then bounds the epochs.
    loss : <loss choices>, default="auto"
        <loss help>
    scheme : Scheme, dict or None, default=None
        How to compress while training: one scheme for all hidden layers, or
        ``{layer index or "output": scheme}``. The output layer stays dense unless it is named.
        ``predict`` always uses the compressed weights.
    rho : float, default=1.0
        Penalty of the linear residuals, ||U - V W - b||^2 / 2.
    gamma : float, default=1.0
        Penalty of the activation residuals, ||V - sigma(U)||^2 / 2.
    tau : float or "auto", default="auto"
        Penalty that ties the weights to their compressed copies. A number keeps it constant, as
        published. "auto" lets it grow to rho times the number of samples, so that pruned
        weights can come back early on. It starts, layer by layer, from 0.3 of what the data
        weigh a weight: rho times the mean square of the layer's inputs, summed over the samples.
    alpha : float, default=1.0
        Weight of the proximal terms: larger takes shorter, safer steps.
    init : {"orthogonal", "xavier_normal", "xavier_uniform", "lecun_normal", "lecun_uniform", \
            "kaiming_normal", "kaiming_uniform", "uniform"}, default="orthogonal"
        Distribution of the starting weights, which are then made small; see
        :mod:`fastbcd.solvers.starts`.
    max_iter : int, default=1000
        Most sweeps over the data.
    tol : float, default=<tol>
        The fit has converged when the last ``n_iter_no_change`` sweeps lowered the objective by
        less than ``tol`` times its value at the start, per sweep.
    n_iter_no_change : int, default=10
        See ``tol``; with ``early_stopping``, the sweeps without a better validation score
        that end the fit.
    early_stopping : bool, default=False
        Hold out data, keep the network of the best validation score, and stop when it no longer
        improves. ``fit`` takes the held-out data as ``X_val, y_val``, or sets aside
        ``validation_fraction`` of the rows: of each class, with at least one row of each class on
        either side. ``partial_fit`` refuses it.
    validation_fraction : float, default=0.1
        Share of the rows that ``early_stopping`` sets aside.
    warm_start : bool, default=False
        Start from the weights of the previous fit.
    accelerate : bool, default=True
        Extrapolate after each sweep where that lowers the objective, and start from balanced
        penalties, rho = gamma = alpha = 1, which become the given ones from sweep 15 to 30.
    certificate : bool, default=False
        Record the decrease of each block and the subgradient of each sweep in
        ``convergence_``. About doubles the time.
    random_state : int, RandomState or None, default=None
        Seeds the starting weights and the split of ``early_stopping``.
    verbose : int, default=0
        1 prints some sweeps or epochs to stderr, 2 prints all: seconds, objective, validation
        score, size, and the time left at most."""

ATTRIBUTES = """network_ : Network
        The fitted network. ``network_.forward(X)`` skips all checks.
    layers_ : list of Format
        Weights of each layer as they are stored.
    coefs_, intercepts_ : lists of arrays
        Dense weights (n_in, n_out), equal to what ``predict`` uses, and intercepts.
    compression_report_ : CompressionReport
        Parameters, bytes and operations of each layer.
    convergence_ : ConvergenceRecord
        Parts of the objective and steps of every sweep, in units of the scaled data.
    objective_curve_ : array
        Objective at the start and after each sweep; mean loss of each epoch or call with
        mini-batches.
    validation_scores_ : list of float
        Score after each sweep, with ``early_stopping``: accuracy, or R² (minus the mean squared
        error if the held-out targets do not vary).
    n_iter_, best_iter_ : int
        Sweeps taken, and the sweep whose network was kept.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : array of str
        Names of the features, if ``X`` had any."""

T = TypeVar("T", bound=type)


def shared(loss_choices: str, loss_help: str, tol: str) -> Callable[[T], T]:
    """Return a decorator that fills ``<parameters>`` and ``<attributes>`` of a class docstring."""
    parameters = SHARED
    for mark, text in (("loss choices", loss_choices), ("loss help", loss_help), ("tol", tol)):
        parameters = parameters.replace(f"<{mark}>", text)

    def fill(cls: T) -> T:
        doc = (cls.__doc__ or "").replace("<parameters>", parameters)
        cls.__doc__ = doc.replace("<attributes>", ATTRIBUTES)
        return cls

    return fill
