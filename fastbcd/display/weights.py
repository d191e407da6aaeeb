"""Plot of the weights of a layer."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from fastbcd.display import style as _style
from fastbcd.utils.types import Float


class WeightDisplay:
    """The weights of one layer: position, sign and size.

    Create a display with :meth:`from_estimator`.

    Parameters
    ----------
    weight : (n_in, n_out) array
        The weights that ``predict`` uses.
    name : str, default=""
        Name of the layer in the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the plot.
    figure_ : matplotlib Figure
        The figure that contains the axes.
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
            A fitted estimator.
        layer : int, default=0
            Index of the layer, from 0 at the input. Negative indices count from the output.

        Raises
        ------
        ValueError
            If the network has no such layer.
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
            Where to draw. The default is a new figure.
        kind : {"matrix", "inputs"}, default="matrix"
            "matrix" shows every weight: negative in blue, positive in red, zero in white. "inputs"
            shows the number of non-zero weights of each input.
        image_shape : (int, int), optional
            Height and width of an image whose pixels are the inputs. With "inputs", the counts are
            drawn as this image.

        Returns
        -------
        WeightDisplay
            This display, with ``ax_`` and ``figure_`` set.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If ``kind`` is unknown, or ``image_shape`` does not match the number of inputs.
        """
        if kind not in ("matrix", "inputs"):
            raise ValueError(f'kind={kind!r} must be "matrix" or "inputs".')
        n_in = self.weight.shape[0]
        if image_shape is not None and int(np.prod(image_shape)) != n_in:
            raise ValueError(
                f"image_shape={image_shape} must have {n_in} pixels, one for each input."
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
        # Outliers must not make all other weights pale.
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
