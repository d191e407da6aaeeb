"""What compression did to a network: the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from fastbcd._network import Layer, Network
from fastbcd._types import Float

if TYPE_CHECKING:
    import pandas as pd

_TINY = np.finfo(float).tiny


@dataclass(frozen=True)
class LayerReport:
    """One line of a :class:`CompressionReport`.

    Parameters
    ----------
    layer : str
        Index of the layer, or "total".
    shape : str
        "n_in x n_out".
    format : str
        How the weights are stored.
    n_params : int
        Stored numbers, intercepts included.
    n_nonzero : int
        Weights of the dense matrix that are not zero.
    n_bytes : int
        Bytes of all arrays, indices and intercepts included.
    dense_bytes : int
        The same for the dense layer.
    flops : int
        Operations of one prediction.
    error : float or None
        ||W - T|| / ||W||: relative distance from the weights before compression; None if the
        network was trained compressed and there were none.
    """

    layer: str
    shape: str
    format: str
    n_params: int
    n_nonzero: int
    n_bytes: int
    dense_bytes: int
    flops: int
    error: float | None


@dataclass(frozen=True)
class CompressionReport:
    """Size and error of every layer, and the score before and after where data were given.

    Parameters
    ----------
    layers : sequence of LayerReport
        One per layer.
    total : LayerReport
        Their sum.
    score_before, score_after : float or None
        Score of the dense and of the compressed network on the data that were given.
    """

    layers: Sequence[LayerReport]
    total: LayerReport
    score_before: float | None = None
    score_after: float | None = None

    @property
    def ratio(self) -> float:
        """Dense bytes over compressed bytes."""
        return self.total.dense_bytes / self.total.n_bytes

    def to_frame(self) -> pd.DataFrame:
        """Return the table as a pandas DataFrame.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("to_frame() needs pandas: pip install pandas") from None
        return pd.DataFrame([asdict(row) for row in (*self.layers, self.total)]).set_index("layer")

    def __str__(self) -> str:
        names = [field.name for field in fields(LayerReport)]
        rows = [[_text(getattr(row, n)) for n in names] for row in (*self.layers, self.total)]
        widths = [max(len(cell) for cell in column) for column in zip(names, *rows, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in (names, *rows)
        ]
        lines.append(f"{self.ratio:.1f} times smaller")
        if self.score_before is not None and self.score_after is not None:
            lines[-1] += f"; score {self.score_before:.4f} before, {self.score_after:.4f} after"
        return "\n".join(lines)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def report(
    network: Network,
    dense: Sequence[Float] | None = None,
    score_before: float | None = None,
    score_after: float | None = None,
) -> CompressionReport:
    """Describe ``network``, against the dense weights it was made from if there are any.

    Parameters
    ----------
    network : Network
        The compressed network.
    dense : sequence of (n_in, n_out) arrays, optional
        Weights before compression.
    score_before, score_after : float, optional
        Scores to report.
    """
    references: Sequence[Float | None] = dense or [None] * len(network.layers)
    rows = [
        _row(str(index), layer, reference)
        for index, (layer, reference) in enumerate(zip(network.layers, references, strict=True))
    ]
    error = None
    if dense:
        norms = [float(np.linalg.norm(weight)) for weight in dense]
        missed = [(row.error or 0.0) * norm for row, norm in zip(rows, norms, strict=True)]
        error = float(np.linalg.norm(missed) / max(np.linalg.norm(norms), _TINY))
    total = LayerReport(
        layer="total",
        shape="",
        format="",
        n_params=sum(row.n_params for row in rows),
        n_nonzero=sum(row.n_nonzero for row in rows),
        n_bytes=sum(row.n_bytes for row in rows),
        dense_bytes=sum(row.dense_bytes for row in rows),
        flops=sum(row.flops for row in rows),
        error=error,
    )
    return CompressionReport(rows, total, score_before, score_after)


def _row(name: str, layer: Layer, dense: Float | None) -> LayerReport:
    n_in, n_out = layer.weight.shape
    stored = layer.weight.to_dense()
    error = None
    if dense is not None:
        error = float(np.linalg.norm(dense - stored) / max(np.linalg.norm(dense), _TINY))
    return LayerReport(
        layer=name,
        shape=f"{n_in} x {n_out}",
        format=layer.weight.kind,
        n_params=layer.n_params,
        n_nonzero=int(np.count_nonzero(stored)),
        n_bytes=layer.n_bytes,
        dense_bytes=(n_in + 1) * n_out * layer.weight.dtype.itemsize,
        flops=layer.weight.flops + layer.intercept.size,
        error=error,
    )
