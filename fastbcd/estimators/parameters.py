"""The parameters of the estimators, each declared once.

The checks, the docstrings and the warning about parameters that a solver does not read all come
from :data:`PARAMETERS`. The constructors repeat the names and defaults, because scikit-learn and
type checkers read those from the signature; a test compares them with this table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.layers.architecture import check_input_shape, check_layers
from fastbcd.solvers.starts import INITS
from fastbcd.utils import validation as check

SOLVERS = ("batch", "full", "minibatch")
"""The solvers that "auto" chooses from."""

FULL = frozenset({"full"})
MINIBATCH = frozenset({"minibatch"})
NOT_BATCH = frozenset({"full", "minibatch"})
EVERY = frozenset(SOLVERS)


@dataclass(frozen=True)
class Parameter:
    """One parameter of the estimators.

    Parameters
    ----------
    name : str
        Its name.
    kind : str
        Type and range, as a docstring gives them; ``<name>`` stands for what differs by class.
    default : object
        Its default; None may be one.
    text : str
        What it does, in plain text.
    check : callable, optional
        Takes name and value; returns the value in its own type or raises ValueError. Without one
        the value is checked where it is used.
    read_by : frozenset of str
        The solvers that read it.
    """

    name: str
    kind: str
    default: Any
    text: str
    check: Callable[[str, Any], Any] | None = None
    read_by: frozenset[str] = EVERY


def positive(name: str, value: Any) -> float:
    """Return a finite number above zero."""
    return check.check_number(name, value, 0)


def one_of(*choices: str) -> Callable[[str, Any], str]:
    """Return the check of a choice."""
    return lambda name, value: check.check_choice(name, value, choices)


def at_least(low: int) -> Callable[[str, Any], int]:
    """Return the check of an integer."""
    return lambda name, value: check.check_integer(name, value, low)


def auto_or_none(name: str, value: Any) -> str | None:
    """Return "auto" or None."""
    if value is None or (isinstance(value, str) and value == "auto"):
        return value
    raise ValueError(f'{name} must be "auto" or None; got {value!r}.')


def positive_or_auto(name: str, value: Any) -> float | str:
    """Return a finite number above zero, or "auto"."""
    if isinstance(value, str) and value == "auto":
        return value
    if isinstance(value, str):
        raise ValueError(f'{name} must be a number above 0 or "auto"; got {value!r}.')
    return check.check_number(name, value, 0)


def rows_or_auto(name: str, value: Any) -> int | str:
    """Return an integer of at least one, or "auto"."""
    if isinstance(value, str) and value == "auto":
        return value
    if isinstance(value, str):
        raise ValueError(f'{name} must be an integer of at least 1 or "auto"; got {value!r}.')
    return check.check_integer(name, value, 1)


def choices(names: Any) -> str:
    """Return names as a docstring lists them."""
    return "{" + ", ".join(f'"{name}"' for name in names) + "}"


PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "hidden_layer_sizes",
        "int, layer, or sequence of them",
        (100,),
        "Widths of the hidden layers. For images and signals, convolutions and poolings of "
        ":mod:`fastbcd.layers` may come first.",
        lambda name, value: check_layers(value),
    ),
    Parameter(
        "input_shape",
        "(h, w) or (h, w, c)",
        None,
        "Shape of the images that the rows of ``X`` hold, pixel by pixel. Required by "
        "convolutions, poolings and ``random_shift``.",
        lambda name, value: check_input_shape(value),
    ),
    Parameter(
        "random_shift",
        "int",
        0,
        "Maximum random shift of an image in pixels, vertically and horizontally, drawn anew each "
        "time the image is used. If objects can appear slightly shifted, as digits can, a shift of "
        "1 or 2 may help as much as several times more training data.",
        at_least(0),
        MINIBATCH,
    ),
    Parameter(
        "activation",
        choices(ALL_ACTIVATIONS),
        "relu",
        "Activation of the hidden layers: ``relu`` is max(u, 0), ``leaky_relu`` max(u, 0.01 u), "
        "``hard_tanh`` min(max(u, -1), 1), ``identity`` u, ``logistic`` s(u) = 1 / (1 + exp(-u)), "
        "``tanh`` tanh(u), ``softplus`` log(1 + exp(u)), ``silu`` u s(u), and ``gelu`` u Phi(u), "
        "where Phi(u) = (1 + erf(u / sqrt(2))) / 2 is exact and not the approximation by tanh. "
        'solver="full" trains with all but the last three, with "logistic" and "tanh" not before a '
        'MaxPool2D. With the smooth ones, "logistic" and those after it, solver="auto" is "batch" '
        'or "minibatch", unless ``certificate=True``.',
        one_of(*ALL_ACTIVATIONS),
    ),
    Parameter(
        "encoding",
        '"auto" or None',
        "auto",
        '"auto" also trains networks whose first layer reads numeric columns through ramps '
        "between their quantiles, and chooses one if it clearly lowers the loss on held-out rows;"
        " see "
        ":class:`fastbcd.network.layers.encoding.PiecewiseLinearEncoding`. The first weights then "
        "have a row for each column and each ramp: the network is larger, and can be compressed. "
        "None uses the columns unchanged.",
        auto_or_none,
        frozenset({"batch"}),
    ),
    Parameter(
        "solver",
        choices(("auto", *SOLVERS)),
        "auto",
        '"batch" trains a few kinds of networks on batches, chooses among them by their loss on '
        "held-out rows, and calibrates the probabilities; it trains plain dense "
        'networks without a scheme. "full" performs exact sweeps over all data (arXiv 2303.06815). '
        '"minibatch" takes preconditioned gradient steps on batches, for large data, images and '
        "schemes. "
        '"auto" is "full" with a certificate, "batch" for tables of moderate size, "full" for '
        "fewer than 1000 rows and fewer than 1000 inputs of each layer, and otherwise "
        '"minibatch".',
        one_of("auto", *SOLVERS),
    ),
    Parameter("loss", "<loss choices>", "auto", "<loss help>"),
    Parameter(
        "scheme",
        "Scheme, dict or None",
        None,
        "Compression during training: one scheme for all hidden layers, or ``{layer index or "
        '"output": scheme}``. The output layer stays dense unless it is named. ``predict`` always '
        "uses the compressed weights.",
    ),
    Parameter(
        "alpha",
        "float",
        0.0,
        "L2 penalty, as in scikit-learn: ``alpha / (2 n)`` times the sum of the squared weights, "
        "not of the intercepts, is added to the mean loss of ``n`` rows (of their total weight, if "
        "rows have weights). The penalty applies to the weights of ``X`` as you pass it, so "
        "standardise ``X``. Regression targets are measured in standard deviations.",
        lambda name, value: check.check_number(name, value, 0, strict=False),
    ),
    Parameter(
        "batch_size",
        'int or "auto"',
        "auto",
        'Number of rows per step. "auto" chooses it from the number of rows. A number above the '
        "number of rows is reduced to it, with a warning.",
        rows_or_auto,
        frozenset({"batch", "minibatch"}),
    ),
    Parameter(
        "rho",
        "float",
        1.0,
        "Penalty on the linear residuals, ||U - V W - b||^2 / 2.",
        positive,
        FULL,
    ),
    Parameter(
        "gamma",
        "float",
        1.0,
        "Penalty on the activation residuals, ||V - sigma(U)||^2 / 2.",
        positive,
        FULL,
    ),
    Parameter(
        "tau",
        'float or "auto"',
        "auto",
        "Penalty that ties the weights to their compressed copies. A number keeps it constant, as "
        'published. "auto" lets it grow to rho times the number of samples, so that pruned '
        "weights can return early in the fit. In each layer, it starts from 0.3 times the mean "
        "curvature of the data term with respect to a weight: rho times the mean square of the "
        "layer's inputs, summed over the samples.",
        positive_or_auto,
        FULL,
    ),
    Parameter(
        "proximal",
        "float",
        1.0,
        "Weight of the proximal terms. A larger weight leads to shorter, safer steps.",
        positive,
        FULL,
    ),
    Parameter(
        "init",
        choices(INITS),
        "orthogonal",
        "Distribution of the starting weights, which are then scaled down; see "
        ":mod:`fastbcd.solvers.starts`.",
        one_of(*INITS),
        FULL,
    ),
    Parameter(
        "max_iter",
        "int",
        1000,
        "Maximum number of sweeps over the data, or of epochs with mini-batches.",
        at_least(1),
    ),
    Parameter(
        "tol",
        "float",
        "<tol>",
        "The fit has converged if, on average, each of the last ``n_iter_no_change`` sweeps "
        "lowered the objective by less than ``tol`` times its value at the start.",
        lambda name, value: check.check_number(name, value, 0, strict=False),
        FULL,
    ),
    Parameter(
        "n_iter_no_change",
        "int",
        10,
        "See ``tol``. With ``early_stopping``, the number of sweeps without a better validation "
        "score that end the fit.",
        at_least(1),
    ),
    Parameter(
        "early_stopping",
        "bool",
        False,
        "Hold out data, keep the network with the best validation score, and stop when the score "
        "no longer improves. Pass the held-out data to ``fit`` as ``X_val, y_val``; otherwise "
        "``fit`` holds out ``validation_fraction`` of the rows, stratified by class, with at "
        "least one row of each class in both parts. ``partial_fit`` does not support it.",
        check.check_flag,
    ),
    Parameter(
        "validation_fraction",
        "float",
        0.1,
        "Share of the rows that ``early_stopping`` holds out.",
        check.check_fraction,
    ),
    Parameter(
        "warm_start",
        "bool",
        False,
        'Start from the weights of the previous fit. solver="auto" then trains a single network, '
        'from the first fit on, by "full" or "minibatch".',
        check.check_flag,
    ),
    Parameter(
        "accelerate",
        "bool",
        True,
        "Extrapolate after each sweep if that lowers the objective, and start with balanced "
        "penalties, rho = gamma = proximal = 1, which change to the given values from sweep 15 to"
        " 30.",
        check.check_flag,
        FULL,
    ),
    Parameter(
        "certificate",
        "bool",
        False,
        "Record the decrease of each block and the subgradient of each sweep in ``convergence_``. "
        "This roughly doubles the time.",
        check.check_flag,
        FULL,
    ),
    Parameter(
        "random_state",
        "int, RandomState or None",
        None,
        "Seed of the starting weights, the order of the rows and the split of ``early_stopping``.",
    ),
    Parameter(
        "verbose",
        "int",
        0,
        "1 prints some sweeps or epochs to stderr, 2 prints all: seconds, objective, validation "
        "score, size, and an upper bound of the remaining time.",
        lambda name, value: check.check_verbose(value),
    ),
)
"""All parameters that the classifier and the regressor share, in the order of the signature."""


def checked(estimator: Any, *names: str) -> dict[str, Any]:
    """Return the parameters ``names`` of an estimator, or all of them, each in its own type.

    Raises
    ------
    ValueError
        That names the parameter, its value and what it may be.
    """
    found = {}
    for parameter in PARAMETERS:
        if parameter.check is not None and (not names or parameter.name in names):
            value = getattr(estimator, parameter.name)
            found[parameter.name] = parameter.check(parameter.name, value)
    return found


def unread(estimator: Any, solver: str) -> list[str]:
    """Return the parameters that were set, to other values than their defaults, and not read.

    Parameters
    ----------
    estimator : BCDEstimator
        Its parameters are compared with the defaults of its constructor.
    solver : str
        The solver that fits it.
    """
    defaults = type(estimator)().get_params(deep=False)
    given = estimator.get_params(deep=False)
    return [
        parameter.name
        for parameter in PARAMETERS
        if solver not in parameter.read_by
        and isinstance(given[parameter.name], str | check.REAL)  # None asks for nothing
        and given[parameter.name] != defaults[parameter.name]
    ]


def described(indent: str = "    ") -> str:
    """Return the parameters as the section of a numpydoc docstring, the first line not indented."""
    lines = []
    for parameter in PARAMETERS:
        default = parameter.default
        shown = default if default == "<tol>" else repr(default).replace("'", '"')
        lines.append(f"{indent}{parameter.name} : {parameter.kind}, default={shown}")
        text = parameter.text
        readers = ", ".join(f'"{name}"' for name in sorted(parameter.read_by))
        if parameter.read_by != EVERY:
            text += f" Read by solver={readers} only."
        lines += wrap(text, 100, initial_indent=indent * 2, subsequent_indent=indent * 2)
    return "\n".join(lines).lstrip()
