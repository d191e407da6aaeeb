"""The command line: what it writes, and what it says when it cannot."""

from __future__ import annotations

import csv
import io
import pickle
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbcd import BCDClassifier, BCDRegressor, load
from fastbcd.cli import main
from fastbcd.cli.parser import make_parser
from fastbcd.schemes import LowRank, Prune

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


@pytest.mark.parametrize(
    "command",
    ["fit", "compress", "compare", "report", "export", "predict", "demo", "warmup", "info"],
)
def test_every_command_has_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as caught:
        run(command, "--help")
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert "--traceback" in printed
    examples = printed.partition("\nexample")[2]
    assert f"fastbcd {command}" in examples
    for line in re.findall(rf"fastbcd {command}.*", examples.replace("\\\n", " ")):
        make_parser().parse_args(line.split()[1:])  # the examples are commands that exist


@pytest.mark.parametrize("value", ["-1", "x", "1.5"])
def test_a_seed_is_a_whole_number(value, capsys):
    with pytest.raises(SystemExit):
        run("demo", "--seed", value)
    assert f"{value!r} must be a whole number" in capsys.readouterr().err


@pytest.mark.slow  # twelve fits, and the kernels of all of them
def test_demo_compares_means_over_seeds_with_their_range(capsys, monkeypatch):
    monkeypatch.setattr("fastbcd.cli.demo.HIDDEN", (12, 8))
    monkeypatch.setattr("fastbcd.cli.demo.MLP_ITERATIONS", 1000)
    monkeypatch.setattr("fastbcd.cli.demo.RATIO", 2)
    assert run("demo", "--seeds", "2", "--quiet") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    _, _, *rows = printed.out.splitlines()
    assert len(rows) == 6
    for row in rows:
        found = re.search(r"([.\d]+) \(([.\d]+) - ([.\d]+)\)", row)
        mean, least, most = map(float, found.groups())
        assert least <= mean <= most <= 1
        assert least > 0.8 or "run" in row or "Train" in row  # so small, the compressed ones fail
    assert "compress(that MLP, ratio=2)" in rows[-1]
    n_bytes = [int(re.search(r"([\d,]+) +[\d.]+x", row)[1].replace(",", "")) for row in rows]
    assert n_bytes[0] == 4 * (64 * 12 + 12 + 12 * 8 + 8 + 8 * 10 + 10)
    assert n_bytes[-1] < n_bytes[1]  # files hold more than arrays


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
    assert "accuracy on 200 training rows:" in printed.out
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
    assert "exactly one: --ratio, --max-bytes" in found
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
    assert printed.endswith("not compressed\n")


