"""Certificates beside a solver of semidefinite programs: equal bounds, and repaired ones."""

from itertools import pairwise

import numpy as np
import pytest

from bench.lipsdp import lipsdp
from fastbcd.inspection.certificates.certify import certify_stages
from fastbcd.inspection.certificates.constraints import Increments, unit_slopes
from fastbcd.inspection.certificates.lipschitz import bound_of, first_multipliers, repaired
from fastbcd.inspection.certificates.pattern import best_pattern
from fastbcd.inspection.certificates.stages import Stage

REASON = "the reference needs the extra certify: pip install 'fastbcd[certify]'"

pytest.importorskip("cvxpy", reason=REASON)
pytest.importorskip("clarabel", reason=REASON)
pytest.importorskip("scs", reason=REASON)


def network(seed):
    rng = np.random.default_rng(seed)
    weights = [1.5 * rng.standard_normal((q, p)) / np.sqrt(p) for p, q in pairwise((3, 8, 6, 2))]
    names = ["relu", "relu", "identity"]
    stages = [
        Stage(w, np.zeros(len(w)), ((name, 0, len(w)),))
        for w, name in zip(weights, names, strict=True)
    ]
    return weights, stages


@pytest.mark.parametrize("method", ["layer", "neuron"])
@pytest.mark.parametrize("seed", range(3))
def test_bounds_are_those_of_the_semidefinite_program(seed, method):
    weights, stages = network(seed)
    solved = lipsdp(weights, method)
    found = certify_stages(stages, method=method)
    assert found.bound == pytest.approx(solved.constant, rel=1e-4)
    assert found.verified


def test_solutions_that_violate_the_inequality_are_repaired():
    """SCS stops early: some constants that it claims are smaller than a Jacobian that exists."""
    too_small = 0
    for seed in range(6):
        weights, stages = network(seed)
        solved = lipsdp(weights, "neuron", "SCS", eps=1e-3)
        slopes = unit_slopes(stages, None)
        least = best_pattern(stages, slopes, np.random.default_rng(0))
        bound = bound_of(Increments.of(stages, None), "lipschitz")
        start = first_multipliers(bound, stages, [most for _, most in slopes])
        multipliers = repaired(bound, solved.multipliers, start)
        rho = bound.verified(multipliers, float(bound.evaluate(multipliers).values[-1]))
        assert least <= np.sqrt(rho) <= 1.1 * max(solved.constant, least)
        if solved.constant < least * (1 - 1e-6):
            too_small += 1
            proven = bound.verified(solved.multipliers, solved.rho)  # may be larger than claimed
            assert proven is None or np.sqrt(proven) >= least
    assert too_small > 0


def test_negative_multipliers_are_repaired():
    _, stages = network(0)
    bound = bound_of(Increments.of(stages, None), "lipschitz")
    found = certify_stages(stages)
    spoiled = found.multipliers.copy()
    spoiled[3] = -0.1 * spoiled.max()
    assert bound.evaluate(np.maximum(spoiled, 0)) is None  # a neuron without its constraint
    start = first_multipliers(bound, stages, [most for _, most in unit_slopes(stages, None)])
    multipliers = repaired(bound, spoiled, start)
    rho = bound.verified(multipliers, float(bound.evaluate(multipliers).values[-1]))
    assert np.sqrt(rho) >= found.bound * (1 - 1e-9)
