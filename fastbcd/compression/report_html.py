"""A compression report as HTML: for notebooks, and as a page that stands alone.

One fragment serves both. It needs no script, no font and no other file; its bars are inline
SVG, its words are text beside them, so that they stay legible in a narrow window. Colours are
those of the surroundings but for the two of the bars, which can be told apart, and seen, on light
and dark.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import date
from html import escape
from itertools import pairwise
from typing import Any

from fastbcd._version import __version__
from fastbcd.utils.files import write_atomic

CSS = """
.fastbcd-report { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; }
.fastbcd-report h2 { font-size: 1.05rem; margin: 1.6em 0 .5em; }
.fastbcd-report .facts { display: flex; flex-wrap: wrap; gap: .4em 2.2em; padding: 0;
  margin: .6em 0 1em; }
.fastbcd-report .facts b { display: block; font-size: 1.5em; font-weight: normal;
  font-variant-numeric: tabular-nums; }
.fastbcd-report .facts span { font-size: .85em; opacity: .75; }
.fastbcd-report .bar { display: grid; grid-template-columns: 13em 1fr 11em; gap: .2em 1em;
  align-items: center; margin: .35em 0; }
.fastbcd-report .bar svg { width: 100%; height: 1em; display: block; }
.fastbcd-report .track { fill: currentColor; opacity: .16; }
.fastbcd-report .fill { fill: #1f87c9; }
.fastbcd-report .fill2 { fill: #d9822b; }
.fastbcd-report small { opacity: .75; }
.fastbcd-report .value { font-variant-numeric: tabular-nums; white-space: nowrap; }
.fastbcd-report table { border-collapse: collapse; width: 100%; font-size: .93em; }
.fastbcd-report .wide { overflow-x: auto; }
.fastbcd-report th, .fastbcd-report td { text-align: right; padding: .3em .45em; background: none;
  border: 0; border-bottom: 1px solid rgba(128, 128, 128, .35);
  font-variant-numeric: tabular-nums; }
.fastbcd-report th { vertical-align: bottom; font-weight: 600; }
.fastbcd-report .text { text-align: left; }
.fastbcd-report tr.total td { font-weight: 600; }
.fastbcd-report abbr { text-decoration: none; border-bottom: 1px dotted; cursor: help; }
.fastbcd-report details { margin: 1em 0; }
.fastbcd-report summary { cursor: pointer; }
.fastbcd-report dt { font-weight: 600; margin-top: .4em; }
.fastbcd-report dd { margin: 0 0 0 1.2em; }
.fastbcd-report .note { border-left: 3px solid #d9822b; padding-left: .8em; }
@media (max-width: 46rem) {
  .fastbcd-report .bar { grid-template-columns: 1fr auto; }
  .fastbcd-report .bar svg { grid-column: 1 / -1; grid-row: 2; }
  .fastbcd-report thead { display: none; }
  .fastbcd-report tr { display: block; padding: .5em 0;
    border-bottom: 1px solid rgba(128, 128, 128, .5); }
  .fastbcd-report td, .fastbcd-report td.text { display: flex; justify-content: space-between;
    gap: 1em; border: 0; padding: .1em 0; text-align: right; }
  .fastbcd-report td::before { content: attr(data-label); opacity: .75; text-align: left; }
  .fastbcd-report td:empty { display: none; }
}
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="fastbcd {version}">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ margin: 0; padding: 1.2rem clamp(.8rem, 4vw, 3rem) 3rem;
  background: #fff; color: #1b1f23; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #14171a; color: #e6e8ea; }} }}
h1 {{ font: 600 1.5rem/1.3 system-ui, sans-serif; margin: 0; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{about}</p>
{body}
</body>
</html>
"""

LEAST = 0.006
"""Least share of the width that is drawn: a pixel where bars are 170 pixels wide."""

COLUMNS: Sequence[tuple[str, str, str, Callable[[Any], str]]] = (
    ("layer", "text", "Number of the layer, from the input.", lambda row: row.layer),
    (
        "shape",
        "",
        "Inputs × outputs of the layer.",
        lambda row: row.shape.replace(" x ", "\u00a0×\u00a0"),  # unbroken
    ),
    ("format", "text", "How the weights are stored.", lambda row: row.format.replace("_", " ")),
    ("scheme", "text", "How the weights were compressed.", lambda row: row.scheme),
    (
        "weights left",
        "",
        "Weights and intercepts that are stored: non-zeros, factors or codes.",
        lambda row: count(row.n_stored),
    ),
    (
        "distinct values",
        "",
        "Numbers among them that can differ: codes share the values of their codebook.",
        lambda row: f"{row.n_params:,}",
    ),
    (
        "non-zero weights",
        "",
        "Entries of the weight matrix that are not zero, once it is written out in full.",
        lambda row: f"{row.n_nonzero:,}",
    ),
    (
        "bytes",
        "",
        "Bytes of all arrays in memory, indices and intercepts included.",
        lambda row: f"{row.n_bytes:,}",
    ),
    (
        "bytes in a file",
        "",
        "Bytes of the layer in the file that save writes, which is entropy coded.",
        lambda row: count(row.file_bytes),
    ),
    ("dense bytes", "", "Bytes before compression.", lambda row: f"{row.dense_bytes:,}"),
    (
        "operations",
        "",
        "Multiplications and additions of one prediction in the stored form.",
        lambda row: f"{row.flops:,}",
    ),
    (
        "weight error",
        "",
        "Relative distance from the weights before compression. Near 100 % is normal after strong "
        "pruning: the weights that stay are fitted anew, and the output error counts.",
        lambda row: percent(row.error),
    ),
    (
        "output error",
        "",
        "Relative change of the layer's outputs on the data, before the layers were refined "
        "together, which usually makes it smaller.",
        lambda row: percent(row.output_error),
    ),
)
"""Name, class, explanation and text of each column of the table."""


def count(value: int | None) -> str:
    """Return a count with separators; nothing if it is not known."""
    return "" if value is None else f"{value:,}"


def percent(share: float | None) -> str:
    """Return a share as per cent; nothing if it is not known."""
    return "" if share is None else f"{100 * share:.3g} %"


def fragment(report: Any) -> str:
    """Return a :class:`CompressionReport` as one HTML element, styles included."""
    parts = [_facts(report), _sizes(report), _errors(report), _certified(report), _table(report)]
    parts += [f'<p class="note">{escape(text)}</p>' for text in report.warnings]
    return f'<div class="fastbcd-report"><style>{CSS}</style>{"".join(parts)}</div>'


def page(report: Any, title: str) -> str:
    """Return the report as a page of its own."""
    about = f"{network_of(report)}, written {date.today().isoformat()} by fastbcd {__version__}"
    return PAGE.format(
        title=escape(title), about=escape(about), body=fragment(report), version=__version__
    )


def network_of(report: Any) -> str:
    """Return the widths of a chain of layers, or how many layers there are."""
    shapes = [tuple(map(int, row.shape.split(" x "))) for row in report.layers]
    if all(a[1] == b[0] for a, b in pairwise(shapes)):
        return "Network " + "-".join(map(str, [shapes[0][0], *(n_out for _, n_out in shapes)]))
    return f"Network of {len(shapes)} layers"


def write_page(report: Any, path: str | os.PathLike[str], title: str) -> None:
    """Write the report to ``path``, whole or not at all."""
    write_atomic(path, page(report, title).encode())


def _facts(report: Any) -> str:
    facts = [
        (f"{report.ratio:.1f}×", "smaller"),
        (f"{report.total.n_bytes:,}", f"bytes, of {report.total.dense_bytes:,}"),
    ]
    left, before = report.total.n_stored, report.total.n_dense
    if left is not None and before:
        facts.append((f"{100 * left / before:.3g}\u00a0%", f"of the weights left: {left:,}"))
    if report.score_before is not None and report.score_after is not None:
        facts.append((f"{report.score_after:.4f}", f"score, {report.score_before:.4f} before"))
    inside = "".join(f"<div><b>{escape(a)}</b><span>{escape(b)}</span></div>" for a, b in facts)
    return f'<div class="facts">{inside}</div>'


def _bar(name: str, about: str, fills: Sequence[tuple[str, float]], value: str) -> str:
    """Return one bar: ``fills`` are (class, share of the width), drawn one over the other.

    Nothing is drawn for a share of zero; any other can be seen, however small.
    """
    rects = "".join(
        f'<rect class="{kind}" width="{100 * min(max(share, LEAST), 1.0):.2f}" height="10"/>'
        for kind, share in fills
        if share > 0
    )
    return (
        f'<div class="bar"><span>{escape(name)} <small>{escape(about)}</small></span>'
        f'<svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(name)}: {escape(value)}">{rects}</svg>'
        f'<span class="value">{escape(value)}</span></div>'
    )


def _sizes(report: Any) -> str:
    most = max(max(row.dense_bytes, row.n_bytes) for row in report.layers) or 1
    bars = [
        _bar(
            f"Layer {row.layer}",
            f"{row.shape.replace(' x ', ' × ')} {row.format.replace('_', ' ')}",
            [("track", row.dense_bytes / most), ("fill", row.n_bytes / most)],
            f"{row.n_bytes:,} of {row.dense_bytes:,}",
        )
        for row in report.layers
    ]
    return f"<h2>Bytes of each layer, stored and dense</h2>{''.join(bars)}"


def _errors(report: Any) -> str:
    kinds = (("output_error", "outputs on the data", "fill"), ("error", "weights", "fill2"))
    known = [
        (f"Layer {row.layer}", about, css, getattr(row, name))
        for row in report.layers
        for name, about, css in kinds
        if getattr(row, name) is not None
    ]
    if not known:
        return ""
    most = max(1.0, *(error for *_, error in known))
    bars = [
        _bar(name, about, [("track", 1.0), (css, error / most)], percent(error))
        for name, about, css, error in known
    ]
    return f"<h2>Relative error of each layer</h2>{''.join(bars)}"


def _certified(report: Any) -> str:
    """Return a bar for each output: the certified difference, and what a search found of it."""
    change = report.certified
    if change is None:
        return ""
    most = change.largest or 1.0
    bars = [
        _bar(
            f"Output {number}",
            "at most, and found",
            [("track", bound / most), ("fill", found / most)],
            f"{bound:.4g}, {found:.4g}",
        )
        for number, (bound, found) in enumerate(zip(change.difference, change.found, strict=True))
    ]
    about = (
        f"For every input in {change.region}. Lipschitz constant {change.lipschitz_before:.4g} "
        f"before, {change.lipschitz_after:.4g} after."
    )
    return (
        f"<h2>Certified difference from the dense network</h2><p>{escape(about)}</p>{''.join(bars)}"
    )


def _table(report: Any) -> str:
    rows = [*report.layers, report.total]
    used = [c for c in COLUMNS if any(c[3](row) for row in rows)]
    head = "".join(
        f'<th class="{kind}"><abbr title="{escape(about)}">{escape(name)}</abbr></th>'
        for name, kind, about, _ in used
    )
    body = "".join(
        f"<tr{' class=total' if row is report.total else ''}>"
        + "".join(
            f'<td class="{kind}" data-label="{escape(name)}">{escape(text(row))}</td>'
            for name, kind, _, text in used
        )
        + "</tr>"
        for row in rows
    )
    about = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, _, text, _ in used)
    return (
        f'<h2>All figures</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        f"<details><summary>What the columns mean</summary><dl>{about}</dl></details>"
    )
