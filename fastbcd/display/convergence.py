"""Plot of the training history of a fit."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fastbcd.display import style as _style
from fastbcd.solvers import ConvergenceRecord
from fastbcd.utils.types import Float64


class ConvergenceDisplay:
    """The objective by sweep, its decrease by kind of block, and the convergence rate.

    Create a display with :meth:`from_estimator`.

    Parameters
    ----------
    record : ConvergenceRecord
        The training history, as in ``convergence_``.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
        The panels.
    figure_ : matplotlib Figure
        The figure that contains the panels.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbcd import BCDClassifier
    >>> from fastbcd.display import ConvergenceDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = BCDClassifier((8,), certificate=True, random_state=0, tol=1e-4).fit(X, y)
    >>> display = ConvergenceDisplay.from_estimator(clf)
    >>> display.plot()  # doctest: +SKIP
    """

    axes_: list[Any]
    figure_: Any

    def __init__(self, record: ConvergenceRecord) -> None:
        self.record = record

    @classmethod
    def from_estimator(cls, estimator: Any) -> Self:
        """Return the display of a fitted estimator; nothing is drawn yet.

        Parameters
        ----------
        estimator : BCDClassifier or BCDRegressor
            An estimator trained by ``fit``. With ``certificate=True`` the plot has three
            panels, otherwise one.

        Raises
        ------
        ValueError
            If the estimator has no training history because it was not trained by ``fit``.
        """
        check_is_fitted(estimator)
        record = getattr(estimator, "convergence_", None)
        if record is None or len(record.terms) < 2:
            raise ValueError(
                f"This {type(estimator).__name__} has no training history. Only fit() records one; "
                "partial_fit() and imported networks do not."
            )
        return cls(record)

    @property
    def block_decreases(self) -> dict[str, tuple[Float64, Float64]]:
        """Decrease of F in each sweep by kind of block, and its guaranteed lower bound.

        The dict is empty without ``certificate=True``.
        """
        kinds: dict[str, tuple[list[float], list[float]]] = {}
        for number, sweep in enumerate(self.record.block_steps):
            for step in sweep:
                taken, promised = kinds.setdefault(
                    step.block,
                    ([0.0] * len(self.record.block_steps), [0.0] * len(self.record.block_steps)),
                )
                taken[number] += step.decrease
                promised[number] += step.guaranteed
        return {kind: (np.array(a), np.array(b)) for kind, (a, b) in kinds.items()}

    def plot(self, ax: Any = None) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of Axes, optional
            Where to draw. A single Axes shows only the objective. The default is a new figure.

        Returns
        -------
        ConvergenceDisplay
            This display, with ``axes_`` and ``figure_`` set.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        certified = bool(self.record.block_steps)
        draw = [self._objective]
        if certified:
            draw += [self._decreases, self._rate]
        self.axes_ = _style.panels(ax, len(draw))
        self.figure_ = self.axes_[0].figure
        for panel, axes in zip(draw, self.axes_, strict=False):
            panel(axes)
        return self

    def _objective(self, ax: Any) -> None:
        objective, loss = self.record.objective, self.record.loss
        sweeps = np.arange(objective.size)
        exact = any(sum(terms.linear) for terms in self.record.terms)
        if exact:
            ax.plot(sweeps, objective, color=_style.BLUE, label="objective F")
            ax.plot(sweeps, loss, color=_style.ORANGE, linestyle="--", label="its loss part")
            ax.legend(frameon=False)
            _style.tidy(ax, "Objective", "sweep", "F (units of the scaled data)")
        else:
            ax.plot(sweeps, objective, color=_style.BLUE, marker="o", markersize=3)
            _style.tidy(ax, "Training loss", "epoch", "mean loss of a row")
        if objective.min() > 0 and objective.max() > 20 * objective.min():
            ax.set_yscale("log")

    def _decreases(self, ax: Any) -> None:
        for index, (kind, (taken, promised)) in enumerate(self.block_decreases.items()):
            color = _style.COLORS[index % len(_style.COLORS)]
            sweeps = np.arange(1, taken.size + 1)
            look = {"color": color, "marker": _style.MARKERS[index % len(_style.MARKERS)]}
            every = (2 * index, max(1, taken.size // 6))  # stagger the markers of different lines
            shown = np.where(taken > 0, taken, np.nan)
            ax.plot(sweeps, shown, **look, markersize=4, markevery=every, label=kind)
            if promised.any():
                least = np.where(promised > 0, promised, np.nan)
                ax.plot(sweeps, least, color=color, linestyle=":", linewidth=1)
        ax.plot([], [], color=_style.GREY, linestyle=":", linewidth=1, label="guaranteed")
        ax.set_yscale("log")
        ax.legend(frameon=False, fontsize="small", ncols=2)
        _style.tidy(ax, "Decrease of F by kind of block", "sweep", "decrease of F in the sweep")

    def _rate(self, ax: Any) -> None:
        rate = self.record.rate
        sweeps = np.arange(1, rate.size + 1)
        ax.plot(sweeps, rate, color=_style.BLUE, label="K · min ‖g‖²")
        squares = np.minimum.accumulate(np.square(self.record.subgradient_norm))
        ax.plot(sweeps, squares, color=_style.ORANGE, linestyle="--", label="min ‖g‖²")
        ax.plot(sweeps, rate.max() / sweeps, color=_style.GREY, linestyle=":", label="bound, C / K")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.legend(frameon=False)
        _style.tidy(
            ax, "Rate: the first line stays bounded", "sweep K", "squared norm of subgradient g"
        )
