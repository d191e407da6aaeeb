"""The report as a page: it says what the report says, needs nothing else, and can be read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from sklearn.datasets import load_iris

from fastbcd import BCDClassifier
from fastbcd.compression.report import CompressionReport
from fastbcd.schemes import LowRank, Prune

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
VOID = {"meta", "link", "rect", "br"}


class Reader(HTMLParser):
    """Collects text by tag, and checks that what is opened is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.cells, self.references, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.references += [v for k, v in attrs if k in ("src", "href", "xlink:href")]
        if tag == "td":
            self.cells.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells[-1] += data


def read(text):
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def report():
    X, y = load_iris(return_X_y=True)
    dense = BCDClassifier((16, 8), encoding=None, tol=1e-4, random_state=0).fit(X, y)
    scheme = {0: Prune(sparsity=0.7), 1: LowRank(rank=2)}
    return dense.compress(X, y, scheme=scheme, epochs=1).compression_report_


def test_the_fragment_holds_every_figure(report):
    reader = read(report._repr_html_())
    for row in (*report.layers, report.total):
        for figure in (row.n_params, row.n_nonzero, row.n_bytes, row.dense_bytes, row.flops):
            assert f"{figure:,}" in reader.cells
    assert reader.tags.count("svg") >= 2 * len(report.layers)
    assert f"{report.ratio:.1f}×" in report._repr_html_()
    assert f"{report.score_after:.4f}" in report._repr_html_()


def widths(text, kind):
    """Return the widths of the bars of one class, in per cent of the width there is."""
    return [float(w) for w in re.findall(rf'<rect class="{kind}" width="([\d.]+)"', text)]


def test_whatever_is_not_zero_has_a_bar_that_can_be_seen(report):
    first, second, last = report.layers
    rows = [
        replace(first, dense_bytes=10**6, n_bytes=10, output_error=0.0),
        replace(second, dense_bytes=10**6, n_bytes=500_000, output_error=1e-9),
        replace(last, dense_bytes=10**6, n_bytes=10**6, output_error=0.25, error=0.5),
    ]
    text = CompressionReport(rows, report.total)._repr_html_()
    assert widths(text, "fill") == [0.6, 50.0, 100.0, 0.6, 25.0]
    for words in ("10 of 1,000,000", ">0 %<", ">1e-07 %<"):
        assert words in text


def test_what_a_report_does_not_know_is_left_out(report):
    bare = CompressionReport(report.layers[:0] or report.layers, report.total)
    assert "score" not in re.sub("<style>.*?</style>", "", bare._repr_html_(), flags=re.DOTALL)


def test_the_text_fits_a_terminal_of_80_columns(report):
    first, second, last = report.layers
    wide = {"shape": "1024 x 1024", "format": "codebook_sparse", "n_bytes": 1234567}
    scheme = "Prune(sparsity=0.95) + Quantize(bits=4, per='output', symmetric=True, levels=None)"
    rows = [replace(row, scheme=scheme, dense_bytes=4198400, **wide) for row in report.layers]
    note = "rows are few. " * 20
    text = str(replace(report, layers=rows, warnings=(note,)))
    assert max(map(len, text.splitlines())) <= 80
    assert "layers 0, 1, 2: Prune(sparsity=0.95)" in text
    plain = str(report)
    for row in report.layers:
        assert str(row.n_stored) in plain
    assert f"layer 0: {first.scheme}" in plain
    assert f"layer 1: {second.scheme}" in plain
    assert "layer 2:" not in plain
    assert last.scheme == ""


def test_the_page_explains_its_columns_and_names_the_network(report, tmp_path):
    page = tmp_path / "report.html"
    report.to_html(page)
    text = page.read_text(encoding="utf-8")
    assert re.search(r"Network 4-\d+-\d+-3, written \d{4}-\d\d-\d\d by fastbcd", text)
    heads = re.findall(r'<th class="\w*"><abbr title="([^"]+)">([^<]+)</abbr></th>', text)
    assert len(heads) >= 10
    for about, name in heads:
        assert f"<dt>{name}</dt><dd>{about}</dd>" in text
    share = 100 * report.total.n_stored / report.total.n_dense
    assert f"<b>{share:.3g}\u00a0%</b>" in text


