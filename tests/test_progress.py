"""Progress on a terminal, in a notebook and in a log; what an interruption leaves."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from fastbcd import BCDClassifier, compress
from fastbcd.compression import settings
from fastbcd.compression.search.bisection import tries_left
from fastbcd.compression.settings import DEFAULTS
from fastbcd.schemes import Prune
from fastbcd.utils import progress as _progress
from fastbcd.utils.progress import Progress, duration


class Stream(io.StringIO):
    """A file that is, or is not, a terminal."""

    def __init__(self, terminal, encoding="utf-8"):
        super().__init__()
        self._terminal, self._encoding = terminal, encoding

    encoding = property(lambda self: self._encoding)

    def isatty(self):
        return self._terminal

    def screen(self):
        """Return what a terminal shows in the end."""
        lines = [""]
        for part in re.split(r"([\r\n])", self.getvalue()):
            if part == "\n":
                lines.append("")
            elif part == "\r":
                at = 0
            elif part:
                at = 0 if lines[-1] == "" else at
                lines[-1] = lines[-1][:at] + part + lines[-1][at + len(part) :]
                at += len(part)
        return [line.rstrip() for line in lines]


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by one second at each look."""
    now = iter(range(10**6))
    monkeypatch.setattr(_progress.time, "perf_counter", lambda: float(next(now)))


def run(stream, verbose=1, steps=8):
    with Progress(verbose, stream) as progress:
        progress.stage("refining", steps)
        for done in range(steps + 1):
            progress.update(done, f"best loss {done}")
        progress.say("a result")
        progress.say("a detail", level=2)
    return stream


def test_a_terminal_shows_a_bar_that_gives_way(clock):
    stream = run(Stream(terminal=True))
    assert stream.screen() == ["a result", ""]
    bars = stream.getvalue().split("\r")
    assert (
        "refining ████████████░░░░░░░░░░░░  50 %  5.0 s, about 4.0 s left  best loss 4" in bars[5]
    )
    assert max(map(len, bars)) < 100


def test_a_log_has_a_line_now_and_then(clock):
    lines = run(Stream(terminal=False)).getvalue().splitlines()
    assert lines[0] == "refining:  25 %  3.0 s, about 6.0 s left  best loss 2"
    assert lines[-1] == "a result"
    assert 3 <= len(lines) <= 6
    assert not any("\r" in line or "█" in line for line in lines)


def test_a_slow_first_step_does_not_count_for_the_time_that_is_left(monkeypatch):
    seconds = iter([0.0, 0.0, 30.0, 31.0, 32.0, 33.0])  # the first of ten steps compiles
    monkeypatch.setattr(_progress.time, "perf_counter", lambda: next(seconds))
    stream = Stream(terminal=True)
    with Progress(1, stream) as progress:
        progress.stage("measuring", 10)
        for done in range(1, 5):
            progress.update(done)
    first, *_, last = stream.getvalue().split("\r")[1:-2]
    assert "left" not in first
    assert "33.0 s, about 6.0 s left" in last


def test_work_that_is_done_at_once_leaves_no_line_in_a_log():
    assert run(Stream(terminal=False)).getvalue() == "a result\n"


def test_a_log_is_not_silent_for_long(clock):
    stream = run(Stream(terminal=False), steps=1000)
    longest = _progress.LOG_SECONDS[1]
    assert len(stream.getvalue().splitlines()) >= 1000 / (longest + 2)


def test_quiet_is_quiet_and_two_says_more():
    assert run(Stream(terminal=True), verbose=0).getvalue() == ""
    assert run(Stream(terminal=False), verbose=2).getvalue().endswith("a result\na detail\n")


def test_a_notebook_is_rewritten_and_a_dumb_terminal_is_not(monkeypatch):
    notebook = type("OutStream", (Stream,), {"__module__": "ipykernel.iostream"})
    assert "\r" in run(notebook(terminal=False)).getvalue()
    monkeypatch.setenv("TERM", "dumb")
    assert "\r" not in run(Stream(terminal=True)).getvalue()


def test_a_bar_is_written_in_signs_that_the_stream_has(clock):
    text = run(Stream(terminal=True, encoding="cp1250")).getvalue()
    assert "#####" in text
    text.encode("cp1250")


