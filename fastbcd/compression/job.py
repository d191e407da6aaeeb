"""A source network and the data that it is compressed with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from fastbcd.compression import settings as compression_settings
from fastbcd.compression.lengths import automatic_epochs, batch_size, has_factors, times_longer
from fastbcd.compression.notes import INTERRUPTED, notes
from fastbcd.compression.one_shot import OneShot
from fastbcd.compression.report import CompressionReport, report
from fastbcd.compression.rows import Rows, own_targets
from fastbcd.compression.structures import aligned, keeps_features, structure_of
from fastbcd.compression.used import Used
from fastbcd.network.chunks import forward
from fastbcd.network.front import MOST_FEATURES, features, split
from fastbcd.network.layers.encoding import selection
from fastbcd.network.network import Layer, Network
from fastbcd.network.tasks import Task
from fastbcd.network.units import output_units, with_outputs_times
from fastbcd.schemes.by_layer import SchemeChoice
from fastbcd.schemes.protocol import Scheme
from fastbcd.solvers.reconstruct import Calibration, Reconstruction, remove_dead
from fastbcd.solvers.refine import Descent, Interrupted, Targets, refine
from fastbcd.solvers.refine import settings as refine_settings
from fastbcd.utils import validation as check
from fastbcd.utils.progress import Progress
from fastbcd.utils.types import Float, Float64
from fastbcd.utils.warnings import warn

Scorer: TypeAlias = Callable[[Network, Float, NDArray[Any]], float]
"""A function that returns the score of a network on inputs and decoded targets."""


@dataclass(frozen=True)
class Compressed:
    """A compressed network with its schemes and report.

    Parameters
    ----------
    network : Network
        The network.
    scheme : SchemeChoice
        The schemes of its layers, as the parameter ``scheme`` of an estimator.
    report : CompressionReport
        Sizes and errors.
    """

    network: Network
    scheme: SchemeChoice
    report: CompressionReport


def most_rows(n_features: int) -> int:
    """Return how many rows of so many features memory holds at once."""
    return max(1000, MOST_FEATURES // n_features)


class Job:
    """A network and the rows that it is compressed with.

    Each output of a regression is scaled to its own unit during the compression. Otherwise the
    errors of small outputs would be negligible next to those of large ones.

    A network that reads columns through an encoding is compressed as a function of the features.
    All networks of the job are such functions, but for those that leave it: :meth:`finish` and
    :meth:`whole` put the encoding back, without the features that nothing depends on any more.

    Parameters
    ----------
    network : Network
        Network to compress.
    task : Task
        Meaning of its outputs.
    rows : Rows
        Rows from the distribution of the future inputs.
    epochs : float or "auto"
        Number of passes of the refinement.
    random_state : RandomState
        Source of all random numbers.
    verbose : int
        Positive shows progress.
    judged : bool
        Whether networks are judged by their scores.
    held : Rows, optional
        Rows to judge on. By default a share of ``rows`` is held out, or all rows judge if this
        share is too small to compare networks.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        rows: Rows,
        epochs: float | str,
        random_state: np.random.RandomState,
        verbose: int = 0,
        judged: bool = False,
        held: Rows | None = None,
    ) -> None:
        self.original, self.task = network, task
        self.encoding = network.encoding
        self.interrupted = False
        self.settings = compression_settings.DEFAULTS
        self._random_state = random_state
        self.progress = Progress(verbose)
        self._units = None
        if task.kind == "numbers" and task.n_outputs > 1:
            self._units = output_units(forward(network, rows.x))
        self.network = self._in_units(network.on_features)
        labels = self._targets_in_units(rows.targets)
        present = np.arange(len(rows))
        if rows.weight is not None:
            present = np.flatnonzero(rows.weight > 0)
        # Rows of the layer-by-layer pass come from the front of this order.
        order = random_state.permutation(present)
        n_held = round(self.settings.held_out * order.size)
        self.sets_aside = judged and held is None and n_held >= self.settings.judging
        if self.sets_aside:
            chosen, order = order[:n_held], order[n_held:]
            self._held = self._judging(rows.x[chosen], None if labels is None else labels[chosen])
        elif judged and held is None:
            self._held = self._judging(rows.x[present], None if labels is None else labels[present])
        elif held is not None:
            self._held = self._judging(held.x, self._targets_in_units(held.targets))
        used = np.sort(order)
        self._order = np.searchsorted(used, order)
        whole = used.size == len(rows)
        self._x = rows.x if whole else rows.x[used]
        self._labels = labels if whole or labels is None else labels[used]
        self._weight = None if rows.weight is None else rows.weight[used]
        self._automatic: bool = epochs == "auto"
        if self._automatic:
            epochs = automatic_epochs(network, used.size, self.settings)
        self.epochs: float = check.check_number("epochs", epochs, 0, strict=False)
        self.use(self.network)

    @property
    def n_judging(self) -> int:
        """Number of rows that networks are judged on."""
        return len(self._held[0])

    def _judging(self, x: Float, targets: Float | None) -> tuple[Float, Float]:
        """Return rows to judge on, with their targets or the dense network's predictions."""
        if targets is None:
            return x, own_targets(self.whole(self.network), self.task, x)
        return x, targets

    def _in_units(self, network: Network) -> Network:
        return network if self._units is None else with_outputs_times(network, 1 / self._units)

    def _targets_in_units(self, targets: Float | None) -> Float | None:
        if targets is None or self._units is None:
            return targets
        scaled: Float = (targets / self._units).astype(targets.dtype)
        return scaled

    def in_original_units(self, network: Network) -> Network:
        """Return a network of this job with outputs in the units of the original one."""
        return network if self._units is None else with_outputs_times(network, self._units)

    def whole(self, network: Network, schemes: Sequence[Scheme | None] = ()) -> Network:
        """Return a network of this job as a function of rows as they are.

        Features without weights are left out, unless one of its ``schemes`` counts on them.
        """
        return network.encoded(self.encoding, keeps_features(schemes))

    def n_bytes(self, network: Network, schemes: Sequence[Scheme | None]) -> int:
        """Return the bytes of a network of this job and of what is left of its encoding."""
        return self.whole(network, schemes).n_bytes

    def encoding_bytes(self, network: Network, schemes: Sequence[Scheme | None]) -> int:
        """Return the bytes of what is left of the encoding behind a network of this job."""
        view = self.whole(network, schemes).encoding
        return 0 if view is None else view.n_bytes

    def use(self, network: Network) -> None:
        """Use ``network``, the source in its own or another type, as the network to compress."""
        self._x = self._x.astype(network.layers[0].weight.dtype, copy=False)
        self._dense_outputs = self._imitated = forward(self.whole(network), self._x)
        self._calibrate(network)

    def narrow(self, network: Network) -> None:
        """Compress ``network`` with fewer neurons instead, towards the same outputs."""
        self.network = network
        self._calibrate(network)

    def _calibrate(self, network: Network) -> None:
        rows = self._order[: self.settings.calibration_rows]
        if self.encoding is not None:
            rows = rows[: most_rows(network.n_inputs)]
        weight = None if self._weight is None else self._weight[rows]
        x = self._on_features(self._x[rows])
        self.calibration = Calibration(network, x, weight, self._classify)

    def _on_features(self, x: Float) -> Float:
        """Return what the networks of this job take for rows ``x``."""
        return x if self.encoding is None else self.encoding.rows(x)

    def drop_inputs(self) -> None:
        """Let inputs without weights leave the network: they become features of an encoding.

        It takes every column as it is, so nothing else changes.
        """
        if self.encoding is None:
            self.encoding = selection(self.network.n_inputs, self.network.layers[0].weight.dtype)

    def sample(self, n_rows: int, start: int = 0) -> tuple[Float, Float64 | None]:
        """Return some rows as the networks of this job take them, and their weights.

        Parameters
        ----------
        n_rows : int
            Number of rows; fewer if there are fewer.
        start : int, default=0
            Where they begin in the job's random order, which is a circle.
        """
        n_rows = min(n_rows, most_rows(self.network.n_inputs))
        rows = np.take(self._order, np.arange(start, start + n_rows), mode="wrap")
        rows = rows[: len(self._order)]
        weight = None if self._weight is None else self._weight[rows]
        return np.ascontiguousarray(self._on_features(self._x[rows])), weight

    @property
    def loss(self) -> str:
        """The loss that removals are priced in; see :mod:`fastbcd.statistics.curvature`."""
        if self._classify:
            return "softmax"
        return "sigmoid" if self.task.loss == "logistic" else "squared"

    def imitate(self, network: Network) -> None:
        """Use the outputs of ``network``, which may be better than the source, as targets."""
        self._imitated = forward(self.whole(network), self._x)

    def one_shot(self, schemes: list[Scheme | None]) -> OneShot:
        """Compress layer after layer."""
        result = self.reconstruct("compressing the layers", schemes)
        network, _ = remove_dead(result.network, aligned(schemes))
        self.progress.say(
            f"compressed layer by layer: {self.n_bytes(network, schemes):,} bytes", level=2
        )
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
        rate: float | None = None,
    ) -> Network:
        """Return the refined network, or ``network`` itself if no better one was found.

        After an interruption, it is the best network so far. Convolutions are not refined; the
        dense layers after them are, on the outputs of the convolutions. The refinement starts from
        ``descent``, if given, and takes a ``share`` of the epochs at ``rate``. If one of the
        ``schemes`` prunes in a structure, no support moves. Without a ``descent``, features of an
        encoding that have no weights get none.
        """
        fixed = descent is None and self.encoding is not None and not keeps_features(schemes)
        used = Used.of(network) if fixed else None
        front, tail = split(network if used is None else used.network)
        if self.epochs == 0 or self.interrupted or not tail.layers:
            return network
        x, targets = self.targets(front, tail.n_inputs, None if used is None else used.index)
        epochs = self.epochs
        if self._automatic and has_factors(tail):
            epochs = automatic_epochs(tail, len(x), self.settings)
        settings = replace(
            refine_settings.DEFAULTS,
            epochs=share * epochs,
            batch_size=batch_size(len(x), self.settings),
        )
        if rate is not None:
            settings = replace(settings, rate=rate)
        if any(map(structure_of, schemes)):
            settings = replace(settings, moving=0.0)
        self.progress.stage("refining", 1)

        def tell(done: int, total: int, loss: float) -> None:
            self.progress.update(done / total, f"best held-out loss {loss:.4g}")

        try:
            better = refine(tail, x, targets, settings, self._random_state, tell, descent)
        except Interrupted as interruption:
            self.interrupted = True
            better = interruption.best
        if better is tail:
            return network
        found = Network([*front, *better.layers])
        found = found if used is None else used.among_all(found)
        return remove_dead(found, aligned(schemes))[0]

    def length(self, network: Network) -> float:
        """Return the factor of the epochs for a refinement of ``network``."""
        if not self._automatic:
            return 1.0
        return times_longer(network, self.epochs, self.settings)

    def targets(
        self, front: Sequence[Layer], n_inputs: int, used: NDArray[np.intp] | None = None
    ) -> tuple[Float, Targets]:
        """Return the ``n_inputs`` inputs of the layers after ``front``, and their targets.

        All rows are used, or after convolutions or an encoding as many as fit in memory. Of an
        encoding only the features ``used`` are returned, if they are given.
        """
        # The outputs of a hinge loss are margins, not logits, so the network imitates them.
        labels = None if self.task.loss == "hinge" else self._labels
        several = self.task.loss == "logistic"
        classify = self._classify or several
        rows: slice | NDArray[np.intp] = slice(None)
        if front or self.encoding is not None:
            rows = np.sort(self._order[: most_rows(n_inputs)])
        # The dense network may have memorised the rows that judge.
        imitates = self.sets_aside and classify
        targets = Targets(
            self._imitated[rows],
            None if labels is None else labels[rows],
            classify,
            several=several,
            trust=self.settings.imitating_trust if imitates else None,
            smoothing=self.settings.imitating_smoothing if imitates else None,
            settings=refine_settings.DEFAULTS,
        )
        x = self._x[rows]
        if self.encoding is not None:
            return (self.encoding if used is None else self.encoding.take(used)).rows(x), targets
        return features(front, x), targets

    def held_out_score(self, network: Network, scorer: Scorer | None) -> float:
        """Return the score on the judging rows."""
        x, targets = self._held
        if scorer is None:
            return float(self.task.score(forward(self.whole(network), x), targets, None))
        goal = targets if self._units is None else (targets * self._units).astype(targets.dtype)
        whole = self.whole(self.in_original_units(network))
        return scorer(whole, x, self.task.decode(goal))

    def finish(
        self,
        network: Network,
        found: OneShot,
        choice: SchemeChoice = None,
        scores: tuple[float, float] | None = None,
    ) -> Compressed:
        """Return the compressed network with its report.

        Parameters
        ----------
        network : Network
            The compressed network.
        found : OneShot
            The result of the layer-by-layer pass.
        choice : SchemeChoice
            The scheme of the call; None for the schemes of ``found``.
        scores : (float, float), optional
            Scores before and after; by default measured on all rows, if there are labels.
        """
        self.progress.close()
        if self.interrupted:
            warn(INTERRUPTED.format(self.n_bytes(network, found.schemes)), ConvergenceWarning)
        named: SchemeChoice = {i: s for i, s in enumerate(found.schemes) if s is not None} or None
        judged = scores is not None
        if scores is None and self._labels is not None:
            before, after = (
                float(self.task.score(outputs, self._labels, self._weight))
                for outputs in (self._dense_outputs, forward(self.whole(network), self._x))
            )
            scores = before, after
        small = self.in_original_units(network)
        made = report(
            small,
            [layer.weight.to_dense() for layer in self.original.layers],
            *(scores or (None, None)),
            schemes=found.schemes,
            output_errors=found.errors,
            warnings=notes(
                self.whole(network, found.schemes),
                self.original,
                len(self.calibration.x),
                n_judging=self.n_judging if judged else None,
                sets_aside=self.sets_aside,
                interrupted=self.interrupted,
                refined=network is not found.network or self.epochs == 0,
            ),
            encoded=True,
            encoding=self.encoding,
            keep=keeps_features(found.schemes),
        )
        return Compressed(
            self.whole(small, found.schemes), named if choice is None else choice, made
        )

    @property
    def _classify(self) -> bool:
        """Whether the outputs are logits."""
        return self.task.is_softmax
