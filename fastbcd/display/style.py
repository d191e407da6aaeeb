"""What the displays share: colours, units, and where to draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#666666"
COLORS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
"""The palette of Okabe and Ito, less its yellow and black, which paper and text hide."""

MARKERS = ("o", "s", "^", "D", "v", "P")
PANEL = (4.6, 3.4)
"""Width and height of one panel, in inches."""


def pyplot() -> Any:
    """Return ``matplotlib.pyplot``.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message says how to get it.
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
        What the caller gave. None makes a new figure; one Axes takes the first panel alone.
    wanted : int
        Number of panels.
    size : (float, float)
        Size of one panel in inches.
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
            f"ax holds {len(given)} axes; give one, or up to {wanted}, one for each panel."
        )
    return list(given)


def tidy(ax: Any, title: str, xlabel: str, ylabel: str, grid: str = "y") -> None:
    """Label ``ax`` and leave only the lines that help."""
    ax.set_title(title, loc="left", fontsize="medium")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(axis=grid, color="0.9", linewidth=0.8)
        ax.set_axisbelow(True)


def bytes_text(n_bytes: float) -> str:
    """Return a number of bytes as a reader would say it: 812 B, 12.5 kB, 3.1 MB (powers of ten)."""
    size, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}"


def bytes_axis(ax: Any, log: bool) -> None:
    """Write the ticks of a horizontal axis of bytes with their units; at 1, 2 and 5 if ``log``."""
    from matplotlib import ticker

    locator = (
        ticker.LogLocator(subs=(1, 2, 5)) if log else ticker.MaxNLocator(5, steps=[1, 2, 5, 10])
    )
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: bytes_text(x)))
    ax.xaxis.set_minor_locator(ticker.NullLocator())