def test_a_bar_fits_the_terminal(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = run(Stream(terminal=True)).getvalue()
    assert max(len(part) for part in text.split("\r")) <= 39


def test_without_stderr_nothing_is_said(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with Progress(2) as progress:
        progress.update(1)
        progress.say("text")


def test_an_error_takes_the_bar_away(clock):
    stream = Stream(terminal=True)

    def interrupted():
        with Progress(1, stream) as progress:
            progress.stage("refining", 2)
            progress.update(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "refining" in stream.getvalue()
    assert stream.screen() == [""]


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.25, "4.2 s"), (130, "130 s"), (720, "12 min"), (12600, "3.5 h")]
)
def test_a_time_is_said_as_one_would(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("ratio", [1.1, 2.0, 10.0, 500.0])
@pytest.mark.parametrize("threshold", np.linspace(0, 1, 7))
def test_the_search_takes_no_more_tries_than_it_says(ratio, threshold):
    """The search's own steps, with a bound on the sizes that are good enough."""
    low, high = 100.0, 100.0 * ratio
    enough = low * ratio**threshold
    size, passed, failed = min(max(low, high / 30), high), False, False
    promised = []
    while True:
        if size >= enough:
            high, passed = size, True
        else:
            low, failed = size, True
        promised.append(tries_left(low, high, passed, failed))
        if high <= DEFAULTS.precise * low:
            break
        if not failed:
            size = max(high / DEFAULTS.stride, low)
        else:
            size = np.sqrt(low * high) if passed else min(low * DEFAULTS.stride, high)
    assert promised[-1] == 0
    for done, left in enumerate(promised):
        assert len(promised) - 1 - done <= left


@pytest.fixture(scope="module")
def dense():
    X, y = load_digits(return_X_y=True)
    return BCDClassifier((48,), encoding=None, random_state=0, max_iter=10).fit(X, y), X, y


@pytest.mark.parametrize("budget", [{"scheme": Prune(sparsity=0.8)}, {"ratio": 6}])
def test_compress_shows_its_stages(dense, monkeypatch, budget):
    clf, X, y = dense
    stream = Stream(terminal=True)
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(_progress, "DRAW_SECONDS", 0.0)
    clf.compress(X, y, epochs=1, verbose=1, **budget)
    shown = stream.getvalue()
    assert "compressing the layers" in shown
    assert re.search(r"refining .* 100 %  [0-9.]+ s  best held-out loss [0-9.e-]+", shown)
    assert ("measuring the layers" in shown) == ("ratio" in budget)
    # The first call that needs them says that kernels are compiled.
    assert [line for line in stream.screen() if "compiling kernels" not in line] == [""]


def test_a_search_says_what_it_tried_and_what_is_left(dense, capsys):
    clf, X, y = dense
    small = clf.compress(X, y, max_score_drop=0.05, epochs=1, verbose=1)
    lines = capsys.readouterr().err.splitlines()
    # A slow measurement of the layers shows its own progress before.
    assert any(re.match(r"dense network: [0-9,]+ bytes, score [01]\.\d+", line) for line in lines)
    tries = [line for line in lines if line.startswith("try ")]
    assert "at most" in tries[0]
    assert "at most" not in tries[-1]
    assert f"{small.compression_report_.total.n_bytes:,} bytes are good enough" in tries[-1]


def test_compress_is_quiet_by_default(dense, capfd):
    clf, X, y = dense
    clf.compress(X, y, ratio=4, epochs=1)
    assert capfd.readouterr() == ("", "")


def test_an_interrupted_refinement_returns_the_best_and_says_so(dense, monkeypatch):
    from fastbcd.solvers.refine.chain import Chain

    clf, X, y = dense
    original, calls = Chain.step, []

    def interrupt(chain, *args):
        calls.append(1)
        if len(calls) == 45:
            raise KeyboardInterrupt
        return original(chain, *args)

    by_layers = clf.compress(X, y, scheme=Prune(sparsity=0.8), epochs=0)
    monkeypatch.setattr(Chain, "step", interrupt)
    with pytest.warns(ConvergenceWarning, match="Interrupted; the best") as caught:
        small = compress(clf, X, y, scheme=Prune(sparsity=0.8), epochs=30)
    assert caught[0].filename == __file__
    assert len(calls) == 45
    assert small.score(X, y) > by_layers.score(X, y) - 0.005


def test_an_interrupted_second_filling_keeps_the_first(dense, monkeypatch):
    from fastbcd.compression.job import Job

    clf, X, y = dense
    original, calls = Job.one_shot, []

    def interrupt(job, schemes):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(job, schemes)

    monkeypatch.setattr(Job, "one_shot", interrupt)
    monkeypatch.setattr(settings, "DEFAULTS", replace(DEFAULTS, full=1.0))
    with pytest.warns(ConvergenceWarning, match="Interrupted"):
        small = clf.compress(X, y, ratio=12)
    assert len(calls) == 2
    assert small.compression_report_.ratio >= 12
