"""The table of parameters is what signatures, docstrings and checks say."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest

from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.estimators.parameters import PARAMETERS, SOLVERS, unread
from fastbcd.exceptions import IgnoredParameterWarning

CLASSES = [BCDClassifier, BCDRegressor]
SHARED = [parameter.name for parameter in PARAMETERS]
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((60, 4)), RNG.integers(2, size=60)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_signature_has_the_names_and_defaults_of_the_table(cls):
    signature = inspect.signature(cls.__init__).parameters
    names = [name for name in signature if name not in ("self", "class_weight")]
    assert names == SHARED
    for parameter in PARAMETERS:
        if parameter.default != "<tol>":
            assert signature[parameter.name].default == parameter.default, parameter.name


@pytest.mark.parametrize("cls", CLASSES)
def test_the_docstring_has_every_parameter_and_no_blank_left(cls):
    doc = cls.__doc__
    for parameter in PARAMETERS:
        assert f"    {parameter.name} : " in doc
    assert "<" not in doc.replace("<->", "")
    tol = inspect.signature(cls.__init__).parameters["tol"].default
    assert f"tol : float, default={tol:g}".replace("e-0", "e-") in doc
    headings = [f"    {name} : " for name in SHARED]
    text = [line for line in doc.splitlines() if not line.startswith(tuple(headings))]
    assert max(map(len, text)) <= 100


BAD = {
    "hidden_layer_sizes": [0],
    "input_shape": (1,),
    "random_shift": -1,
    "activation": "sigmoid",
    "encoding": "bins",
    "solver": "adam",
    "loss": "gini",
    "rho": 0,
    "gamma": "much",
    "tau": "Auto",
    "alpha": -1e-9,
    "batch_size": 0,
    "proximal": -1.0,
    "init": "zeros",
    "max_iter": 0,
    "tol": -1e-3,
    "n_iter_no_change": 0,
    "early_stopping": "yes",
    "validation_fraction": 1.5,
    "warm_start": "no",
    "accelerate": 2,
    "certificate": None,
    "verbose": -1,
    "random_state": "seed",
    "scheme": "prune",
}


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("name", SHARED)
def test_a_bad_value_is_named(cls, name):
    model = cls((3,)).set_params(**{name: BAD[name]})
    with pytest.raises((ValueError, TypeError), match=name.partition("_")[0]):
        model.fit(X, Y)


def test_every_solver_is_read_by_somebody():
    assert {solver for parameter in PARAMETERS for solver in parameter.read_by} == set(SOLVERS)


def test_a_parameter_that_the_solver_does_not_read_is_told():
    model = BCDClassifier((3,), solver="minibatch", rho=2.0, gamma=3.0, max_iter=2, random_state=0)
    assert unread(model, "minibatch") == ["rho", "gamma"]
    assert unread(model, "full") == []
    assert unread(BCDClassifier(batch_size=32, encoding=None), "full") == ["batch_size"]
    with pytest.warns(IgnoredParameterWarning, match=r'"minibatch" does not read rho=2.0, gamma=3'):
        model.fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", IgnoredParameterWarning)
        warnings.simplefilter("ignore")
        model.set_params(rho=1.0, gamma=1.0).fit(X, Y)