def test_a_report_without_the_newer_columns_is_shown(report):
    rows = [replace(row, n_stored=None, n_dense=None) for row in report.layers]
    old = replace(report, layers=rows, total=replace(report.total, n_stored=None, n_dense=None))
    assert "left" not in str(old)
    assert "weights left" not in re.sub("<details>.*", "", old._repr_html_())
    assert old._repr_html_().count("<tr") == len(rows) + 2


def test_notes_and_titles_are_escaped(report, tmp_path):
    bare = CompressionReport(report.layers, report.total, warnings=("<b>5 < 6</b>",))
    page = tmp_path / "report.html"
    bare.to_html(page, title="<Digits> & more")
    text = page.read_text(encoding="utf-8")
    read(text)
    assert "&lt;b&gt;5 &lt; 6&lt;/b&gt;" in text
    assert "<title>&lt;Digits&gt; &amp; more</title>" in text


def test_the_page_needs_no_other_file(report, tmp_path):
    page = tmp_path / "report.html"
    report.to_html(page)
    text = page.read_text(encoding="utf-8")
    assert set(read(text).references) == {"data:,"}
    assert "url(" not in text
    assert "http" not in text
    assert "<script" not in text
    assert "prefers-color-scheme: dark" in text


def test_a_page_is_replaced_as_a_whole(report, tmp_path):
    page = tmp_path / "report.html"
    page.write_text("old")
    report.to_html(str(page))
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(FileNotFoundError):
        report.to_html(tmp_path / "nowhere" / "report.html")


def test_estimators_have_scikit_learns_diagram(report):
    text = BCDClassifier(scheme=Prune(sparsity=0.9))._repr_html_()
    assert "BCDClassifier" in text


def browse(page, tmp_path, *options, width=1100):
    """Return what Chromium prints for ``page``, and what it logs."""
    done = subprocess.run(
        [
            str(BROWSER),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},900",
            "--virtual-time-budget=2000",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    return done.stdout, done.stderr


PROBE = """
<iframe id="frame" src="report.html" style="width: {width}px; height: 900px; border: 0"></iframe>
<pre id="found"></pre>
<script>
frame.onload = () => {{
  const page = frame.contentDocument, view = frame.contentWindow;
  const root = page.documentElement;
  const texts = [...page.querySelectorAll("td, .bar span, .facts b, .facts span")]
    .filter(e => e.textContent.trim() && e.offsetParent);
  const sizes = texts.map(e => parseFloat(view.getComputedStyle(e).fontSize));
  const out = texts.filter(e => e.getBoundingClientRect().right > view.innerWidth + 1);
  const body = view.getComputedStyle(page.body);
  found.textContent = JSON.stringify({{
    wider: root.scrollWidth - view.innerWidth, least: Math.min(...sizes), n: texts.length,
    out: out.length, ink: body.color, paper: body.backgroundColor,
    bars: [...page.querySelectorAll("rect.fill")].map(e => e.getBoundingClientRect().width),
  }});
}};
</script>
"""


def luminance(color):
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1100])
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_a_browser_shows_it_legibly(report, tmp_path, width, mode):
    report.to_html(tmp_path / "report.html")
    probe = tmp_path / "probe.html"
    probe.write_text(f"<!DOCTYPE html><title>probe</title>{PROBE.format(width=width)}")
    options = ["--dump-dom", "--allow-file-access-from-files"]
    options += ["--blink-settings=preferredColorScheme=0"] if mode == "dark" else []
    printed, log = browse(probe, tmp_path, *options)
    match = re.search(r'<pre id="found">(.+?)</pre>', printed)
    assert match, printed[-2000:]
    found = json.loads(match[1])
    assert "CONSOLE" not in log
    assert found["wider"] <= 0, "the page scrolls sideways"
    assert found["out"] == 0, "text is cut off"
    assert found["least"] >= 11.5
    assert found["n"] > 40
    shown = [row.n_bytes for row in report.layers] + [row.output_error for row in report.layers]
    assert len(found["bars"]) == sum(value > 0 for value in shown)
    assert min(found["bars"]) >= 1, "a bar is too narrow to be seen"
    light, dark = sorted((luminance(found["ink"]), luminance(found["paper"])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 7
    assert (luminance(found["paper"]) < 0.1) == (mode == "dark")
