"""The notes of a compression report."""

from __future__ import annotations

import math

from fastbcd.network.network import Network
from fastbcd.solvers.reconstruct import count_dead


def dense_bytes(network: Network) -> int:
    """Return the number of bytes of ``network`` with dense weights."""
    return sum(
        math.prod(layer.weight.shape) * layer.weight.dtype.itemsize
        + layer.intercept.nbytes
        + layer.view.n_bytes
        for layer in network.layers
    )


INTERRUPTED = (
    "Interrupted; the best network until then is returned, of {:,} bytes. Let compress finish for "
    "a better one, or pass fewer epochs."
)
"""Warning after an interruption, with the number of bytes."""


def notes(
    network: Network,
    source: Network,
    n_rows: int,
    *,
    n_judging: int | None,
    sets_aside: bool,
    interrupted: bool,
    refined: bool,
) -> list[str]:
    """Return the notes, one sentence each.

    Parameters
    ----------
    network, source : Network
        After and before the compression.
    n_rows : int
        Number of rows of the layer-by-layer pass.
    n_judging : int or None
        Number of rows that judged the score, if any.
    sets_aside : bool
        Whether these rows were held out of X.
    interrupted : bool
        Whether the compression was interrupted.
    refined : bool
        Whether the refinement changed the network, or was not requested.
    """
    found = [
        f"layer {index} keeps {count} dead neurons"
        for index, count in enumerate(count_dead(network))
        if count
    ]
    widest = max(layer.weight.shape[0] for layer in source.layers if layer.view.positions == 1)
    if n_rows < 2 * widest:
        found.append(
            f"{n_rows} rows are few for a layer of {widest} inputs; the weights stay closer to the "
            "old ones"
        )
    if sets_aside:
        found.append(
            f"the score drop was measured on {n_judging} rows of X; if the network was trained on "
            "them, the drop is overestimated: pass validation_data to get a smaller network"
        )
    elif n_judging is not None:
        found.append(f"judged on {n_judging} rows")
    before, dense = source.n_bytes, dense_bytes(source)
    if before < dense and network.n_bytes >= before:
        found.append(
            f"the network was already compressed, to {before:,} bytes, and is not smaller now: "
            f"ratio is relative to its {dense:,} bytes as a dense network; pass a ratio above "
            f"{dense / before:.3g}"
        )
    if interrupted:
        found.append("interrupted: the best network until then")
    elif not refined:
        found.append(
            "refinement found no better network on held-out rows; this is the result of the "
            "layer-by-layer pass"
        )
    return found
