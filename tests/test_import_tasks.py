"""What the outputs of an imported network mean: said by the caller, or clear, or refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_digits, make_friedman1, make_multilabel_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbcd import BCDClassifier, BCDRegressor, compress, load
from fastbcd.schemes import Prune

N = 90
NUMBERS = np.random.default_rng(0)
X = NUMBERS.normal(size=(N, 4)).astype(np.float32)
LABELS = np.arange(N) % 3
TWO = np.arange(N) % 2
FRACTIONS = NUMBERS.normal(size=(N, 3))
EYE = np.eye(3)[LABELS]
SEVERAL = (FRACTIONS > 0).astype(int)
NAMES = np.array(["cat", "dog", "eel"])[LABELS]


def network(kind):
    """Return "raw", "softmax", "log_softmax" or "sigmoid" with so many outputs."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    nn = torch.nn
    final, n_outputs = kind.split()
    last = {"raw": [], "softmax": [nn.Softmax(1)], "log_softmax": [nn.LogSoftmax(1)]}
    last["sigmoid"] = [nn.Sigmoid()]
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, int(n_outputs)), *last[final])


def outputs(model, x=X):
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        return model(torch.from_numpy(x)).numpy()


def imported(model, *data, **options):
    return compress(model, *data, scheme={}, epochs=0, random_state=0, **options)


