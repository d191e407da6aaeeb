"""The weights that were kept."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fastbcd.display import style as _style
from fastbcd.utils.types import Float


class WeightDisplay:
    """The weights of one layer: which were kept, their sign and their size.

    Make one with :meth:`from_estimator`.

    Parameters
    ----------
    weight : (n_in, n_out) array
        The weights that ``predict`` uses.
    name : str, default=""
        How the layer is called in the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        Its figure.
    """

    ax_: Any
    figure_: Any

    def __init__(self, weight: Float, name: str = "") -> None:
        self.weight = weight
        self.name = name

    @classmethod
    def from_estimator(cls, estimator: Any, layer: int = 0) -> Self:
        """Return the display of one layer of a fitted estimator; nothing is drawn yet.

        Parameters
        ----------
        estimator : BCDClassifier or BCDRegressor
            A fitted one.
        layer : int, default=0
            Which layer, from 0 at the input; negative counts from the output.
        """
        check_is_fitted(estimator)
        formats = estimator.layers_
        if not -len(formats) <= layer < len(formats):
            raise ValueError(
                f"layer={layer}: the network has {len(formats)} layers, 0 to {len(formats) - 1}."
            )
        found = formats[layer]
        return cls(found.to_dense(), f"Layer {layer % len(formats)}, {found.kind}")

    def plot(
        self, ax: Any = None, *, kind: str = "matrix", image_shape: tuple[int, int] | None = None
    ) -> Self:
        """Draw the weights.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw. A new figure by default.
        kind : {"matrix", "inputs"}, default="matrix"
            "matrix" shows every weight, blue below zero, red above, white where there is none.
            "inputs" counts the weights that each input kept.
        image_shape : (int, int), optional
            With "inputs", the shape of the image whose pixels the inputs are.

        Returns
        -------
        WeightDisplay
            This display, with ``ax_`` and ``figure_``.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if kind not in ("matrix", "inputs"):
            raise ValueError(f'kind={kind!r} must be "matrix" or "inputs".')
        n_in = self.weight.shape[0]
        if image_shape is not None and int(np.prod(image_shape)) != n_in:
            raise ValueError(
                f"image_shape={image_shape} has not {n_in} pixels, one for each input."
            )
        (self.ax_,) = _style.panels(ax, 1, size=(5.0, 4.2))
        self.figure_ = self.ax_.figure
        if kind == "matrix":
            self._matrix()
        else:
            self._inputs(image_shape)
        return self

    def _title(self) -> str:
        kept = np.count_nonzero(self.weight)
        share = 100 * kept / self.weight.size
        return f"{self.name}: {kept} of {self.weight.size} weights ({share:.3g} %)"

    def _matrix(self) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        colors = (_style.BLUE, "white", _style.VERMILION)
        # What is far from typical must not make all the rest pale.
        kept = np.abs(self.weight[self.weight != 0])
        limit = float(np.quantile(kept, 0.98)) if kept.size else 1.0
        image = self.ax_.imshow(
            self.weight,
            cmap=LinearSegmentedColormap.from_list("signed", colors),
            vmin=-limit,
            vmax=limit,
            aspect="auto",
            interpolation="nearest" if self.weight.size < 250_000 else "antialiased",
        )
        bar = self.figure_.colorbar(image, ax=self.ax_, extend="both", shrink=0.85)
        bar.set_label("weight")
        bar.outline.set_visible(False)
        _style.tidy(self.ax_, self._title(), "output of the layer", "input of the layer", grid="")

    def _inputs(self, image_shape: tuple[int, int] | None) -> None:
        counts = np.count_nonzero(self.weight, axis=1)
        if image_shape is None:
            self.ax_.bar(np.arange(counts.size), counts, width=1.0, color=_style.BLUE)
            _style.tidy(self.ax_, self._title(), "input", "weights kept")
            return
        image = self.ax_.imshow(counts.reshape(image_shape), cmap="cividis", vmin=0)
        bar = self.figure_.colorbar(image, ax=self.ax_, shrink=0.85)
        bar.set_label("weights kept")
        bar.outline.set_visible(False)
        _style.tidy(self.ax_, self._title(), "pixel column", "pixel row", grid="")
