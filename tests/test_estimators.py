"""The estimators follow scikit-learn's conventions, with every loss and scheme."""

from __future__ import annotations

import pickle
import re
from io import BytesIO

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import softmax
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import (
    load_diabetes,
    load_digits,
    load_iris,
    make_friedman1,
    make_multilabel_classification,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import f1_score, log_loss, r2_score, recall_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator
from threadpoolctl import threadpool_limits

from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.schemes import LowRank, Prune, TensorTrain
from fastbcd.solvers import FullSolver

SCHEMES = [
    None,
    Prune(sparsity=0.5),
    LowRank(energy=0.95),
    TensorTrain(rank=4),
]
# Few sweeps: the conventions do not depend on how far a fit goes.
QUICK = {"solver": "full", "hidden_layer_sizes": (20,), "max_iter": 100, "tol": 1e-3}
BY_LAYER = {0: Prune(density=0.7), "output": LowRank(rank=1)}
IN_FULL = [
    BCDClassifier(),
    BCDRegressor(),
    BCDClassifier(solver="minibatch"),
    BCDRegressor(solver="minibatch"),
]
"""Checked for every convention."""
VARIANTS = [
    *[BCDClassifier(**QUICK, scheme=scheme) for scheme in SCHEMES],
    BCDClassifier(**QUICK, loss="squared"),
    BCDRegressor(**QUICK, scheme=SCHEMES[1]),
    BCDRegressor(**QUICK, scheme=BY_LAYER),
    BCDClassifier(**QUICK, activation="leaky_relu"),
    BCDClassifier(**QUICK, activation="hard_tanh"),
    BCDRegressor(**QUICK, activation="identity"),
    BCDRegressor(**QUICK, accelerate=False),
    BCDClassifier(**QUICK, loss="hinge"),
    BCDClassifier(solver="batch"),
    BCDRegressor(solver="batch"),
    BCDClassifier(solver="minibatch", loss="hinge", scheme=Prune(sparsity=0.3)),
    BCDRegressor(solver="minibatch", scheme=LowRank(energy=0.95)),
]
"""Checked for those that hang on what a fit computes and keeps: losses, schemes, activations."""
PAIRS = [
    *[BCDClassifier(**QUICK, loss="squared", scheme=scheme) for scheme in SCHEMES[1:]],
    *[BCDRegressor(**QUICK, scheme=scheme) for scheme in (None, *SCHEMES[2:])],
]
"""The other pairs of a loss and a scheme, each of which some variant has: among the slow tests."""
OF_A_FIT = {
    "check_class_weight_classifiers",
    "check_classifiers_classes",
    "check_classifiers_multilabel_representation_invariance",
    "check_classifiers_one_label",
    "check_classifiers_train",
    "check_decision_proba_consistency",
    "check_dict_unchanged",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimators_dtypes",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_fit2d_1feature",
    "check_fit2d_1sample",
    "check_fit_idempotent",
    "check_methods_subset_invariance",
    "check_non_transformer_estimators_n_iter",
    "check_regressor_multioutput",
    "check_regressors_train",
    "check_sample_weight_equivalence_on_dense_data",
}
"""The other conventions, of parameters, tags, refusals and kinds of input, are kept, or broken,
before a fit knows its loss or scheme."""


def expected_to_fail(estimator):
    """Batches are drawn by row, so a repeated row meets other rows than one of weight two."""
    if estimator.solver not in ("batch", "minibatch"):
        return {}
    kinds = ("dense", "sparse")
    reason = "mini-batches are drawn from the rows"
    return {f"check_sample_weight_equivalence_on_{kind}_data": reason for kind in kinds}


def checks_of(estimators, chosen=None, marks=()):
    """Return estimators and checks as parameters of a test, all checks or the chosen ones."""
    every = list(marks)
    found = []
    for estimator in estimators:
        expected = expected_to_fail(estimator)
        words = " ".join(str(estimator).split())
        for of, check in estimator_checks_generator(estimator):
            name = getattr(check, "func", check).__name__
            given = getattr(check, "keywords", {})
            if chosen is not None and name not in chosen:
                continue
            marks = list(every)
            if name in expected:
                marks.append(pytest.mark.xfail(reason=expected[name]))
            more = "".join(f",{key}={value}" for key, value in given.items())
            found.append(pytest.param(of, check, marks=marks, id=f"{words}-{name}{more}"))
    return found


# scikit-learn sets alpha where there is one, which not all solvers read.
@pytest.mark.filterwarnings("ignore::fastbcd.exceptions.IgnoredParameterWarning")
@pytest.mark.parametrize(("estimator", "check"), checks_of(IN_FULL))
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::fastbcd.exceptions.IgnoredParameterWarning")
@pytest.mark.parametrize(
    ("estimator", "check"),
    checks_of(VARIANTS, OF_A_FIT) + checks_of(PAIRS, OF_A_FIT, [pytest.mark.slow]),
)
def test_scikit_learn_conventions_of_a_fit(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return train_test_split(x.astype(np.float32) / 16, y, test_size=0.3, random_state=0, stratify=y)


@pytest.fixture(scope="module")
def fitted(digits):
    x, _, y, _ = digits
    return BCDClassifier((32,), encoding=None, random_state=0).fit(x, y)


@pytest.mark.parametrize(
    ("scheme", "least"),
    [
        (None, 0.96),
        (Prune(sparsity=0.8), 0.94),
        (LowRank(rank=8), 0.93),
        (TensorTrain(rank=8), 0.93),
    ],
)
@pytest.mark.parametrize("solver", ["full", "minibatch"])
def test_a_compressed_fit_is_accurate_small_and_exactly_compressed(digits, scheme, least, solver):
    x, x_test, y, y_test = digits
    clf = BCDClassifier((64,), solver=solver, scheme=scheme, random_state=0).fit(x, y)
    assert clf.score(x_test, y_test) >= least
    if scheme is not None:
        assert_array_equal(clf.coefs_[0], clf.layers_[0].to_dense())
        assert clf.network_.n_bytes < 0.7 * 4 * (64 * 64 + 64 + 64 * 10 + 10)
    if isinstance(scheme, Prune):
        assert np.count_nonzero(clf.coefs_[0]) == round(0.2 * 64 * 64)
        assert np.count_nonzero(clf.coefs_[1]) == 640


def test_predict_is_the_forward_pass_of_the_stored_weights(digits, fitted):
    _, x, _, _ = digits
    v = np.maximum(x @ fitted.coefs_[0] + fitted.intercepts_[0], 0)
    outputs = v @ fitted.coefs_[1] + fitted.intercepts_[1]
    assert_array_equal(fitted.predict(x), fitted.classes_[outputs.argmax(axis=1)])
    assert_allclose(fitted.predict_proba(x), softmax(outputs, axis=1), rtol=1e-4, atol=1e-5)
    assert_allclose(fitted.network_.forward(x), outputs, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_type_of_the_data_is_kept(digits):
    x, _, y, _ = digits
    for dtype in (np.float32, np.float64):
        clf = BCDClassifier((8,), max_iter=3, tol=1.0, n_iter_no_change=1).fit(x.astype(dtype), y)
        assert all(array.dtype == dtype for array in (*clf.coefs_, *clf.intercepts_))
        assert clf.predict_proba(x).dtype == dtype
    reg = BCDRegressor((8,), max_iter=3, tol=1.0, n_iter_no_change=1).fit(x, y)
    assert reg.predict(x).dtype == np.float32


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_shift_and_scale_of_the_data_do_not_change_the_fit():
    x, y = load_diabetes(return_X_y=True)
    options = {"hidden_layer_sizes": (10,), "random_state": 0, "max_iter": 30, "tol": 1e-3}
    plain = BCDRegressor(**options).fit(x, y)
    moved = BCDRegressor(**options).fit(1000 * x + 5, 0.01 * y - 3)
    assert_allclose(moved.predict(1000 * x + 5), 0.01 * plain.predict(x) - 3, rtol=1e-6)


def test_outputs_of_different_units_are_fitted_alike():
    x, y = make_friedman1(300, random_state=0)
    both = np.c_[y, 1e6 * y]
    reg = BCDRegressor((20,), random_state=0).fit(x, both)
    scores = r2_score(both, reg.predict(x), multioutput="raw_values")
    assert_allclose(scores[0], scores[1], atol=0.05)
    assert scores.min() > 0.9


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sparse_and_dense_inputs_give_the_same_network(digits):
    x, _, y, _ = digits
    options = {"hidden_layer_sizes": (8,), "random_state": 0, "max_iter": 5, "tol": 1.0}
    dense = BCDClassifier(**options).fit(x, y)
    for container in (sparse.csr_matrix, sparse.csr_array, sparse.coo_array):
        clf = BCDClassifier(**options).fit(container(x), y)
        assert_array_equal(clf.predict_proba(container(x)), dense.predict_proba(x))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_class_weight_is_a_sample_weight(digits):
    x, _, y, _ = digits
    options = {"hidden_layer_sizes": (8,), "random_state": 0, "max_iter": 20, "tol": 1e-3}
    weights = {label: 1.0 + label for label in range(10)}
    by_class = BCDClassifier(class_weight=weights, **options).fit(x, y)
    by_sample = BCDClassifier(**options).fit(x, y, sample_weight=1.0 + y)
    assert_array_equal(by_class.predict_proba(x), by_sample.predict_proba(x))
    x2, y2 = x[(y < 1) | (y == 8)], y[(y < 1) | (y == 8)]
    keep = np.r_[np.flatnonzero(y2 == 0), np.flatnonzero(y2 == 8)[:5]]
    balanced = BCDClassifier(class_weight="balanced", **options).fit(x2[keep], y2[keep])
    assert recall_score(y2, balanced.predict(x2), pos_label=8) > 0.8


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_warm_start_goes_on_from_where_the_last_fit_ended(digits):
    x, _, y, _ = digits
    options = {"hidden_layer_sizes": (16,), "random_state": 0, "max_iter": 30}
    options["solver"] = "minibatch"
    warm = BCDClassifier(warm_start=True, **options)
    cold = BCDClassifier(**options)
    warm.fit(x, y)
    before = log_loss(y, warm.predict_proba(x))
    warm.set_params(max_iter=20).fit(x, y)
    cold.set_params(max_iter=20).fit(x, y)
    after = log_loss(y, warm.predict_proba(x))
    assert after < min(before, log_loss(y, cold.predict_proba(x)))
    with pytest.raises(ValueError, match="warm_start"):
        warm.set_params(hidden_layer_sizes=(17,)).fit(x, y)
    with pytest.raises(ValueError, match="warm_start: y has classes"):
        warm.set_params(hidden_layer_sizes=(16,)).fit(x, y % 3)


def test_early_stopping_keeps_the_network_of_the_best_validation_score(digits):
    x, x_val, y, y_val = digits
    clf = BCDClassifier(
        (16,), solver="full", early_stopping=True, random_state=0, n_iter_no_change=5
    )
    clf.fit(x, y, X_val=x_val, y_val=y_val)
    assert clf.n_iter_ == len(clf.validation_scores_)
    assert clf.best_iter_ == 1 + int(np.argmax(clf.validation_scores_))
    assert clf.n_iter_ - clf.best_iter_ == 5
    assert clf.score(x_val, y_val) == pytest.approx(max(clf.validation_scores_))
    split = BCDClassifier((16,), early_stopping=True, random_state=0).fit(x, y)
    assert 0.8 < max(split.validation_scores_) <= 1
    with pytest.raises(ValueError, match="X_val and y_val must be given together"):
        clf.fit(x, y, X_val=x_val)
    with pytest.raises(ValueError, match="early_stopping=True"):
        BCDClassifier().fit(x, y, X_val=x_val, y_val=y_val)


def test_compress_leaves_the_source_alone_and_refines_with_data(digits, fitted):
    x, x_test, y, y_test = digits
    before = [weight.copy() for weight in fitted.coefs_]
    scheme = Prune(sparsity=0.8)
    projected = fitted.compress(scheme=scheme)
    refined = fitted.compress(x, y, scheme=scheme)
    for kept, weight in zip(before, fitted.coefs_, strict=True):
        assert_array_equal(kept, weight)
    assert fitted.scheme is None
    assert refined.scheme == scheme
    assert_array_equal(projected.coefs_[0], scheme.project(before[0]).to_dense())
    assert refined.score(x_test, y_test) >= projected.score(x_test, y_test)
    report = refined.compression_report_
    assert report.score_before == pytest.approx(fitted.score(x, y))
    assert report.score_after == pytest.approx(refined.score(x, y))
    assert report.layers[0].n_nonzero == round(0.2 * 64 * 32)
    assert report.total.n_bytes == refined.network_.n_bytes
    assert "smaller" in str(report)


def test_compressed_estimators_are_ordinary_ones(digits, fitted):
    x, _, y, _ = digits
    small = fitted.compress(x, y, scheme=LowRank(rank=4))
    again = pickle.loads(pickle.dumps(small))
    assert_array_equal(again.predict_proba(x), small.predict_proba(x))
    assert clone(small).get_params()["scheme"] == LowRank(rank=4)
    buffer = BytesIO()
    joblib.dump(small, buffer)
    buffer.seek(0)
    assert_array_equal(joblib.load(buffer).predict(x), small.predict(x))
    calibrated = CalibratedClassifierCV(FrozenEstimator(small)).fit(x, y)
    assert calibrated.score(x, y) > small.score(x, y) - 0.02


def test_grid_search_goes_over_schemes_and_over_their_parameters(digits):
    x, _, y, _ = digits
    base = BCDClassifier((16,), scheme=Prune(sparsity=0.5), max_iter=40, tol=1e-3, random_state=0)
    pipeline = make_pipeline(StandardScaler(), base)
    search = GridSearchCV(
        pipeline,
        [
            {"bcdclassifier__scheme__sparsity": [0.2, 0.97]},
            {"bcdclassifier__scheme": [None, LowRank(rank=2), TensorTrain(rank=6)]},
        ],
        cv=2,
    ).fit(x[:400], y[:400])
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] > scores[1]
    assert np.isfinite(scores).all()
    assert search.best_estimator_.score(x, y) > 0.85
    assert base.scheme == Prune(sparsity=0.5)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_same_seed_gives_the_same_bits_and_threads_only_round_differently(digits):
    x, _, y, _ = digits
    options = {"hidden_layer_sizes": (16,), "max_iter": 15, "tol": 1e-3, "random_state": 3}
    first, second = (BCDClassifier(**options).fit(x, y) for _ in range(2))
    assert_array_equal(first.coefs_[0], second.coefs_[0])
    with threadpool_limits(1):
        one = BCDClassifier(**options).fit(x.astype(float), y)
    with threadpool_limits(2):
        two = BCDClassifier(**options).fit(x.astype(float), y)
    assert_allclose(one.predict_proba(x), two.predict_proba(x), atol=1e-6)


def test_feature_names_are_kept_and_checked():
    pandas = pytest.importorskip("pandas")
    frame, y = load_iris(return_X_y=True, as_frame=True)
    clf = BCDClassifier((8,), max_iter=60, tol=1e-3, random_state=0).fit(frame, y)
    assert_array_equal(clf.feature_names_in_, frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        clf.predict(pandas.DataFrame(frame.to_numpy(), columns=list("abcd")))
    table = clf.compression_report_.to_frame()
    assert table.loc["total", "n_params"] == clf.network_.n_params


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"rho": 0}, "rho must be a number above 0"),
        ({"gamma": -1.0}, "gamma"),
        ({"proximal": float("nan")}, "proximal"),
        ({"tau": "small"}, "tau"),
        ({"tau": -1}, "tau"),
        ({"max_iter": 0}, "max_iter must be an integer of at least 1"),
        ({"max_iter": 1.5}, "max_iter"),
        ({"tol": -1e-3}, "tol"),
        ({"n_iter_no_change": 0}, "n_iter_no_change"),
        ({"hidden_layer_sizes": (10, 0)}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": ()}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": "big"}, "hidden_layer_sizes"),
        ({"activation": "swish"}, "activation must be one of 'relu'"),
        ({"solver": "adam"}, "solver must be one of"),
        ({"loss": "hinges"}, "loss must be one of"),
        ({"early_stopping": True, "validation_fraction": 1.5}, "validation_fraction"),
        ({"scheme": Prune(sparsity=1.0)}, "layer 0 of shape 4 x 100: sparsity=1.0"),
        ({"scheme": Prune()}, "exactly one of sparsity, density, n_nonzero"),
        ({"scheme": LowRank(rank=5)}, "rank=5 must be an integer between 1 and 4"),
        ({"scheme": TensorTrain(rank=0)}, "rank=0"),
        ({"scheme": TensorTrain(modes=(7, 7))}, "multiply to 49"),
        ({"scheme": {7: Prune(sparsity=0.5)}}, "no layer 7"),
    ],
)
def test_a_bad_parameter_is_named_with_its_value_and_its_mend(params, message):
    x, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        BCDClassifier(**params).fit(x, y)


