"""PyTorch modules compute what the network computes."""

from __future__ import annotations

import numpy as np
import pytest
from deployed import classifier, matrices, regressor, rows

from fastbcd.activations import ALL_ACTIVATIONS

torch = pytest.importorskip("torch")


def run(module, x):
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", matrices())
def test_every_format(name, dtype):
    clf = classifier(matrices(dtype)[name])
    x = rows(dtype=dtype)
    found = run(clf.to_torch(), x)
    assert found.dtype == dtype
    atol = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, clf.network_.forward(x), rtol=atol, atol=atol)


@pytest.mark.parametrize("activation", ALL_ACTIVATIONS)
def test_every_activation(activation):
    reg = regressor(activation=activation, n_out=2, flat=False)
    found = run(reg.to_torch(), 3 * rows())
    np.testing.assert_allclose(found, reg.predict(3 * rows()), rtol=1e-5, atol=1e-5)


def test_a_low_rank_layer_stays_two_thin_ones():
    module = classifier(matrices()["low rank"]).to_torch()
    linear = [m for m in module if isinstance(m, torch.nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(24, 2), (2, 18), (18, 3)]
    assert [m.bias is None for m in linear] == [True, False, False]


def test_the_module_is_a_copy_that_can_be_trained():
    clf = classifier()
    before = clf.network_.forward(rows())
    module = clf.to_torch()
    assert not module.training
    loss = module(torch.from_numpy(rows())).square().sum()
    loss.backward()
    with torch.no_grad():
        for parameter in module.parameters():
            assert parameter.grad is not None
            parameter.zero_()
    np.testing.assert_array_equal(clf.network_.forward(rows()), before)


def test_no_random_numbers_are_drawn():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    classifier().to_torch()
    assert torch.rand(1) == expected
