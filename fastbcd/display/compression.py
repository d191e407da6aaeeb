"""Plot of the size and error of each layer after compression."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fastbcd.compression.report import CompressionReport
from fastbcd.display import style as _style


class CompressionDisplay:
    """Size of each layer before and after compression, and its error.

    Create a display with :meth:`from_estimator` or :meth:`from_report`.

    Parameters
    ----------
    report : CompressionReport
        The report to draw.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
        The panels: sizes in bytes and, if the report has errors, the errors.
    figure_ : matplotlib Figure
        The figure that contains the panels.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbcd import BCDClassifier
    >>> from fastbcd.display import CompressionDisplay
    >>> from fastbcd.schemes import Prune
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = BCDClassifier((8,), random_state=0, tol=1e-4).fit(X, y)
    >>> small = clf.compress(X, y, scheme=Prune(sparsity=0.5))
    >>> CompressionDisplay.from_estimator(small).plot()  # doctest: +SKIP
    """

    axes_: list[Any]
    figure_: Any

    def __init__(self, report: CompressionReport) -> None:
        self.report = report

    @classmethod
    def from_estimator(cls, estimator: Any) -> Self:
        """Return the display of a fitted estimator; nothing is drawn yet.

        Parameters
        ----------
        estimator : BCDClassifier, BCDRegressor or Pipeline
            A fitted estimator with a ``compression_report_``.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator has no ``compression_report_``.
        """
        if not hasattr(estimator, "compression_report_"):
            check_is_fitted(estimator)
            raise TypeError(
                f"{type(estimator).__name__} has no compression_report_. Pass a fastbcd estimator "
                "or the result of fastbcd.compress."
            )
        return cls(estimator.compression_report_)

    @classmethod
    def from_report(cls, report: CompressionReport) -> Self:
        """Return the display of a report; nothing is drawn yet.

        Parameters
        ----------
        report : CompressionReport
            A report, such as ``compression_report_``.
        """
        return cls(report)

    def plot(self, ax: Any = None) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of Axes, optional
            Where to draw. A single Axes shows only the sizes. The default is a new figure.

        Returns
        -------
        CompressionDisplay
            This display, with ``axes_`` and ``figure_`` set.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        rows = self.report.layers
        has_error = any(row.error is not None or row.output_error is not None for row in rows)
        self.axes_ = _style.panels(ax, 2 if has_error else 1, size=(5.4, 1.7 + 0.6 * len(rows)))
        self.figure_ = self.axes_[0].figure
        self._bytes(self.axes_[0])
        if len(self.axes_) > 1:
            self._errors(self.axes_[1])
        return self

    def _bytes(self, ax: Any) -> None:
        rows = self.report.layers
        place = np.arange(len(rows))
        dense = [row.dense_bytes for row in rows]
        stored = [row.n_bytes for row in rows]
        ax.barh(place, dense, height=0.7, color="0.85", label="dense")
        ax.barh(place, stored, height=0.4, color=_style.BLUE, label="stored")
        for k, row in enumerate(rows):
            text = f" {_style.bytes_text(row.n_bytes)} of {_style.bytes_text(row.dense_bytes)}"
            ax.text(max(row.dense_bytes, row.n_bytes), k, text, va="center", fontsize="small")
        ax.set_xlim(0, 1.35 * max(*dense, *stored))
        _style.bytes_axis(ax, log=False)
        self._layers(ax)
        ax.legend(frameon=False, ncols=2, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1))
        _style.tidy(ax, "", "size, indices included", "", grid="x")
        ax.set_title(f"{self.report.ratio:.1f} times smaller", loc="right", fontsize="medium")

    def _errors(self, ax: Any) -> None:
        rows = self.report.layers
        place = np.arange(len(rows))
        kinds = (
            ("output_error", "of its outputs on the data", _style.BLUE, -0.18),
            ("error", "of its weights", _style.ORANGE, 0.18),
        )
        top = 0.0
        for name, label, color, shift in kinds:
            errors = [100 * (getattr(row, name) or 0.0) for row in rows]
            known = [getattr(row, name) is not None for row in rows]
            if not any(known):
                continue
            top = max(top, *errors)
            ax.barh(place + shift, errors, height=0.32, color=color, label=label)
            for k, (error, shown) in enumerate(zip(errors, known, strict=True)):
                text = f" {error:.3g} %" if shown else " not known"
                ax.text(error, k + shift, text, va="center", fontsize="small")
        ax.set_xlim(0, 1.25 * top or 1)
        self._layers(ax)
        ax.legend(frameon=False, ncols=2, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1))
        _style.tidy(ax, "", "relative error of the layer (%)", "", grid="x")

    def _layers(self, ax: Any) -> None:
        rows = self.report.layers
        names = [f"layer {row.layer}\n{row.shape}\n{row.format}" for row in rows]
        ax.set_yticks(range(len(rows)), names, fontsize="small")
        ax.set_ylim(len(rows) - 0.5, -0.5)
