"""The pictures show the figures that the estimator holds, labelled, and only where asked."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbcd import BCDClassifier, compress
from fastbcd.display import CompressionDisplay, ConvergenceDisplay, FrontierDisplay, WeightDisplay
from fastbcd.display import style as _style
from fastbcd.schemes import Prune

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def data():
    X, y = load_iris(return_X_y=True)
    return X, y


@pytest.fixture(scope="module")
def fitted(data):
    model = BCDClassifier((8, 6), certificate=True, tol=1e-4, scheme=Prune(sparsity=0.5))
    return model.set_params(random_state=0).fit(*data)


@pytest.fixture(scope="module")
def small(fitted, data):
    return fitted.compress(*data, scheme=Prune(sparsity=0.7), epochs=1)


def labelled(ax):
    return bool(ax.get_xlabel()) and (bool(ax.get_ylabel()) or bool(ax.get_yticklabels()))


def line(ax, label):
    (found,) = [one for one in ax.lines if one.get_label() == label]
    return np.asarray(found.get_ydata(), float)


def test_convergence_shows_objective_decreases_and_rate(fitted):
    display = ConvergenceDisplay.from_estimator(fitted).plot()
    objective, decreases, rate = display.axes_
    assert all(labelled(ax) for ax in display.axes_)
    record = fitted.convergence_
    np.testing.assert_array_equal(line(objective, "objective F"), record.objective)
    np.testing.assert_array_equal(line(rate, "K · min ‖g‖²"), record.rate)
    total = sum(step.decrease for step in record.block_steps[0])
    shown = sum(taken[0] for taken, _ in display.block_decreases.values())
    assert shown == pytest.approx(total)
    first = np.array([one.get_ydata()[0] for one in decreases.lines if one.get_label() == "weight"])
    assert first == pytest.approx(display.block_decreases["weight"][0][0])


def test_convergence_of_mini_batches_is_one_panel_of_the_loss(data):
    model = BCDClassifier((8,), solver="minibatch", max_iter=5, random_state=0).fit(*data)
    display = ConvergenceDisplay.from_estimator(model).plot()
    (ax,) = display.axes_
    assert ax.get_xlabel() == "epoch"
    assert "loss" in ax.get_ylabel()


def test_convergence_needs_a_course(small, data):
    stream = BCDClassifier((8,), random_state=0).partial_fit(*data, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="Only fit"):
        ConvergenceDisplay.from_estimator(stream)


def test_axes_of_the_caller_are_used(fitted, small):
    figure, (left, right) = pyplot.subplots(1, 2)
    display = CompressionDisplay.from_estimator(small).plot(ax=(left, right))
    assert display.axes_ == [left, right]
    assert display.figure_ is figure
    one = ConvergenceDisplay.from_estimator(fitted).plot(ax=left)
    assert one.axes_ == [left]
    with pytest.raises(ValueError, match="ax holds 3 axes"):
        CompressionDisplay.from_estimator(small).plot(ax=pyplot.subplots(1, 3)[1])


def test_compression_shows_the_bytes_and_errors_of_the_report(small):
    display = CompressionDisplay.from_estimator(small).plot()
    sizes, errors = display.axes_
    report = small.compression_report_
    widths = [[bar.get_width() for bar in bars] for bars in sizes.containers]
    assert widths == [
        [row.dense_bytes for row in report.layers],
        [row.n_bytes for row in report.layers],
    ]
    shown = [bar.get_width() for bar in errors.containers[0]]
    np.testing.assert_allclose(shown, [100 * row.output_error for row in report.layers])
    assert CompressionDisplay.from_report(report).report is report


def test_compression_without_errors_is_one_panel(fitted):
    assert len(CompressionDisplay.from_estimator(fitted).plot().axes_) == 1


def test_compression_reads_a_pipeline_and_refuses_strangers(data):
    mlp = MLPClassifier((8,), max_iter=20, tol=1.0, random_state=0)
    pipe = make_pipeline(StandardScaler(), mlp).fit(*data)
    small = compress(pipe, *data, ratio=1.5, epochs=0, random_state=0)
    assert CompressionDisplay.from_estimator(small).report is small.compression_report_
    with pytest.raises(TypeError, match="compression_report_"):
        CompressionDisplay.from_estimator(mlp.fit(*data))


def test_frontier_compresses_to_the_ratios_and_scores_each(fitted, data):
    display = FrontierDisplay.from_estimator(
        fitted, *data, schemes={"prune": Prune()}, ratios=(1.5, 2, 1e6), epochs=0, random_state=0
    )
    (points,) = display.paths.values()
    assert len(points) == 2, "what cannot be reached is left out"
    assert [size for size, _ in points] == sorted(size for size, _ in points)
    dense_bytes, score = display.dense
    assert all(size <= dense_bytes / 1.5 for size, _ in points)
    assert score == fitted.score(*data)
    ax = display.plot().ax_
    np.testing.assert_allclose(ax.lines[0].get_xydata(), points)
    assert "accuracy" in ax.get_ylabel()


def test_frontier_of_networks_that_are_there(fitted, small, data):
    display = FrontierDisplay.from_path({"ours": [small, fitted]}, *data, dense=fitted)
    assert sorted(display.paths["ours"]) == sorted(
        (one.compression_report_.total.n_bytes, one.score(*data)) for one in (small, fitted)
    )
    assert display.plot().ax_.get_xscale() == "log"


def test_frontier_shows_the_scores_that_matter():
    good = [(100.0 * 2**k, 0.9 + 0.01 * k) for k in range(6)]
    broken = [(50.0, 0.1), (80.0, np.nan)]
    low, high = FrontierDisplay({"a": good}, (9e3, 0.96)).plot().ax_.get_ylim()
    assert low < 0.9
    assert 0.96 < high < 0.97
    display = FrontierDisplay({"a": good, "b": broken}, (9e3, 0.96)).plot()
    np.testing.assert_allclose(display.ax_.get_ylim(), (low, high))
    assert len(display.ax_.lines[1].get_xydata()) == 2, "what is outside is drawn all the same"
    assert display.ax_.get_xscale() == "log"
    FrontierDisplay({"a": []}).plot()
    FrontierDisplay({"a": [(10.0, 0.5)]}).plot()


def test_frontier_asks_for_both_test_arrays(fitted, data):
    with pytest.raises(ValueError, match="X_test and y_test"):
        FrontierDisplay.from_estimator(fitted, *data, X_test=data[0])


def test_weights_are_drawn_as_they_are(fitted):
    display = WeightDisplay.from_estimator(fitted, layer=0).plot()
    np.testing.assert_array_equal(display.ax_.images[0].get_array(), fitted.coefs_[0])
    kept = np.count_nonzero(fitted.coefs_[0])
    assert f"{kept} of {fitted.coefs_[0].size}" in display.ax_.get_title(loc="left")
    bars = WeightDisplay.from_estimator(fitted).plot(kind="inputs").ax_
    assert sum(bar.get_height() for bar in bars.patches) == kept
    image = WeightDisplay.from_estimator(fitted).plot(kind="inputs", image_shape=(2, 2)).ax_
    assert np.sum(image.images[0].get_array()) == kept


def test_weights_refuse_what_cannot_be_drawn(fitted):
    with pytest.raises(ValueError, match="layer=3"):
        WeightDisplay.from_estimator(fitted, layer=3)
    display = WeightDisplay.from_estimator(fitted, layer=-1)
    with pytest.raises(ValueError, match="kind='heat'"):
        display.plot(kind="heat")
    with pytest.raises(ValueError, match="6 pixels"):
        display.plot(kind="inputs", image_shape=(2, 2))


def test_colors_are_those_of_okabe_and_ito():
    palette = {"#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
    assert set(_style.COLORS) <= palette
    assert len(set(_style.COLORS)) == len(set(_style.MARKERS)) == 6


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (12_460, "12.5 kB"), (3.1e6, "3.1 MB")],
)
def test_bytes_read_well(n_bytes, text):
    assert _style.bytes_text(n_bytes) == text


def test_without_matplotlib_the_error_names_the_extra():
    code = """
import sys
sys.modules["matplotlib"] = None
import numpy as np
from fastbcd.display import WeightDisplay
try:
    WeightDisplay(np.eye(2)).plot()
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert 'pip install "fastbcd[plot]"' in done.stdout


def test_importing_the_displays_does_not_import_matplotlib():
    code = "import fastbcd.display, sys; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
