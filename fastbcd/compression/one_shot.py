"""What the layer-by-layer pass gives."""

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
        What was done to each layer.
    errors : list of float
        What that changed, per layer.
    """

    network: Network
    schemes: list[Scheme | None]
    errors: list[float]
