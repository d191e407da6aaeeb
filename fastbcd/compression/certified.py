"""What is certified about a compression: how far both networks are apart, and their slopes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbcd.inspection.certificates.certify import certify_stages
from fastbcd.inspection.certificates.difference import difference_of
from fastbcd.inspection.certificates.regions import Ball, Box, Region, as_region
from fastbcd.inspection.certificates.stages import Stages, stages_of
from fastbcd.network.network import Network
from fastbcd.utils.types import Float


@dataclass(frozen=True)
class CertifiedChange:
    """Bounds of a compressed network against the dense one, for every input of a region.

    Outputs are those of the last layer: scores before a softmax, or predictions.

    Parameters
    ----------
    region : str
        Where the bounds hold, in words.
    lipschitz_before, lipschitz_after : float
        Lipschitz constants (2-norm) of the dense and of the compressed network.
    difference : tuple of float
        For each output, how far the two networks can be apart.
    found : tuple of float
        The largest differences that a search found: the truth lies between both.
    proven : bool
        Whether both constants are proven with all rounding errors of their computation.
    """

    region: str
    lipschitz_before: float
    lipschitz_after: float
    difference: tuple[float, ...]
    found: tuple[float, ...]
    proven: bool

    @property
    def largest(self) -> float:
        """The largest certified difference of all outputs."""
        return max(self.difference)

    def __str__(self) -> str:
        return (
            f"certified on {self.region}: outputs differ by at most {self.largest:.4g} "
            f"({max(self.found):.4g} found); Lipschitz constant {self.lipschitz_before:.4g} "
            f"before, {self.lipschitz_after:.4g} after"
        )


class Certifier:
    """The dense network, and where another one is compared with it.

    Parameters
    ----------
    network : Network
        The dense network, as a function of rows as they are.
    region : True, (low, high), (center, radius), Box or Ball
        True is the smallest box that holds all rows of ``x``.
    x : (n, d) array or sparse matrix
        Rows.

    Raises
    ------
    NoCertificateError
        If the network has a layer without bounds; the message names it.
    ValueError
        If the region does not fit.
    """

    def __init__(self, network: Network, region: Any, x: Float) -> None:
        self.stages: Stages = stages_of(network)
        self.region: Region
        self.name: str
        if region is True:
            low, high = (np.asarray(_dense(end), np.float64).ravel() for end in _ends(x))
            self.region, self.name = Box(low, high), f"the box of the {x.shape[0]} rows"
            return
        found = as_region(region, network.n_inputs, "certify")
        assert found is not None  # None is no request
        self.region = found
        self.name = f"a ball of radius {found.r:g}" if isinstance(found, Ball) else "the box given"

    def largest_difference(self, network: Network) -> float:
        """Return a bound of the difference of all outputs, without a search for multipliers."""
        bounds = difference_of(
            self.stages, stages_of(network), self.region, multipliers=False, search=False
        )
        return bounds.largest

    def change_to(self, network: Network, seconds: float = 30.0) -> CertifiedChange:
        """Return all bounds for a compressed network.

        Parameters
        ----------
        network : Network
            As a function of rows as they are, in the units of the dense network's outputs.
        seconds : float
            Bound of each of three searches for multipliers, as by default in
            :func:`fastbcd.certify`.
        """
        small = stages_of(network)
        before, after = (
            certify_stages(stages, self.region, seconds=seconds, gaps=False)
            for stages in (self.stages, small)
        )
        apart = difference_of(self.stages, small, self.region, seconds=seconds)
        return CertifiedChange(
            self.name,
            before.bound,
            after.bound,
            tuple(map(float, apart.bound)),
            tuple(map(float, apart.found)),
            before.verified and after.verified,
        )


def _ends(x: Any) -> tuple[Any, Any]:
    return x.min(axis=0), x.max(axis=0)


def _dense(row: Any) -> Any:
    return row.toarray() if hasattr(row, "toarray") else row
