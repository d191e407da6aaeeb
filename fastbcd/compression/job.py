"""A source network and the data that it is compressed with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array

from fastbcd.compression.lengths import automatic_epochs, batch_size, has_factors, times_longer
from fastbcd.compression.notes import INTERRUPTED, notes
from fastbcd.compression.one_shot import OneShot
from fastbcd.compression.report import report
from fastbcd.compression.structures import aligned, structure_of
from fastbcd.io.importing.source import Source
from fastbcd.network.chunks import as_network_type, forward
from fastbcd.network.front import MOST_FEATURES, features, split
from fastbcd.network.network import Layer, Network
from fastbcd.schemes.by_layer import SchemeChoice
from fastbcd.schemes.protocol import Scheme
from fastbcd.solvers.reconstruct import Calibration, Reconstruction, remove_dead
from fastbcd.solvers.refine import Course, Descent, Interrupted, Targets, refine
from fastbcd.utils import validation as check
from fastbcd.utils.progress import Progress
from fastbcd.utils.rows import check_weights
from fastbcd.utils.types import Float

CALIBRATION_ROWS = 20_000
"""Rows of the layer-by-layer pass; more change little."""

HELD_OUT = 0.2
"""Share of the rows that max_score_drop is judged on."""

IMITATING = {"trust": 0.9, "smoothing": 0.0}
"""What is refined to where rows set aside judge. The dense network may have learned them by heart:
who generalises instead of imitating it falls behind on them."""


class Job:
    """A source network and the data that it is compressed with.

    Parameters
    ----------
    source : Source
        The network.
    X, y, sample_weight : arrays
        As given to ``compress``.
    epochs : float or "auto"
        Passes of the refinement.
    random_state : RandomState
        Chooses rows.
    verbose : int
        Positive shows progress.
    judged : bool
        Whether networks are judged by their scores, on ``validation_data`` or rows set aside.
    validation_data : (X, y) or None
        Rows to judge on.
    """

    def __init__(
        self,
        source: Source,
        X: ArrayLike,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None,
        epochs: float | str,
        random_state: np.random.RandomState,
        verbose: int,
        judged: bool,
        validation_data: tuple[ArrayLike, ArrayLike | None] | None,
    ) -> None:
        self.source = source
        self.interrupted = False
        self._random_state = random_state
        self.progress = Progress(verbose)
        x = self._inputs(X, "X")
        weight = check_weights(sample_weight, x)
        labels = None if y is None else self._encode(y, x)
        present = np.flatnonzero(weight > 0)
        # Rows of the layer-by-layer pass come from the front of this order.
        order = random_state.permutation(present)
        self.sets_aside: bool = judged and validation_data is None
        if self.sets_aside:
            n_held = round(HELD_OUT * order.size)
            if not 0 < n_held < order.size:
                raise ValueError(
                    f"max_score_drop needs rows to judge on; {order.size} are too few. Give "
                    "validation_data, or more rows."
                )
            held, order = order[:n_held], order[n_held:]
            goal = self._own_targets(x[held]) if labels is None else labels[held]
            self._held = (x[held], goal)
        elif judged and validation_data is not None:
            self._held = self._validation(*validation_data)
        used = np.sort(order)
        self._order = np.searchsorted(used, order)
        whole = used.size == len(x)
        self._x = x if whole else x[used]
        self._labels = labels if whole or labels is None else labels[used]
        self._weight = None if sample_weight is None else weight[used]
        self._automatic: bool = epochs == "auto"
        if self._automatic:
            epochs = automatic_epochs(source.network, used.size)
        self.epochs: float = check.check_number("epochs", epochs, 0, strict=False)
        self.use(source.network)

    def use(self, network: Network) -> None:
        """Compress ``network``, the source in its own type or another."""
        self._x = self._x.astype(network.layers[0].weight.dtype, copy=False)
        self._dense_outputs = self._imitated = forward(network, self._x)
        rows = self._order[:CALIBRATION_ROWS]
        weight = None if self._weight is None else self._weight[rows]
        self.calibration = Calibration(network, self._x[rows], weight, self._classify)

    def imitate(self, network: Network) -> None:
        """Let what refinements imitate be ``network``, which may know more than the source."""
        self._imitated = forward(network, self._x)

    def one_shot(self, schemes: list[Scheme | None]) -> OneShot:
        """Compress layer after layer."""
        result = self.reconstruct("compressing the layers", schemes)
        network, _ = remove_dead(result.network, aligned(schemes))
        self.progress.say(f"compressed layer by layer: {network.n_bytes:,} bytes", level=2)
        return OneShot(network, schemes, result.errors)

    def reconstruct(
        self, name: str, schemes: list[Scheme | None], of: Network | None = None
    ) -> Reconstruction:
        """Compress the layers of the dense network, or ``of`` another, under the bar ``name``."""
        calibration = self.calibration
        if of is not None:
            calibration = Calibration(
                of, calibration.x, calibration.sample_weight, calibration.classify
            )
        self.progress.stage(name, len(schemes))
        return calibration.reconstruct(schemes, lambda done, _: self.progress.update(done))

    def refined(
        self,
        network: Network,
        schemes: Sequence[Scheme | None],
        descent: Descent | None = None,
        share: float = 1.0,
        rate: float = Course.rate,
    ) -> Network:
        """Return the network after refinement, ``network`` itself if nothing better was found.

        If that is interrupted, the best so far. Convolutions stay as the layer-by-layer pass left
        them; the dense layers after them are refined on what they give. With a ``descent`` it
        starts there. It takes a ``share`` of the epochs, with steps of that ``rate``. Where one of
        the ``schemes`` prunes in a structure no support moves.
        """
        front, tail = split(network)
        if self.epochs == 0 or self.interrupted or not tail.layers:
            return network
        x, targets = self.task(front, tail.n_inputs)
        epochs = self.epochs
        if self._automatic and has_factors(tail):
            epochs = automatic_epochs(tail, len(x))
        course = Course(epochs=share * epochs, batch_size=batch_size(len(x)), rate=rate)
        if any(map(structure_of, schemes)):
            course = replace(course, moving=0.0)
        self.progress.stage("refining", 1)

        def tell(done: int, total: int, loss: float) -> None:
            self.progress.update(done / total, f"best held-out loss {loss:.4g}")

        try:
            better = refine(tail, x, targets, course, self._random_state, tell, descent)
        except Interrupted as interruption:
            self.interrupted = True
            better = interruption.best
        if better is tail:
            return network
        return remove_dead(Network([*front, *better.layers]), aligned(schemes))[0]

    def length(self, network: Network) -> float:
        """Return how many times the epochs ``network`` is to be refined."""
        if not self._automatic:
            return 1.0
        return times_longer(network, self.epochs)

    def task(self, front: Sequence[Layer], n_inputs: int) -> tuple[Float, Targets]:
        """Return what the layers after ``front`` see, ``n_inputs`` numbers, and what they shall do.

        Of all rows, or where images are behind it, of as many as memory holds.
        """
        # Neither margins nor the logits of several labels are indicators: such a network
        # imitates its own outputs.
        labels = None if self.source.task.loss in ("hinge", "logistic") else self._labels
        rows: slice | NDArray[np.intp] = slice(None)
        if front:
            rows = np.sort(self._order[: max(1000, MOST_FEATURES // n_inputs)])
        targets = Targets(
            self._imitated[rows],
            None if labels is None else labels[rows],
            self._classify,
            **(IMITATING if self.sets_aside and self._classify else {}),
        )
        return features(front, self._x[rows]), targets

    def held_out_score(self, network: Network, scorer: Callable[..., float] | None) -> float:
        """Return the score on the rows that were set aside."""
        x, targets = self._held
        if scorer is None:
            return float(self.source.task.score(forward(network, x), targets, None))
        return scorer(self.source.estimator(network), x, self.source.task.decode(targets))

    def finish(
        self,
        network: Network,
        found: OneShot,
        choice: SchemeChoice = None,
        scores: tuple[float, float] | None = None,
    ) -> Any:
        """Return the estimator with its report.

        Parameters
        ----------
        network : Network
            What it predicts with.
        found : OneShot
            Where the network came from.
        choice : SchemeChoice
            The scheme that was given; None for those of ``found``.
        scores : (float, float), optional
            Before and after; by default on all rows, if there are labels.
        """
        self.progress.close()
        if self.interrupted:
            warnings.warn(INTERRUPTED.format(network.n_bytes), ConvergenceWarning, stacklevel=5)
        small = self.source.estimator(network)
        named: SchemeChoice = {i: s for i, s in enumerate(found.schemes) if s is not None} or None
        small.scheme = named if choice is None else choice
        if scores is None and self._labels is not None:
            before, after = (
                float(self.source.task.score(outputs, self._labels, self._weight))
                for outputs in (self._dense_outputs, forward(network, self._x))
            )
            scores = before, after
        small.compression_report_ = report(
            network,
            [layer.weight.to_dense() for layer in self.source.network.layers],
            *(scores or (None, None)),
            schemes=found.schemes,
            output_errors=found.errors,
            warnings=notes(
                network,
                self.source.network,
                len(self.calibration.x),
                sets_aside=self.sets_aside,
                interrupted=self.interrupted,
                refined=network is not found.network or self.epochs == 0,
            ),
            encoded=True,
        )
        return small

    def _inputs(self, X: ArrayLike, name: str) -> Float:
        """Return inputs in the network's type."""
        raw = check_array(X, accept_sparse="csr", dtype=(np.float64, np.float32), input_name=name)
        n_features = self.source.network.n_inputs
        if raw.shape[1] != n_features:
            raise ValueError(
                f"{name} has {raw.shape[1]} features, the network takes {n_features}. Give the "
                "columns that it was trained on, in their order."
            )
        return as_network_type(raw, self.source.network)

    def _validation(self, X: ArrayLike, y: ArrayLike | None) -> tuple[Float, Float]:
        """Return rows to judge on, and their targets or the network's outputs."""
        x = self._inputs(X, "validation_data[0]")
        return x, self._own_targets(x) if y is None else self._encode(y, x)

    def _own_targets(self, x: Float) -> Float:
        """Return what the dense network says of rows, as targets."""
        outputs, task = forward(self.source.network, x), self.source.task
        return task.encode(task.decode(outputs), x.dtype) if task.kind == "labels" else outputs

    @property
    def _classify(self) -> bool:
        """Whether the outputs are logits."""
        return self.source.task.is_softmax

    def _encode(self, y: ArrayLike, x: Float) -> Float:
        targets = np.asarray(y)
        if len(targets) != len(x):
            raise ValueError(f"X has {len(x)} rows, y has {len(targets)}: one target per row.")
        encoded: Float = self.source.task.encode(targets, x.dtype)
        n_outputs = self.source.network.layers[-1].weight.shape[1]
        if encoded.shape[1] != n_outputs or not np.isfinite(encoded).all():
            raise ValueError(
                f"y must be finite and of {n_outputs} columns like the network's outputs; it has "
                f"{encoded.shape[1]}, and {np.sum(~np.isfinite(encoded))} values are not finite."
            )
        return encoded