def quiet(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


# What is found: the classes, "regression" or "multilabel"; or what the error says.
FOUND = [
    ("raw 3", None, {}, "regression"),
    ("raw 1", None, {}, "regression"),
    ("raw 3", LABELS, {}, [0, 1, 2]),
    ("raw 3", LABELS.astype(float), {}, [0.0, 1.0, 2.0]),
    ("raw 3", LABELS.astype(object), {}, [0, 1, 2]),
    ("raw 3", LABELS[:, None], {}, [0, 1, 2]),
    ("raw 3", LABELS[:, None].astype(np.float32), {}, [0.0, 1.0, 2.0]),
    ("raw 3", TWO, {}, [0, 1, 2]),
    ("raw 3", LABELS + 1, {}, [1, 2, 3]),
    ("raw 3", 10 * LABELS, {}, [0, 10, 20]),
    ("raw 3", NAMES, {}, ["cat", "dog", "eel"]),
    ("raw 3", NAMES.astype(object).tolist(), {}, ["cat", "dog", "eel"]),
    ("raw 2", TWO == 1, {}, [False, True]),
    ("raw 3", FRACTIONS, {}, "regression"),
    ("raw 3", EYE, {"task": "classification"}, [0, 1, 2]),
    ("raw 3", EYE, {"task": "regression"}, "regression"),
    ("raw 3", EYE, {"task": "multilabel"}, "multilabel"),
    ("raw 3", EYE, {"class_labels": ["a", "b", "c"]}, ["a", "b", "c"]),
    ("raw 3", SEVERAL, {"task": "multilabel"}, "multilabel"),
    ("raw 3", None, {"task": "classification"}, [0, 1, 2]),
    ("raw 3", None, {"task": "multilabel"}, "multilabel"),
    ("raw 3", None, {"class_labels": ["c", "a", "b"]}, ["a", "b", "c"]),
    ("raw 3", TWO + 1, {"class_labels": range(1, 4)}, [1, 2, 3]),
    ("raw 3", TWO + 1, {"class_labels": range(3)}, [0, 1, 2]),
    ("raw 1", TWO, {"task": "classification"}, [0, 1]),
    ("raw 1", TWO.astype(float), {"task": "classification"}, [0.0, 1.0]),
    ("raw 1", TWO[:, None], {"task": "classification"}, [0, 1]),
    ("raw 1", TWO, {"task": "regression"}, "regression"),
    ("raw 1", TWO == 1, {}, [False, True]),
    ("raw 1", np.array(["no", "yes"])[TWO], {}, ["no", "yes"]),
    ("raw 1", None, {"class_labels": ["yes", "no"]}, ["no", "yes"]),
    ("raw 1", FRACTIONS[:, 0], {}, "regression"),
    ("raw 1", FRACTIONS[:, :1], {}, "regression"),
    ("raw 1", LABELS, {}, "regression"),
    ("softmax 3", None, {}, [0, 1, 2]),
    ("softmax 3", EYE, {}, [0, 1, 2]),
    ("softmax 3", LABELS[:, None], {}, [0, 1, 2]),
    ("log_softmax 3", NAMES, {}, ["cat", "dog", "eel"]),
    ("sigmoid 1", None, {}, [0, 1]),
    ("sigmoid 1", TWO[:, None].astype(np.float32), {}, [0.0, 1.0]),
    ("sigmoid 1", np.ones(N, int), {"class_labels": [0, 1]}, [0, 1]),
    ("sigmoid 3", None, {}, "multilabel"),
    ("sigmoid 3", SEVERAL, {}, "multilabel"),
    ("sigmoid 3", SEVERAL.astype(bool), {}, "multilabel"),
    ("sigmoid 3", EYE, {}, "multilabel"),
]

UNCLEAR = [
    ("raw 1", TWO, {}, "one output and y the values 0, 1.*'classification'.*'regression'"),
    ("raw 1", TWO.astype(float), {}, "'classification'.*'regression'"),
    ("raw 1", TWO[:, None].astype(np.float32), {}, "'classification'.*'regression'"),
    ("raw 1", 2 * TWO - 1, {}, "values -1, 1.*'classification'.*'regression'"),
    ("raw 1", np.ones(N), {}, "'classification'.*'regression'"),
    ("raw 1", NAMES, {}, "3 classes, 'cat', 'dog', 'eel'.*one output for two classes"),
    ("raw 3", TWO + 1, {}, r"labels 1, 2, .*3 outputs.*range\(3\).*range\(1, 4\)"),
    ("raw 3", 2 * TWO + 1, {}, "2 classes, 1, 3, .*class_labels"),
    ("raw 3", NAMES[TWO], {}, "2 classes, 'cat', 'dog', .*class_labels"),
    ("raw 3", LABELS + 0.5, {}, "y contains 0.5"),
    ("raw 3", EYE, {}, "'classification'.*'regression'.*'multilabel'"),
    ("raw 3", SEVERAL, {}, "'multilabel'.*'regression'"),
    ("raw 3", 0.9 * EYE + 0.1 / 3, {}, r"sum to one.*y.argmax\(axis=1\).*'regression'"),
    ("raw 3", FRACTIONS[:, :2], {}, "y has 2 columns, the network 3 outputs"),
    ("raw 3", FRACTIONS, {"task": "classification"}, "zero but for a one"),
    ("raw 3", LABELS, {"task": "regression"}, "y has 1 columns, the network 3 outputs"),
    ("raw 3", NAMES, {"task": "regression"}, "y must be numbers.*'cat'"),
    ("raw 3", LABELS, {"task": "multilabel"}, r"zeros and ones of shape \(n_samples, 3\)"),
    ("raw 1", TWO, {"task": "multilabel"}, "several outputs"),
    ("raw 3", LABELS, {"task": "ranking"}, "task must be one of.*'ranking'"),
    ("raw 3", LABELS, {"class_labels": [0, 1]}, "class_labels must be 3 different labels"),
    ("raw 3", LABELS, {"class_labels": [0, 1, 1]}, "class_labels must be 3 different labels"),
    ("raw 3", LABELS, {"class_labels": [0, 1, 3]}, r"label 2, .*class_labels=\[0, 1, 3\]"),
    ("raw 3", LABELS, {"class_labels": "abc"}, "class_labels must be"),
    ("raw 3", LABELS, {"task": "regression", "class_labels": [0, 1, 2]}, "class_labels are for"),
    ("softmax 3", LABELS, {"task": "regression"}, r"'regression'.*Softmax.*model\[:-1\]"),
    ("softmax 3", EYE, {"task": "multilabel"}, r"'multilabel'.*Softmax"),
    ("softmax 3", TWO + 1, {}, r"range\(3\).*range\(1, 4\)"),
    ("softmax 3", np.full((N, 3), 1 / 3), {}, "zero but for a one"),
    ("softmax 1", None, {}, "same number for every row"),
    ("sigmoid 1", np.ones(N, int), {}, r"range\(2\).*range\(1, 3\)"),
    ("sigmoid 1", FRACTIONS[:, 0], {}, "which is no class label"),
    ("sigmoid 1", LABELS, {}, "3 classes"),
    ("sigmoid 1", TWO, {"task": "regression"}, "'regression'.*Sigmoid"),
    ("sigmoid 3", LABELS, {}, r"one label for each row.*model\[:-1\]"),
    ("sigmoid 3", LABELS, {"task": "classification"}, r"Sigmoid of 3 outputs.*model\[:-1\]"),
    ("sigmoid 3", FRACTIONS, {}, "zeros and ones"),
    ("raw 3", [*LABELS[1:], np.nan], {}, "y must be finite; 1 of its values"),
    ("raw 3", [*NAMES[1:], None], {}, "without missing values; got NoneType, str"),
    ("raw 3", LABELS.reshape(N, 1, 1), {}, r"one or two axes.*\(90, 1, 1\)"),
]


def ids(case):
    return repr(case)[:40] if isinstance(case, dict | str) else None


@pytest.mark.parametrize(("kind", "y", "options", "expected"), FOUND, ids=ids)
def test_the_task_is_found(kind, y, options, expected):
    model = network(kind)
    found = quiet(lambda: imported(model, X, y, **options))
    theirs = outputs(model)
    if expected == "regression":
        assert isinstance(found, BCDRegressor)
        flat = y is not None and np.ndim(y) == 1
        np.testing.assert_allclose(
            found.predict(X), theirs[:, 0] if flat else theirs, rtol=1e-5, atol=1e-6
        )
        return
    assert isinstance(found, BCDClassifier)
    final = kind.split()[0]
    if final == "log_softmax":
        theirs = np.exp(theirs)
    if expected == "multilabel":
        proba = theirs if final == "sigmoid" else 1 / (1 + np.exp(-theirs))
        np.testing.assert_allclose(found.predict_proba(X), proba, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found.predict(X), proba > 0.5)
        return
    assert found.classes_.tolist() == expected
    columns = list(options.get("class_labels", expected))
    if theirs.shape[1] == 1:
        positive = theirs[:, 0] > (0.5 if final == "sigmoid" else 0)
        guesses = np.array(columns)[positive.astype(int)]
    else:
        guesses = np.array(columns)[theirs.argmax(axis=1)]
    np.testing.assert_array_equal(found.predict(X), guesses)


@pytest.mark.parametrize(("kind", "y", "options", "message"), UNCLEAR, ids=ids)
def test_what_is_unclear_is_refused_with_its_readings(kind, y, options, message):
    with pytest.raises(ValueError, match=message):
        quiet(lambda: imported(network(kind), X, y, **options))


def test_validation_data_tell_the_task_where_there_is_no_y():
    model = network("raw 3")
    labels = outputs(model).argmax(axis=1)
    judges = X, labels
    options = {"max_score_drop": 0.5, "epochs": 0, "random_state": 0, "class_labels": range(3)}
    small = compress(model, X, validation_data=judges, **options)
    assert isinstance(small, BCDClassifier)
    assert small.compression_report_.score_before == 1
    with pytest.raises(ValueError, match=r"validation_data\[1\] must be labels"):
        compress(model, X, validation_data=(X, FRACTIONS), **options)


def test_tensors_and_tables_are_taken():
    torch = pytest.importorskip("torch")
    pd = pytest.importorskip("pandas")
    model = network("raw 3")
    for rows, labels in (
        (torch.from_numpy(X), torch.from_numpy(LABELS)),
        (pd.DataFrame(X), pd.Series(LABELS, dtype="Int64")),
        (pd.DataFrame(X), pd.Series(NAMES, dtype="category")),
        (X.tolist(), LABELS.tolist()),
    ):
        found = imported(model, rows, labels)
        np.testing.assert_array_equal(found.classes_[outputs(model).argmax(1)], found.predict(X))


def test_labels_of_one_output_are_learned():
    """A network trained with the binary cross-entropy of logits keeps its accuracy."""
    torch = pytest.importorskip("torch")
    data, digits = load_digits(return_X_y=True)
    data, y = (data[:800] / 16).astype(np.float32), (digits[:800] > 4).astype(int)
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits
        loss(model(torch.from_numpy(data))[:, 0], torch.from_numpy(y.astype("f"))).backward()
        optimizer.step()
    before = np.mean((outputs(model, data)[:, 0] > 0) == y)
    small = compress(model, data, y, ratio=4, epochs=2, task="classification", random_state=0)
    assert small.compression_report_.score_before == pytest.approx(before)
    assert small.score(data, y) > before - 0.01


# ------------------------------------------------------------------ models that know


@pytest.fixture(scope="module")
def digits():
    data, labels = load_digits(return_X_y=True)
    return data[:600] / 16, labels[:600]


@pytest.fixture(scope="module")
def mlp(digits):
    return quiet(lambda: MLPClassifier((24,), max_iter=40, random_state=0).fit(*digits))


def test_columns_of_labels_are_taken_with_the_warning_of_fit(digits, mlp):
    data, labels = digits
    plain = compress(mlp, data, labels, ratio=4, epochs=1, random_state=0)
    own = quiet(lambda: BCDClassifier((8,), max_iter=5, random_state=0).fit(data, labels))
    for model in (mlp, own):
        with pytest.warns(DataConversionWarning, match="column-vector"):
            compress(model, data, labels[:, None], ratio=4, epochs=0)
    one_hot = compress(mlp, data, np.eye(10)[labels], ratio=4, epochs=1, random_state=0)
    np.testing.assert_array_equal(one_hot.predict_proba(data), plain.predict_proba(data))
    with pytest.raises(ValueError, match="y must be labels"):
        compress(mlp, data, np.ones((len(data), 10)), ratio=4)
    pd = pytest.importorskip("pandas")
    with pytest.warns(DataConversionWarning):
        framed = own.compress(data, pd.DataFrame({"digit": labels}), ratio=2, epochs=1)
    same = own.compress(data, labels, ratio=2, epochs=1)
    np.testing.assert_array_equal(framed.predict_proba(data), same.predict_proba(data))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "regression"}, "task='regression', but the .* trained for 'classification'"),
        ({"task": "anything"}, "task must be one of"),
        ({"class_labels": range(1, 11)}, "class_labels.*has its own"),
    ],
)
def test_models_that_know_their_task_are_not_told_another(digits, mlp, options, message):
    data, labels = digits
    with pytest.raises(ValueError, match=message):
        compress(mlp, data, labels, ratio=2, epochs=0, **options)
    own = quiet(lambda: BCDClassifier((8,), max_iter=2, random_state=0).fit(data, labels))
    with pytest.raises(ValueError, match=message):
        own.compress(data, labels, ratio=2, epochs=0, **options)
    same = {"task": "classification", "class_labels": range(10)}
    assert own.compress(data, labels, ratio=2, epochs=0, **same).classes_.tolist() == list(
        range(10)
    )