def test_a_scheme_of_the_wrong_type_is_refused():
    x, y = load_iris(return_X_y=True)
    with pytest.raises(TypeError, match=r"scheme must be a Scheme such as Prune\(sparsity=0.9\)"):
        BCDClassifier(scheme="prune").fit(x, y)


def test_bad_data_is_refused_by_name():
    x, y = load_iris(return_X_y=True)
    for bad in (np.nan, np.inf):
        spoiled = x.copy()
        spoiled[3, 1] = bad
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            BCDClassifier().fit(spoiled, y)
    with pytest.raises(ValueError, match="one class only"):
        BCDClassifier().fit(x, np.zeros(150))
    with pytest.raises(ValueError, match=r"zero for all rows|non-zero"):
        BCDClassifier().fit(x, y, sample_weight=np.zeros(150))
    with pytest.raises(ValueError, match=r"(?i)negative"):
        BCDClassifier().fit(x, y, sample_weight=-np.ones(150))
    clf = BCDClassifier((5,), max_iter=20, tol=1e-2).fit(x, y)
    with pytest.raises(ValueError, match="3 features"):
        clf.predict(x[:, :3])
    with pytest.raises(ValueError, match="contains the class 5"):
        clf.compress(x, y + 5, scheme=Prune(sparsity=0.5))


