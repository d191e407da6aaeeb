"""The command line: what it writes, and what it says when it cannot."""

from __future__ import annotations

import csv
import io
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from fastbcd import load
from fastbcd.cli import main
from fastbcd.cli._data import labels, read_table

NAMES = ["length", "width", "height", "weight"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a table in several forms, and a network fitted to it."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 4)).astype(np.float32)
    y = np.where(x[:, 0] + x[:, 1] > 0, "big", "small")
    np.savez(folder / "flowers.npz", X=x, y=y, price=x @ np.array([1.0, 2, 3, 4]))
    np.save(folder / "flowers.npy", x)
    rows = [[*map(str, row), label] for row, label in zip(x.tolist(), y, strict=True)]
    write(folder / "flowers.csv", [[*NAMES, "size"], *rows])
    write(folder / "bare.csv", [row[:-1] for row in rows])
    write(
        folder / "back.csv",
        [["weight", "size", "height", "width", "length"]]
        + [[row[3], row[4], row[2], row[1], row[0]] for row in rows],
    )
    assert run("fit", folder / "flowers.csv", "--target", "size", "--hidden", "16",
               "--max-iter", "60", "-o", folder / "net.safetensors") == 0  # fmt: skip
    return folder


def write(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def run(*arguments):
    return main([str(argument) for argument in arguments])


def predictions(text):
    return list(csv.reader(io.StringIO(text)))


def fails(capsys, *arguments):
    assert run(*arguments) == 1
    found = capsys.readouterr().err
    assert found.startswith(f"fastbcd {arguments[0]}: error: ")
    assert "Traceback" not in found
    return found


def test_no_command_prints_help(capsys):
    assert run() == 0
    assert "compress" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["fit", "compress", "report", "export", "predict", "demo"])
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as caught:
        run(command, "--help")
    assert caught.value.code == 0
    assert "--traceback" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["paint"], ["fit"], ["predict", "x"], ["fit", "--rank", "x"]]
)
def test_options_that_are_not_understood_exit_by_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_fit_saves_a_network_that_knows_its_columns(folder):
    clf = load(folder / "net.safetensors")
    assert clf.feature_names_in_.tolist() == NAMES
    assert clf.classes_.tolist() == ["big", "small"]
    assert clf.hidden_layer_sizes == (16,)
    assert clf.network_.layers[0].weight.dtype == np.float32


def test_fit_says_what_it_wrote(folder, tmp_path, capsys):
    out = tmp_path / "small.safetensors"
    assert run("fit", folder / "flowers.npz", "--target", "y", "--hidden", "16,8", "-o", out,
               "--sparsity", "0.5", "--bits", "4", "--max-iter", "30") == 0  # fmt: skip
    printed = capsys.readouterr()
    assert f"{out}: {out.stat().st_size} bytes" in printed.out
    assert "score on these 200 rows:" in printed.out
    clf = load(out)
    assert [layer.kind for layer in clf.layers_] == ["codebook_sparse"] * 2 + ["dense"]
    assert clf.layers_[0].codes.size == 32


def test_fit_of_numbers(folder, tmp_path, capsys):
    out = tmp_path / "reg.safetensors"
    common = ["--target", "price", "-o", out, "--hidden", "16", "--max-iter", "60"]
    assert "--regression" in fails(capsys, "fit", folder / "flowers.npz", *common)
    assert run("fit", folder / "flowers.npz", *common, "--regression", "--double") == 0
    assert load(out).network_.layers[0].weight.dtype == np.float64
    capsys.readouterr()
    assert run("predict", out, folder / "flowers.npz", "--target", "price") == 0
    printed = capsys.readouterr()
    assert predictions(printed.out)[0] == ["prediction"]
    assert float(printed.err.split()[-1]) > 0.9
    assert "needs a classifier" in fails(capsys, "predict", out, folder / "flowers.npz", "--proba")


