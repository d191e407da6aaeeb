"""What compression did to a network: the report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from fastbcd.compression import report_html as _report_html
from fastbcd.compression.certified import CertifiedChange
from fastbcd.io.codecs.streams import encode
from fastbcd.io.storage.network import state_of
from fastbcd.network.layers.encoding import PiecewiseLinearEncoding
from fastbcd.network.network import Layer, Network
from fastbcd.utils.types import Float

if TYPE_CHECKING:
    import pandas as pd

_TINY = np.finfo(float).tiny

WIDTH = 80
"""Columns of a terminal that the text fits."""

HEADS = {
    "layer": ("", "layer"),
    "shape": ("", "shape"),
    "format": ("", "format"),
    "n_stored": ("weights", "left"),
    "n_bytes": ("", "bytes"),
    "dense_bytes": ("dense", "bytes"),
    "file_bytes": ("file", "bytes"),
    "output_error": ("output", "error"),
}
"""The columns of the text, with headers of two lines."""


@dataclass(frozen=True)
class LayerReport:
    """One line of a :class:`CompressionReport`.

    Parameters
    ----------
    layer : str
        Index of the layer, or "total".
    shape : str
        "n_in x n_out" of the weights. Behind an encoding of columns n_in counts its features.
    format : str
        How the weights are stored.
    scheme : str
        How they were chosen; empty for a layer without a scheme.
    n_params : int
        Distinct parameters, intercepts and those of an encoding included: non-zeros, factors or the
        values of a codebook.
    n_nonzero : int
        Weights of the dense matrix that are not zero.
    n_bytes : int
        Bytes of all arrays in memory, indices, intercepts and those of an encoding included.
    dense_bytes : int
        The same for the dense layer.
    flops : int
        Floating-point operations of one prediction.
    error : float or None
        ||W - T|| / ||W||: relative distance from the weights before compression; None if the
        network was trained compressed and there were none, or if neurons were removed.
    output_error : float or None
        ||U - U_T|| / ||U - mean U||: relative change of the layer's pre-activations on the data,
        before all layers were refined together; None without data.
    file_bytes : int or None
        Bytes of the layer in a saved file, where indices, codes and numbers are entropy coded,
        without its entries in the header. None after a fit.
    n_stored : int or None
        Weights and intercepts that are stored: non-zeros, factors or codes. None in reports that
        an older version saved.
    n_dense : int or None
        Weights and intercepts of the dense layer, likewise.
    """

    layer: str
    shape: str
    format: str
    scheme: str
    n_params: int
    n_nonzero: int
    n_bytes: int
    dense_bytes: int
    flops: int
    error: float | None
    output_error: float | None = None
    file_bytes: int | None = None
    n_stored: int | None = None
    n_dense: int | None = None


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
    warnings : sequence of str
        What a reader should know, such as dead neurons or too few rows.
    certified : CertifiedChange or None
        How far the network can be from the dense one, if ``certify`` was given.
    """

    layers: Sequence[LayerReport]
    total: LayerReport
    score_before: float | None = None
    score_after: float | None = None
    warnings: Sequence[str] = ()
    certified: CertifiedChange | None = None

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

    def _cells(self) -> list[list[str]]:
        """Return the header, in two lines, and the rows; unknown columns are left out."""
        rows = (*self.layers, self.total)
        names = [
            name for name in HEADS if any(getattr(row, name) not in ("", None) for row in rows)
        ]
        heads = [[HEADS[name][line] for name in names] for line in (0, 1)]
        return [*heads, *([_text(getattr(row, name)) for name in names] for row in rows)]

    def _schemes(self) -> list[str]:
        """Return a line for each scheme and the layers that it was applied to."""
        layers: dict[str, list[str]] = {}
        for row in self.layers:
            if row.scheme:
                layers.setdefault(row.scheme, []).append(row.layer)
        return [
            f"layer{'s' if len(names) > 1 else ''} {', '.join(names)}: {scheme}"
            for scheme, names in layers.items()
        ]

    def _summary(self) -> str:
        same = self.total.n_bytes == self.total.dense_bytes
        line = "not compressed" if same else f"{self.ratio:.1f} times smaller"
        if self.score_before is not None and self.score_after is not None:
            line += f"; score {self.score_before:.4f} before, {self.score_after:.4f} after"
        return line

    def __str__(self) -> str:
        cells = self._cells()
        widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in cells
        ]
        lines += [*self._schemes(), self._summary()]
        if self.certified is not None:
            lines.append(str(self.certified))
        lines += [*(f"Note: {text}" for text in self.warnings)]
        return "\n".join(_wrapped(line) for line in lines)

    def _repr_html_(self) -> str:
        return _report_html.fragment(self)

    def to_html(
        self, path: str | os.PathLike[str], title: str = "fastbcd: compression report"
    ) -> None:
        """Write the report as one page that needs no other file: tables and pictures.

        Parameters
        ----------
        path : str or path
            The file; one that is there is replaced.
        title : str
            Heading of the page.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        _report_html.write_page(self, path, title)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _wrapped(line: str) -> str:
    """Wrap a line that is too long for a terminal; lines of the table are short enough."""
    return line if len(line) <= WIDTH else fill(line, WIDTH, subsequent_indent="  ")


def report(
    network: Network,
    dense: Sequence[Float] | None = None,
    score_before: float | None = None,
    score_after: float | None = None,
    *,
    schemes: Sequence[object | None] | None = None,
    output_errors: Sequence[float] | None = None,
    warnings: Sequence[str] = (),
    encoded: bool = False,
    encoding: PiecewiseLinearEncoding | None = None,
    keep: bool = False,
) -> CompressionReport:
    """Describe ``network``, against the dense weights it was made from if there are any.

    Parameters
    ----------
    network : Network
        The compressed network; with ``encoding``, as a function of the features.
    dense : sequence of (n_in, n_out) arrays, optional
        Weights before compression.
    score_before, score_after : float, optional
        Scores to report.
    schemes : sequence, optional
        The scheme of each layer, or None.
    output_errors : sequence of float, optional
        Relative change of the pre-activations of each layer.
    warnings : sequence of str
        Notes for the reader.
    encoded : bool, default=False
        Count the bytes in a file, too, which takes as long as saving: 50 ms per megabyte.
    encoding : PiecewiseLinearEncoding, optional
        What the columns are read through. Features without weights do not count, unless ``keep``.
    keep : bool, default=False
        Whether the network keeps all features of the encoding.
    """
    whole = network.encoded(encoding, keep)
    before = encoding or network.encoding
    n_layers = len(network.layers)
    named = ["" if scheme is None else str(scheme) for scheme in schemes or [None] * n_layers]
    changes: Sequence[float | None] = output_errors or [None] * n_layers
    references: Sequence[Float | None] = dense or [None] * len(network.layers)
    rows = [
        _row(str(index), *parts)
        for index, parts in enumerate(zip(network.layers, references, named, changes, strict=True))
    ]
    if before is not None:
        rows[0] = _through(rows[0], before, whole.layers[0])
    if encoded:
        rows = [
            replace(row, file_bytes=_file_bytes(layer))
            for row, layer in zip(rows, whole.layers, strict=True)
        ]
    error = None
    if dense and all(row.error is not None for row in rows):
        norms = [float(np.linalg.norm(weight)) for weight in dense]
        missed = [(row.error or 0.0) * norm for row, norm in zip(rows, norms, strict=True)]
        error = float(np.linalg.norm(missed) / max(np.linalg.norm(norms), _TINY))
    total = LayerReport(
        layer="total",
        shape="",
        format="",
        scheme="",
        n_params=sum(row.n_params for row in rows),
        n_nonzero=sum(row.n_nonzero for row in rows),
        n_bytes=sum(row.n_bytes for row in rows),
        dense_bytes=sum(row.dense_bytes for row in rows),
        flops=sum(row.flops for row in rows),
        error=error,
        file_bytes=sum(row.file_bytes or 0 for row in rows) if encoded else None,
        n_stored=sum(row.n_stored or 0 for row in rows),
        n_dense=sum(row.n_dense or 0 for row in rows),
    )
    return CompressionReport(rows, total, score_before, score_after, tuple(warnings))


def _row(
    name: str, layer: Layer, dense: Float | None, scheme: str, output_error: float | None
) -> LayerReport:
    n_in, n_out = layer.weight.shape
    stored = layer.weight.to_dense()
    rows, columns = stored.shape if dense is None else dense.shape
    error = None
    if dense is not None and dense.shape == stored.shape:
        error = float(np.linalg.norm(dense - stored) / max(np.linalg.norm(dense), _TINY))
    return LayerReport(
        layer=name,
        shape=f"{n_in} x {n_out}",
        format=layer.weight.kind,
        scheme=scheme,
        n_params=layer.n_params,
        n_nonzero=int(np.count_nonzero(stored)),
        n_bytes=layer.n_bytes,
        dense_bytes=(rows + 1) * columns * (layer.intercept if dense is None else dense).itemsize,
        flops=layer.flops,
        error=error,
        output_error=output_error,
        n_stored=layer.weight.n_stored + layer.intercept.size,
        n_dense=(rows + 1) * columns,
    )


def _through(row: LayerReport, encoding: PiecewiseLinearEncoding, layer: Layer) -> LayerReport:
    """Return the row of a first layer whose features are those of ``encoding``, or what is left."""
    n_in, n_out = layer.weight.shape
    return replace(
        row,
        shape=f"{n_in} x {n_out}",
        n_params=layer.n_params,
        n_bytes=layer.n_bytes,
        dense_bytes=row.dense_bytes + encoding.n_bytes,
        flops=layer.flops,
    )


def _file_bytes(layer: Layer) -> int:
    return encode(state_of(layer)).n_bytes
