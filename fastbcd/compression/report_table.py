"""Conversion of a compression report to JSON and back."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from fastbcd.compression.certified import CertifiedChange
from fastbcd.compression.report import CompressionReport, LayerReport
from fastbcd.io.codecs.container import expect
from fastbcd.io.storage.plain import to_plain


def report_to_plain(report: CompressionReport | None) -> Any:
    """Return the report as a table with column names and rows."""
    if report is None:
        return None
    names = [field.name for field in fields(LayerReport)]
    rows = [asdict(row) for row in (*report.layers, report.total)]
    return {
        "columns": names,
        "rows": [[to_plain(name, row[name]) for name in names] for row in rows],
        "scores": [to_plain("score", s) for s in (report.score_before, report.score_after)],
        "warnings": list(report.warnings),
    } | ({} if report.certified is None else {"certified": asdict(report.certified)})


def report_from_plain(plain: Any) -> CompressionReport | None:
    """Return the report; columns that this version does not know are left out.

    Raises
    ------
    ValueError, KeyError, TypeError
        If the table is not valid.
    """
    if plain is None:
        return None
    known = {field.name for field in fields(LayerReport)}
    rows = [
        LayerReport(**{k: v for k, v in zip(plain["columns"], row, strict=True) if k in known})
        for row in plain["rows"]
    ]
    expect(len(rows) > 0, "its report is empty")
    before, after = plain["scores"]
    change = plain.get("certified")
    if change is not None:
        known = {field.name for field in fields(CertifiedChange)}
        change = {key: value for key, value in change.items() if key in known}
        for key in ("difference", "found"):
            change[key] = tuple(map(float, change[key]))
        change = CertifiedChange(**change)
    return CompressionReport(rows[:-1], rows[-1], before, after, tuple(plain["warnings"]), change)
