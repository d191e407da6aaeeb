r"""One pass over the layers of a dense network, each compressed in the metric of its data.

For l = 1 .. L, with V the inputs that the layers compressed so far produce, and U the
pre-activations of the dense network:

    W*    = argmin ||U - 1 b' - V W||^2 + ridge ||W - W_dense||^2     best dense weights
    T     = argmin ||(W - W*)||_{G, h}  over the scheme's set         best compressed weights
    b     = mean(U) - mean(V) T                                       no error in the mean

A layer that stays dense gets W*, which compensates a part of the error of the layers before it. No
labels are needed. In a classification, rows are weighted by the sensitivity of their probabilities,
and U of the output layer is fitted to the probabilities; see :mod:`.imitation`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fastbcd.formats import DenseMatrix, Format
from fastbcd.network.network import Layer, Network
from fastbcd.schemes.nearest.neurons import remove_inputs
from fastbcd.schemes.protocol import Level, Scheme
from fastbcd.solvers.reconstruct.imitation import imitate, row_weights
from fastbcd.solvers.reconstruct.settings import DEFAULTS
from fastbcd.statistics.metric import Metric
from fastbcd.statistics.moments import Moments, sensitivities
from fastbcd.utils.types import Float, Float64

MOST_PATCHES = 1 << 25
"""Approximate maximum number of entries in the patches or activations of a layer. A number of the
machine: it bounds the memory."""

Schemes = Sequence[Scheme | None]
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Reconstruction:
    """Result of :meth:`Calibration.reconstruct`.

    Parameters
    ----------
    network : Network
        The compressed network.
    errors : list of float
        Per layer ||U - V W - b|| / ||U - mean U|| against the dense pre-activations.
    """

    network: Network
    errors: list[float]


class Calibration:
    """A dense network and the rows that its compression is fitted to.

    Parameters
    ----------
    network : Network
        Network to compress.
    x : (n, d) array
        Inputs, in the type of the network.
    sample_weight : (n,) float64 array, optional
        Non-negative weights.
    classify : bool
        Whether the outputs are logits of a softmax, so that the probabilities matter.
    """

    def __init__(
        self, network: Network, x: Float, sample_weight: Float64 | None, classify: bool
    ) -> None:
        self.network: Network = Network(
            [
                replace(layer, weight=DenseMatrix(layer.weight.to_dense()))
                for layer in network.layers
            ]
        )
        if network.sees_images:
            # An image holds many patches, so fewer rows are enough.
            widest = max(layer.view.positions * max(layer.weight.shape) for layer in network.layers)
            x = x[: max(200, MOST_PATCHES // widest)]
            sample_weight = None if sample_weight is None else sample_weight[: len(x)]
        self.x: Float = np.ascontiguousarray(x)
        self.sample_weight = sample_weight
        self.classify = classify

    @cached_property
    def _row_weight(self) -> Float64 | None:
        """Weights of the rows."""
        if not self.classify or len(self.x) < DEFAULTS.enough:  # few rows have equal weights
            return self.sample_weight
        return row_weights(self.network.forward(self.x), self.sample_weight)

    @cached_property
    def sensitivities(self) -> list[Float64]:
        """Weights of the outputs of every layer; see :func:`.statistics.sensitivities`."""
        return sensitivities(self.network, self.x, self.classify)

    @cached_property
    def _first_moments(self) -> Moments:
        u = self.network.layers[0].linear(self.x)
        return Moments.seen(self.network.layers[0], self.x, u, self._row_weight)

    @cached_property
    def _first_metric(self) -> Metric:
        return self._metric(0, self._first_moments)

    def _metric(self, index: int, moments: Moments) -> Metric:
        h = self.sensitivities[index]
        return Metric.of(moments.covariance, moments.damping, h, h.size)

    def curves(
        self,
        families: Sequence[Sequence[Scheme]],
        spans: Sequence[tuple[float, float]] | None = None,
        tell: Tell | None = None,
    ) -> list[list[Level]]:
        """Measure the error of each layer by itself over a range of sizes.

        Parameters
        ----------
        families : sequence of sequences of Scheme
            Schemes to measure for each layer; none for a layer that stays dense.
        spans : sequence of (float, float), optional
            Range of the share of weights to measure, for each layer.
        tell : callable, optional
            Called after each layer with the number of finished layers and of all layers.

        Returns
        -------
        list of lists of Level
            One list per layer; its errors estimate the squared change of the outputs.
        """
        found: list[list[Level]] = []
        v = self.x
        for index, (layer, schemes) in enumerate(zip(self.network.layers, families, strict=True)):
            levels: list[Level] = []
            if schemes:
                target = layer.weight.to_dense().astype(np.float64)
                metric = self._first_metric
                if index > 0:
                    u = layer.linear(v)
                    metric = self._metric(index, Moments.seen(layer, v, u, self._row_weight))
                span = None if spans is None else spans[index]
                scale = float(np.mean(self.sensitivities[index]))
                for scheme in schemes:
                    levels += [
                        replace(level, error=level.error * scale)
                        for level in scheme.curve(target, metric, layer.weight.dtype, span)
                    ]
            found.append(levels)
            if tell is not None:
                tell(index + 1, len(families))
            if index + 1 < len(families) and any(families[index + 1 :]):
                v = layer.forward(v)
        return found

    def reconstruct(self, schemes: Schemes, tell: Tell | None = None) -> Reconstruction:
        """Compress layer after layer.

        Parameters
        ----------
        schemes : sequence of Scheme or None
            One per layer; None keeps the layer dense and refits it if its inputs have changed.
        tell : callable, optional
            Called after each layer with the number of finished layers and of all layers.
        """
        dense = self.network.layers
        layers: list[Layer] = []
        errors: list[float] = []
        v = v_dense = self.x
        old: Float = dense[0].weight.to_dense()
        for index, (layer, scheme) in enumerate(zip(dense, schemes, strict=True)):
            u = layer.linear(v_dense)
            done, error = self._compress(index, layer, scheme, old, v, u)
            v = done.forward(v)
            if index + 1 < len(dense):
                old = dense[index + 1].weight.to_dense()
                v_dense = layer.activate(u)
                kept = scheme.neurons_kept(old.shape[0]) if scheme is not None else None
                if kept is not None and kept < old.shape[0]:
                    done, v, old = self._drop(index, done, v, old, v_dense, kept)
            layers.append(done)
            errors.append(error)
            if tell is not None:
                tell(index + 1, len(dense))
        return Reconstruction(Network(layers), errors)

    def _compress(
        self, index: int, layer: Layer, scheme: Scheme | None, old: Float, v: Float, u: Float
    ) -> tuple[Layer, float]:
        """Return the compressed layer for inputs ``v`` and targets ``u``, and its error."""
        removes = scheme is not None and scheme.neurons_kept(u.shape[1]) is not None
        if v is self.x and (scheme is None or removes):
            return layer, 0.0
        if v is self.x:
            moments, metric = self._first_moments, self._first_metric
            target = old.astype(np.float64)
        else:
            moments = Moments.seen(layer, v, u, self._row_weight)
            ridge = Metric.ridge(moments.covariance, moments.damping)
            target = moments.best_weight(old, ridge)
            if self.classify and index + 1 == len(self.network.layers):
                rows = layer.view.rows(v)
                target, intercept = imitate(rows, u, target, ridge, self.sample_weight)
                u = (rows @ target + intercept).astype(u.dtype)
                moments = Moments.of(rows, u, self._row_weight)
            metric = self._metric(index, moments)
        dtype = layer.intercept.dtype
        if scheme is None or removes:
            weight: Format = DenseMatrix(target.astype(dtype))
        else:
            weight = scheme.project_in_metric(target, metric, dtype)
        stored = weight.to_dense()
        intercept = moments.best_intercept(stored).astype(dtype)
        done = replace(layer, weight=weight, intercept=intercept)
        return done, moments.relative_error(stored)

    def _drop(
        self, index: int, layer: Layer, v: Float, old: Float, v_dense: Float, n_kept: int
    ) -> tuple[Layer, Float, Float]:
        """Remove neurons of ``layer``; return it, its outputs and the next layer's weights."""
        following = self.network.layers[index + 1]
        if layer.sees_images or following.sees_images:
            raise ValueError(
                f'scheme[{index}]: structure="neuron" removes units of dense layers; layer {index} '
                "is a convolution or feeds one. Prune its weights without a structure, or take "
                "fewer filters."
            )
        u = following.linear(v_dense)
        moments = Moments.of(v, u, self._row_weight)
        target = moments.best_weight(old, Metric.ridge(moments.covariance, moments.damping))
        metric = self._metric(index + 1, moments)
        kept, weight = remove_inputs(target, metric, n_kept)
        columns = np.ascontiguousarray(layer.weight.to_dense()[:, kept])
        smaller = replace(layer, weight=DenseMatrix(columns), intercept=layer.intercept[kept])
        return smaller, np.ascontiguousarray(v[:, kept]), weight.astype(old.dtype)
