"""Pipelines of named columns, and networks in graphs of another precision, in ONNX Runtime."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.export import to_onnx
from fastbcd.export.skl2onnx import register

onnx = pytest.importorskip("onnx")
skl2onnx = pytest.importorskip("skl2onnx")
runtime = pytest.importorskip("onnxruntime")
pd = pytest.importorskip("pandas")

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

NETWORK = {"hidden_layer_sizes": (8,), "solver": "minibatch", "max_iter": 5, "random_state": 0}


def frame(n=200):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.normal(40, 12, n),
            "fare": rng.gamma(2, 15, n),
            "port": rng.choice(["S", "C", "Q"], n),
            "deck": rng.integers(0, 4, n),
            "note": rng.choice(["good cabin", "bad cabin", "no"], n),
        }
    )


def columns(*steps, **options):
    return ColumnTransformer(list(steps), **options)


NUMBERS = ("n", StandardScaler(), ["age", "fare"])
PORTS = ("c", OneHotEncoder(), ["port"])
STEPS = {
    "named": columns(NUMBERS, PORTS),
    "another order": columns(PORTS, NUMBERS),
    "one encoder": columns(
        ("n", MinMaxScaler(), ["fare"]), ("c", OneHotEncoder(), ["port", "note"])
    ),
    "codes": columns(NUMBERS, ("o", OrdinalEncoder(), ["port"])),
    "integers": columns(NUMBERS, ("c", OneHotEncoder(), ["deck"])),
    "imputed": columns(
        ("n", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "fare"]),
        (
            "c",
            make_pipeline(
                SimpleImputer(missing_values="", strategy="most_frequent"), OneHotEncoder()
            ),
            ["port"],
        ),
    ),
    "passed through": columns(PORTS, ("p", "passthrough", ["age"])),
    "dropped": columns(NUMBERS, ("d", "drop", ["note"]), PORTS),
    "selected": columns(
        ("n", StandardScaler(), make_column_selector(dtype_include=float)),
        ("c", OneHotEncoder(), make_column_selector("port|note")),
    ),
    "twice": columns(NUMBERS, ("m", MinMaxScaler(), ["age"])),
    "union": columns(
        ("n", FeatureUnion([("a", StandardScaler()), ("b", MinMaxScaler())]), ["age"])
    ),
    "nested": Pipeline(
        [("first", columns(NUMBERS, PORTS)), ("then", StandardScaler(with_mean=False))]
    ),
}


def converted(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skl2onnx calls what newer libraries deprecate
        return call()


def run(model, X):
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}
    feed = {
        each.name: X[each.name].to_numpy().astype(kinds.get(each.type, object))[:, None]
        for each in session.get_inputs()
    }
    names = [output.name for output in session.get_outputs()]
    return feed, dict(zip(names, session.run(None, feed), strict=True))


@pytest.mark.parametrize("step", STEPS)
def test_columns_are_inputs_by_their_names(step, tmp_path):
    X = frame()
    y = (X.age < 38) ^ (X.port == "S")
    pipe = Pipeline([("columns", STEPS[step]), ("net", BCDClassifier(**NETWORK))]).fit(X, y)
    model = converted(lambda: to_onnx(pipe, tmp_path / "net.onnx"))
    assert (tmp_path / "net.onnx").read_bytes() == model.SerializeToString()
    feed, found = run(model, X)
    used = {"named": ["age", "fare", "port"], "twice": ["age", "fare"]}
    assert list(feed) == used.get(step, list(feed))
    assert "note" not in feed or step in ("one encoder", "selected")
    np.testing.assert_array_equal(found["label"], pipe.predict(X))
    np.testing.assert_allclose(found["probabilities"], pipe.predict_proba(X), atol=1e-5)


FREQUENT = SimpleImputer(missing_values="", strategy="most_frequent")


@pytest.mark.parametrize(
    "step",
    [("t", CountVectorizer(), "note"), ("t", make_pipeline(FREQUENT, OneHotEncoder()), ["note"])],
    ids=["text", "imputed"],
)
def test_a_column_of_text_is_of_strings(step):
    X = frame()
    steps = columns(NUMBERS, step)
    pipe = make_pipeline(steps, BCDClassifier(**NETWORK)).fit(X, X.age < 38)
    # They are not run: the runtime's normaliser asks for a locale, its imputer for numbers.
    inputs = converted(lambda: to_onnx(pipe)).graph.input
    kinds = {each.name: each.type.tensor_type.elem_type for each in inputs}
    double, string = onnx.TensorProto.DOUBLE, onnx.TensorProto.STRING
    assert kinds == {"age": double, "fare": double, "note": string}


def test_a_regressor_of_named_columns():
    X = frame()
    pipe = make_pipeline(STEPS["named"], BCDRegressor(**NETWORK)).fit(
        X, X.age + 10 * (X.port == "S")
    )
    _, found = run(converted(lambda: to_onnx(pipe)), X)
    np.testing.assert_allclose(found["variable"][:, 0], pipe.predict(X), rtol=1e-5)


def test_types_that_are_given_are_taken():
    types = skl2onnx.common.data_types
    X = frame()
    pipe = make_pipeline(STEPS["named"], BCDClassifier(**NETWORK)).fit(X, X.age < 38)
    given = [
        ("fare", types.FloatTensorType([None, 1])),
        ("age", types.FloatTensorType([None, 1])),
        ("port", types.StringTensorType([None, 1])),
    ]
    feed, found = run(converted(lambda: to_onnx(pipe, initial_types=given)), X)
    assert [(name, value.dtype.kind) for name, value in feed.items()] == [
        ("fare", "f"), ("age", "f"), ("port", "O"),
    ]  # fmt: skip
    assert feed["age"].dtype == np.float32
    np.testing.assert_allclose(found["probabilities"], pipe.predict_proba(X), atol=1e-4)


def test_types_are_those_of_a_pipeline():
    clf = BCDClassifier(**NETWORK).fit(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="initial_types name the inputs of a Pipeline"):
        to_onnx(clf, initial_types=[("X", None)])


@pytest.mark.parametrize("zipmap", [True, False, "columns"])
@pytest.mark.parametrize("inputs", [np.float32, np.float64])
@pytest.mark.parametrize("trained", [np.float32, np.float64])
def test_probabilities_have_the_type_of_the_inputs(trained, inputs, zipmap):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 4))
    pipe = make_pipeline(StandardScaler(), BCDClassifier(**NETWORK))
    pipe.fit(x.astype(trained), x[:, 0] + x[:, 1] > 0)
    register()
    options = {id(pipe[-1]): {"zipmap": zipmap}}
    rows = x.astype(inputs)
    model = converted(lambda: skl2onnx.to_onnx(pipe, rows[:1], options=options))
    session = runtime.InferenceSession(model.SerializeToString())
    label, *rest = session.run(None, {"X": rows})
    expected = pipe.predict_proba(rows)
    np.testing.assert_array_equal(label, pipe.predict(rows))
    if zipmap is True:
        found = np.array([[row[0], row[1]] for row in rest[0]])
    elif zipmap == "columns":
        found = np.column_stack(rest)
    else:
        found = rest[0]
    if zipmap is not True:
        assert found.dtype == inputs
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("inputs", [np.float32, np.float64])
def test_a_regressor_has_the_type_of_the_inputs(inputs):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 4))
    pipe = make_pipeline(StandardScaler(), BCDRegressor(**NETWORK)).fit(x, x[:, 0])
    register()
    model = converted(lambda: skl2onnx.to_onnx(pipe, x[:1].astype(inputs)))
    session = runtime.InferenceSession(model.SerializeToString())
    (found,) = session.run(None, {"X": x.astype(inputs)})
    assert found.dtype == inputs
    np.testing.assert_allclose(found[:, 0], pipe.predict(x), atol=1e-5)


def test_a_network_in_an_ensemble_of_floats():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 4))
    networks = [(f"n{seed}", BCDClassifier(**{**NETWORK, "random_state": seed})) for seed in (0, 1)]
    voting = VotingClassifier(networks, voting="soft", flatten_transform=False).fit(
        x, (x[:, 0] > 0).astype(int)
    )
    register()
    rows = x.astype(np.float32)
    model = converted(
        lambda: skl2onnx.to_onnx(voting, rows[:1], options={id(voting): {"zipmap": False}})
    )
    _, found = runtime.InferenceSession(model.SerializeToString()).run(None, {"X": rows})
    np.testing.assert_allclose(found, voting.predict_proba(rows), atol=1e-5)
