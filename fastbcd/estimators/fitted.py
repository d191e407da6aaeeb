"""What every fitted estimator can do with its network: show it, compress it, take it away."""

from __future__ import annotations

from abc import abstractmethod
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from fastbcd.compression.report import CompressionReport, report
from fastbcd.compression.structures import keeps_features
from fastbcd.estimators.compressing import compress_fitted
from fastbcd.estimators.deployable import Deployable
from fastbcd.formats import Format
from fastbcd.network.network import Network
from fastbcd.network.tasks import Task
from fastbcd.schemes.by_layer import SchemeChoice, schemes_by_layer
from fastbcd.solvers import ConvergenceRecord
from fastbcd.utils.types import Float, Float64


class FittedNetwork(Deployable, BaseEstimator):
    """The members that rest on ``network_`` alone, however it was trained."""

    network_: Network
    compression_report_: CompressionReport
    scheme: SchemeChoice
    random_state: int | np.random.RandomState | None
    _stream: Any = None

    if TYPE_CHECKING:  # scikit-learn ships no types

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            """Return the parameters by name."""
            ...

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name, those of the scheme as ``scheme__sparsity``.

        Parameters
        ----------
        **params
            New values by name.

        Raises
        ------
        ValueError
            For a name that is no parameter, or a parameter of a scheme where there is none.
        """
        nested = [name for name in params if name.startswith("scheme__")]
        scheme = params.get("scheme", getattr(self, "scheme", None))
        if nested and not hasattr(scheme, "set_params"):
            raise ValueError(
                f"{nested[0]} sets a parameter of scheme, which is {scheme!r}. Set one such as "
                "scheme=Prune(sparsity=0.9) first."
            )
        changed: Self = super().set_params(**params)
        return changed

    @property
    def coefs_(self) -> list[Float]:
        """Dense weights (n_in, n_out) of each layer, equal to what ``predict`` uses.

        If the first layer reads columns through an encoding, its n_in is the number of features.
        """
        return [layer.weight.to_dense() for layer in self.network_.layers]

    @property
    def features_used_(self) -> NDArray[np.bool_]:
        """Which columns of X the network reads, (n_features_in_,) truth values.

        ``predict`` and the exports to ONNX and C take whole rows all the same; what stands in
        the other columns does not matter. A network of images reads all of them.
        """
        check_is_fitted(self)
        network = self.network_
        if network.sees_images:
            return np.ones(network.n_inputs, bool)
        read: NDArray[np.bool_] = np.any(network.layers[0].weight.to_dense() != 0, axis=1)
        encoding = network.encoding
        if encoding is None:
            return read
        used = np.zeros(network.n_inputs, bool)
        used[np.concatenate([encoding.plain, encoding.columns])[read]] = True
        return used

    @property
    def intercepts_(self) -> list[Float]:
        """Intercepts (n_out,) of each layer."""
        return [layer.intercept for layer in self.network_.layers]

    @property
    def layers_(self) -> list[Format]:
        """Weights of each layer as they are stored."""
        return [layer.weight for layer in self.network_.layers]

    @property
    def loss_curve_(self) -> list[float]:
        """Loss after each sweep, epoch or call of ``partial_fit``, without penalties.

        What it is depends on the solver: with "full" the loss part of the objective, summed over
        the rows; with "minibatch" the mean loss of an epoch's batches, each before its step, and
        with ``partial_fit`` that of a call; with "batch" the least mean loss so far on rows held
        out. A regression counts in units of its scaled targets.
        """
        check_is_fitted(self)
        if self._stream is not None:  # learnt from calls of partial_fit
            return [float(loss) for loss in self.objective_curve_]
        return [float(loss) for loss in self.convergence_.loss[1:]]

    def __sklearn_is_fitted__(self) -> bool:
        """Tell scikit-learn whether there is a network."""
        return hasattr(self, "network_")

    def compress(
        self,
        X: ArrayLike | None = None,
        y: ArrayLike | None = None,
        *,
        scheme: SchemeChoice = None,
        sample_weight: ArrayLike | None = None,
        **options: Any,
    ) -> Self:
        """Return a new, compressed estimator; this one stays as it is.

        Without data, every layer is projected on its compressed set. With data, the layers are
        fitted to them one after another and refined together; see :func:`fastbcd.compress`.

        Parameters
        ----------
        X : (n_samples, n_features) array, optional
            Rows like those that the network will see.
        y : array, optional
            Their targets. Without them the network's own outputs are imitated.
        scheme : Scheme or dict
            How to compress, as the parameter ``scheme`` of the estimator.
        sample_weight : (n_samples,) array, optional
            Weights of the rows of ``X``.
        **options
            Budgets and other options of :func:`fastbcd.compress`: ``max_bytes``, ``ratio``,
            ``max_score_drop``, ``max_error``, ``certify``, ``scoring``, ``validation_data``,
            ``task``, ``class_labels``, ``allocation``, ``epochs``, ``random_state``, ``verbose``.

        Returns
        -------
        estimator of the same class
            Fitted; its ``compression_report_`` tells what was saved. It can be cloned, pickled and
            searched over like any other.
        """
        check_is_fitted(self)
        if X is not None:
            if y is not None and getattr(self, "class_weight", None) is not None:
                sample_weight = self._check_weights(sample_weight, y, y)
            options.setdefault("random_state", self.random_state)
            options |= {"scheme": scheme, "sample_weight": sample_weight}
            small: Self = compress_fitted(self, X, y, **options)
            return small
        if scheme is None or options:
            given = ", ".join(sorted(options)) or "no scheme"
            raise ValueError(f"compress() without data takes a scheme only; got {given}. Pass X.")
        small = copy(self)
        small._forget_training()
        small.scheme = scheme
        small._store_projection(self.network_)
        return small

    @property
    @abstractmethod
    def task_(self) -> Task:
        """What the outputs of the fitted network mean."""

    @abstractmethod
    def _check_weights(
        self, sample_weight: ArrayLike | None, x: Any, y: ArrayLike | None
    ) -> Float64:
        """Return checked weights (n,)."""

    @abstractmethod
    def set_task(self, task: Task) -> None:
        """Take over what the outputs of a network mean that was trained elsewhere."""

    def with_network(self, network: Network) -> Self:
        """Predict with ``network`` from now on; return the estimator itself."""
        if not network.sees_images:  # convolutions keep their filters
            widths = tuple(layer.weight.shape[1] for layer in network.layers[:-1])
            self.hidden_layer_sizes: Any = widths
        self.network_ = network
        self.n_features_in_: int = network.n_inputs
        self._forget_training()
        return self

    def _forget_training(self) -> None:
        """Empty the record of a training that ``network_`` did not go through."""
        self.convergence_: ConvergenceRecord = ConvergenceRecord()
        self.objective_curve_: Float64 = self.convergence_.objective
        self.validation_scores_: list[float] = []
        self.n_iter_ = self.best_iter_ = 0

    def _store_projection(self, network: Network) -> None:
        """Project every layer that has a scheme, without data."""
        encoding, network = network.encoding, network.on_features
        dense = [layer.weight.to_dense() for layer in network.layers]
        layout = network.architecture
        schemes = schemes_by_layer(self.scheme, layout.shapes, layout.images)
        layers = [
            layer if scheme is None else replace(layer, weight=scheme.project(weight))
            for layer, weight, scheme in zip(network.layers, dense, schemes, strict=True)
        ]
        small = Network(layers)
        keep = keeps_features(schemes)
        self.network_ = small.encoded(encoding, keep)
        self.compression_report_ = report(small, dense, encoding=encoding, keep=keep)
