"""What the estimators share: scikit-learn's conventions around training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from fastbcd.compression.report import CompressionReport, report
from fastbcd.estimators.callbacks import CallbackSupportMixin, FitTask, with_callbacks
from fastbcd.estimators.fitted import FittedNetwork
from fastbcd.estimators.parameters import checked, unread
from fastbcd.estimators.refused import unchanged_if_refused
from fastbcd.estimators.warm import warm_network
from fastbcd.exceptions import IgnoredParameterWarning
from fastbcd.network.chunks import as_dense, forward
from fastbcd.network.layers.specs import LayerSize
from fastbcd.network.network import Network
from fastbcd.schemes.by_layer import SchemeChoice
from fastbcd.solvers import ConvergenceRecord, Monitor
from fastbcd.solvers.fit import Settings, Trained, train
from fastbcd.solvers.stream import AnyStream, start_stream
from fastbcd.utils import validation as check
from fastbcd.utils.rows import check_enough, check_inputs, hold_out
from fastbcd.utils.types import Float, Float64
from fastbcd.utils.warnings import warn


class BCDEstimator(CallbackSupportMixin, FittedNetwork):
    """What the classifier and the regressor share."""

    def __init__(
        self,
        hidden_layer_sizes: LayerSize | Sequence[LayerSize] = (100,),
        *,
        input_shape: tuple[int, ...] | None = None,
        random_shift: int = 0,
        activation: str = "relu",
        encoding: str | None = "auto",
        solver: str = "auto",
        loss: str = "auto",
        scheme: SchemeChoice = None,
        alpha: float = 0.0,
        batch_size: int | str = "auto",
        rho: float = 1.0,
        gamma: float = 1.0,
        tau: float | str = "auto",
        proximal: float = 1.0,
        init: str = "orthogonal",
        max_iter: int = 1000,
        tol: float = 1e-6,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        accelerate: bool = True,
        certificate: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.input_shape = input_shape
        self.random_shift = random_shift
        self.activation = activation
        self.encoding = encoding
        self.solver = solver
        self.loss = loss
        self.scheme = scheme
        self.alpha = alpha
        self.batch_size = batch_size
        self.rho = rho
        self.gamma = gamma
        self.tau = tau
        self.proximal = proximal
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.accelerate = accelerate
        self.certificate = certificate
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Train the network, and compress it on the way if there is a scheme.

        Parameters
        ----------
        X : (n_samples, n_features) array or sparse matrix
            Inputs, finite. float32 is kept. Only the full solver makes a sparse matrix dense.
        y : (n_samples,) or (n_samples, n_outputs) array
            Targets, always required: the default only serves the error message.
        sample_weight : (n_samples,) array, optional
            Non-negative weights. Weight k equals k repetitions (by mini-batches, on average).
            Weights whose mean is below one are divided by it.
        X_val, y_val : arrays, optional
            Held-out data for ``early_stopping``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used.

        Warns
        -----
        ConvergenceWarning
            If the fit ended before it converged. The best result so far is kept.
        """
        if y is None:
            name = type(self).__name__
            raise ValueError(
                f"{name} requires y to be passed, but the target y is None. Write "
                f"{name}(...).fit(X, y), with one target for each row of X."
            )
        with unchanged_if_refused(self):
            warm = check.check_flag("warm_start", self.warm_start)
            x, targets = self._check_training_data(X, y)
            weight = self._check_weights(sample_weight, x, y)
            start = warm_network(self, x, targets) if warm else None
            metadata = None if sample_weight is None else {"sample_weight": sample_weight}
            seen = {"X": X, "y": y, "metadata": metadata}
            held_out = self._validation(X_val, y_val)
            trained = self._train(x, targets, weight, held_out, start, seen)
            self._stream = None
            self._store(trained, report(trained.network))
        return self

    def _learn(self, x: Any, targets: Float, weight: Float64) -> Self:
        """Learn from some rows, once: the common part of ``partial_fit``."""
        settings = self._settings()
        if settings.solver == "full":
            raise ValueError(
                'solver="full" sweeps over all rows and cannot learn from a part of them. '
                'Set solver="minibatch" or "auto".'
            )
        if check.check_flag("early_stopping", self.early_stopping):
            raise ValueError(
                "early_stopping=True needs all rows at once, but partial_fit sees a part of them. "
                "Set early_stopping=False."
            )
        start: Network | None = getattr(self, "network_", None)
        encoding = None if start is None else start.encoding
        if start is not None and encoding is not None:  # the features go to the stream
            x, start = encoding.rows(as_dense(x)), start.on_features
        if self._stream is None:
            self._stream = start_stream(
                x,
                targets,
                n_out=targets.shape[1],
                hidden_layer_sizes=settings.hidden_layer_sizes,
                input_shape=settings.input_shape,
                random_state=check_random_state(self.random_state),
                activation=settings.activation,
                loss=settings.loss,
                scale_targets=settings.scale_targets,
                scheme=settings.scheme,
                start=start,
                alpha=settings.alpha,
                batch_size=None if isinstance(settings.batch_size, str) else settings.batch_size,
            )
            self.objective_curve_ = np.empty(0)
        loss = self._stream.learn(x, targets, weight)
        if not np.isfinite(loss):
            warn(
                "Steps of this partial_fit diverged and were undone: the model learnt little from "
                "its rows. Scale the features and targets, and look for outliers.",
                ConvergenceWarning,
            )
        self.network_ = self._stream.network().encoded(encoding, keep=True)
        self.objective_curve_ = np.append(self.objective_curve_, loss)
        self.n_iter_ = self.best_iter_ = len(self.objective_curve_)
        self.compression_report_ = report(self.network_)
        return self

    @abstractmethod
    def _check_training_data(self, X: Any, y: Any, reset: bool = True) -> tuple[Any, Float]:
        """Return checked inputs (n, d) and targets (n, k) of one type."""

    @abstractmethod
    def _loss(self) -> str:
        """Return the name of the loss, "auto" resolved."""

    convergence_: ConvergenceRecord
    objective_curve_: Float64
    validation_scores_: list[float]
    n_iter_: int
    best_iter_: int
    _scale_targets: bool
    _least_judges = 1  # rows that a score needs
    _stream: AnyStream | None = None

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn what is accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _settings(self) -> Settings:
        given = checked(self)
        if given["certificate"] and self.solver in ("batch", "minibatch"):
            raise ValueError(
                'certificate=True needs exact sweeps: set solver="full" or "auto", or '
                "certificate=False."
            )
        names = {field.name for field in fields(Settings)}
        own = {name: value for name, value in given.items() if name in names}
        return Settings(
            loss=self._loss(), scale_targets=self._scale_targets, scheme=self.scheme, **own
        )

    def _check_inputs(self, X: ArrayLike) -> Any:
        """Return new inputs, checked: an array or a CSR matrix."""
        return check_inputs(self, X)

    def _validation(
        self, X_val: ArrayLike | None, y_val: ArrayLike | None
    ) -> tuple[Float, Float] | None:
        if (X_val is None) != (y_val is None):
            missing = "X_val" if X_val is None else "y_val"
            raise ValueError(f"X_val and y_val must be given together; {missing} is missing.")
        if X_val is None:
            return None
        if not check.check_flag("early_stopping", self.early_stopping):
            raise ValueError("X_val and y_val need early_stopping=True. Set it, or leave them out.")
        x, targets = self._check_training_data(X_val, y_val, reset=False)
        check_enough(x.shape[0], self._least_judges, "X_val has")
        return x, targets

    def _train(
        self,
        x: Float,
        targets: Float,
        weight: Float64,
        validation: tuple[Float, Float] | None,
        start: Network | None,
        seen: dict[str, Any],
    ) -> Trained:
        settings = self._settings()
        random_state = check_random_state(self.random_state)
        held_out: tuple[Float, Float, Float64 | None] | None = None
        present = weight > 0
        if not present.all():
            x, targets, weight = x[present], targets[present], weight[present]
        if check.check_flag("early_stopping", self.early_stopping):
            if validation is None:
                share = check.check_fraction("validation_fraction", self.validation_fraction)
                labels = targets.argmax(axis=1) if self.task_.kind == "classes" else None
                n, least = x.shape[0], self._least_judges
                train_rows, rows = hold_out(n, share, random_state, labels, least)
                held_out = (x[rows], targets[rows], weight[rows])
                x, targets, weight = x[train_rows], targets[train_rows], weight[train_rows]
            else:
                held_out = (*validation, None)

        def make_monitor(on_raw_data: Callable[[Network], Network]) -> Monitor:
            score = None
            if held_out is not None:
                x_val, targets_val, weight_val = held_out

                def score(network: Network) -> float:
                    outputs = forward(on_raw_data(network), x_val)
                    return self.task_.score(outputs, targets_val, weight_val)

            return Monitor(
                score=score,
                **checked(self, "max_iter", "tol", "n_iter_no_change", "verbose"),
                task=FitTask(self, seen, lambda network: {"network_": on_raw_data(network)}),
            )

        trained = train(x, targets, weight, settings, random_state, make_monitor, start, held_out)
        # "auto" may choose another solver for other data: what one of them reads is not in vain.
        names = unread(self, trained.solver) if self.solver != "auto" else []
        if names:
            given = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
            warn(
                f'solver="{trained.solver}" does not read {given}. Leave out what is not read, '
                "or set a solver that reads it.",
                IgnoredParameterWarning,
            )
        return trained

    def _store(self, trained: Trained, compression_report: CompressionReport) -> None:
        self.network_ = trained.network
        self.convergence_ = trained.record
        self.objective_curve_ = trained.record.objective
        self.validation_scores_ = trained.outcome.scores
        self.n_iter_ = trained.outcome.n_iter
        self.best_iter_ = trained.outcome.best_iter
        self.compression_report_ = compression_report
