"""The result of the layer-by-layer pass."""

from __future__ import annotations

from dataclasses import dataclass

from fastbcd.network.network import Network
from fastbcd.schemes.protocol import Scheme


@dataclass(frozen=True)
class OneShot:
    """A network after the layer-by-layer pass, without dead neurons.

    Parameters
    ----------
    network : Network
        The network.
    schemes : list of Scheme or None
        Scheme of each layer.
    errors : list of float
        Relative error of each layer.
    """

    network: Network
    schemes: list[Scheme | None]
    errors: list[float]
