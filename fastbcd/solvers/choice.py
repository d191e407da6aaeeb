"""What a fit is asked for, and which solver does it."""

from __future__ import annotations

from dataclasses import dataclass

from fastbcd.network.layers.activations import ACTIVATIONS, PIECEWISE
from fastbcd.network.layers.architecture import Architecture
from fastbcd.network.layers.patches import Shape3
from fastbcd.network.layers.specs import LayerSize, MaxPool2D
from fastbcd.schemes.by_layer import SchemeChoice

FULL_BELOW = 1000
"""Rows, and inputs of each layer, below which solver="auto" takes exact sweeps."""

BATCH_FROM = 30
"""Total weight of the rows from which solver="auto" lets networks race. With ``--rows 30`` of
``bench.tables`` their log loss is about 0.8 times that of scikit-learn's MLPClassifier, and that
of exact sweeps (``--solver full``) is almost twice. For fewer rows it counts more that a weight is
exactly a number of repetitions, which folds cannot promise."""

BATCH_UP_TO = 20_000
"""Rows up to which they race. More were not measured."""

BATCH_SIZE = 2048
"""Inputs up to which they race if there are as many rows (the smaller of both counts): the
eigenvectors of their covariance would cost too much."""

BATCH_WIDTH = 512
"""Width of the hidden layers up to which they race: each network inverts matrices of that size."""

BATCH_PRODUCTS = 100_000_000
"""Rows times weights up to which they race: width 100 on 20,000 rows of 50 columns. There a race
takes as long as scikit-learn's MLPClassifier, and three to five times one fit by mini-batches.
Whether it would pay beyond was not measured."""

BATCH_BYTES = 200_000_000
"""Bytes of the rows as float64 up to which they race."""


@dataclass(frozen=True)
class Settings:
    """What a fit needs to know besides the data. See the estimators for the meaning."""

    solver: str
    hidden_layer_sizes: tuple[LayerSize, ...]
    input_shape: Shape3 | None
    random_shift: int
    activation: str
    loss: str
    scale_targets: bool
    scheme: SchemeChoice
    rho: float
    gamma: float
    tau: float | str
    proximal: float
    init: str
    accelerate: bool
    certificate: bool
    warm_start: bool = False
    encoding: str | None = None
    alpha: float = 0.0
    batch_size: int | str = "auto"

    def __post_init__(self) -> None:
        shift = self.random_shift
        if shift and self.input_shape is None:
            raise ValueError(
                f"random_shift={shift} moves images: pass input_shape, their height, width and "
                "channels, or set random_shift=0."
            )
        if shift and (self.certificate or self.solver == "full"):
            raise ValueError(
                f"random_shift={shift} needs mini-batches, since exact sweeps see the same rows "
                'each time: set solver="minibatch" and certificate=False, or random_shift=0.'
            )
        exact = self.certificate or self.solver == "full"
        if self.activation not in ACTIVATIONS and exact:
            raise ValueError(
                f'activation="{self.activation}" has no exact step, and exact sweeps need one: set '
                f'one of {", ".join(ACTIVATIONS)}, or solver="auto" and certificate=False.'
            )
        pooled = any(isinstance(size, MaxPool2D) for size in self.hidden_layer_sizes)
        if self.activation not in PIECEWISE and pooled and exact:
            raise ValueError(
                f'activation="{self.activation}" has no exact step before a MaxPool2D: set one of '
                f'{", ".join(PIECEWISE)}, or solver="minibatch" and certificate=False, or replace '
                "the MaxPool2D by an AveragePool2D."
            )
        if self.solver == "batch" and not self.is_plain:
            raise ValueError(
                'solver="batch" trains plain dense networks: leave out scheme, certificate, '
                'input_shape, convolutions and poolings, or set solver="auto".'
            )

    @property
    def is_plain(self) -> bool:
        """Whether nothing but a chain of dense layers is asked for."""
        return (
            self.scheme is None
            and self.input_shape is None
            and not self.certificate
            and len(self.widths) == len(self.hidden_layer_sizes)
        )

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of the layers that are plain dense ones."""
        return tuple(size for size in self.hidden_layer_sizes if isinstance(size, int))


def choose_solver(
    settings: Settings, n_rows: int, n_features: int, total_weight: float | None = None
) -> str:
    """Return "full", "minibatch" or "batch".

    "auto" lets plain dense networks race ("batch") where the rows are enough to choose by and few
    enough for several networks, see ``BATCH_FROM`` and the constants after it. ``total_weight``
    counts as the number of rows for the lower bound; None is for fits that cannot race, because
    they go on from a network.

    "auto" takes exact sweeps where they are cheap and the activation is piecewise linear, and where
    a certificate is asked for, which only they can give; not for images that move. A sweep makes
    products of all rows, and solves systems as large as the inputs of a layer: it is cheap if both
    are below ``FULL_BELOW``.
    """
    if settings.solver != "auto":
        return settings.solver
    if settings.random_shift:
        return "minibatch"
    if settings.certificate:
        return "full"
    # What a fit starts from must come from the solver that goes on with it.
    fresh = not settings.warm_start
    if fresh and total_weight is not None and _can_race(settings, n_rows, n_features, total_weight):
        return "batch"
    layout = Architecture.of(settings.hidden_layer_sizes, n_features, 1, settings.input_shape)
    largest = max(n_rows, *(n_inputs for n_inputs, _ in layout.shapes))
    piecewise = settings.activation in PIECEWISE
    return "full" if piecewise and largest < FULL_BELOW else "minibatch"


def _can_race(settings: Settings, n_rows: int, n_features: int, total_weight: float) -> bool:
    """Return whether solver="auto" lets networks race."""
    layout = Architecture.of(settings.hidden_layer_sizes, n_features, 1, settings.input_shape)
    n_weights = sum(n_in * n_out for n_in, n_out in layout.shapes)
    return (
        settings.is_plain
        and 0 < max(settings.widths, default=0) <= BATCH_WIDTH
        and total_weight >= BATCH_FROM
        and n_rows <= BATCH_UP_TO
        and min(n_rows, n_features) <= BATCH_SIZE
        and n_rows * n_weights <= BATCH_PRODUCTS
        and 8 * n_rows * n_features <= BATCH_BYTES
    )
