r"""NN-BCD as published: the baseline that the full solver is compared with.

Li et al. (arXiv:2303.06815) train a ReLU network of N linear layers by minimising

.. math::
    F = \tfrac12 \|V_N - Y\|^2
      + \sum_{i=1}^{N} \left[ \tfrac{\rho}{2} \|U_i - W_i V_{i-1} - b_i 1^T\|^2
      + \tfrac{\gamma}{2} \|V_i - \sigma_i(U_i)\|^2 \right]
      + \sum_{i<N} \tfrac{\tau}{2} \|W_i - T(G_i)\|^2,

one block at a time, by closed forms. Samples are columns: V_0 = X has shape
(n_features, n_samples). The last activation is the identity. T(G_i) is a tensor train of
bounded ranks, or a copy of W_i with its smallest entries removed. Predictions use T(G_i) for
the hidden layers and W_N for the output.

The formulas and settings are those of the paper and its authors' released code
(github.com/ChenyangLi-97/NN-BCD), written anew. Kept on purpose, to be compared with:
explicit inverses, float32 by default, biases b_i that stay zero (and so appear nowhere
below), Gram matrices formed anew in every sweep, tensor trains computed on a NumPy copy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from time import perf_counter
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

try:
    import tensorly
    import torch
    from tensorly.decomposition import tensor_train
except ImportError as error:
    raise ImportError(
        "The published NN-BCD baseline needs PyTorch and TensorLy: "
        'pip install "fastbcd[torch]" tensorly'
    ) from error


#: First weights. LeCun's variance, 1/n_in, is Kaiming's for a linear layer.
INITS: dict[str, Callable[..., torch.Tensor]] = {
    "orthogonal": torch.nn.init.orthogonal_,
    "xavier_normal": torch.nn.init.xavier_normal_,
    "xavier_uniform": torch.nn.init.xavier_uniform_,
    "lecun_normal": partial(torch.nn.init.kaiming_normal_, nonlinearity="linear"),
    "lecun_uniform": partial(torch.nn.init.kaiming_uniform_, nonlinearity="linear"),
    "kaiming_normal": partial(torch.nn.init.kaiming_normal_, nonlinearity="relu"),
    "kaiming_uniform": partial(torch.nn.init.kaiming_uniform_, nonlinearity="relu"),
    "uniform": partial(torch.nn.init.uniform_, a=-0.05, b=0.05),
    "normal": torch.nn.init.normal_,
}


class Shapes(NamedTuple):
    """Sizes of a network of the paper: layer widths, tensor modes, training samples."""

    widths: tuple[int, ...]
    modes: tuple[tuple[int, ...], ...]
    n_samples: int


#: UCI-HAR, four hidden layers. The weights, (n_out, n_in) row by row, take these modes.
HAR_SHAPES = Shapes(
    widths=(561, 1024, 1024, 1024, 512, 6),
    modes=((6, 22, 34, 2, 2, 2, 2, 2, 2, 2), (4,) * 10, (4,) * 10, (4,) * 9 + (2,)),
    n_samples=7352,
)
#: UCI-HAR, five hidden layers.
HAR5_SHAPES = Shapes(
    widths=(561, 1024, 1024, 1024, 512, 512, 6),
    modes=(*HAR_SHAPES.modes, (4,) * 9),
    n_samples=7352,
)


def random_problem(shapes: Shapes, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Make X (n_features, n_samples), uniform on [-1, 1], and Y (n_classes, n_samples), one-hot.

    A linear map tells the classes apart. The features of UCI-HAR have the same range.
    """
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.0, 1.0, (shapes.widths[0], shapes.n_samples))
    scores = rng.standard_normal((shapes.widths[-1], shapes.widths[0])) @ X
    return X, np.eye(shapes.widths[-1])[:, scores.argmax(axis=0)]


def tt_parameters(modes: Sequence[int], rank: int) -> int:
    """Count the parameters of a tensor train: sum of r_{k-1} m_k r_k, no rank above `rank`."""
    total, left = 0, 1
    for k, mode in enumerate(modes):
        right = min(rank, left * mode, math.prod(modes[k + 1 :]))
        total, left = total + left * mode * right, right
    return total


