"""A network with one convolution, trained by Adam, decomposed and trained on: the usual way.

Plain PyTorch: a convolution without padding, ReLU, dense layers, cross-entropy, shuffled batches
of 128, Adam with the usual constants and a rate that falls to zero as a cosine over the seconds
that are given. Decomposing replaces the dense hidden layers by tensor trains (TT-SVD); their
cores are then trained on together with everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.peers.finetune import Masked, Part, Train
from fastbcd.formats import TensorTrainMatrix
from fastbcd.schemes import TensorTrain

Array = NDArray[Any]

BATCH = 128


class ConvNet:
    """A convolution and dense layers, whose matrices (n_in, n_out) are `Part`s.

    Parameters
    ----------
    conv : torch.nn.Conv2d
    parts : sequence of Part
        The dense layers, the output layer last.
    biases : sequence of tensors
        Theirs.
    """

    def __init__(
        self, conv: torch.nn.Conv2d, parts: Sequence[Part], biases: Sequence[torch.Tensor]
    ) -> None:
        self.conv, self.parts, self.biases = conv, list(parts), list(biases)

    def outputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return the outputs for images (n, 1, height, width)."""
        v = self.conv(images).relu().permute(0, 2, 3, 1).flatten(1)
        for part, bias in zip(self.parts[:-1], self.biases[:-1], strict=True):
            v = torch.addmm(bias, v, part.weight()).relu()
        return torch.addmm(self.biases[-1], v, self.parts[-1].weight())

    def predict(self, x: Array, image_shape: tuple[int, int]) -> Array:
        """Return the classes of rows of pixels."""
        with torch.no_grad():
            return np.asarray(self.outputs(_images(x, image_shape)).argmax(dim=1).numpy())


def dense_net(
    image_shape: tuple[int, int],
    hidden: Sequence[int],
    n_outputs: int,
    *,
    n_filters: int = 32,
    kernel_size: int = 3,
    stride: int = 2,
    seed: int = 0,
) -> ConvNet:
    """Return an untrained network with PyTorch's default weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        conv = torch.nn.Conv2d(1, n_filters, kernel_size, stride)
        width = n_filters
        for side in image_shape:
            width *= (side - kernel_size) // stride + 1
        parts, biases = [], []
        for n_out in (*hidden, n_outputs):
            layer = torch.nn.Linear(width, n_out)
            parts.append(Masked(layer.weight.detach().numpy().T))
            biases.append(layer.bias)
            width = n_out
    return ConvNet(conv, parts, biases)


def decompose(net: ConvNet, rank: int) -> ConvNet:
    """Replace the dense hidden layers by tensor trains; everything else is shared."""
    parts: list[Part] = []
    for part in net.parts[:-1]:
        train = TensorTrain(rank=rank).project(part.weight().detach().numpy())
        assert isinstance(train, TensorTrainMatrix)
        parts.append(Train(train.cores, train.shape))
    return ConvNet(net.conv, [*parts, net.parts[-1]], net.biases)


def train(
    net: ConvNet,
    x: Array,
    y: Array,
    image_shape: tuple[int, int],
    seconds: float,
    *,
    rate: float = 1e-3,
    seed: int = 0,
    after_epoch: Callable[[ConvNet], object] | None = None,
) -> None:
    """Train all parts by Adam for so many seconds; ``after_epoch`` is not timed."""
    images, labels = _images(x, image_shape), torch.from_numpy(np.asarray(y, np.int64))
    parameters = [p for part in net.parts for p in part.parameters]
    optimizer = torch.optim.Adam([*net.conv.parameters(), *parameters, *net.biases], lr=rate)
    generator = torch.Generator().manual_seed(seed)
    spent = 0.0
    while spent < seconds:
        start = perf_counter()
        order = torch.randperm(len(labels), generator=generator)
        for batch in order.split(BATCH):
            share = (spent + perf_counter() - start) / seconds
            if share >= 1:
                break
            optimizer.param_groups[0]["lr"] = rate * 0.5 * (1 + np.cos(np.pi * share))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net.outputs(images[batch]), labels[batch]).backward()
            optimizer.step()
        spent += perf_counter() - start
        if after_epoch is not None:
            after_epoch(net)


def _images(x: Array, image_shape: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, np.float32)).reshape(-1, 1, *image_shape)