def test_degenerate_data_just_works():
    rng = np.random.default_rng(0)
    options = {"max_iter": 30, "tol": 1e-2, "random_state": 0}
    wide = rng.standard_normal((12, 60))
    labels = np.arange(12) % 2
    assert BCDClassifier((8,), **options).fit(wide, labels).score(wide, labels) == 1
    constant = np.c_[rng.standard_normal((40, 2)), np.full(40, 7.0)]
    y = (constant[:, 0] > 0).astype(int)
    clf = BCDClassifier((8,), **options).fit(constant, y)
    assert clf.score(constant, y) > 0.9
    assert_array_equal(clf.coefs_[0][2], 0)  # a constant feature gets no weight
    flat = BCDRegressor((4,), **options).fit(constant, np.full(40, 3.0))
    assert_allclose(flat.predict(constant), 3.0, atol=1e-2)
    nothing = BCDClassifier((4,), **options).fit(np.zeros((6, 3)), [0, 1, 0, 1, 0, 1])
    assert_allclose(nothing.predict_proba(np.zeros((2, 3))), 0.5, atol=0.05)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_read_only_memory_map_can_be_fitted(tmp_path, digits):
    x, _, y, _ = digits
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    options = {
        "solver": "full",
        "hidden_layer_sizes": (8,),
        "random_state": 0,
        "max_iter": 5,
        "tol": 1.0,
    }
    clf = BCDClassifier(**options).fit(mapped, y)
    assert_array_equal(
        clf.predict_proba(mapped), BCDClassifier(**options).fit(x, y).predict_proba(x)
    )


