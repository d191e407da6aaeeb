"""scikit-learn's MLPs with our weights predict what we predict."""

from __future__ import annotations

import numpy as np
import pytest
from deployed import classifier, matrices, regressor, rows
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.neural_network import MLPClassifier, MLPRegressor

from fastbcd import BCDClassifier, compress
from fastbcd.exceptions import ExportWarning
from fastbcd.export import to_sklearn


@pytest.mark.parametrize("name", matrices())
def test_every_format_becomes_dense_and_predicts_the_same(name):
    clf = classifier(matrices()[name])
    mlp = clf.to_sklearn()
    assert isinstance(mlp, MLPClassifier)
    np.testing.assert_array_equal(mlp.predict(rows()), clf.predict(rows()))
    np.testing.assert_allclose(
        mlp.predict_proba(rows()), clf.predict_proba(rows()), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("classes", [(0, 1), ("no", "yes"), (False, True)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_classes_share_a_logit(classes, dtype):
    clf = classifier(matrices(dtype)["dense"], classes=classes)
    mlp = clf.to_sklearn()
    assert mlp.coefs_[-1].shape[1] == 1
    x = rows(500, dtype)
    np.testing.assert_array_equal(mlp.predict(x), clf.predict(x))
    np.testing.assert_allclose(mlp.predict_proba(x), clf.predict_proba(x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "hinge"])
def test_several_labels_per_row(loss):
    clf = classifier(multilabel=True, loss=loss)
    mlp = clf.to_sklearn()
    np.testing.assert_array_equal(mlp.predict(rows()), clf.predict(rows()))
    np.testing.assert_allclose(mlp.predict_proba(rows()), clf.predict_proba(rows()), atol=1e-6)


@pytest.mark.parametrize("loss", ["squared", "hinge"])
@pytest.mark.parametrize("classes", [(0, 1), (0, 1, 2)])
def test_other_losses_keep_the_classes_and_warn_of_the_probabilities(loss, classes):
    clf = classifier(classes=classes, loss=loss)
    with pytest.warns(ExportWarning, match="predict_proba is the softmax"):
        mlp = clf.to_sklearn()
    np.testing.assert_array_equal(mlp.predict(rows()), clf.predict(rows()))


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("n_out", [1, 2])
def test_regressors(activation, n_out):
    reg = regressor(n_out=n_out, activation=activation, flat=n_out == 1)
    mlp = reg.to_sklearn()
    assert isinstance(mlp, MLPRegressor)
    np.testing.assert_allclose(mlp.predict(rows()), reg.predict(rows()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", ["hard_tanh", "leaky_relu", "softplus", "silu", "gelu"])
def test_activations_that_it_lacks_are_refused(activation):
    with pytest.raises(ValueError, match=f"Layer 0 has the activation '{activation}'"):
        classifier(activation=activation).to_sklearn()


def test_labels_that_it_lacks_are_refused():
    clf = classifier(classes=(0.5, 1.5, 2.5))
    with pytest.raises(ValueError, match="cannot have these classes"):
        clf.to_sklearn()


def test_what_is_not_ours_or_not_fitted_is_refused():
    with pytest.raises(NotFittedError):
        to_sklearn(BCDClassifier())
    with pytest.raises(TypeError, match="not MLPRegressor"):
        to_sklearn(regressor().to_sklearn())


def test_it_has_the_attributes_of_a_fitted_mlp():
    x = rows(200)
    clf = classifier()
    y = clf.predict(x)
    mlp = clf.to_sklearn()
    with pytest.warns(ConvergenceWarning):
        fitted = clone(mlp).set_params(max_iter=2).fit(x, y)
    ours, theirs = vars(mlp), vars(fitted)
    public = {name for name in theirs if name.endswith("_")}
    assert public | {"_label_binarizer", "_random_state", "_no_improvement_count"} <= set(ours)
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert ours[name] == theirs[name], name


@pytest.mark.parametrize("classes", [(0, 1), ("a", "b", "c")])
def test_training_goes_on(classes):
    x = rows(200)
    clf = classifier(classes=classes)
    y = clf.predict(x)
    mlp = clf.to_sklearn()
    before = mlp.predict_proba(x)
    mlp.partial_fit(x, y)
    after = mlp.predict_proba(x)
    assert 0 < np.abs(after - before).max() < 0.5
    assert mlp.score(x, y) > 0.9


def test_it_can_be_compressed_like_any_mlp():
    clf = classifier(classes=(0, 1))
    again = compress(clf.to_sklearn(), rows(500), scheme={}, epochs=0)
    np.testing.assert_array_equal(again.predict(rows()), clf.predict(rows()))
