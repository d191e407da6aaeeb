"""A wrong call at each step of the guide leads to a message that names the fault and the fix."""

from __future__ import annotations

import ast
import inspect
import pickle
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

import fastbcd
from fastbcd import BCDClassifier, compress
from fastbcd.display import ConvergenceDisplay, FrontierDisplay
from fastbcd.exceptions import BudgetError
from fastbcd.schemes import LowRank, Prune, Quantize

X, Y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def clf():
    return BCDClassifier((8,), solver="full", tol=1e-3, random_state=0).fit(X, Y)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"hidden_layer_sizes": (8, 0)}, ["hidden_layer_sizes", "(300, 100)", "(8, 0)"]),
        ({"activation": "elu"}, ["activation", "'relu'", "'gelu'", "'elu'"]),
        ({"solver": "adam"}, ["solver", "'minibatch'", "'adam'"]),
        ({"loss": "mse"}, ["loss", "'mse'", "Did you mean 'squared'?"]),
        ({"scheme": Prune}, ["scheme", "Prune(sparsity=0.9)"]),
        ({"scheme": Prune()}, ["exactly one of", "none given", "Prune(sparsity=0.9)"]),
        ({"scheme": Prune(sparsity=0.5, density=0.5)}, ["density=0.5 given", "Keep one of them"]),
        ({"scheme": Prune(sparsity=95)}, ["sparsity=95", "for example 0.9"]),
        ({"scheme": LowRank(rank=50)}, ["layer 0", "rank=50", "between 1 and 4"]),
        ({"scheme": {4: Prune(sparsity=0.5)}}, ["no layer 4", "0 to 1", '"output"']),
        ({"tau": -1}, ["tau", "above 0", "-1"]),
        ({"tau": "Auto"}, ["tau", '"auto"', "'Auto'"]),
        ({"max_iter": 0}, ["max_iter", "at least 1", "0"]),
        ({"activation": "sigmoid"}, ["activation", "'sigmoid'", "Did you mean 'logistic'?"]),
        ({"activation": "ReLU"}, ["activation", "'ReLU'", "Did you mean 'relu'?"]),
        ({"early_stopping": "yes"}, ["early_stopping", "True or False", "'yes'"]),
        ({"hidden_layer_sizes": "32x16"}, ["(300, 100)", "fastbcd.layers", "'32x16'"]),
        ({"scheme": "prune"}, ["Prune(sparsity=0.9)", "'prune'"]),
        ({"scheme": [Prune(sparsity=0.5)]}, ["dict", "{0: ..., 1: ...}"]),
        ({"scheme": Quantize()}, ["exactly one of", "none given", "Quantize(bits=4)"]),
        ({"solver": "minibatch", "certificate": True}, ["certificate=True", 'solver="full"']),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named_with_its_value_and_the_fix(parameters, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        BCDClassifier(**parameters).fit(X, Y)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda _: BCDClassifier().predict(X), NotFittedError, ["not fitted", "fit"]),
        (lambda c: c.predict(X[:, :2]), ValueError, ["2 features", "4 features"]),
        (lambda c: BCDClassifier().fit(X, np.zeros(150)), ValueError, ["one class only", "two"]),
        (lambda c: BCDClassifier().fit(X, []), ValueError, ["y is empty", "150 rows"]),
        (lambda c: c.score(X, Y.astype(str)), ValueError, ["the class '0'", "labels of type int"]),
        (lambda c: compress(c, X, Y), ValueError, ["exactly one of", "max_bytes", "none given"]),
        (lambda c: compress(c, X, Y, ratio=2, max_bytes=9), ValueError, ["max_bytes and ratio"]),
        (lambda c: compress(c, X, Y, max_bytes=10), BudgetError, ["max_bytes=10", "the smallest"]),
        (lambda c: compress(c, X, Y, ratio=0.5), ValueError, ["ratio", "above 1", "0.5"]),
        (
            lambda _: compress(GaussianNB().fit(X, Y), X, Y, ratio=2),
            TypeError,
            ["GaussianNB", "MLPClassifier", "torch.nn.Sequential"],
        ),
        (lambda c: compress(c, X[:, :3], Y, ratio=2), ValueError, ["3 features", "takes 4"]),
        (
            lambda c: c.compress(X, Y, max_score_drop=0.1, validation_data=X),
            TypeError,
            ["validation_data", "pair (X, y)", "ndarray of length 150"],
        ),
        (lambda _: compress(BCDClassifier, X, ratio=2), TypeError, ["class", "fitted instance"]),
        (lambda c: c.compress(X, ratio=2, verbose="yes"), ValueError, ["verbose", "'yes'"]),
        (lambda _: BCDClassifier(verbose=-1).fit(X, Y), ValueError, ["verbose", "-1"]),
        (
            lambda c: FrontierDisplay.from_path([c], X, Y),
            TypeError,
            ["networks", "dict", "list"],
        ),
        (
            lambda _: Prune(sparsity=0.5) + Prune(sparsity=0.6),
            ValueError,
            ["Prune(sparsity=0.6) cannot be added to Prune(sparsity=0.5)", "Prune + Quantize"],
        ),
        (lambda c: c.compress(ratio=2), ValueError, ["without data", "ratio", "Pass X"]),
        (lambda _: BCDClassifier().partial_fit(X, Y), ValueError, ["classes", "first call"]),
        (
            lambda _: BCDClassifier(solver="full").partial_fit(X, Y, classes=[0, 1, 2]),
            ValueError,
            ['solver="full"', 'solver="minibatch"'],
        ),
        (
            lambda _: BCDClassifier().fit(X, Y, X_val=X, y_val=Y),
            ValueError,
            ["early_stopping=True"],
        ),
        (
            lambda _: ConvergenceDisplay.from_estimator(
                BCDClassifier((8,)).partial_fit(X, Y, classes=[0, 1, 2])
            ),
            ValueError,
            ["Only fit()"],
        ),
        (
            lambda _: BCDClassifier().fit(np.zeros((5, 3, 3, 1)), Y[:5]),
            ValueError,
            ["(5, 3, 3, 1)", "reshape(len(X), -1)", "input_shape"],
        ),
        (
            lambda _: BCDClassifier().set_params(scheme__sparsity=0.5),
            ValueError,
            ["scheme__sparsity", "None", "Prune(sparsity=0.9)"],
        ),
        (lambda c: c.partial_fit(X, Y.astype(str)), ValueError, ["'0'", "[0 1 2]", "int"]),
        (
            lambda c: c.compress(X, Y, max_score_drop=5),
            ValueError,
            ["max_score_drop=5", "percent", "0.05"],
        ),
        (
            lambda c: c.predict(np.zeros((5, 2, 2, 1))),
            ValueError,
            ["(5, 2, 2, 1)", "reshape(len(X), -1)"],
        ),
        (
            lambda c: compress(c, np.zeros((5, 2, 2, 1)), ratio=2),
            ValueError,
            ["(5, 2, 2, 1)", "reshape(len(X), -1)"],
        ),
        (
            lambda _: compress("net.safetensors", X, ratio=2),
            TypeError,
            ["'net.safetensors'", "is a path", "fastbcd.load"],
        ),
        (
            lambda c: compress({"0.weight": X}, X, ratio=2),
            TypeError,
            ["dict", "state_dict", "torch.nn.Sequential"],
        ),
        (lambda c: compress(X, c, ratio=2), TypeError, ["(150, 4)", "The model comes first"]),
        (
            lambda c: compress(GridSearchCV(c, {"max_iter": [3]}), X, Y, ratio=2),
            NotFittedError,
            ["GridSearchCV", "not fitted", "fit"],
        ),
        (
            lambda c: compress(
                GridSearchCV(c, {"alpha": [1.0]}, cv=2, refit=False).fit(X, Y), X, Y, ratio=2
            ),
            TypeError,
            ["GridSearchCV", "refit=True"],
        ),
        (lambda _: BCDClassifier().fit(X, None), ValueError, ["y", "None"]),
        (lambda c: c.compress(X, Y.astype(str), ratio=2), ValueError, ["'0'", "[0 1 2]", "int"]),
        (
            lambda c: c.save("no such folder/net.safetensors"),
            FileNotFoundError,
            ["no such folder", "does not exist", "No file was changed"],
        ),
        (lambda _: fastbcd.warmup("int8"), ValueError, ["'int8'", "float32"]),
        (lambda _: fastbcd.Prune, AttributeError, ["'Prune'", "schemes"]),
    ],
)
def test_a_wrong_call_leads_to_a_message_that_mends_it(clf, call, error, words):
    with pytest.raises(error) as caught:
        call(clf)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pickle.dumps(Prune(sparsity=0.5), 4), ["is a pickle", "pickle.load or joblib.load"]),
        (pickle.dumps([0.5], 2), ["is a pickle", "pickle.load or joblib.load"]),
        (b"PK\x03\x04" + bytes(60), ["zip archive", "torch.load", "fastbcd.compress"]),
        (zlib.compress(pickle.dumps({"a": 1})), ["compressed file", "joblib.load"]),
        (b"a,b,label\n1,2,x\n", ["not a safetensors file"]),
    ],
    ids=["pickle", "old pickle", "zip", "compressed pickle", "text"],
)
def test_a_file_of_another_kind_is_called_by_its_name(tmp_path, data, words):
    path = tmp_path / "net.bin"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        fastbcd.load(path)
    for word in words:
        assert word in str(caught.value)


