"""What :func:`fastbcd.compression.compress` does, from budget to fitted estimator."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array

from fastbcd import _validation as check
from fastbcd._estimator import check_weights
from fastbcd._fitted import forward
from fastbcd._network import Layer, Network
from fastbcd._report import report
from fastbcd._types import Float
from fastbcd.exceptions import BudgetError, BudgetWarning
from fastbcd.formats import DenseMatrix
from fastbcd.importing import Source, as_network_type
from fastbcd.schemes import LowRank, Prune
from fastbcd.schemes._base import Level, Scheme, SchemeChoice, schemes_by_layer
from fastbcd.solvers.reconstruct import Calibration, allocate, count_dead, remove_dead
from fastbcd.solvers.reconstruct.refine import Course, Targets, refine

CALIBRATION_ROWS = 20_000
"""Rows of the layer-by-layer pass; more change little."""

STEPS = {True: 1500, False: 600}
"""Steps of an automatic refinement, with and without labels."""

HELD_OUT = 0.2
"""Share of the rows that max_score_drop is judged on."""

FULL, FILLS = 0.96, 4
"""A byte budget is spent when this share of it is; at most so many passes try to."""

SEARCH_FACTOR = 1.25
"""The search for the smallest size ends when it knows it up to this factor."""

Scorer = Callable[..., float]


@dataclass(frozen=True)
class Budget:
    """The one budget that was given.

    Parameters
    ----------
    kind : {"scheme", "max_bytes", "ratio", "max_score_drop"}
        Which one.
    amount : float
        Its value; unused for "scheme".
    scheme : SchemeChoice
        What was given as ``scheme``.
    allocation : {"global", "uniform"}
        How one sparsity is shared by the layers.
    """

    kind: str
    amount: float
    scheme: SchemeChoice
    allocation: str

    @classmethod
    def check(
        cls, scheme: Any, max_bytes: Any, ratio: Any, max_score_drop: Any, allocation: Any
    ) -> Budget:
        """Check that exactly one budget is given."""
        check.check_choice("allocation", allocation, ("global", "uniform"))
        numbers = {"max_bytes": max_bytes, "ratio": ratio, "max_score_drop": max_score_drop}
        given = {name: value for name, value in numbers.items() if value is not None}
        named = list(scheme.values()) if isinstance(scheme, Mapping) else [scheme]
        fixed = [s for s in named if isinstance(s, Scheme) and not s.is_open]
        if scheme is not None and (fixed or not given):
            given["scheme"] = 0.0
        if len(given) != 1:
            found = " and ".join(given) if given else "none"
            raise ValueError(
                "compress takes exactly one of scheme (with an amount), max_bytes, ratio, "
                f"max_score_drop; {found} given. With one of the last three, scheme may name kinds "
                "without an amount, such as Prune()."
            )
        kind, amount = next(iter(given.items()))
        if kind == "ratio":
            amount = check.check_number("ratio", amount, 1)
        elif kind == "max_score_drop":
            amount = check.check_number("max_score_drop", amount, 0, strict=False)
        elif kind == "max_bytes":
            amount = check.check_integer("max_bytes", amount, 1)
        return cls(kind, float(amount), scheme, allocation)


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
        Positive prints progress.
    holds_out : bool
        Set rows aside to judge on.
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
        holds_out: bool,
    ) -> None:
        self.source = source
        self.random_state = random_state
        self.verbose = verbose
        self.reference = source.estimator(source.network)
        network = source.network
        x_raw = check_array(X, accept_sparse="csr", dtype=(np.float64, np.float32), input_name="X")
        n_features = network.layers[0].weight.shape[0]
        if x_raw.shape[1] != n_features:
            raise ValueError(f"X has {x_raw.shape[1]} features, the network takes {n_features}.")
        x = as_network_type(x_raw, network)
        weight = check_weights(sample_weight, x)
        labels = None if y is None else self._encode(y, x)
        present = weight > 0
        if not present.all():
            x, weight = x[present], weight[present]
            labels = None if labels is None else labels[present]
        self.weight = None if sample_weight is None else weight
        self.x, self.labels = x, labels
        self.held: tuple[Float, Float] | None = None
        # Rows of the layer-by-layer pass come from the front of this order.
        self.order = random_state.permutation(len(x))
        if holds_out:
            n_held = round(HELD_OUT * len(x))
            if not 0 < n_held < len(x):
                raise ValueError(f"max_score_drop needs rows to judge on; {len(x)} are too few.")
            held, used = self.order[:n_held], self.order[n_held:]
            goal = forward(network, x[held]) if labels is None else labels[held]
            self.held = (x[held], goal)
            self.x, self.order = x[used], np.arange(used.size)
            self.labels = None if labels is None else labels[used]
            self.weight = None if self.weight is None else self.weight[used]
        steps = STEPS[y is not None]
        automatic = float(np.clip(steps * 200 / len(self.x), 1, 40))
        self.epochs = (
            automatic if epochs == "auto" else check.check_number("epochs", epochs, 0, strict=False)
        )
        self.calibration = self._calibration(network)

    def _encode(self, y: ArrayLike, x: Float) -> Float:
        targets = np.asarray(y)
        if len(targets) != len(x):
            raise ValueError(f"X has {len(x)} rows, y has {len(targets)}.")
        encoded = self.reference._encode(targets, x.dtype)
        n_outputs = self.source.network.layers[-1].weight.shape[1]
        if encoded.shape[1] != n_outputs or not np.isfinite(encoded).all():
            raise ValueError(
                f"y must be finite and of {n_outputs} columns like the network's outputs."
            )
        return encoded

    @property
    def classify(self) -> bool:
        """Whether the outputs are logits."""
        return self.source.classes is not None and self.reference._loss() == "cross_entropy"

    @cached_property
    def dense_outputs(self) -> Float:
        """Outputs of the dense network, (n, k)."""
        return forward(self.source.network, self.x)

    def _calibration(self, network: Network) -> Calibration:
        rows = self.order[:CALIBRATION_ROWS]
        weight = None if self.weight is None else self.weight[rows]
        return Calibration(network, self.x[rows], weight, self.classify)

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text, file=sys.stderr)  # noqa: T201

    # --------------------------------------------------------------------- budgets

    def run(self, budget: Budget, scorer: Scorer | None) -> Any:
        """Compress within ``budget``; return the estimator."""
        if budget.kind == "scheme":
            fixed = self._fixed(budget)
            network, errors = self._one_shot(fixed)
            network = self._refined(network, self.epochs)
            return self._finish(network, errors, fixed, budget.scheme)
        self._use_float32()
        self.curves = self._curves(budget.scheme)
        self.dense_bytes = sum(
            layer.weight.to_dense().nbytes + layer.intercept.nbytes
            for layer in self.source.network.layers
        )
        if budget.kind == "max_score_drop":
            return self._search(budget.amount, scorer)
        limit = budget.amount if budget.kind == "max_bytes" else self.dense_bytes / budget.amount
        found = self._one_shot_within(int(limit))
        if found is None:
            raise BudgetError(
                f"{budget.kind}={budget.amount:g} asks for {int(limit)} bytes; the smallest this "
                f"network can be made is {self._smallest()} bytes."
            )
        schemes, network, errors = found
        return self._finish(self._refined(network, self.epochs), errors, schemes, None)

    def _one_shot_within(
        self, limit: int
    ) -> tuple[list[Scheme | None], Network, list[float]] | None:
        """Compress to at most ``limit`` bytes, and spend what dead neurons give back."""
        asked, best = limit, None
        for _ in range(FILLS):
            schemes = self._within(asked)
            if schemes is None:
                break
            network, errors = self._one_shot(schemes)
            size = network.n_bytes
            if size <= limit and (best is None or size > best[1].n_bytes):
                best = schemes, network, errors
            if FULL * limit <= size <= limit:
                break
            # Too much was asked for, or neurons died and left room.
            asked = max(limit, round(asked * limit / size))
        return best

    def _fixed(self, budget: Budget) -> list[Scheme | None]:
        shapes = [layer.weight.shape for layer in self.source.network.layers]
        schemes = schemes_by_layer(budget.scheme, shapes)
        one = budget.scheme
        hidden = shapes[:-1]
        if not isinstance(one, Scheme) or budget.allocation == "uniform" or len(hidden) < 2:
            return schemes
        sizes = [rows * columns for rows, columns in hidden]
        total = one.share_of(sum(sizes))
        if total is None or total == sum(sizes):
            return schemes
        families: list[list[Scheme]] = [[one]] * len(hidden) + [[]]
        density = total / sum(sizes)
        # No layer can have more than everything, and few want less than a third of their share.
        spans = [(0.35 * density, min(1.0, 3 * density, total / size)) for size in sizes]
        curves = self.calibration.curves(families, [*spans, (1.0, 1.0)])[:-1]
        chosen = allocate(curves, total, lambda level: level.n_params)
        if chosen is None:
            return schemes
        counts = [level.n_params for level in chosen]
        # The curves have steps; what they leave over goes to the last layer that has room.
        for index in reversed(range(len(counts))):
            more = min(total - sum(counts), sizes[index] - counts[index])
            counts[index] += more
        self._say(f"weights kept in each hidden layer: {counts}")
        return [*(Prune(n_nonzero=count) for count in counts), None]

    def _use_float32(self) -> None:
        """Store numbers as float32: a budget in bytes is better spent on more of them."""
        layers = [
            Layer(
                DenseMatrix(layer.weight.to_dense().astype(np.float32)),
                layer.intercept.astype(np.float32),
                layer.activation,
            )
            for layer in self.source.network.layers
        ]
        self.dense_outputs = self.dense_outputs.astype(np.float32, copy=False)
        self.x = self.x.astype(np.float32, copy=False)
        self.calibration = self._calibration(Network(layers))

    def _curves(self, choice: SchemeChoice) -> list[list[Level]]:
        """Measure every layer: what each size costs in error, the dense layer included."""
        layers = self.calibration.network.layers
        families: list[list[Scheme]] = [[Prune(), LowRank()] for _ in layers]
        if isinstance(choice, Scheme):
            families = [[choice] for _ in layers[:-1]] + [[]]
        elif isinstance(choice, Mapping):
            families = [[] for _ in layers]
            for key, scheme in choice.items():
                if scheme is not None:
                    families[-1 if key == "output" else int(key)] = [scheme]
        curves = self.calibration.curves(families)
        for layer, curve in zip(layers, curves, strict=True):
            size = layer.weight.n_params
            curve.append(Level(None, size, layer.weight.n_bits // 8, 0.0))
        return curves

    def _intercept_bytes(self) -> int:
        return sum(layer.intercept.nbytes for layer in self.calibration.network.layers)

    def _smallest(self) -> int:
        return self._intercept_bytes() + sum(
            min(level.n_bytes for level in curve) for curve in self.curves
        )

    def _within(self, n_bytes: int) -> list[Scheme | None] | None:
        chosen = allocate(
            self.curves, n_bytes - self._intercept_bytes(), lambda level: level.n_bytes
        )
        return None if chosen is None else [level.scheme for level in chosen]

    def _search(self, max_drop: float, scorer: Scorer | None) -> Any:
        """Return the smallest network whose score drops by at most ``max_drop``."""
        before = self._score(self.source.network, scorer)
        low, high = self._smallest(), sum(c[-1].n_bytes for c in self.curves)
        high += self._intercept_bytes()
        best: tuple[Any, ...] | None = None
        nearest: tuple[float, tuple[Any, ...]] | None = None
        size = max(low, high // 20)
        try:
            while True:
                found = self._one_shot_within(int(size))
                assert found is not None
                schemes, network, errors = found
                network = self._refined(network, self.epochs)
                score = self._score(network, scorer)
                self._say(f"{network.n_bytes} bytes: score {score:.4f} (dense {before:.4f})")
                result = (network, errors, schemes, None, before, score)
                if before - score <= max_drop:
                    high = int(size)
                    if best is None or network.n_bytes < best[0].n_bytes:
                        best = result
                else:
                    low = int(size)
                    if nearest is None or score > nearest[0]:
                        nearest = (score, result)
                if high <= SEARCH_FACTOR * low:
                    break
                size = int(np.sqrt(float(low) * high))
        except KeyboardInterrupt:
            if best is None and nearest is None:
                raise
        if best is None:
            assert nearest is not None
            warnings.warn(
                f"No smaller network was found whose score drops by at most {max_drop:g}; the "
                f"best one drops by {before - nearest[0]:.4g}. Allow more, or give more rows or "
                "epochs.",
                BudgetWarning,
                stacklevel=4,
            )
            best = nearest[1]
        return self._finish(*best)

    def _score(self, network: Network, scorer: Scorer | None) -> float:
        assert self.held is not None
        x, targets = self.held
        if scorer is None:
            return float(self.reference._score_outputs(forward(network, x), targets, None))
        estimator = self.source.estimator(network)
        if self.source.classes is None:
            return scorer(estimator, x, targets[:, 0] if self.source.flat else targets)
        return scorer(estimator, x, self.source.classes[targets.argmax(axis=1)])

    # --------------------------------------------------------------------- work

    def _one_shot(self, schemes: list[Scheme | None]) -> tuple[Network, list[float]]:
        """Return the compressed network without dead neurons, and the errors of its layers."""
        result = self.calibration.reconstruct(schemes)
        return remove_dead(result.network)[0], result.errors

    def _refined(self, network: Network, epochs: float) -> Network:
        """Return the network after ``epochs`` of refinement."""
        if epochs == 0:
            return network
        # Margins are no indicators: a network with the hinge loss imitates its own outputs.
        labels = None if self.reference._loss() == "hinge" else self.labels
        targets = Targets(self.dense_outputs, labels, self.classify)
        course = Course(epochs=epochs)
        refined = refine(network, self.x, targets, course, self.random_state, verbose=self.verbose)
        return remove_dead(refined)[0]

    def _finish(
        self,
        network: Network,
        errors: list[float],
        schemes: list[Scheme | None],
        choice: SchemeChoice,
        before: float | None = None,
        after: float | None = None,
    ) -> Any:
        small = self.source.estimator(network)
        by_layer: SchemeChoice = {i: s for i, s in enumerate(schemes) if s is not None} or None
        small.scheme = by_layer if choice is None else choice
        if before is None and self.labels is not None:
            before, after = (
                float(self.reference._score_outputs(outputs, self.labels, self.weight))
                for outputs in (self.dense_outputs, forward(network, self.x))
            )
        notes = [
            f"layer {index} keeps {count} dead neurons"
            for index, count in enumerate(count_dead(network))
            if count
        ]
        rows = min(len(self.x), CALIBRATION_ROWS)
        widest = max(layer.weight.shape[0] for layer in self.source.network.layers)
        if rows < 2 * widest:
            notes.append(
                f"{rows} rows are few for a layer of {widest} inputs; old weights were trusted more"
            )
        small.compression_report_ = report(
            network,
            [layer.weight.to_dense() for layer in self.source.network.layers],
            before,
            after,
            schemes=schemes,
            output_errors=errors,
            warnings=notes,
        )
        return small