class Sharpened(MLPClassifier):
    def predict_proba(self, X):
        p = super().predict_proba(X) ** 2
        return p / p.sum(axis=1, keepdims=True)


class Shifted(MLPRegressor):
    def predict(self, X):
        return super().predict(X) + 0.1


class Cautious(Pipeline):
    def predict_proba(self, X):
        return 0.9 * super().predict_proba(X) + 0.01


class Centred(TransformerMixin, BaseEstimator):
    """Looks at all rows of a call together."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return X - X.mean(axis=0)


def test_models_that_compute_something_else_are_refused(digits):
    data, labels = digits
    for model, name in (
        (Sharpened((8,), max_iter=2), "Sharpened"),
        (Shifted(hidden_layer_sizes=(8,), max_iter=2), "Shifted"),
        (Cautious([("mlp", MLPClassifier((8,), max_iter=2))]), "Cautious"),
        (make_pipeline(Centred(), MLPClassifier((8,), max_iter=2)), "Pipeline"),
    ):
        quiet(lambda model=model: model.fit(data, labels))
        with pytest.raises(ValueError, match=f"{name}.* by up to"):
            compress(model, data, labels, ratio=2, epochs=0)


# ------------------------------------------------------------------ several labels


@pytest.fixture(scope="module")
def several():
    data, labels = make_multilabel_classification(
        600, n_features=20, n_classes=4, random_state=0, allow_unlabeled=True
    )
    return StandardScaler().fit_transform(data), labels


def test_several_labels_per_row(several, tmp_path):
    data, labels = several
    mlp = quiet(lambda: MLPClassifier((40,), max_iter=100, random_state=0).fit(data, labels))
    own = quiet(lambda: BCDClassifier((40,), random_state=0).fit(data, labels))
    same = imported(mlp, data)
    np.testing.assert_allclose(same.predict_proba(data), mlp.predict_proba(data), atol=1e-12)
    for model in (mlp, own):
        small = compress(model, data, labels, ratio=3, epochs=3, random_state=0)
        report = small.compression_report_
        assert report.score_before == pytest.approx(model.score(data, labels))
        assert report.score_after == pytest.approx(small.score(data, labels))
        same_labels = (small.predict(data) == model.predict(data)).mean()
        assert same_labels > 0.97
        small.save(tmp_path / "small.safetensors")
        again = load(tmp_path / "small.safetensors")
        np.testing.assert_array_equal(again.predict_proba(data), small.predict_proba(data))


@pytest.mark.parametrize("with_labels", [True, False])
@pytest.mark.parametrize("scoring", [None, "f1_micro"])
def test_the_drop_of_several_labels_is_judged(several, with_labels, scoring):
    data, labels = several
    mlp = quiet(lambda: MLPClassifier((40,), max_iter=100, random_state=0).fit(data, labels))
    y = labels if with_labels else None
    small = compress(mlp, data, y, max_score_drop=0.15, scoring=scoring, epochs=3, random_state=0)
    report = small.compression_report_
    assert report.score_before == 1 or with_labels
    assert report.score_before - report.score_after <= 0.15
    assert report.ratio > 1.5


# ------------------------------------------------------------------ around a network


def test_pipelines_keep_their_parameters(digits, tmp_path):
    data, labels = digits
    steps = [("scale", StandardScaler()), ("net", MLPClassifier((16,), max_iter=10))]
    model = Pipeline(steps, memory=str(tmp_path), verbose=True)
    quiet(lambda: model.fit(data, labels))
    small = compress(model, data, labels, scheme=Prune(sparsity=0.5), epochs=0)
    assert small.memory == str(tmp_path)
    assert small.verbose is True
    assert small is not model
    assert small["scale"] is not model["scale"]
    assert isinstance(model["net"], MLPClassifier)
    np.testing.assert_array_equal(small.predict(data[:5]).shape, (5,))


def test_searches_are_read_through(digits, mlp):
    data, labels = digits
    pipe = make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=10, random_state=0))
    grid = {"mlpclassifier__alpha": [1e-4, 1e-2]}
    for search in (
        GridSearchCV(pipe, grid, cv=2),
        RandomizedSearchCV(pipe, grid, n_iter=1, cv=2, random_state=0),
    ):
        with pytest.raises(NotFittedError):
            compress(search, data, labels, ratio=2)
        quiet(lambda search=search: search.fit(data, labels))
        small = compress(search, data, labels, ratio=3, epochs=1, random_state=0)
        direct = compress(search.best_estimator_, data, labels, ratio=3, epochs=1, random_state=0)
        np.testing.assert_array_equal(small.predict_proba(data), direct.predict_proba(data))
        assert isinstance(small, Pipeline)
    frozen = compress(FrozenEstimator(mlp), data, labels, ratio=3, epochs=0, random_state=0)
    assert isinstance(frozen, BCDClassifier)
    empty = GridSearchCV(MLPClassifier((4,), max_iter=2), {"alpha": [1, 2]}, cv=2, refit=False)
    quiet(lambda: empty.fit(data, labels))
    with pytest.raises(TypeError, match="refit=False"):
        compress(empty, data, labels, ratio=2)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_transformed_targets_are_read_through(n_outputs):
    data, y = make_friedman1(600, random_state=0)
    y = np.exp(y / 5)
    if n_outputs == 2:
        y = np.column_stack([y, y[::-1]])
    inner = MLPRegressor(hidden_layer_sizes=(30,), max_iter=300, random_state=0)
    model = TransformedTargetRegressor(inner, func=np.log, inverse_func=np.exp)
    quiet(lambda: model.fit(data, y))
    same = compress(model, data, y, scheme={}, epochs=0)
    np.testing.assert_allclose(same.predict(data), model.predict(data), rtol=1e-6)
    small = compress(model, data, y, ratio=2, epochs=10, random_state=0)
    assert isinstance(small, TransformedTargetRegressor)
    assert isinstance(small.regressor_, BCDRegressor)
    assert isinstance(model.regressor_, MLPRegressor)
    assert small.predict(data).shape == y.shape
    assert small.score(data, y) > model.score(data, y) - 0.02
    assert small.compression_report_.ratio >= 2


def test_what_cannot_be_read_through_names_what_can(digits):
    data, labels = digits
    mlp = MLPClassifier((8,), max_iter=2, random_state=0)
    for model, place in (
        (
            CalibratedClassifierCV(mlp, cv=2),
            r"model\.calibrated_classifiers_\[0\]\.estimator and 1",
        ),
        (
            CalibratedClassifierCV(mlp, cv=2, ensemble=False),
            r"model\.calibrated_classifiers_\[0\]\.estimator\.",
        ),
        (BaggingClassifier(mlp, 3), r"model\.estimators_\[0\] and 2 more"),
    ):
        quiet(lambda model=model: model.fit(data, labels))
        with pytest.raises(TypeError, match=f"{type(model).__name__} as a whole.*{place}"):
            compress(model, data, labels, ratio=2)
