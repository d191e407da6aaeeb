r"""NN-BCD as published for a network with one convolution before its dense layers.

The first layer's pre-activations are U_1 = W_1 * X, a convolution. With the patches of all
positions as the rows of a matrix P of shape (n_samples * n_positions, kernel^2 * channels) and
U_1 read as (n_samples * n_positions, n_filters), its weights are a ridge regression,

.. math:: W_1 = (\rho P^T P + \alpha I)^{-1} (\rho P^T U_1 + \alpha W_1^{old}),

and are not compressed. V_1 and U_1 are updated like those of every other layer: V_1 has
n_positions * n_filters rows, position by position, and is what the first dense layer sees.
Everything else, explicit inverses and float32 included, is as in `peers.published_nnbcd`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bench.peers.published_nnbcd import PublishedNNBCD, _half_square, prox_relu

#: Modes of the two dense layers for 28 x 28 images: 1024 x 5408 and 1024 x 1024.
MNIST_MODES = ((26, 26, 4, 4, 4, 4, 4, 2, 2, 2), (4,) * 10)


class PublishedCNN(PublishedNNBCD):
    """Block coordinate descent as published: a convolution, then compressed dense layers.

    Parameters
    ----------
    image_shape : (height, width)
        Of the samples, which are columns of height * width grey values.
    hidden : sequence of int
        Units of the dense hidden layers.
    n_outputs : int
    rank, modes
        As in `PublishedNNBCD`, for the dense hidden layers.
    n_filters, kernel_size, stride : int
        Of the convolution, without padding.
    gamma, rho, alpha, tau, init, init_scale, init_rank, dtype, seed
        As in `PublishedNNBCD`, with the released code's settings for MNIST.

    Attributes
    ----------
    kernel : tensor of shape (kernel_size^2, n_filters)
    pre : tensor of shape (n_positions * n_filters, n_samples)
        U_1. V_1 is ``V[0]``; W, T, U and the rest of V are the dense layers'.
    """

    def __init__(
        self,
        image_shape: tuple[int, int],
        hidden: Sequence[int],
        n_outputs: int,
        *,
        rank: int | Sequence[int],
        modes: Sequence[Sequence[int]],
        n_filters: int = 32,
        kernel_size: int = 3,
        stride: int = 2,
        gamma: float = 5.0,
        rho: float = 5.0,
        alpha: float = 1.0,
        tau: float = 0.1,
        init: str = "normal",
        init_scale: float = 0.01,
        init_rank: int = 700,
        dtype: Literal["float32", "float64"] = "float32",
        seed: int = 0,
    ) -> None:
        self.image_shape, self.n_filters = image_shape, n_filters
        self.kernel_size, self.stride = kernel_size, stride
        self.positions = [(side - kernel_size) // stride + 1 for side in image_shape]
        n_features = self.positions[0] * self.positions[1] * n_filters
        super().__init__(
            (n_features, *hidden, n_outputs), rank=rank, modes=modes, gamma=gamma, rho=rho,
            alpha=alpha, tau=tau, init=init, init_scale=init_scale, init_rank=init_rank,
            dtype=dtype, seed=seed,
        )  # fmt: skip

    def initialise(self, X: NDArray[Any], Y: NDArray[Any]) -> PublishedCNN:
        """Draw all weights and run X, (height * width, n_samples), forward."""
        self.patches = self._patches(X)
        generator = torch.Generator().manual_seed(self.seed + 1)
        kernel = torch.empty(self.patches.shape[1], self.n_filters, dtype=torch.float64)
        kernel.normal_(generator=generator)
        self.kernel = (self.init_scale * kernel).to(self.dtype)
        self.pre = self._convolve(self.patches)
        super().initialise(self.pre.relu().numpy(), Y)
        return self

    def sweep(self) -> None:
        """Update the dense layers from the last to the first, then the convolution."""
        super().sweep()
        gamma, rho, alpha = self.gamma, self.rho, self.alpha
        W, U = self.W[0], self.U[0]
        A = rho * (W.T @ W)
        A.diagonal().add_(gamma)
        self.V[0] = torch.linalg.inv(A) @ (rho * (W.T @ U) + gamma * self.pre.relu())
        c = (rho * self._convolve(self.patches) + alpha * self.pre) / (rho + alpha)
        self.pre = prox_relu(self.V[0], c, (rho + alpha) / gamma)
        by_position = self.pre.T.reshape(-1, self.n_filters)
        A = rho * (self.patches.T @ self.patches)
        A.diagonal().add_(alpha)
        right = rho * (self.patches.T @ by_position) + alpha * self.kernel
        self.kernel = torch.linalg.inv(A) @ right

    def objective(self) -> float:
        """Evaluate F, with 1/2 on the loss."""
        first = self.rho * _half_square(self.pre - self._convolve(self.patches))
        return super().objective() + first + self.gamma * _half_square(self.V[0] - self.pre.relu())

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """Compute the outputs (n_outputs, n_samples) of the compressed network for images X."""
        return super().predict(self._convolve(self._patches(X)).relu().numpy())

    def _patches(self, X: NDArray[Any]) -> torch.Tensor:
        """Return the matrix P of the columns of X."""
        images = np.asarray(X).T.reshape(-1, *self.image_shape)
        windows = sliding_window_view(images, (self.kernel_size,) * 2, axis=(1, 2))
        windows = windows[:, :: self.stride, :: self.stride]
        return torch.as_tensor(windows.reshape(-1, self.kernel_size**2)).to(self.dtype)

    def _convolve(self, patches: torch.Tensor) -> torch.Tensor:
        """Return the pre-activations (n_positions * n_filters, n_samples)."""
        n_positions = self.positions[0] * self.positions[1]
        return (patches @ self.kernel).reshape(-1, n_positions * self.n_filters).T
