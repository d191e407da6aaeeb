"""Sums of matrices, and quantised tensor trains, during refinement."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from fastbcd.formats import CodebookTrainMatrix, Format, SumMatrix, TensorTrainMatrix
from fastbcd.solvers.refine.blocks import Block, block_of
from fastbcd.solvers.refine.factored import ParametricBlock, median_size
from fastbcd.solvers.refine.quantized import Rounding
from fastbcd.statistics.moments import Moments
from fastbcd.utils.types import Float


class SumBlock(Block):
    """A sum whose parts are all free.

    Every part takes the step of its own block for the same pull. Each step alone would satisfy the
    whole pull, so with p parts the steps are p times shorter.
    """

    def _begin(self) -> list[Float]:
        none = np.zeros(self.shape[1], self.start.intercept.dtype)
        layers = [
            replace(self.start, weight=part, intercept=none)
            for part in cast(SumMatrix, self.start.weight).parts
        ]
        self._parts = [
            block_of(layer.weight)(layer, self.is_input, self.is_output, self.crew, self.settings)
            for layer in layers
        ]
        return self._parameters()

    def _parameters(self) -> list[Float]:
        return [array for part in self._parts for array in part._parameters()]

    def weight(self) -> Float:
        """Return the weights (d, m) of the forward pass."""
        return sum((part.weight() for part in self._parts), np.zeros(self.shape, np.float32))

    def forward(self, v: Float) -> Float:
        """Return the pre-activations (m, b) for inputs (d, b)."""
        u = self._parts[0].forward(v)
        for part in self._parts[1:]:
            u += part.forward(v)
        u += self.intercept[:, None]
        return u

    def backward(self, pull: Float) -> Float:
        """Return the pull on the inputs, (d, b), for the ``pull`` on the outputs (m, b)."""
        back = self._parts[0].backward(pull)
        for part in self._parts[1:]:
            back += part.backward(pull)
        return back

    def measure(self, moments: Moments) -> None:
        """Use new second moments of the inputs."""
        super().measure(moments)
        for part in self._parts:
            part.measure(moments)

    def move(self, v: Float, pull: Float, rate: float, momentum: float, decay: float) -> None:
        """Take the step of the weights, and correct the intercept."""
        for part in self._parts:
            part.mean = self.mean
            length = rate * part.caution / len(self._parts)
            part.move(v, pull, length, max(momentum, part.least_momentum), decay)
            # The sum has one intercept.
            self.intercept += part.intercept
            part.intercept[:] = 0

    def _format(self, parameters: list[Float]) -> Format:
        made = []
        for part in self._parts:
            count = len(part._parameters())
            made.append(part._format(parameters[:count]))
            parameters = parameters[count:]
        return SumMatrix(made)


class CodedTrainBlock(ParametricBlock):
    """A quantised tensor train, or a quantised product of two factors.

    As in :mod:`.quantized`, free entries move and are rounded to the stored entries after each
    step.
    """

    @property
    def caution(self) -> float:
        """Factor of the steps of the weights."""
        return self.settings.caution_sparse

    def _begin(self) -> list[Float]:
        weight = cast(CodebookTrainMatrix, self.start.weight)
        self._free = weight.codebook[weight.codes].astype(np.float32)
        self._rounded = self._free.copy()
        self._rounding = Rounding(weight.codebook, np.ones(self._free.size, np.float32))
        self._unit = median_size(self._free)
        self.factors = list(self._train(self._free).cores)  # views of the free entries
        self._start_steps()
        self._update(self._rounded)
        return self.factors

    def _train(self, entries: Float) -> TensorTrainMatrix:
        weight = cast(CodebookTrainMatrix, self.start.weight)
        return TensorTrainMatrix.from_buffer(entries, weight.modes, weight.ranks, self.shape)

    def _moved(self) -> None:
        self._rounding.round(self._free, self._rounded)
        self._update(self._rounded)

    def _update(self, entries: Float) -> None:
        scale = cast(CodebookTrainMatrix, self.start.weight).scale
        self._matrix = self._train(entries).scaled(scale)
        self._effective = self._matrix.to_dense()

    def gradients(self, v: Float, pull: Float) -> list[Float]:
        """Return the pull on each factor, a mean over the rows, for centred inputs."""
        *others, last = super().gradients(v, pull)
        # The last core carries the scale.
        scale = cast(CodebookTrainMatrix, self.start.weight).scale
        return [*others, last * np.float32(scale)]

    def _format(self, parameters: list[Float]) -> Format:
        weight = cast(CodebookTrainMatrix, self.start.weight)
        entries = np.concatenate([part.ravel() for part in parameters]).astype(np.float32)
        codes, levels = self._rounding.finished(entries)
        return CodebookTrainMatrix(
            codes, levels.astype(weight.dtype), weight.modes, weight.ranks, self.shape, weight.scale
        )


@block_of.register
def _sum_block(weight: SumMatrix) -> type[Block]:
    return SumBlock


@block_of.register
def _coded_train_block(weight: CodebookTrainMatrix) -> type[Block]:
    return CodedTrainBlock
