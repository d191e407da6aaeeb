"""What is returned: a bound, how it was found, and what is known from below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbcd.inspection.certificates.regions import Region
from fastbcd.utils.types import Float64


@dataclass(frozen=True)
class Certificate:
    """A bound that holds for every two inputs of a region.

    Attributes
    ----------
    bound : float
        The certified number: for a Lipschitz constant, outputs never change by more than ``bound``
        times the change of the inputs.
    constraint : str
        What it bounds: ``"lipschitz"``, ``"lower"``, ``"one_sided"`` or ``"monotone"``.
    norm : {"2", "inf"}
        Norm of the inputs and of the outputs.
    method : str
        How it was found.
    region : Box, Ball or None
        Where it holds; None is everywhere.
    pattern : float
        For Lipschitz constants in the 2-norm, the largest norm found of a Jacobian with any slopes
        that the units can have: certificates of this kind cannot be smaller. NaN otherwise.
    reached : float
        For Lipschitz constants, the largest norm of the Jacobian found at an input of the region:
        the constant is at least this. NaN otherwise.
    verified : bool
        Whether the bound is proven, rounding errors of its computation included. Otherwise it was
        computed in float64 alone.
    seconds : float
        Wall time.
    multipliers : array
        The multipliers that prove it, one per unit of which the slope is not known.
    note : str
        What was not possible, if anything.
    """

    bound: float
    constraint: str
    norm: str
    method: str
    region: Region | None
    pattern: float
    reached: float
    verified: bool
    seconds: float
    multipliers: Float64
    note: str = ""

    def __float__(self) -> float:
        return self.bound

    def __str__(self) -> str:
        names = {
            "lipschitz": "outputs change by at most {:.6g} times the change of the inputs",
            "lower": "outputs change by at least {:.6g} times the change of the inputs",
            "one_sided": "the one-sided Lipschitz constant is at most {:.6g}",
            "monotone": "the constant of strong monotonicity is at least {:.6g}",
        }
        where = "everywhere" if self.region is None else f"on the {_name(self.region)}"
        lines = [f"{names[self.constraint].format(self.bound)} ({self.norm}-norm), {where}"]
        proof = "proven, rounding included" if self.verified else "computed in float64, not proven"
        lines.append(f"method {self.method}, {proof}, {self.seconds:.3g} s")
        if np.isfinite(self.pattern):
            lines.append(
                f"no certificate of this kind is below {self.pattern:.6g}; "
                f"{self.reached:.6g} is reached"
            )
        if self.note:
            lines.append(self.note)
        return "\n".join(lines)


@dataclass(frozen=True)
class DifferenceCertificate:
    """Bounds of the difference of two networks, for every input of a region.

    Attributes
    ----------
    bound : (m,) array
        The difference of output j is at most ``bound[j]``, anywhere in the region. For moments it
        is the root of the mean square.
    found : (m,) array
        The largest difference that a search found: the truth lies between ``found`` and ``bound``.
    worst : (m, d) array
        The inputs where it was found.
    low, high : (m,) arrays
        Bounds with signs of first minus second.
    method : tuple of str
        What gave the bound of each output.
    region : Box, Ball or Moments
        Where it holds.
    seconds : float
        Wall time.
    """

    bound: Float64
    found: Float64
    worst: Float64
    low: Float64
    high: Float64
    method: tuple[str, ...]
    region: Any
    seconds: float

    @property
    def largest(self) -> float:
        """The largest of the bounds of all outputs."""
        return float(self.bound.max())

    def __str__(self) -> str:
        lines = [f"difference of the outputs on the {_name(self.region)}, {self.seconds:.3g} s"]
        for j, (bound, found, method) in enumerate(
            zip(self.bound, self.found, self.method, strict=True)
        ):
            lines.append(f"output {j}: at most {bound:.4g}, found {found:.4g} ({method})")
        return "\n".join(lines)


def _name(region: Any) -> str:
    return type(region).__name__.lower()