def test_predict_is_the_estimators_own(folder, tmp_path, capsys):
    clf = load(folder / "net.safetensors")
    x = np.load(folder / "flowers.npy")
    with warnings.catch_warnings():
        # It was trained on named columns; these have the same order.
        warnings.simplefilter("ignore")
        expected, chances = clf.predict(x), clf.predict_proba(x)
    capsys.readouterr()
    for table in ("flowers.csv", "bare.csv", "flowers.npz", "flowers.npy"):
        assert run("predict", folder / "net.safetensors", folder / table) == 0
        rows = predictions(capsys.readouterr().out)
        assert rows[0] == ["prediction"]
        assert [row[0] for row in rows[1:]] == expected.tolist()
    out = tmp_path / "chances.csv"
    assert (
        run("predict", folder / "net.safetensors", folder / "bare.csv", "--proba", "-o", out) == 0
    )
    rows = predictions(out.read_text())
    assert rows[0] == ["big", "small"]
    np.testing.assert_allclose(np.array(rows[1:], float), chances, rtol=1e-6)


def test_columns_are_matched_by_name(folder, capsys):
    assert run("predict", folder / "net.safetensors", folder / "back.csv", "--target", "size") == 0
    backward = capsys.readouterr()
    assert run("predict", folder / "net.safetensors", folder / "flowers.csv", "--target", "-1") == 0
    forward = capsys.readouterr()
    assert backward == forward
    assert float(forward.err.split()[-1]) > 0.9


def test_a_column_that_is_missing_is_named(folder, tmp_path, capsys):
    write(tmp_path / "few.csv", [["length", "height"], [1, 2]])
    found = fails(capsys, "predict", folder / "net.safetensors", tmp_path / "few.csv")
    assert "no column width, weight" in found


def test_a_target_among_the_features_is_suspected(folder, tmp_path, capsys):
    np.save(tmp_path / "five.npy", np.zeros((3, 5), np.float32))
    found = fails(capsys, "predict", folder / "net.safetensors", tmp_path / "five.npy")
    assert "name it by --target" in found


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        (["--sparsity", "0.5"], ["sparse", "dense"]),
        (["--ratio", "2"], None),
        (["--max-bytes", "300", "--scheme", "prune"], None),
        (["--bits", "3", "--output-bits", "4"], ["codebook", "codebook"]),
    ],
)
def test_compress(folder, tmp_path, capsys, options, kinds):
    out = tmp_path / "small.safetensors"
    arguments = ["compress", folder / "net.safetensors", folder / "flowers.csv", "--target", "size"]
    assert run(*arguments, "-o", out, "--epochs", "1", *options) == 0
    printed = capsys.readouterr().out
    assert "times smaller" in printed
    assert f"{out}: {out.stat().st_size} bytes" in printed
    if kinds:
        assert [layer.kind for layer in load(out).layers_] == kinds


def test_compress_without_a_budget_says_what_is_missing(folder, tmp_path, capsys):
    arguments = ["compress", folder / "net.safetensors", folder / "bare.csv"]
    found = fails(capsys, *arguments, "-o", tmp_path / "x")
    assert "exactly one of scheme" in found
    assert not (tmp_path / "x").exists()