def compression_ratios(shapes: Shapes, rank: int) -> tuple[float, float]:
    """Compute CR_1, CR_2: compressed over dense weights, with and without the output layer."""
    dense = [a * b for a, b in pairwise(shapes.widths)]
    small = sum(tt_parameters(modes, rank) for modes in shapes.modes)
    return (small + dense[-1]) / sum(dense), small / sum(dense[:-1])


def prox_relu(a: torch.Tensor, c: torch.Tensor, g: float) -> torch.Tensor:
    """Minimise ``(relu(u) - a)^2 / 2 + g (u - c)^2 / 2`` over u, elementwise."""
    t = a + g * c
    above = (c >= 0) | (g * c >= a * (g - math.sqrt(g * (g + 1.0))))
    return torch.where(t < 0, c.clamp(max=0), torch.where(above, t / (1.0 + g), c))


class PublishedNNBCD:
    """Block coordinate descent as published, with compressed hidden layers.

    Parameters
    ----------
    widths : sequence of N + 1 ints
        Number of features, of units of each hidden layer, and of outputs.
    rank : int or one int per hidden layer, optional
        Largest rank of the tensor trains. Give either `sparsity`, or `rank` and `modes`.
    sparsity : float or one float per hidden layer, optional
        Share of the weights to remove: those whose square is below this quantile.
    modes : one sequence of ints per hidden layer, optional
        Modes of the tensor that W_i, row by row, is read as.
    gamma, rho, alpha, tau : float
        Weights of the activation, linear, proximal and compression terms.
    init : str
        Distribution of the first weights, which `init_scale` multiplies: one of `INITS`.
    init_rank : int
        Largest rank of the first tensor trains. If it exceeds `rank`, the first sweep lowers the
        rank, which may raise F.
    overwrite : bool
        With `sparsity`: True prunes W_i itself as well, as the released code does (the tau term
        is then zero, and pruning may raise F); False keeps W_i apart, as the paper does.
    dtype : {"float32", "float64"}
    seed : int

    Attributes
    ----------
    W, T : lists of N and N - 1 tensors of shape (n_out, n_in)
        Weights, and the compressed weights as dense matrices.
    U, V : lists of tensors of shape (n_units, n_samples)
        Pre-activations U[0], ..., U[N-1]; activations V[0] = X, V[1], ..., V[N].
    compress_seconds : float
        Time spent in the G updates since `initialise`.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        rank: int | Sequence[int] | None = None,
        sparsity: float | Sequence[float] | None = None,
        modes: Sequence[Sequence[int]] | None = None,
        gamma: float = 0.5,
        rho: float = 0.5,
        alpha: float = 1.0,
        tau: float = 5.0,
        init: str = "orthogonal",
        init_scale: float = 0.2,
        init_rank: int = 400,
        overwrite: bool = False,
        dtype: Literal["float32", "float64"] = "float32",
        seed: int = 0,
    ) -> None:
        if (rank is None) == (sparsity is None) or (rank is None) != (modes is None):
            raise ValueError("Give either sparsity, or rank and modes.")
        hidden = len(widths) - 2
        self.widths = tuple(widths)
        self.ranks = None if rank is None else np.broadcast_to(rank, hidden).tolist()
        self.sparsities = None if sparsity is None else np.broadcast_to(sparsity, hidden).tolist()
        self.modes = None if modes is None else [tuple(m) for m in modes]
        self.gamma, self.rho, self.alpha, self.tau = gamma, rho, alpha, tau
        self.init, self.init_scale, self.init_rank = init, init_scale, init_rank
        self.overwrite, self.seed = overwrite, seed
        self.dtype = torch.float64 if dtype == "float64" else torch.float32

    def initialise(self, X: NDArray[Any], Y: NDArray[Any]) -> PublishedNNBCD:
        """Draw W, run X forward through it for U and V, then compress: X and Y by columns."""
        generator = torch.Generator().manual_seed(self.seed)
        self.Y = torch.as_tensor(Y).to(self.dtype)
        self.V, self.U, self.W = [torch.as_tensor(X).to(self.dtype)], [], []
        for n_in, n_out in pairwise(self.widths):
            W = torch.empty(n_out, n_in, dtype=torch.float64)  # so both dtypes start alike
            INITS[self.init](W, generator=generator)
            self.W.append((self.init_scale * W).to(self.dtype))
            self.U.append(self.W[-1] @ self.V[-1])
            self.V.append(self.U[-1].relu())
        self.V[-1] = self.U[-1].clone()
        self.T = self.W[:-1]
        for i in range(len(self.T)):
            self._compress(i, first=True)
        self.compress_seconds = 0.0
        return self

    def sweep(self) -> None:
        """Update every block once, from the last layer to the first."""
        gamma, rho, alpha, tau = self.gamma, self.rho, self.alpha, self.tau
        W, U, V = self.W, self.U, self.V
        n = len(W) - 1
        # V_N, U_N, W_N; here W[n] and U[n] are W_N and U_N, and V[n] is V_{N-1}
        V[-1] = (self.Y + gamma * U[n] + alpha * V[-1]) / (1.0 + gamma + alpha)
        U[n] = (gamma * V[-1] + rho * (W[n] @ V[n])) / (gamma + rho)
        W[n] = self._solve_weights(alpha * W[n], U[n], V[n], alpha)
        for i in range(n - 1, -1, -1):
            # V_i, U_i, W_i, G_i of the paper's layer i + 1
            A = rho * (W[i + 1].T @ W[i + 1])
            A.diagonal().add_(gamma)
            V[i + 1] = torch.linalg.inv(A) @ (rho * (W[i + 1].T @ U[i + 1]) + gamma * U[i].relu())
            c = (rho * (W[i] @ V[i]) + alpha * U[i]) / (rho + alpha)
            U[i] = prox_relu(V[i + 1], c, (rho + alpha) / gamma)
            target = alpha * W[i] + tau * self.T[i]
            W[i] = self._solve_weights(target, U[i], V[i], alpha + tau)
            start = perf_counter()
            self._compress(i)
            self.compress_seconds += perf_counter() - start

    def objective(self) -> float:
        """Evaluate F, with 1/2 on the loss as minimised (the released code prints gamma/2)."""
        total = _half_square(self.V[-1] - self.Y)
        for i, (W, U) in enumerate(zip(self.W, self.U, strict=True)):
            active = U.relu() if i < len(self.T) else U
            total += self.rho * _half_square(U - W @ self.V[i])
            total += self.gamma * _half_square(self.V[i + 1] - active)
            if i < len(self.T):
                total += self.tau * _half_square(W - self.T[i])
        return total

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """Compute the outputs (n_outputs, n_samples) of the compressed network for X."""
        V = torch.as_tensor(X).to(self.dtype)
        for T in self.T:
            V = (T @ V).relu()
        return np.asarray((self.W[-1] @ V).numpy())

    def _solve_weights(
        self, target: torch.Tensor, U: torch.Tensor, V: torch.Tensor, ridge: float
    ) -> torch.Tensor:
        """Solve ``W (rho V V' + ridge I) = target + rho U V'`` by the explicit inverse."""
        A = self.rho * (V @ V.T)
        A.diagonal().add_(ridge)
        inverse: torch.Tensor = torch.linalg.inv(A)
        return (target + self.rho * (U @ V.T)) @ inverse

    def _compress(self, i: int, first: bool = False) -> None:
        """Set T(G_i) to the tensor train of W_i (TT-SVD), or to W_i without small entries."""
        W = self.W[i]
        if self.ranks is not None and self.modes is not None:
            tensor = W.numpy().reshape(self.modes[i])
            cores = tensor_train(tensor, rank=self.init_rank if first else self.ranks[i])
            self.T[i] = torch.from_numpy(tensorly.tt_to_tensor(cores).reshape(W.shape))
        elif self.sparsities is not None:
            squares = (W * W).numpy()
            small = torch.from_numpy(squares < np.quantile(squares, self.sparsities[i]))
            self.T[i] = W.masked_fill(small, 0.0)
            if self.overwrite:
                self.W[i] = self.T[i]


def _half_square(E: torch.Tensor) -> float:
    return 0.5 * float((E * E).sum(dtype=torch.float64))
