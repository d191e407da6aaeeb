"""Int8 arithmetic is compared with the network: what changes is told, and nothing else."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_wine, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from fastbcd import BCDClassifier, BCDRegressor, compress
from fastbcd.exceptions import ExportWarning
from fastbcd.export import to_c
from fastbcd.schemes import Quantize

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")

PROGRAM = """
#include <stdio.h>
#include "net.h"
int main(void)
{{
    float x[NET_N_FEATURES];
    for (;;) {{
        for (int i = 0; i < NET_N_FEATURES; i++) {{
            if (scanf("%f", x + i) != 1) return 0;
        }}
        {body}
    }}
}}
"""


def computed(folder, x, body='printf("%d\\n", net_predict(x));'):
    """Return what the header in ``folder`` predicts."""
    (folder / "net.c").write_text(PROGRAM.format(body=body))
    subprocess.run(["gcc", "-O1", "net.c", "-o", "net", "-lm"], cwd=folder, check=True)
    rows = "\n".join(" ".join(f"{value:.9g}" for value in row) for row in x)
    done = subprocess.run([folder / "net"], input=rows, text=True, capture_output=True, check=True)
    return np.array(done.stdout.split(), float)


def told(call):
    """Return the texts of the export warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(w.message) for w in caught if issubclass(w.category, ExportWarning)]


@pytest.fixture(scope="module")
def wine():
    """Wine in its own units, a network of them, and one of standardised features."""
    x, y = load_wine(return_X_y=True)
    mean, std = x.mean(axis=0), x.std(axis=0)
    mlp = MLPClassifier((32,), max_iter=500, random_state=0).fit((x - mean) / std, y)
    raw = copy.deepcopy(mlp)
    raw.coefs_[0] = mlp.coefs_[0] / std[:, None]
    raw.intercepts_[0] = mlp.intercepts_[0] - mean / std @ mlp.coefs_[0]
    scheme = Quantize(bits=8)
    z = (x - mean) / std
    return (
        x,
        compress(raw, x, scheme=scheme, epochs=0),
        z,
        compress(mlp, z, scheme=scheme, epochs=0),
    )


@needs_gcc
@pytest.mark.parametrize("rows", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_the_share_of_rows_is_that_of_the_program(rows, wine, tmp_path):
    x, raw, _, _ = wine
    path = tmp_path / "net.h"
    (text,) = told(lambda: raw.to_c(path, arithmetic="int8", X=rows(x)))
    changed = int(np.sum(raw.classes_[computed(tmp_path, x).astype(int)] != raw.predict(x)))
    assert changed > 20
    assert text.startswith(f"With int8 arithmetic {changed} of 178 rows of X")
    assert f"({100 * changed / 178:.2g} %)" in text
    assert 'arithmetic="float"' in text


def test_nothing_is_said_where_nothing_changes(wine, tmp_path):
    _, _, z, alike = wine
    assert not told(lambda: alike.to_c(tmp_path / "net.h", arithmetic="int8", X=z))
    assert not told(lambda: to_c(alike, tmp_path / "net.h", X=z))


def test_one_outlier_is_enough(wine, tmp_path):
    _, _, z, alike = wine
    far = z.copy()
    far[0, 0] = 1e4
    (text,) = told(lambda: alike.to_c(tmp_path / "net.h", arithmetic="int8", X=far))
    share = int(re.search(r"(\d+) of 178 rows", text).group(1)) / 178
    assert share > 0.3
    with pytest.warns(ExportWarning) as caught:
        to_c(alike, tmp_path / "net.h", arithmetic="int8", X=far)
    assert caught[0].filename == __file__


def test_rows_between_those_that_set_the_grids_are_compared_too(wine, tmp_path):
    _, _, z, alike = wine
    many = np.tile(z, (30, 1))  # of 5340 rows every second one sets the grids
    path = tmp_path / "net.h"
    assert not told(lambda: alike.to_c(path, arithmetic="int8", X=many))
    away = [sign * 100.0 * column for sign in (-1, 1) for column in np.eye(z.shape[1])]
    for far in away:  # clipped to the grid, which does not reach so far
        many[1] = far
        texts = told(lambda: alike.to_c(path, arithmetic="int8", X=many))
        if texts:
            assert texts[0].startswith(f"With int8 arithmetic 1 of {len(many)} rows")
            return
    raise AssertionError("no row far from the others was predicted otherwise")


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_numbers_are_compared_in_units_of_their_own(n_outputs, tmp_path):
    x, y = make_friedman1(400, random_state=0)
    y = y if n_outputs == 1 else np.c_[1e4 * y, x[:, 3]]
    path = tmp_path / "net.h"
    alike = BCDRegressor((24,), random_state=0).fit(x, y)
    assert not told(lambda: alike.to_c(path, arithmetic="int8", X=x))
    mlp = MLPRegressor(hidden_layer_sizes=(24,), solver="lbfgs", tol=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mlp.fit(x, alike.predict(x))
    unit = np.where(np.arange(10) == 4, 1e3, 1.0)
    mlp.coefs_[0] = mlp.coefs_[0] / unit[:, None]
    raw = compress(mlp, x * unit, scheme=Quantize(bits=8), epochs=0)
    (text,) = told(lambda: raw.to_c(path, arithmetic="int8", X=x * unit))
    assert "root mean square error" in text
    assert f"of the {len(x)} rows of X" in text


def test_several_labels_are_compared_label_by_label(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5))
    y = (x[:, :3] + 0.2 * rng.normal(size=(300, 3)) > 0).astype(int)
    fitted = BCDClassifier((16,), solver="minibatch", max_iter=10, random_state=0).fit(x, y)
    path = tmp_path / "net.h"
    far = x.copy()
    far[0] *= 1e4
    (text,) = told(lambda: fitted.to_c(path, arithmetic="int8", X=far))
    assert "rows of X" in text
    assert "predicted labels" in text


def test_a_warning_that_is_an_error_leaves_the_old_file(wine, tmp_path):
    x, raw, _, _ = wine
    path = tmp_path / "net.h"
    path.write_text("old")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ExportWarning)
        with pytest.raises(ExportWarning):
            raw.to_c(path, arithmetic="int8", X=x)
    assert path.read_text() == "old"