def test_export(folder, tmp_path, capsys):
    header = tmp_path / "net.h"
    assert run("export", folder / "net.safetensors", "-o", header) == 0
    assert "predict" in header.read_text()
    assert f"{header}: {header.stat().st_size} bytes" in capsys.readouterr().out
    found = fails(capsys, "export", folder / "net.safetensors", "-o", tmp_path / "net.exe")
    assert "with --to" in found


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
    stored = [array.numpy().T for name, array in weights.items() if name.endswith(".weight")]
    for array, expected in zip(stored, load(folder / "net.safetensors").coefs_, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_a_damaged_model_is_named(folder, tmp_path, capsys):
    path = tmp_path / "cut.safetensors"
    path.write_bytes((folder / "net.safetensors").read_bytes()[:-5])
    assert "cut.safetensors cannot be loaded" in fails(capsys, "report", path)
    assert "absent" in fails(capsys, "report", tmp_path / "absent.safetensors")
    with pytest.raises(ValueError, match="cannot be loaded"):
        run("report", path, "--traceback")


# What is refused before any work


def test_every_option_is_explained(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    commands = make_parser()._subparsers._group_actions[0].choices
    for name, command in commands.items():
        for action in command._actions:
            assert action.help, (name, action.dest)
            if action.option_strings and action.nargs != 0 and action.choices is None:
                assert action.metavar, (name, action.dest)
        text = command.format_help()
        assert f"  fastbcd {name}" in text
        assert max(len(line) for line in text.splitlines()) <= 80
        given = [a for a in command._actions if a.option_strings and a.nargs != 0]
        optional = [a for a in given if not a.required and "(default" not in (a.help or "")]
        groups = [g for g in command._action_groups if "default" in (g.title or "")]
        explained = {id(a) for g in groups for a in g._group_actions}
        left = [a.dest for a in optional if id(a) not in explained and a.default in (None, False)]
        assert set(left) <= {"max_bytes", "ratio", "max_score_drop", "data"}, name


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--hidden", "32x16"], "'32x16' must be widths separated by commas, such as 300,100"),
        (["--hidden", "32,0"], "must be widths"),
        (["--sparsity", "95"], "must lie between 0 and 1; for 95 %, write 0.95"),
        (["--sparsity", "much"], "'much' must be a number"),
        (["--test-size", "1"], "must lie between 0 and 1"),
        (["--max-iter", "0"], "must be a whole number above 0"),
        (["--dtype", "zip"], "COLUMN=TYPE"),
        (["--dtype", "zip=date"], "number or text"),
        (["--delimiter", "::"], "one character"),
        (["--quiet", "--verbose"], "not allowed with"),
        (["--test-size", "0.2", "--validation", "x.csv"], "not allowed with"),
    ],
)
def test_values_that_no_option_takes(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as caught:
        run("fit", "x.csv", "--target", "y", "-o", "x", *arguments)
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--ratio", "2", "--sparsity", "0.5"], "--ratio and --sparsity are two budgets"),
        (["--ratio", "2", "--max-bytes", "90"], "--max-bytes and --ratio are two budgets"),
        (["--scheme", "prune"], "--scheme prune needs an amount: --sparsity, or a budget such as"),
        (["--ratio", "2", "--test-size", "0.2"], "needs --target"),
    ],
)
def test_budgets_that_contradict(folder, tmp_path, capsys, options, complaint):
    arguments = ["compress", folder / "net.safetensors", tmp_path / "absent.csv"]
    assert complaint in fails(capsys, *arguments, "-o", tmp_path / "x", *options)


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ("absent/x.safetensors", "does not exist. Nothing was done"),
        (".", "it is a folder"),
        ("x.onnx", "run fastbcd export"),
        ("x.joblib", "not pickles"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused_at_once(tmp_path, capsys, output, complaint):
    # The table is not there either: nothing was read.
    common = ["--target", "y", "-o", tmp_path / output]
    assert complaint in fails(capsys, "fit", tmp_path / "absent.csv", *common)


def test_what_cannot_be_saved_is_not_compressed(folder, tmp_path, capsys):
    x = np.load(folder / "flowers.npy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp = MLPClassifier((8,), max_iter=2).fit(x, x[:, 0] > 0)
        search = GridSearchCV(mlp, {"alpha": [1e-4]}, cv=2).fit(x, x[:, 0] > 0)
    for name, model, complaint in (
        ("pipeline", make_pipeline(StandardScaler(), mlp), "a Pipeline; the file that compress"),
        ("search", search, "a GridSearchCV. compress takes a network.* best_estimator_"),
        ("list", [mlp], "is a list"),
    ):
        path = tmp_path / f"{name}.pkl"
        path.write_bytes(pickle.dumps(model))
        arguments = ["compress", path, tmp_path / "absent.csv", "--ratio", "4", "--allow-pickle"]
        assert re.search(complaint, fails(capsys, *arguments, "-o", tmp_path / "x"))
    (tmp_path / "broken.pkl").write_bytes(b"no pickle")
    arguments[1] = tmp_path / "broken.pkl"
    assert "broken.pkl cannot be opened" in fails(capsys, *arguments, "-o", tmp_path / "x")


def test_a_torch_module_is_compressed_if_pickles_are_allowed(folder, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    torch.save(module, tmp_path / "net.pt")
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    rest = [folder / "flowers.npy", "--output-bits", "8", "-o", tmp_path / "s.safetensors"]
    assert "--allow-pickle" in fails(capsys, "compress", tmp_path / "net.pt", *rest)
    rest.append("--allow-pickle")
    assert "not a network" in fails(capsys, "compress", tmp_path / "weights.pt", *rest)
    assert run("compress", tmp_path / "net.pt", *rest) == 0
    small = load(tmp_path / "s.safetensors")
    x = np.load(folder / "flowers.npy")
    expected = module(torch.from_numpy(x)).detach().numpy()
    assert [layer.kind for layer in small.layers_] == ["dense", "codebook"]
    np.testing.assert_allclose(small.network_.forward(x), expected, atol=0.05)


# Tables, by way of the commands


def test_labels_of_the_predictions_are_those_of_the_file(folder, tmp_path, capsys):
    x = np.load(folder / "flowers.npy")
    for names in (("1_1", "11"), ("007", "700"), ("0.0", "1.0"), ("True", "False"), ("3", "-4")):
        rows = [[*map(str, row), names[int(row[0] > 0)]] for row in x.tolist()]
        write(tmp_path / "t.csv", [[*NAMES, "site"], *rows])
        out = tmp_path / "t.safetensors"
        assert run("fit", tmp_path / "t.csv", "--target", "site", "--hidden", "8", "-o", out) == 0
        capsys.readouterr()
        assert run("predict", out, tmp_path / "t.csv", "--target", "site") == 0
        printed = capsys.readouterr()
        found = [row[0] for row in predictions(printed.out)[1:]]
        assert set(found) == set(names)
        agreed = np.mean([own == row[-1] for own, row in zip(found, rows, strict=True)])
        assert printed.err == f"accuracy on these 200 rows: {agreed:.4f}\n"
        assert agreed > 0.95


def test_tables_of_pandas_with_numbers_in_the_header(folder, tmp_path, capsys):
    x = np.load(folder / "flowers.npy")
    rows = [[*map(str, row), int(row[0] > 0)] for row in x.tolist()]
    write(tmp_path / "t.csv", [["0", "1", "2", "3", "target"], *rows])
    out = tmp_path / "t.safetensors"
    for target in ("target", "-1", "4"):
        common = ["--target", target, "--hidden", "8", "-o", out, "--max-iter", "20", "-q"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert run("fit", tmp_path / "t.csv", *common) == 0
        assert load(out).classes_.tolist() == [0, 1]
        assert load(out).feature_names_in_.tolist() == ["0", "1", "2", "3"]
        capsys.readouterr()
        assert run("predict", out, tmp_path / "t.csv") == 0
        assert len(predictions(capsys.readouterr().out)) == 201


def test_one_hot_columns_travel_with_the_model(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = [[f"{rng.standard_normal():.6f}", str(rng.choice(["red", "blue"]))] for _ in range(200)]
    rows = [[*row, "on" if row[1] == "red" else "off"] for row in rows]
    write(tmp_path / "t.csv", [["a", "color", "lamp"], *rows])
    out, small = tmp_path / "t.safetensors", tmp_path / "s.safetensors"
    common = ["--target", "lamp", "--hidden", "8"]
    assert "--one-hot color" in fails(capsys, "fit", tmp_path / "t.csv", *common, "-o", out)
    assert run("fit", tmp_path / "t.csv", *common, "-o", out, "--one-hot", "auto") == 0
    assert load(out).feature_names_in_.tolist() == ["a", "color=blue", "color=red"]
    capsys.readouterr()
    table = ["compress", out, tmp_path / "t.csv", "--target", "lamp"]
    assert run(*table, "--ratio", "2", "--epochs", "2", "-o", small) == 0
    write(tmp_path / "new.csv", [["color", "a"], ["red", "0.1"], ["blue", "0.1"]])
    for model in (out, small):
        capsys.readouterr()
        assert run("predict", model, tmp_path / "new.csv") == 0
        assert [row[0] for row in predictions(capsys.readouterr().out)] == [
            "prediction", "on", "off",
        ]  # fmt: skip
    write(tmp_path / "new.csv", [["color", "a"], ["green", "0.1"]])
    assert "'green' was not in the table" in fails(capsys, "predict", out, tmp_path / "new.csv")


@pytest.mark.parametrize("scheme", [[], ["--sparsity", "0.5"], ["--rank", "2"]])
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_standardisation_is_absorbed(tmp_path, capsys, scheme, kind):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((150, 4))
    y = x @ [1.0, -1.0, 0.5, 0.0] + 0.3 * x[:, 0] ** 2
    raw = np.c_[x * [1e-4, 1, 100, 1e5] + [0, 5, -300, 1e5], np.full(150, 7.0)]
    np.savez(tmp_path / "t.npz", X=raw, y=y if kind == "numbers" else (y > 0).astype(int))
    out = tmp_path / "t.safetensors"
    flags = ["--regression"] if kind == "numbers" else []
    assert run("fit", tmp_path / "t.npz", "--target", "y", *flags, *scheme, "--hidden", "12",
               "--standardize", "--double", "--max-iter", "200", "-o", out) == 0  # fmt: skip
    model = load(out)
    mean, deviation = raw.mean(axis=0), np.r_[raw.std(axis=0)[:4], 1.0]
    cls = BCDRegressor if kind == "numbers" else BCDClassifier
    fitted_scheme = None
    if scheme:
        fitted_scheme = Prune(sparsity=0.5) if "--sparsity" in scheme else LowRank(rank=2)
    direct = cls((12,), scheme=fitted_scheme, random_state=0, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        direct.fit((raw - mean) / deviation, np.load(tmp_path / "t.npz")["y"])
    outputs = direct.network_.forward((raw - mean) / deviation)
    np.testing.assert_allclose(model.network_.forward(raw), outputs, rtol=1e-8, atol=1e-8)
    assert [a.kind for a in model.layers_] == [a.kind for a in direct.layers_]


def test_a_standardisation_that_cannot_be_absorbed_is_refused(tmp_path, capsys):
    for scheme in (["--bits", "4"], ["--tt-rank", "2"], ["--scheme", "quantize"]):
        arguments = ["fit", tmp_path / "absent.csv", "--target", "y", "--standardize", *scheme]
        found = fails(capsys, *arguments, "-o", tmp_path / "x")
        assert "--standardize" in found or "needs an amount" in found


# Scores and endings


def test_rows_held_out_are_scored_and_not_trained_on(folder, tmp_path, capsys):
    out = tmp_path / "t.safetensors"
    common = ["fit", folder / "flowers.csv", "--target", "size", "--hidden", "8", "-o", out]
    assert run(*common, "--sparsity", "0.1", "--test-size", "0.2") == 0
    printed = capsys.readouterr().out
    assert "accuracy on 160 training rows" in printed
    assert float(re.search(r"accuracy on 40 held-out rows: (\S+)", printed)[1]) > 0.85
    assert re.search(r"^converged after \d+ sweeps$", printed, re.MULTILINE)
    assert run(*common, "--validation", folder / "back.csv") == 0
    printed = capsys.readouterr().out
    trained = re.search(r"accuracy on 200 training rows: (\S+)", printed)[1]
    assert f"accuracy on 200 held-out rows: {trained}" in printed


def test_a_fit_that_is_cut_short_says_so_in_options(folder, tmp_path, capsys):
    out = tmp_path / "t.safetensors"
    assert run("fit", folder / "flowers.csv", "--target", "size", "--hidden", "8", "-o", out,
               "--sparsity", "0.1", "--max-iter", "3") == 0  # fmt: skip
    printed = capsys.readouterr()
    assert "stopped before it converged, after 3 sweeps" in printed.out
    assert "Raise --max-iter" in printed.err
    assert "max_iter" not in printed.err


def test_quiet_prints_nothing(folder, tmp_path, capsys):
    out, small = tmp_path / "t.safetensors", tmp_path / "s.safetensors"
    data = [folder / "flowers.csv", "--target", "size", "--quiet"]
    assert run("fit", *data, "--hidden", "8", "-o", out) == 0
    assert run("compress", out, *data, "--ratio", "2", "--epochs", "1", "-o", small) == 0
    assert run("export", small, "--quiet", "-o", tmp_path / "net.h") == 0
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_compress_scores_before_and_after(folder, tmp_path, capsys):
    data = [folder / "net.safetensors", folder / "flowers.csv", "--target", "size"]
    budget = ["--ratio", "2", "--epochs", "1"]
    assert run("compress", *data, *budget, "--test-size", "0.5", "-o", tmp_path / "s") == 0
    printed = capsys.readouterr().out
    before = re.search(r"accuracy on 100 held-out rows: \S+, (\S+) before", printed)
    assert float(before[1]) > 0.9


def test_compare_prints_a_frontier_on_rows_held_out(folder, tmp_path, capsys):
    out = tmp_path / "sizes.csv"
    assert run("compare", folder / "flowers.csv", "--target", "size", "--hidden", "16",
               "--ratios", "2,4,1000", "--epochs", "1", "-o", out) == 0  # fmt: skip
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "trained on 150 rows, scored on 50 held out"
    assert printed[-1].split() == ["ratio", "1000", "not", "reached"]
    rows = predictions(out.read_text())
    assert rows[0] == [
        "network", "accuracy", "weight bytes", "smaller", "file bytes", "one row us",
    ]  # fmt: skip
    assert [row[0] for row in rows[1:]] == ["dense", "ratio 2", "ratio 4", "ratio 1000"]
    accuracies, n_bytes = ([float(row[k]) for row in rows[1:4]] for k in (1, 2))
    assert accuracies[0] > 0.9
    assert n_bytes[0] == 4 * (4 * 16 + 16 + 16 * 2 + 2)
    assert n_bytes[1] <= n_bytes[0] / 2
    assert n_bytes[2] <= n_bytes[0] / 4
    assert all(float(row[5]) > 0 for row in rows[1:4])


def test_tables_with_faults_are_refused_by_fit(tmp_path, capsys):
    for text, complaint in (
        ("a,b,a,y\n1,2,3,u\n4,5,6,v\n", "2 columns of the name 'a'"),
        ("a,y\n1,u\n2,\n", "line 3, column y: the cell is empty"),
        ("a,y\n1,u\n2,?\n", "line 3, column y: '?' means a missing value"),
        ("a,y\n1,u\n2,u\n", "every row has the target u"),
        ("a,y\n1,0.5\n2,1\n", "line 2, column y: the label 0.5 is a number with a fraction"),
        ("a,b,y\n1," + "x" * 200_000 + ",0\n2,x,1\n", "line 2, column b"),
    ):
        (tmp_path / "t.csv").write_text(text)
        arguments = ["fit", tmp_path / "t.csv", "--target", "y", "-o", tmp_path / "t.safetensors"]
        assert complaint in fails(capsys, *arguments)
        assert not (tmp_path / "t.safetensors").exists()


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