def test_an_interrupted_fit_keeps_what_was_fitted(monkeypatch, digits):
    x, x_test, y, y_test = digits
    step = FullSolver.step

    def interrupted(self, problem, state):
        if len(state.record.step_norm) == 12:
            raise KeyboardInterrupt
        step(self, problem, state)

    monkeypatch.setattr(FullSolver, "step", interrupted)
    with pytest.warns(ConvergenceWarning, match="Interrupted after 12 sweeps"):
        clf = BCDClassifier((16,), solver="full", random_state=0).fit(x, y)
    assert clf.n_iter_ == 12
    assert clf.score(x_test, y_test) > 0.93


def test_running_out_of_sweeps_is_a_warning_with_advice(digits):
    x, _, y, _ = digits
    with pytest.warns(ConvergenceWarning, match="Raise max_iter, or raise tol"):
        clf = BCDClassifier((8,), solver="full", max_iter=2).fit(x, y)
    assert clf.n_iter_ == 2


def test_verbose_prints_one_line_per_sweep(capsys, digits):
    x, _, y, _ = digits
    options = {"max_iter": 40, "tol": 1.0, "n_iter_no_change": 12, "random_state": 0}
    clf = BCDClassifier((8,), solver="full", **options)
    clf.set_params(verbose=2).fit(x, y)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == clf.n_iter_ < 40
    assert lines[0].startswith("sweep  1/40 ")
    # The first sweep may have compiled the kernels, so it promises nothing.
    assert re.search(r" s  F \d\.\d+e[+-]\d\d  .* kB$", lines[0])
    assert re.search(r" kB  at most .* s left$", lines[1])
    clf.set_params(verbose=1).fit(x, y)
    told = [int(line[6:8]) for line in capsys.readouterr().err.splitlines()]
    assert told == [sweep for sweep in (1, 2, 5, 10, 20) if sweep <= clf.n_iter_]


