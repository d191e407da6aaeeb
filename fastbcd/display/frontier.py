"""Plot of score against size for several compression methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import is_regressor
from sklearn.metrics import check_scoring

from fastbcd.display import style as _style
from fastbcd.estimators.compress import compress
from fastbcd.exceptions import BudgetError
from fastbcd.schemes import LowRank, Prune, Quantize, Scheme

Path = Sequence[tuple[float, float]]


class FrontierDisplay:
    """Score against size, with one line per compression method.

    Create a display with :meth:`from_estimator`, which compresses an estimator, or with
    :meth:`from_path`, which scores networks that are already compressed.

    Parameters
    ----------
    paths : dict of str to sequence of (float, float)
        Points (size in bytes, score) by name of the method.
    dense : (float, float), optional
        Size in bytes and score of the dense network.
    score_name : str, default="score"
        Label of the score axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the plot.
    figure_ : matplotlib Figure
        The figure that contains the axes.
    """

    ax_: Any
    figure_: Any

    def __init__(
        self,
        paths: Mapping[str, Path],
        dense: tuple[float, float] | None = None,
        score_name: str = "score",
    ) -> None:
        self.paths: dict[str, list[tuple[float, float]]] = {
            name: sorted(points) for name, points in paths.items()
        }
        self.dense = dense
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        X_test: Any = None,
        y_test: Any = None,
        schemes: Mapping[str, Scheme | None] | None = None,
        ratios: Sequence[float] = (2, 4, 8, 16, 32),
        scoring: Any = None,
        **options: Any,
    ) -> Self:
        """Compress an estimator with several schemes to several sizes, and score each result.

        Parameters
        ----------
        estimator : estimator
            Any model that :func:`fastbcd.compress` accepts. It needs a ``score`` method unless
            ``scoring`` is given.
        X, y : arrays
            Rows to compress with.
        X_test, y_test : arrays, optional
            Rows to score on. The default is ``X`` and ``y``, which overestimates the score.
        schemes : dict of str to Scheme or None, optional
            Scheme by name of the line. Pass schemes without an amount; None chooses the best scheme
            for each layer. The default is pruning, quantisation, low rank, and None.
        ratios : sequence of float, default=(2, 4, 8, 16, 32)
            Compression ratios. Ratios that cannot be reached are omitted.
        scoring : str or callable, optional
            As in scikit-learn. The default is the ``score`` method of the estimator.
        **options
            Passed to :func:`fastbcd.compress`, for example ``epochs=0`` for a quick estimate.

        Returns
        -------
        FrontierDisplay
            Nothing is drawn yet. The cost is ``len(schemes) * len(ratios)`` compressions.

        Raises
        ------
        ValueError
            If only one of ``X_test`` and ``y_test`` is given.
        """
        if (X_test is None) != (y_test is None):
            missing = "X_test" if X_test is None else "y_test"
            raise ValueError(f"X_test and y_test must be given together; {missing} is missing.")
        if X_test is None:
            X_test, y_test = X, y
        if schemes is None:
            schemes = {
                "prune": Prune(),
                "quantise": Quantize(),
                "low rank": LowRank(),
                "best for each layer": None,
            }
        scorer = check_scoring(estimator, scoring)
        paths: dict[str, list[tuple[float, float]]] = {}
        dense = None
        for name, scheme in schemes.items():
            paths[name] = []
            for ratio in ratios:
                try:
                    small = compress(estimator, X, y, scheme=scheme, ratio=ratio, **options)
                except BudgetError:
                    continue
                total = small.compression_report_.total
                paths[name].append((total.n_bytes, scorer(small, X_test, y_test)))
                dense = total.dense_bytes, scorer(estimator, X_test, y_test)
        label = scoring if isinstance(scoring, str) else _score_name(estimator)
        return cls(paths, dense, f"{label} on {'held-out' if X_test is not X else 'these'} rows")

    @classmethod
    def from_path(
        cls,
        networks: Mapping[str, Sequence[Any]],
        X: Any,
        y: Any,
        *,
        dense: Any = None,
        scoring: Any = None,
    ) -> Self:
        """Score existing estimators.

        Parameters
        ----------
        networks : dict of str to sequence of estimators
            Fitted fastbcd estimators of any size, by name of the method.
        X, y : arrays
            Rows to score on.
        dense : estimator, optional
            A dense fastbcd estimator, drawn as a horizontal line.
        scoring : str or callable, optional
            As in scikit-learn. The default is the ``score`` method of each estimator.

        Raises
        ------
        TypeError
            If ``networks`` is not a dict.
        """
        if not isinstance(networks, Mapping):
            raise TypeError(
                "networks must be a dict of lists of estimators, such as {'pruned': [small]}; got "
                f"{type(networks).__name__}."
            )

        def point(estimator: Any) -> tuple[float, float]:
            score = float(check_scoring(estimator, scoring)(estimator, X, y))
            return float(estimator.compression_report_.total.n_bytes), score

        paths = {name: [point(one) for one in some] for name, some in networks.items()}
        some = next((one for many in networks.values() for one in many), dense)
        label = scoring if isinstance(scoring, str) else _score_name(some)
        return cls(paths, None if dense is None else point(dense), label)

    def plot(self, ax: Any = None) -> Self:
        """Draw the lines.

        The sizes are on a logarithmic axis. The scores range down to the lower whisker of a box
        plot: scores that are lower than the first quartile by more than 1.5 times the interquartile
        range are outside, and a line that leaves the axes leads to them. All points are in
        ``paths``.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. The default is a new figure.

        Returns
        -------
        FrontierDisplay
            This display, with ``ax_`` and ``figure_`` set.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        (self.ax_,) = _style.panels(ax, 1, size=(6.0, 4.0))
        self.figure_ = self.ax_.figure
        for index, (name, points) in enumerate(self.paths.items()):
            if not points:
                continue
            self.ax_.plot(
                *zip(*points, strict=True),
                color=_style.COLORS[index % len(_style.COLORS)],
                marker=_style.MARKERS[index % len(_style.MARKERS)],
                label=name,
            )
        if self.dense is not None:
            size, score = self.dense
            self.ax_.axhline(score, color=_style.GREY, linestyle="--", linewidth=1)
            text = f"dense, {_style.bytes_text(size)}"
            self.ax_.plot([], [], color=_style.GREY, linestyle="--", linewidth=1, label=text)
        bottom, top = self._range()
        if top > bottom:
            self.ax_.set_ylim(bottom - 0.05 * (top - bottom), top + 0.05 * (top - bottom))
        self.ax_.set_xscale("log")
        _style.bytes_axis(self.ax_, log=True)
        if self.dense is not None or any(self.paths.values()):
            self.ax_.legend(frameon=False)
        _style.tidy(self.ax_, "", "size, indices included (log scale)", self.score_name, "both")
        return self

    def _range(self) -> tuple[float, float]:
        """Return the lowest and the highest score to show; (0, 0) if there are none."""
        found = [score for points in self.paths.values() for _, score in points]
        if self.dense is not None:
            found.append(self.dense[1])
        scores = np.array(found, np.float64)
        scores = scores[np.isfinite(scores)]
        if not scores.size:
            return 0.0, 0.0
        low, high = np.quantile(scores, (0.25, 0.75))
        return float(scores[scores >= low - 1.5 * (high - low)].min()), float(scores.max())


def _score_name(estimator: Any) -> str:
    return "R²" if is_regressor(estimator) else "accuracy"
