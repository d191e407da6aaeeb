"""Networks trained elsewhere: read exactly, compressed into normal estimators."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification, make_friedman1
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbcd import BCDClassifier, BCDRegressor, compress, storage
from fastbcd.estimators.from_network import estimator_of
from fastbcd.io.importing import read as importing
from fastbcd.layers import Conv2D, MaxPool2D
from fastbcd.schemes import LowRank, Prune, Quantize, TensorTrain

ACTIVATIONS = ["relu", "tanh", "logistic", "identity"]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, np.array([f"digit {label}" for label in y])


def quiet_fit(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y)


@pytest.fixture(scope="module")
def mlp(digits):
    X, y = digits
    return quiet_fit(MLPClassifier((48, 24), max_iter=40, random_state=0), X[:1200], y[:1200])


# ------------------------------------------------------------------ reading


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_classifiers_are_read_exactly(digits, activation):
    X, y = digits
    source = quiet_fit(MLPClassifier((20, 10), activation=activation, max_iter=5), X, y)
    read = importing.read(source)
    same = estimator_of(read, read.network)
    np.testing.assert_allclose(same.predict_proba(X), source.predict_proba(X), atol=1e-12)
    np.testing.assert_array_equal(same.predict(X), source.predict(X))
    np.testing.assert_array_equal(same.classes_, source.classes_)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_regressors_are_read_exactly(activation, n_outputs):
    X, y = make_friedman1(200, random_state=0)
    targets = y if n_outputs == 1 else np.column_stack([y, -y, y**2])
    model = MLPRegressor(hidden_layer_sizes=(20, 10), activation=activation, max_iter=5)
    source = quiet_fit(model, X, targets)
    read = importing.read(source)
    found = estimator_of(read, read.network).predict(X)
    assert found.shape == source.predict(X).shape
    np.testing.assert_allclose(found, source.predict(X), atol=1e-10)


def test_two_classes_become_two_logits(digits):
    X, y = digits[0], np.where(digits[1] == "digit 3", "yes", "no")
    source = quiet_fit(MLPClassifier((8,), max_iter=5, random_state=0), X, y)
    read = importing.read(source)
    same = estimator_of(read, read.network)
    np.testing.assert_allclose(same.predict_proba(X), source.predict_proba(X), atol=1e-12)


def test_feature_names_are_kept(digits):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame(digits[0], columns=[f"pixel {i}" for i in range(64)])
    source = quiet_fit(MLPClassifier((16,), max_iter=5, random_state=0), X, digits[1])
    small = compress(source, X, scheme=LowRank(rank=4), epochs=0, random_state=0)
    np.testing.assert_array_equal(small.feature_names_in_, source.feature_names_in_)
    with pytest.raises(ValueError, match="feature names"):
        small.predict(X.rename(columns={"pixel 0": "other"}))


def torch_model(torch, *modules):
    torch.manual_seed(0)
    return torch.nn.Sequential(*modules)


def test_torch_modules_are_folded(digits):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    model = torch_model(
        torch,
        nn.Flatten(),
        nn.BatchNorm1d(64),
        nn.Linear(64, 30),
        nn.BatchNorm1d(30),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Sequential(nn.Linear(30, 20, bias=False), nn.LeakyReLU()),
        nn.BatchNorm1d(20, affine=False),
        nn.Linear(20, 15),
        nn.Tanh(),
        nn.Identity(),
        nn.Linear(15, 12),
        nn.Sigmoid(),
        nn.Linear(12, 10),
    )
    X = digits[0].astype(np.float32)
    model.train()
    for _ in range(3):
        model(torch.from_numpy(X))
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    read = importing.read(model, np.arange(10)[np.arange(len(X)) % 10])
    expected = model(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(read.network.forward(X), expected, rtol=2e-4, atol=2e-5)
    np.testing.assert_array_equal(read.task.classes, np.arange(10))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda nn: [nn.Linear(4, 3), nn.ELU(), nn.Linear(3, 2)],
            r"1 \(.*activation\.ELU\) is not supp",
        ),
        (lambda nn: [nn.Conv1d(1, 2, 3)], r"0 \(torch\.nn\.modules\.conv\.Conv1d\)"),
        (lambda nn: [nn.Linear(4, 3), nn.LeakyReLU(0.3), nn.Linear(3, 2)], "slope 0.3"),
        (lambda nn: [nn.Linear(4, 3), nn.ReLU()], "final relu"),
        (lambda nn: [nn.Linear(4, 3), nn.ReLU(), nn.Tanh(), nn.Linear(3, 2)], "does not follow"),
        (lambda nn: [nn.Flatten()], "does not end in a Linear"),
        (lambda nn: [nn.Conv2d(1, 2, 2)], "channels, height, width"),
        (lambda nn: [nn.Unflatten(1, (2, 1, 2)), nn.Conv2d(2, 2, 1)], "only rows at the start"),
    ],
)
def test_unsupported_torch_modules_are_named(build, message):
    torch = pytest.importorskip("torch")
    model = torch_model(torch, *build(torch.nn))
    with pytest.raises(ValueError, match=message):
        compress(model, np.zeros((5, 4)), scheme=Prune(sparsity=0.5))


def images_model(torch, kind):
    nn = torch.nn
    kinds = {
        "strides and padding": lambda: [
            nn.Conv2d(2, 5, (3, 2), stride=(2, 1), padding=(1, 0)), nn.BatchNorm2d(5), nn.ReLU(),
            nn.Conv2d(5, 4, 3, padding="same", bias=False), nn.ReLU(), nn.Flatten(),
            nn.Linear(4 * 5 * 7, 12), nn.BatchNorm1d(12), nn.Tanh(), nn.Linear(12, 3),
        ],
        "pools": lambda: [
            nn.AvgPool2d(2), nn.Conv2d(2, 6, 2), nn.MaxPool2d(2), nn.ReLU(), nn.Dropout2d(),
            nn.AvgPool2d((1, 1)), nn.Flatten(), nn.Dropout(), nn.Linear(6, 3),
        ],
        "an average before the output": lambda: [
            nn.Conv2d(2, 6, 2), nn.ReLU(), nn.AvgPool2d((2, 3)), nn.Flatten(), nn.Linear(48, 3),
        ],
        "no convolution": lambda: [nn.Flatten(), nn.Linear(144, 7), nn.ReLU(), nn.Linear(7, 3)],
    }  # fmt: skip
    return torch_model(torch, *kinds[kind]())


@pytest.mark.parametrize(
    "kind", ["strides and padding", "pools", "an average before the output", "no convolution"]
)
def test_torch_images_are_read(kind):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = images_model(torch, kind)
    X = np.random.default_rng(0).normal(size=(300, 2, 9, 8)).astype(np.float32)
    model.train()
    model(torch.from_numpy(X))  # statistics of the batch normalisations
    expected = model.eval()(torch.from_numpy(X)).detach().numpy()
    rows, shape = importing.image_rows(model, X)
    found = importing.read(model, np.arange(300) % 3, shape).network
    np.testing.assert_allclose(found.forward(rows), expected, rtol=1e-4, atol=1e-5)
    labels = {"class_labels": range(3)}  # not all of them occur
    small = compress(
        model, X, expected.argmax(axis=1), scheme=Prune(sparsity=0.3), epochs=3, **labels
    )
    assert small.score(rows, expected.argmax(axis=1)) > 0.9
    again = clone(small).set_params(max_iter=1, solver="minibatch").fit(rows, np.arange(300) % 3)
    np.testing.assert_array_equal(
        [layer.weight.shape for layer in again.network_.layers],
        [layer.weight.shape for layer in found.layers],
    )


def test_torch_rows_that_become_images():
    torch = pytest.importorskip("torch")
    nn = torch.nn
    model = torch_model(
        torch, nn.Unflatten(1, (1, 6, 5)), nn.Conv2d(1, 4, (3, 2)), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 3),
    )  # fmt: skip
    X = np.random.default_rng(0).normal(size=(60, 30)).astype(np.float32)
    read = importing.read(model, np.arange(60) % 3)
    expected = model(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(read.network.forward(X), expected, rtol=1e-4, atol=1e-5)
    assert read.hidden_layer_sizes == (Conv2D(4, (3, 2), (1, 1), (0, 0)), MaxPool2D((2, 2)), 6)
    assert read.input_shape == (6, 5, 1)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda nn: [nn.Conv2d(2, 4, 3, groups=2)], r"0 \(Conv2d\): only groups=1"),
        (lambda nn: [nn.Conv2d(2, 4, 3, dilation=2)], "dilation=1"),
        (lambda nn: [nn.Conv2d(3, 4, 3)], "takes 3 channels"),
        (lambda nn: [nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect")], "reflect"),
        (lambda nn: [nn.Conv2d(2, 4, 3), nn.MaxPool2d(3, stride=2)], "windows that overlap"),
        (lambda nn: [nn.BatchNorm2d(2)], "directly follow"),
        (lambda nn: [nn.Conv2d(2, 4, 3), nn.AvgPool2d(2), nn.ReLU()], "Only before it"),
        (lambda nn: [nn.Conv2d(2, 4, 3), nn.Linear(6, 2)], "Put a Flatten before it"),
        (lambda nn: [nn.Conv2d(2, 4, 3)], "does not end in a Linear"),
        (lambda nn: [nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(100, 3)], "takes 100 inputs"),
        (lambda nn: [nn.Conv2d(2, 4, 30), nn.Flatten(), nn.Linear(100, 3)], "does not fit"),
        (lambda nn: [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32, 3)], "must follow a Conv2D"),
    ],
)
def test_unsupported_torch_images_are_named(build, message):
    torch = pytest.importorskip("torch")
    model = torch_model(torch, *build(torch.nn)).eval()
    with pytest.raises(ValueError, match=message):
        compress(model, np.zeros((5, 2, 9, 8)), scheme=Prune(sparsity=0.5))


def test_torch_kinds(digits):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    X = digits[0][:300].astype(np.float32)
    labels = np.arange(300) % 10
    logits = torch_model(torch, nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))
    scheme = Prune(sparsity=0.5)
    small = compress(logits, X, labels, scheme=scheme, epochs=1)
    assert isinstance(small, BCDClassifier)
    assert isinstance(compress(logits, X, scheme=scheme, epochs=0), BCDRegressor)
    soft = torch_model(torch, nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10), nn.Softmax(dim=1))
    found = compress(soft, X, scheme={0: Prune(density=1.0)}, epochs=0)
    expected = soft(torch.from_numpy(X)).detach().numpy()
    np.testing.assert_allclose(found.predict_proba(X), expected, atol=1e-4)
    binary = torch_model(torch, nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 1), nn.Sigmoid())
    found = compress(binary, X, scheme={0: Prune(density=1.0)}, epochs=0)
    expected = binary(torch.from_numpy(X)).detach().numpy()[:, 0]
    np.testing.assert_allclose(found.predict_proba(X)[:, 1], expected, atol=1e-4)


# ------------------------------------------------------------------ compress


@pytest.mark.parametrize(
    "scheme",
    [
        Prune(sparsity=0.8),
        LowRank(rank=6),
        LowRank(energy=0.9),
        TensorTrain(rank=8),
        Prune(structure="neuron", density=0.5),
        Prune(structure="2:4"),
        Prune(structure="4x2", density=0.3),
        Quantize(bits=2),
        Prune(sparsity=0.7) + Quantize(bits=3),
        LowRank(rank=8) + Quantize(bits=5),
        {0: Prune(sparsity=0.9), "output": LowRank(rank=5)},
    ],
    ids=str,
)
@pytest.mark.parametrize("labels", [False, True])
def test_compress_returns_a_normal_fitted_estimator(digits, mlp, scheme, labels):
    X, y = digits
    weights = [w.copy() for w in mlp.coefs_]
    small = compress(
        mlp, X[:1200], y[:1200] if labels else None, scheme=scheme, epochs=5, random_state=0
    )
    for before, after in zip(weights, mlp.coefs_, strict=True):
        np.testing.assert_array_equal(before, after)
    assert isinstance(small, BCDClassifier)
    assert small.score(X[1200:], y[1200:]) > mlp.score(X[1200:], y[1200:]) - 0.08
    assert small.compression_report_.ratio > 1
    np.testing.assert_array_equal(small.classes_, mlp.classes_)
    again = pickle.loads(pickle.dumps(small))
    np.testing.assert_array_equal(again.predict(X), small.predict(X))
    assert clone(small).hidden_layer_sizes == small.hidden_layer_sizes
    for stored, dense in zip(small.layers_, small.coefs_, strict=True):
        np.testing.assert_array_equal(stored.to_dense(), dense)


def test_one_sparsity_is_shared_by_all_hidden_layers(digits, mlp):
    X, _ = digits
    options = {"scheme": Prune(sparsity=0.9), "epochs": 0, "random_state": 0}
    total = round(0.1 * (64 * 48 + 48 * 24))
    small = compress(mlp, X, **options)
    kept = [format_.n_params for format_ in small.layers_[:-1]]
    # Weights of dead neurons are gone as well.
    assert 0.95 * total <= sum(kept) <= total
    even = compress(mlp, X, allocation="uniform", **options)
    assert even.layers_[0].n_params <= round(0.1 * 64 * 48)
    assert kept[1] > even.layers_[1].n_params


def test_reproducible(digits, mlp):
    X, y = digits
    a, b = (compress(mlp, X, y, ratio=6, epochs=2, random_state=3) for _ in range(2))
    for x, z in zip(a.coefs_, b.coefs_, strict=True):
        np.testing.assert_array_equal(x, z)


@pytest.mark.parametrize("scheme", [None, Prune(), LowRank(), Prune() + Quantize()])
def test_byte_budgets_are_kept(digits, mlp, scheme):
    X, y = digits
    small = compress(mlp, X, y, max_bytes=6000, scheme=scheme, epochs=1, random_state=0)
    assert 5000 < small.network_.n_bytes <= 6000
    assert small.compression_report_.total.n_bytes == small.network_.n_bytes
    half = compress(mlp, X, y, ratio=8, scheme=scheme, epochs=1, random_state=0)
    assert half.compression_report_.ratio >= 8
    assert half.network_.layers[0].weight.dtype == np.float32


def test_max_score_drop(digits, mlp):
    X, y = digits
    small = compress(mlp, X[:1200], y[:1200], max_score_drop=0.03, epochs=5, random_state=0)
    report = small.compression_report_
    assert report.score_before - report.score_after <= 0.03
    assert report.ratio > 8
    scored = compress(
        mlp, X, y, max_score_drop=0.05, scoring="neg_log_loss", epochs=2, random_state=0
    )
    found = scored.compression_report_
    assert found.score_before <= 0
    assert found.score_before - found.score_after <= 0.05


def test_validation_data_judge_the_drop(digits, mlp):
    X, y = digits
    parts = X[:1200], y[:1200]
    new = X[1200:], y[1200:]
    options = {"max_score_drop": 0.03, "epochs": 3, "random_state": 0}
    small = compress(mlp, *parts, validation_data=new, **options)
    report = small.compression_report_
    assert report.score_before == mlp.score(*new)
    assert report.score_after == small.score(*new)
    assert report.score_before - report.score_after <= 0.03
    assert not any("pass validation_data" in note for note in report.warnings)
    set_aside = compress(mlp, *parts, **options)
    assert any("pass validation_data" in note for note in set_aside.compression_report_.warnings)
    likely = {"scoring": "neg_log_loss"} | options
    small = compress(mlp, *parts, validation_data=new, **likely)
    loss = log_loss(new[1], small.predict_proba(new[0]))
    assert small.compression_report_.score_after == pytest.approx(-loss)
    piped = make_pipeline(StandardScaler().fit(X), mlp)
    scaled = compress(piped, *parts, validation_data=new, **options)
    assert scaled.compression_report_.score_before == piped.score(*new)
    with pytest.raises(ValueError, match="only used with max_score_drop"):
        compress(mlp, *parts, ratio=4, validation_data=(new[0], None))
    with pytest.raises(ValueError, match="has 3 features"):
        compress(mlp, *parts, validation_data=(X[:, :3], y), **options)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("budget", [{"ratio": 4}, {"scheme": Quantize(bits=4)}])
def test_validation_data_calibrate_probabilities(n_classes, budget):
    """Of an overfitted network: the loss on other rows falls, no prediction changes."""
    X, y = make_classification(
        1200, 20, n_informative=6, n_classes=n_classes, flip_y=0.2, random_state=0
    )
    (train, held, new), labels = np.split(X, 3), np.split(y, 3)
    dense = quiet_fit(MLPClassifier((64,), max_iter=400, random_state=0), train, labels[0])
    plain = compress(dense, train, labels[0], random_state=0, epochs=2, **budget)
    options = {"validation_data": (held, labels[1]), "random_state": 0, "epochs": 2, **budget}
    small = compress(dense, train, labels[0], **options)
    np.testing.assert_array_equal(small.predict(new), plain.predict(new))
    assert small.compression_report_.total.n_bytes == plain.compression_report_.total.n_bytes
    before, after = (log_loss(labels[2], m.predict_proba(new)) for m in (plain, small))
    assert after < 0.8 * before
    (note,) = [n for n in small.compression_report_.warnings if "validation_data" in n]
    assert float(note.split()[2].rstrip(":")) < 1


def test_validation_data_of_numbers_need_a_score_drop():
    X, y = make_friedman1(100, random_state=0)
    model = quiet_fit(MLPRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0), X, y)
    with pytest.raises(ValueError, match="calibrates probabilities of classifiers"):
        compress(model, X, y, ratio=2, validation_data=(X, y))


def test_an_interrupted_search_returns_the_best_so_far(digits, mlp, monkeypatch):
    from fastbcd.compression.job import Job

    X, y = digits
    original, calls = Job.one_shot, []

    def interrupt(job, schemes):
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return original(job, schemes)

    monkeypatch.setattr(Job, "one_shot", interrupt)
    options = {"max_score_drop": 0.05, "epochs": 2, "random_state": 0}
    with pytest.warns(ConvergenceWarning, match="best network until then is returned, of [0-9,]+"):
        small = compress(mlp, X, y, **options)
    assert len(calls) == 4
    assert small.score(X, y) > mlp.score(X, y) - 0.12  # 0.05 on the rows that judged
    assert any("interrupted" in note for note in small.compression_report_.warnings)
    with pytest.raises(KeyboardInterrupt):
        compress(mlp, X, y, **options)  # at once: there is nothing yet


@pytest.mark.parametrize(
    "scheme",
    [
        LowRank() + Prune(),
        LowRank() + Quantize(bits=4),
        TensorTrain(),
        Prune(structure="4x4"),
        Prune(structure="2:4"),
        Prune(structure="neuron") + Quantize(),
        Prune(sparsity=0.5) + Quantize(),
        Prune(sparsity=0.5),
        {0: Prune(), "output": Quantize(bits=3)},
        {0: Prune(structure="neuron")},
    ],
    ids=str,
)
@pytest.mark.parametrize("budget", [{"ratio": 4}, {"max_bytes": 9000}, {"max_score_drop": 0.1}])
def test_schemes_whose_amount_a_budget_cannot_choose_are_refused(digits, mlp, scheme, budget):
    (name,) = budget
    wanted = rf"{name}=.* chooses how much .* scheme=.* is none of these\. .* leave {name} out"
    with pytest.raises(ValueError, match=wanted):
        compress(mlp, *digits, scheme=scheme, **budget)


def test_the_record_of_the_source_is_not_taken_over(digits):
    X, y = digits
    source = quiet_fit(BCDClassifier((16,), max_iter=5, random_state=0), X, y)
    assert source.n_iter_ > 0
    for small in (
        source.compress(X, scheme=Prune(sparsity=0.5), epochs=0),
        source.compress(scheme=Prune(sparsity=0.5)),
    ):
        assert small.n_iter_ == small.best_iter_ == 0
        assert len(small.objective_curve_) == 0
    assert source.n_iter_ > 0


def test_a_drop_that_cannot_be_met_is_reported(digits, mlp, monkeypatch):
    from fastbcd.compression.job import Job

    def score(job, network, scorer):
        return 1.0 if network.layers[0].weight.kind == "dense" else 0.5

    monkeypatch.setattr(Job, "held_out_score", score)
    with pytest.warns(UserWarning, match="the best one drops by 0.5"):
        compress(mlp, digits[0], max_score_drop=0.1, scheme=LowRank(), epochs=0, random_state=0)


def test_pipelines_keep_their_preprocessing(digits):
    X, y = digits
    source = quiet_fit(
        make_pipeline(StandardScaler(), MLPClassifier((32,), max_iter=30, random_state=0)), X, y
    )
    small = compress(source, X, y, ratio=4, epochs=3, random_state=0)
    assert list(small.named_steps) == list(source.named_steps)
    assert isinstance(small[-1], BCDClassifier)
    assert isinstance(source[-1], MLPClassifier)
    assert small[0] is not source[0]
    assert small.score(X, y) > 0.93
    assert small.compression_report_.ratio >= 4


def test_bcd_estimators(digits):
    X, y = digits
    source = BCDClassifier((32,), max_iter=30, random_state=0)
    quiet_fit(source, X, y)
    small = compress(source, X, scheme=Prune(sparsity=0.8), epochs=2, random_state=0)
    assert small.max_iter == 30
    assert small.scheme == Prune(sparsity=0.8)
    assert source.scheme is None
    assert small.score(X, y) > source.score(X, y) - 0.05
    quiet_fit(clone(small), X, y)


def test_regression_with_labels_can_beat_the_source():
    X, y = make_friedman1(1500, random_state=0)
    X, y = StandardScaler().fit_transform(X), 100 * y
    source = quiet_fit(
        MLPRegressor(hidden_layer_sizes=(60, 30), max_iter=60, random_state=0), X[:1000], y[:1000]
    )
    small = compress(source, X[:1000], y[:1000], ratio=4, random_state=0)
    assert small.predict(X).shape == (1500,)
    assert small.score(X[1000:], y[1000:]) > source.score(X[1000:], y[1000:])


def test_sample_weight_of_zero_equals_absence(digits, mlp):
    X, _ = digits
    weight = np.ones(len(X))
    weight[1000:] = 0
    # The seeded order of rows depends on their number, so the pass sees the same rows.
    a = compress(mlp, X, scheme=LowRank(rank=5), sample_weight=weight, epochs=0, random_state=0)
    b = compress(mlp, X[:1000], scheme=LowRank(rank=5), epochs=0, random_state=0)
    np.testing.assert_allclose(a.predict_proba(X), b.predict_proba(X), atol=1e-8)


def test_report(digits, mlp):
    X, y = digits
    small = compress(mlp, X[:90], y[:90], scheme=Prune(sparsity=0.9), epochs=1, random_state=0)
    report = small.compression_report_
    text = str(report)
    assert "Prune(n_nonzero=" in text
    assert "Note: 90 rows are few" in text
    assert "score" in text
    page = report._repr_html_()
    assert "<table" in page
    assert "&lt;" not in page
    assert report.layers[0].output_error > 0
    assert report.total.dense_bytes == sum(w.nbytes for w in (*mlp.coefs_, *mlp.intercepts_))
    stored = storage.to_bytes(small)
    streams = report.total.file_bytes
    assert streams == sum(row.file_bytes for row in report.layers)
    assert storage.encoded_size(small.layers_[0]) < report.layers[0].file_bytes
    assert streams < len(stored) < streams + 2500


def test_a_refinement_without_effect_is_told(digits, mlp, monkeypatch):
    from fastbcd.compression import job

    X, y = digits
    options = {"scheme": Prune(sparsity=0.8), "epochs": 1, "random_state": 0}
    better = compress(mlp, X, y, **options)
    assert not any("no better network" in note for note in better.compression_report_.warnings)
    monkeypatch.setattr(job, "refine", lambda network, *args, **kwargs: network)
    same = compress(mlp, X, y, **options)
    assert any("no better network" in note for note in same.compression_report_.warnings)
    alone = compress(mlp, X, y, **(options | {"epochs": 0}))
    assert not any("no better network" in note for note in alone.compression_report_.warnings)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        # Neurons die, but what is asked for may not be exceeded.
        (lambda asked: asked // 2, 98),
        # Indices of two bytes from a size on: nothing lies between 50 and 130.
        (lambda asked: asked // 2 if asked <= 120 else asked + 10, 60),
        # More than was asked for.
        (lambda asked: asked + 5, 100),
    ],
)
@pytest.mark.parametrize("encoding", [None, "any"])
def test_bytes_that_are_left_over_are_spent(made, expected, encoding):
    from types import SimpleNamespace

    from fastbcd.compression.allocation.by_bytes import Sizes

    class Tried(Sizes):
        smallest = 1

        def __init__(self):
            self.sizes, self.made = [], None
            self._job = SimpleNamespace(encoding=encoding, n_bytes=lambda made, _: made.n_bytes)

        def spending(self, n_bytes):
            self.sizes.append(made(n_bytes))
            return SimpleNamespace(network=SimpleNamespace(n_bytes=self.sizes[-1]), schemes=[])

    tried = Tried()
    found = tried.one_shot(100, fills=8).network.n_bytes
    assert found == max(size for size in tried.sizes if size <= 100)
    assert abs(found - expected) <= 5


# ------------------------------------------------------------------ bad input


def test_other_models_are_refused(digits):
    X, y = digits
    model = quiet_fit(LogisticRegression(max_iter=20), X, y)
    with pytest.raises(TypeError, match="Cannot compress LogisticRegression"):
        compress(model, X, scheme=Prune(sparsity=0.5))
    with pytest.raises(NotFittedError):
        compress(MLPClassifier(), X, scheme=Prune(sparsity=0.5))


@pytest.mark.parametrize(
    ("budgets", "message"),
    [
        ({}, "none given"),
        ({"ratio": 2, "max_bytes": 100}, "max_bytes and ratio given"),
        ({"scheme": Prune(sparsity=0.5), "ratio": 2}, "leave ratio out"),
        ({"scheme": Prune()}, "exactly one"),
        ({"ratio": 0.5}, "ratio must be"),
        ({"max_bytes": 0}, "max_bytes must be"),
        ({"max_score_drop": -1}, "max_score_drop must be"),
        ({"max_bytes": 10}, "the smallest this network can be made is"),
        ({"ratio": 2, "allocation": "none"}, "allocation must be"),
        ({"ratio": 2, "epochs": -1}, "epochs must be"),
    ],
)
def test_budgets_are_checked(digits, mlp, budgets, message):
    with pytest.raises(ValueError, match=message):
        compress(mlp, digits[0], **budgets)


def test_data_are_checked(digits, mlp):
    X, y = digits
    scheme = Prune(sparsity=0.5)
    with pytest.raises(ValueError, match="X has 10 features, the network takes 64"):
        compress(mlp, X[:, :10], scheme=scheme)
    with pytest.raises(ValueError, match="NaN"):
        compress(mlp, np.full((4, 64), np.nan), scheme=scheme)
    with pytest.raises(ValueError, match="X has 20 rows, but y has 10"):
        compress(mlp, X[:20], y[:10], scheme=scheme)
    with pytest.raises(ValueError, match="not among the fitted classes"):
        compress(mlp, X[:2], ["digit 1", "digit x"], scheme=scheme)
    broken = pickle.loads(pickle.dumps(mlp))
    broken.coefs_[1][3, 4] = np.nan
    with pytest.raises(ValueError, match="Layer 1 of the network has weights that are NaN"):
        compress(broken, X, scheme=scheme)


def test_few_rows_work(digits, mlp):
    X, y = digits
    for n_rows in (1, 2, 10):
        small = compress(mlp, X[:n_rows], scheme=Prune(sparsity=0.5), epochs=1, random_state=0)
        assert np.isfinite(small.predict_proba(X)).all()
    assert small.score(X, y) > mlp.score(X, y) - 0.08


def test_interruption_returns_the_best_so_far(digits, mlp, monkeypatch):
    from fastbcd.solvers.refine.chain import Chain

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    options = {"scheme": Prune(sparsity=0.5), "random_state": 0}
    by_layers = compress(mlp, digits[0], **options, epochs=0)
    monkeypatch.setattr(Chain, "step", interrupt)
    with pytest.warns(ConvergenceWarning, match="Interrupted"):
        small = compress(mlp, digits[0], **options)
    np.testing.assert_array_equal(
        small.predict_proba(digits[0]), by_layers.predict_proba(digits[0])
    )
