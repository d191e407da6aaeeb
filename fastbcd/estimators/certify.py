"""Certificates of trained models: :func:`certify` and :func:`certify_difference`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from fastbcd.estimators.base import BCDEstimator
from fastbcd.estimators.scalers import scaling
from fastbcd.inspection.certificates.certificate import Certificate, DifferenceCertificate
from fastbcd.inspection.certificates.certify import METHODS, certify_stages
from fastbcd.inspection.certificates.difference import difference_of, mean_square_difference
from fastbcd.inspection.certificates.lipschitz import CONSTRAINTS
from fastbcd.inspection.certificates.regions import Moments, as_region
from fastbcd.inspection.certificates.stages import Stages, in_units, stages_of
from fastbcd.io.importing.read import read
from fastbcd.io.importing.wrappers import unwrap
from fastbcd.network.network import Network
from fastbcd.parallel.blas_threads import one_blas_thread
from fastbcd.utils import validation as check

NORMS = ("2", "inf")


def certify(
    model: Any,
    region: Any = None,
    *,
    method: str = "auto",
    constraint: str = "lipschitz",
    norm: str = "2",
    max_seconds: float = 30.0,
) -> Certificate:
    r"""Bound how fast the outputs of a trained network can change, for every input of a region.

    The outputs are the values of the last layer: class scores before the softmax, or the
    predictions of a regression. The bound holds for exact arithmetic; float32 adds rounding errors.

    Parameters
    ----------
    model : fitted estimator or torch.nn.Sequential
        Any model that :func:`compress` reads. In a Pipeline, scikit-learn's scalers become part of
        the network, so the bound refers to the units of the raw columns; other steps raise an
        error.
    region : None, (low, high), (center, radius), Box or Ball, default=None
        Region in which the bound holds: everywhere, in a box of two arrays, or in a ball of the
        2-norm. Within a region, bounds on the arguments of all activations narrow their slopes.
    method : {"auto", "product", "eclipse-fast", "layer", "neuron"}, default="auto"
        ``"product"`` multiplies the norms of all layers. The others solve the semidefinite program
        of LipSDP for given multipliers: in closed form, optimised with one factor per layer, or
        optimised per neuron. Each is at least as tight as the one before. ``"auto"`` is
        ``"neuron"``; for more than 6000 inputs and neurons it is ``"product"``, and ``note`` says
        so.
    constraint : {"lipschitz", "lower", "one_sided", "monotone"}, default="lipschitz"
        Quantity that is bounded, for all pairs of inputs: the largest and the smallest
        :math:`|\Delta f| / |\Delta x|`, and the largest and the smallest
        :math:`\Delta x^T \Delta f / |\Delta x|^2` of a network with as many outputs as inputs.
    norm : {"2", "inf"}, default="2"
        Norm of inputs and outputs. In the maximum norm, intervals of the entries of the Jacobian
        give the bound, and ``method`` is not used.
    max_seconds : float, default=30.0
        Time limit of the search for better multipliers. The bound is valid whenever the search
        stops.

    Returns
    -------
    Certificate
        With ``bound``, the best lower bounds, and whether the bound is proven with all rounding
        errors: then a shifted Cholesky factorisation (Rump 2006) has shown that the matrix
        inequality holds.

    Raises
    ------
    ValueError
        If the region does not fit, or a layer has no bounds.

    Notes
    -----
    One evaluation for n neurons and d inputs costs :math:`O((n + d)^3)`; up to hundreds are needed.

    References
    ----------
    M. Fazlyab et al., "Efficient and accurate estimation of Lipschitz constants for deep neural
    networks", NeurIPS 2019. N. Hashemi et al., "Certifying incremental quadratic constraints for
    neural networks via convex optimization", L4DC 2021. Y. Xu, S. Sivaranjani, "ECLipsE", NeurIPS
    2024. S. M. Rump, "Verification of positive definiteness", BIT 46 (2006).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbcd import BCDClassifier, certify
    >>> X, y = load_iris(return_X_y=True)
    >>> model = BCDClassifier((8,), random_state=0).fit(X, y)
    >>> certificate = certify(model, (X.min(axis=0), X.max(axis=0)))
    >>> certificate.reached <= certificate.bound
    True
    """
    check.check_choice("method", method, METHODS)
    check.check_choice("constraint", constraint, CONSTRAINTS)
    check.check_choice("norm", norm, NORMS)
    check_seconds(max_seconds)
    if norm == "inf" and constraint != "lipschitz":
        raise ValueError(f"norm='inf' bounds Lipschitz constants, not constraint={constraint!r}.")
    if method == "product" and constraint != "lipschitz":
        raise ValueError(f"method='product' bounds Lipschitz constants, not {constraint!r}.")
    stages = stages_in(model)
    n_in, n_out = stages[0].matrix.shape[1], len(stages[-1].bias)
    if constraint in ("one_sided", "monotone") and n_in != n_out:
        raise ValueError(
            f"constraint={constraint!r} needs as many outputs as inputs; this network has {n_in} "
            f"inputs and {n_out} outputs. 'lipschitz' and 'lower' take any network."
        )
    where = as_region(region, n_in)
    with one_blas_thread():
        return certify_stages(
            stages, where, method=method, constraint=constraint, norm=norm, seconds=max_seconds
        )


def certify_difference(
    first: Any, second: Any, region: Any, *, max_seconds: float = 30.0
) -> DifferenceCertificate:
    """Bound the difference between the outputs of two networks, for every input of a region.

    Both are joined into one network with the same inputs, whose outputs are the differences. Linear
    relaxation bounds them over the region. If a certified Lipschitz constant of the difference
    could give a tighter bound, it is computed, too. A search for the worst inputs shows how tight
    the bound is.

    Parameters
    ----------
    first, second : fitted estimators or torch.nn.Sequential
        For example a model and the result of :func:`compress`, with equal numbers of inputs and
        outputs.
    region : (low, high), (center, radius), Box, Ball or Moments
        The inputs. With :class:`fastbcd.certificates.Moments`, a bound is the root of the mean
        square over all distributions with these moments.
    max_seconds : float, default=30.0
        Time limit of the search for multipliers.

    Returns
    -------
    DifferenceCertificate
        With ``bound``, one number per output, and the worst inputs found.

    Raises
    ------
    ValueError
        If the networks differ in their inputs or outputs, or the region is not bounded.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbcd import BCDClassifier, certify_difference, compress
    >>> X, y = load_iris(return_X_y=True)
    >>> model = BCDClassifier((8,), random_state=0).fit(X, y)
    >>> small = compress(model, X, y, ratio=2, random_state=0)
    >>> certificate = certify_difference(model, small, (X[0] - 0.1, X[0] + 0.1))
    >>> bool((certificate.found <= certificate.bound).all())
    True
    """
    check_seconds(max_seconds)
    f, g = stages_in(first), stages_in(second)
    shapes = [(s[0].matrix.shape[1], len(s[-1].bias)) for s in (f, g)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"the first network has {shapes[0][0]} inputs and {shapes[0][1]} outputs, the second "
            f"{shapes[1][0]} and {shapes[1][1]}. Compare networks of the same inputs and outputs."
        )
    if isinstance(region, Moments):
        for name in ("mean", "variance"):
            shape = np.shape(getattr(region, name))
            if shape != shapes[0][:1]:
                raise ValueError(
                    f"region: {name} has shape {shape}, the networks take {shapes[0][0]} inputs."
                )
        with one_blas_thread():
            return mean_square_difference(f, g, region, seconds=max_seconds)
    where = as_region(region, shapes[0][0])
    if where is None:
        raise ValueError(
            "region=None: without a region the difference has no bound. Pass (low, high), such as "
            "(X.min(axis=0), X.max(axis=0)), or Moments(X.mean(axis=0), X.var(axis=0))."
        )
    with one_blas_thread():
        return difference_of(f, g, where, seconds=max_seconds)


def stages_in(model: Any) -> Stages:
    """Return the stages of a model, with the scalers of a Pipeline in the first one."""
    if isinstance(model, Network):
        return stages_of(model)
    if isinstance(model, Pipeline):
        stages = stages_in(model[-1])
        for name, step in reversed(model.steps[:-1]):
            if step is None or step == "passthrough":
                continue
            stages = in_units(stages, *scaling(name, step, stages[0].matrix.shape[1]))
        return stages
    if isinstance(model, BCDEstimator):
        return stages_of(read(model).network)
    wrapper = unwrap(model)
    if wrapper is not None:
        return stages_in(wrapper.inner)
    return stages_of(read(model).network)


def check_seconds(value: float) -> None:
    """Raise ValueError if a bound of time is negative or no number."""
    if not value >= 0:
        raise ValueError(f"max_seconds must be a number of at least 0, got {value!r}.")
