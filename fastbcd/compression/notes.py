"""What a reader of a compression report should know besides its figures."""

from __future__ import annotations

import math

from fastbcd.network.network import Network
from fastbcd.solvers.reconstruct import count_dead


def dense_bytes(network: Network) -> int:
    """Return the bytes that ``network`` takes, or would take, with dense weights."""
    return sum(
        math.prod(layer.weight.shape) * layer.weight.dtype.itemsize
        + layer.intercept.nbytes
        + layer.view.n_bytes
        for layer in network.layers
    )


INTERRUPTED = (
    "Interrupted; the best network until then is returned, of {:,} bytes. Let compress finish for "
    "a better one, or give fewer epochs."
)
"""The warning that goes with such a network, given its bytes."""


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
    """Return a sentence for each thing worth knowing.

    Parameters
    ----------
    network, source : Network
        After and before the compression.
    n_rows : int
        Rows of the layer-by-layer pass.
    n_judging : int or None
        Rows that judged the score, if any did.
    sets_aside : bool
        Whether they were set aside from X.
    interrupted : bool
        Whether the compression was interrupted.
    refined : bool
        Whether the refinement changed anything, or was not asked for.
    """
    found = [
        f"layer {index} keeps {count} dead neurons"
        for index, count in enumerate(count_dead(network))
        if count
    ]
    widest = max(layer.weight.shape[0] for layer in source.layers if layer.view.positions == 1)
    if n_rows < 2 * widest:
        found.append(
            f"{n_rows} rows are few for a layer of {widest} inputs; old weights were trusted more"
        )
    if sets_aside:
        found.append(
            f"judged on {n_judging} rows of X; if the network was trained on them, it remembers "
            "them, and a smaller one would do: give validation_data"
        )
    elif n_judging is not None:
        found.append(f"judged on {n_judging} rows")
    before, dense = source.n_bytes, dense_bytes(source)
    if before < dense and network.n_bytes >= before:
        found.append(
            f"the network was compressed before, to {before:,} bytes, and is now no smaller: ratio "
            f"counts from its {dense:,} bytes as a dense network; ask for a ratio above "
            f"{dense / before:.3g}"
        )
    if interrupted:
        found.append("interrupted: the best network until then")
    elif not refined:
        found.append(
            "refinement found nothing better on rows held out; this is the network of the "
            "layer-by-layer pass"
        )
    return found
