"""Colours, units and axes shared by the displays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#666666"
COLORS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
"""The palette of Okabe and Ito without yellow, invisible on paper, and black, used for text."""

MARKERS = ("o", "s", "^", "D", "v", "P")
PANEL = (4.6, 3.4)
"""Width and height of one panel in inches."""


def pyplot() -> Any:
    """Return ``matplotlib.pyplot``.

    Raises
    ------
    ImportError
        If matplotlib is not installed. The message states how to install it.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError(
            'plot() needs matplotlib, which is not installed: pip install "fastbcd[plot]"'
        ) from None
    return plt


def panels(ax: Any, wanted: int, size: tuple[float, float] = PANEL) -> list[Any]:
    """Return the axes to draw ``wanted`` panels on.

    Parameters
    ----------
    ax : Axes, sequence of Axes or None
        The ``ax`` argument of the caller. None creates a figure; one Axes gets the first panel.
    wanted : int
        Number of panels.
    size : (float, float)
        Width and height of one panel in inches.

    Raises
    ------
    ValueError
        If a sequence has no axes or more than ``wanted``.
    """
    plt = pyplot()
    if ax is None:
        width, height = size
        _, axes = plt.subplots(
            1, wanted, figsize=(width * wanted, height), layout="constrained", squeeze=False
        )
        return list(axes[0])
    given = list(ax.ravel()) if hasattr(ax, "ravel") else ax
    if not isinstance(given, Sequence):
        return [given]
    if not 1 <= len(given) <= wanted:
        raise ValueError(
            f"ax holds {len(given)} axes; pass between 1 and {wanted}, one for each panel."
        )
    return list(given)


def tidy(ax: Any, title: str, xlabel: str, ylabel: str, grid: str = "y") -> None:
    """Label ``ax``, hide its top and right border, and add grid lines."""
    ax.set_title(title, loc="left", fontsize="medium")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(axis=grid, color="0.9", linewidth=0.8)
        ax.set_axisbelow(True)


def bytes_text(n_bytes: float) -> str:
    """Return a readable size in decimal units, such as 812 B, 12.5 kB or 3.1 MB."""
    size, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}"


def bytes_axis(ax: Any, log: bool) -> None:
    """Format a horizontal axis of sizes in bytes; with ``log``, ticks are at 1, 2 and 5."""
    from matplotlib import ticker

    locator = (
        ticker.LogLocator(subs=(1, 2, 5)) if log else ticker.MaxNLocator(5, steps=[1, 2, 5, 10])
    )
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: bytes_text(x)))
    ax.xaxis.set_minor_locator(ticker.NullLocator())
