"""The protocol that every scheme follows, and the choice of one scheme per layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from fastbcd.formats import Format
from fastbcd.statistics.metric import Metric
from fastbcd.utils.types import Float, Float64

SCHEMES: dict[str, type[Scheme]] = {}
"""Every scheme by the name of its class; a file may name these. Subclasses add themselves."""


@dataclass(frozen=True)
class Level:
    """One point of a curve: how far a scheme stays from the target, and at which size.

    Parameters
    ----------
    scheme : Scheme or None
        The scheme, its amount fixed; None for the dense matrix.
    n_params, n_bytes : int
        Size of the weights under it.
    error : float
        Squared distance from the target in the data's metric.
    """

    scheme: Scheme | None
    n_params: int
    n_bytes: int
    error: float


@dataclass
class Scheme(ABC):
    """A compression scheme: it defines one projection.

    Subclasses are dataclasses whose fields are their parameters. As in scikit-learn,
    the constructor only stores; :meth:`check` is called where the shape is known.
    """

    combine: ClassVar[Callable[..., Scheme]]
    """Combines two schemes; set by :mod:`fastbcd.schemes.combine`, which knows the kinds."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        SCHEMES[cls.__name__] = cls

    @abstractmethod
    def check(self, shape: tuple[int, int]) -> None:
        """Raise ValueError, naming the parameter and the fix, if ``shape`` cannot be compressed.

        Parameters
        ----------
        shape : (n_in, n_out)
            Shape of the weight matrix.
        """

    @abstractmethod
    def project(self, weight: Float, warm: Format | None = None) -> Format:
        """Return the compressed matrix nearest to ``weight``, or nearly so.

        Parameters
        ----------
        weight : (n_in, n_out) array
            What to compress. It is not changed.
        warm : Format, optional
            Result for a matrix nearby, for methods that can start from it.
        """

    def for_image(self, shape: tuple[int, int], image: tuple[int, int, int]) -> Scheme:
        """Return the scheme of a dense layer whose inputs are the pixels of ``image``, (h, w, c).

        A scheme to which the order of the inputs means nothing returns itself.

        Parameters
        ----------
        shape : (n_in, n_out)
            Shape of the weight matrix.
        image : (h, w, c)
            Height, width and channels; n_in is their product.
        """
        return self

    def project_scaled(self, weight: Float, scale: Float, warm: Format | None = None) -> Format:
        r"""Return the compressed matrix T nearest to ``weight`` with rows that count by ``scale``.

        That is :math:`\min \|D (T - W)\|_F`, D = diag(``scale``), nearly so. Inputs in small
        units have large weights, which says nothing of what they are worth. A scheme without a
        method of its own falls back on the plain projection.

        Parameters
        ----------
        weight : (n_in, n_out) array
            What to compress. It is not changed.
        scale : (n_in, 1) array
            Positive size of each input.
        warm : Format, optional
            Result for a matrix nearby.
        """
        return self.project(weight, warm)

    def project_in_metric(
        self,
        target: Float64,
        metric: Metric,
        dtype: np.dtype[Any],
        warm: Format | None = None,
    ) -> Format:
        """Return the compressed matrix nearest to ``target`` in the data's metric, or nearly so.

        A scheme without a method of its own falls back on the plain projection.

        Parameters
        ----------
        target : (n_in, n_out) float64 array
            Best weights without compression.
        metric : Metric
            Which errors the data see.
        dtype : dtype
            Type of the numbers of the result.
        warm : Format, optional
            Result for a problem nearby.
        """
        return self.project(target.astype(dtype), warm)

    @property
    def is_open(self) -> bool:
        """Whether no amount is given, so that a budget may choose it."""
        return False

    def curve(
        self,
        target: Float64,
        metric: Metric,
        dtype: np.dtype[Any],
        span: tuple[float, float] | None = None,
    ) -> list[Level]:
        """Return sizes and errors of this kind of scheme over a range of amounts.

        Parameters
        ----------
        target, metric, dtype
            As in :meth:`project_in_metric`.
        span : (float, float), optional
            Least and largest share of the dense matrix that matters.

        Returns
        -------
        list of Level
            From small to large; empty if the amount cannot be chosen for this scheme.
        """
        return []

    def share_of(self, n_weights: int) -> int | None:
        """Return how many of ``n_weights`` weights stay, if the scheme fixes a share of them.

        Only then can layers trade weights with each other under one scheme.
        """
        return None

    def with_nonzeros(self, count: int | None) -> Scheme:
        """Return the scheme with ``count`` weights that stay, or with no amount for None.

        For schemes that :meth:`share_of` tells a share of.
        """
        raise NotImplementedError

    def neurons_kept(self, n_out: int) -> int | None:
        """Return how many of ``n_out`` neurons stay, if the scheme removes whole neurons."""
        return None

    def __str__(self) -> str:
        """Return the scheme with the parameters that differ from their defaults."""
        given = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }
        inside = ", ".join(f"{key}={value!r}" for key, value in given.items())
        return f"{type(self).__name__}({inside})"

    def __add__(self, other: object) -> Scheme:
        """Combine two schemes; see :class:`fastbcd.schemes.Combination`."""
        if not isinstance(other, Scheme):
            return NotImplemented
        return Scheme.combine(self, other)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name (scikit-learn's protocol; ``deep`` changes nothing)."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name (scikit-learn's protocol).

        Parameters
        ----------
        **params
            New values by name.

        Raises
        ------
        ValueError
            If a name is not a parameter of this scheme.
        """
        names = [field.name for field in fields(self)]
        for name, value in params.items():
            if name not in names:
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}. Its parameters are "
                    f"{', '.join(names)}."
                )
            setattr(self, name, value)
        return self


Kind = TypeVar("Kind", bound=Format)


def warm_start(kind: type[Kind], warm: Format | None, shape: tuple[int, ...]) -> Kind | None:
    """Return ``warm`` if it is of the kind and the shape that a method can start from."""
    return warm if isinstance(warm, kind) and warm.shape == tuple(shape) else None


EXAMPLES = {"sparsity": 0.9, "bits": 4, "rank": 8}
"""Usual amounts, for messages about a scheme without one."""


def exactly_one(scheme: Scheme, *names: str) -> str:
    """Return the one parameter among ``names`` that is given; raise ValueError otherwise."""
    given = [name for name in names if getattr(scheme, name) is not None]
    if len(given) != 1:
        found = "none" if not given else " and ".join(f"{n}={getattr(scheme, n)!r}" for n in given)
        kind, example = type(scheme).__name__, EXAMPLES.get(names[0])
        advice = "" if example is None else f" Write {kind}({names[0]}={example}), for example."
        if given:
            advice = f" Keep one of them, such as {given[0]}."
        raise ValueError(f"{kind} takes exactly one of {', '.join(names)}; {found} given.{advice}")
    return given[0]