def test_partial_fit_learns_from_a_stream_and_refuses_what_it_cannot_use(digits):
    x, x_test, y, y_test = digits
    clf = BCDClassifier((64,), random_state=0)
    with pytest.raises(ValueError, match="classes must be given"):
        clf.partial_fit(x[:50], y[:50])
    for _ in range(10):
        for lo in range(0, len(x), 100):
            clf.partial_fit(x[lo : lo + 100], y[lo : lo + 100], classes=range(10))
    assert clf.score(x_test, y_test) > 0.9
    before = clf.predict_proba(x_test)
    spoiled = x[:10].copy()
    spoiled[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        clf.partial_fit(spoiled, y[:10])
    assert_array_equal(clf.predict_proba(x_test), before)
    with pytest.raises(ValueError, match='solver="full"'):
        BCDClassifier(solver="full").partial_fit(x, y, classes=range(10))
    with pytest.raises(ValueError, match="balanced"):
        BCDClassifier(class_weight="balanced").partial_fit(x, y, classes=range(10))


@pytest.mark.parametrize("loss", ["auto", "squared", "hinge"])
@pytest.mark.parametrize("solver", ["full", "minibatch"])
def test_several_labels_per_row(loss, solver):
    x, y = make_multilabel_classification(600, n_classes=4, random_state=0)
    x = StandardScaler().fit_transform(x)
    clf = BCDClassifier((32,), loss=loss, solver=solver, random_state=0).fit(x, y)
    assert clf.predict(x).shape == clf.predict_proba(x).shape == y.shape
    assert f1_score(y, clf.predict(x), average="micro") > 0.8
    assert_array_equal(clf.predict_proba(x) > 0.5, clf.predict(x) == 1)
    small = clf.compress(x, y, scheme=Prune(sparsity=0.3), epochs=3)
    before, after = (f1_score(y, each.predict(x), average="micro") for each in (clf, small))
    assert after > before - 0.02
    assert small.compression_report_.score_before == pytest.approx(clf.score(x, y))
    assert small.compression_report_.score_after == pytest.approx(small.score(x, y))
    assert clf.compress(scheme=Prune(sparsity=0.5)).layers_[0].n_params == 10 * 32


def test_auto_takes_full_sweeps_over_few_rows_only(digits):
    x, _, y, _ = digits
    few = BCDClassifier((8,), max_iter=5, tol=10.0, n_iter_no_change=1).fit(x[:25], y[:25])
    many = BCDClassifier((8,), max_iter=5).fit(x, y)
    assert sum(few.convergence_.terms[-1].linear) > 0
    assert sum(many.convergence_.terms[-1].linear) == 0  # batches start from the forward pass
