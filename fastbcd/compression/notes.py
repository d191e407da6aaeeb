"""What a reader of a compression report should know besides its figures."""

from __future__ import annotations

from fastbcd.network.network import Network
from fastbcd.solvers.reconstruct import count_dead

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
    if interrupted:
        found.append("interrupted: the best network until then")
    elif not refined:
        found.append(
            "refinement found nothing better on rows held out; this is the network of the "
            "layer-by-layer pass"
        )
    return found