# Every message


def texts(node):
    """Return the fixed parts of a message, and whether it quotes a value."""
    parts = [part for part in ast.walk(node) if isinstance(part, ast.Constant | ast.FormattedValue)]
    fixed = [part.value for part in parts if isinstance(part, ast.Constant)]
    return " ".join(map(str, fixed)), any(isinstance(part, ast.FormattedValue) for part in parts)


def messages(kind):
    """Yield place, fixed text and whether a value is quoted, of each error or warning."""
    root = Path(fastbcd.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            call = node.exc if isinstance(node, ast.Raise) else node
            if not isinstance(call, ast.Call) or not call.args:
                continue
            name = ast.unparse(call.func)
            wanted = isinstance(node, ast.Raise) and name in ("ValueError", "TypeError")
            if (wanted and kind == "errors") or (name == "warn" and kind == "warnings"):
                yield f"{path.relative_to(root)}:{node.lineno}", call


def public_parameters():
    """Return the names that a user may have to change."""
    methods = ("__init__", "fit", "partial_fit", "compress", "to_c", "to_onnx")
    calls = [getattr(BCDClassifier, name) for name in methods]
    calls += [compress, fastbcd.export.to_c, fastbcd.display.FrontierDisplay.from_estimator]
    names = {name for call in calls for name in inspect.signature(call).parameters}
    return names - {"self"} | {"low_rank", "tensor_train", "signal"}


def test_an_error_quotes_a_value_or_names_a_parameter():
    """A message that does neither leaves its reader to guess what was wrong."""
    names = public_parameters()
    # What is wrong is the network or the combination as a whole, and the text names the fix.
    whole = r"Linear layer|Pipeline is empty|Sigmoid|multilabel|several labels|combination takes"
    mute = []
    for place, call in messages("errors"):
        fixed, quotes = texts(call.args[0])
        named = names & set(re.findall(r"\w+", fixed))
        if fixed and not quotes and not named and not re.search(whole, fixed):
            mute.append(f"{place}: {fixed}")
    assert len(list(messages("errors"))) > 90
    # Asked of a stream by itself, which estimators never do too early; of files that do not match.
    allowed = ("The stream has not seen", "The tables have different", "--proba", "holds NaN")
    assert [text for text in mute if not any(part in text for part in allowed)] == []


def test_every_warning_has_a_class_of_its_own():
    found = {ast.unparse(call.args[1]) for _, call in messages("warnings") if len(call.args) > 1}
    assert found == {
        "BudgetWarning",
        "ConvergenceWarning",
        "ExportWarning",
        "IgnoredParameterWarning",
    }
    assert all(len(call.args) > 1 for _, call in messages("warnings"))


def test_warnings_go_through_the_function_that_finds_the_line_of_the_user():
    root = Path(fastbcd.__file__).parent
    found = [
        path.relative_to(root).as_posix()
        for path in sorted(root.rglob("*.py"))
        if "warnings.warn(" in path.read_text(encoding="utf-8")
    ]
    assert found == ["utils/warnings.py"]


@pytest.mark.parametrize("estimator", [BCDClassifier, fastbcd.BCDRegressor])
def test_a_fit_without_targets_names_the_class_and_the_call(estimator):
    wanted = (
        rf"^{estimator.__name__} requires y .* Write {estimator.__name__}\(\.\.\.\)\.fit\(X, y\)"
    )
    for arguments in ((X,), (X, None)):
        with pytest.raises(ValueError, match=wanted):
            estimator().fit(*arguments)