def test_a_pickle_is_opened_only_if_allowed(folder, tmp_path, capsys):
    x = np.load(folder / "flowers.npy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp = MLPClassifier((8,), max_iter=5).fit(x, x[:, 0] > 0)
    path, out = tmp_path / "mlp.pkl", tmp_path / "small.safetensors"
    path.write_bytes(pickle.dumps(mlp))
    arguments = ["compress", path, folder / "bare.csv", "--sparsity", "0.5", "--epochs", "0"]
    assert "--allow-pickle" in fails(capsys, *arguments, "-o", out)
    assert not out.exists()
    assert run(*arguments, "-o", out, "--allow-pickle") == 0
    assert load(out).classes_.tolist() == [False, True]


def test_report(folder, capsys):
    assert run("report", folder / "net.safetensors") == 0
    printed = capsys.readouterr().out
    size = (folder / "net.safetensors").stat().st_size
    assert f"net.safetensors: {size} bytes" in printed
    assert "BCDClassifier 4 - 16 - 2" in printed
    assert "classes: big, small" in printed
    assert "features: length, width, height, weight" in printed
    assert "times smaller" in printed


def test_export(folder, tmp_path, capsys):
    header = tmp_path / "net.h"
    assert run("export", folder / "net.safetensors", "-o", header) == 0
    assert "predict" in header.read_text()
    assert f"{header}: {header.stat().st_size} bytes" in capsys.readouterr().out
    found = fails(capsys, "export", folder / "net.safetensors", "-o", tmp_path / "net.exe")
    assert "give --to" in found


def test_export_to_onnx(folder, tmp_path):
    onnx = pytest.importorskip("onnx")
    out = tmp_path / "net.model"
    arguments = ["export", folder / "net.safetensors", "-o", out, "--to", "onnx", "--opset", "15"]
    assert run(*arguments) == 0
    assert onnx.load(out).opset_import[0].version == 15


def test_export_to_torch(folder, tmp_path):
    torch = pytest.importorskip("torch")
    out = tmp_path / "net.pt"
    assert run("export", folder / "net.safetensors", "-o", out) == 0
    weights = torch.load(out, weights_only=True)
    np.testing.assert_array_equal(
        weights["0.weight"].numpy().T, load(folder / "net.safetensors").coefs_[0]
    )


def test_a_damaged_model_is_named(folder, tmp_path, capsys):
    path = tmp_path / "cut.safetensors"
    path.write_bytes((folder / "net.safetensors").read_bytes()[:-5])
    assert "cut.safetensors cannot be loaded" in fails(capsys, "report", path)
    assert "absent" in fails(capsys, "report", tmp_path / "absent.safetensors")
    with pytest.raises(ValueError, match="cannot be loaded"):
        run("report", path, "--traceback")


# Tables


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ("a,b\n", "no rows"),
        ("1,2\n3\n", "line 2: 1 cells, 2 before"),
        ("a,b\n1,2\n3,x\n", "line 3, column b: 'x' is not a number. Is it the target"),
        ("1,2\n3,\n", "line 2, column 1: '' is not a number"),
    ],
)
def test_tables_that_are_none_say_where(tmp_path, text, complaint):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        read_table(str(tmp_path / "t.csv"), None)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_headers_and_quotes(tmp_path, delimiter):
    lines = [["a", '"b c"', "kind"], ["1", "2.5", "u"], ["-3e1", " 4 ", "v"]]
    text = "\ufeff" + "\r\n".join(delimiter.join(line) for line in lines) + "\r\n\r\n"
    (tmp_path / "t.csv").write_bytes(text.encode())
    for target in ("kind", "2", "-1"):
        table = read_table(str(tmp_path / "t.csv"), target)
        assert table.names == ["a", "b c"]
        np.testing.assert_array_equal(table.x, [[1, 2.5], [-30, 4]])
        assert table.y.tolist() == ["u", "v"]
    for target in ("color", "3", "-4"):
        with pytest.raises(ValueError, match="column"):
            read_table(str(tmp_path / "t.csv"), target)


def test_arrays_that_do_not_fit(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, A=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="no array 'X'; it has A"):
        read_table(str(path), None)
    np.savez(path, X=np.zeros((2, 2)), y=np.zeros(3))
    with pytest.raises(ValueError, match="X has 2 rows, y has 3"):
        read_table(str(path), "y")
    np.savez(path, X=np.zeros(2))
    with pytest.raises(ValueError, match="rows of numbers"):
        read_table(str(path), None)
    np.savez(path, X=np.array([[object()]]))
    with pytest.raises(ValueError, match="cannot be read"):
        read_table(str(path), None)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="cannot be read"):
        read_table(str(path), None)
    np.save(tmp_path / "t.npy", np.zeros((2, 2)))
    with pytest.raises(ValueError, match="features alone"):
        read_table(str(tmp_path / "t.npy"), "y")


def test_labels_are_of_the_simplest_type_that_fits():
    assert labels(["1", "2"]).dtype.kind == "i"
    assert labels(["1", "2.5"]).dtype.kind == "f"
    assert labels(["1", "two"]).tolist() == ["1", "two"]


def test_a_process_of_its_own(folder):
    done = subprocess.run(
        [sys.executable, "-m", "fastbcd", "predict", "net.safetensors", "bare.csv"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 201


def test_help_is_quick_to_import():
    code = (
        "import sys, fastbcd.cli; fastbcd.cli.main([]);"
        "sys.exit(bool({'sklearn', 'scipy', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0
