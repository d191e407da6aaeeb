"""PyTorch modules compute what the network computes."""

from __future__ import annotations

import numpy as np
import pytest
from deployed import (
    ARCHITECTURES,
    classifier,
    image_classifier,
    image_weights,
    images,
    matrices,
    regressor,
    rows,
)

from fastbcd.network.layers.activations import ALL_ACTIVATIONS

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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_convolutions_and_poolings(name, dtype):
    clf = image_classifier(ARCHITECTURES[name], dtype=dtype)
    module, x = clf.to_torch(), images(dtype=dtype)
    found = run(module, x)
    assert found.dtype == dtype
    atol = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, clf.network_.forward(x), rtol=atol, atol=atol)
    assert all(type(m).__module__.startswith("torch.nn.modules.") for m in module)


@pytest.mark.parametrize("name", image_weights())
def test_convolutions_of_every_format(name):
    clf = image_classifier(ARCHITECTURES["both"], image_weights()[name])
    expected = clf.network_.forward(images())
    np.testing.assert_allclose(run(clf.to_torch(), images()), expected, rtol=1e-5, atol=1e-5)


def test_a_low_rank_convolution_stays_two_thin_ones():
    module = image_classifier(ARCHITECTURES["strided"], image_weights()["low rank"]).to_torch()
    found = [m for m in module if isinstance(m, torch.nn.Conv2d)]
    assert [m.kernel_size for m in found] == [(2, 3), (1, 1)]
    assert [(m.in_channels, m.out_channels) for m in found] == [(2, 2), (2, 5)]


@pytest.mark.parametrize(
    ("clf", "x"),
    [(classifier(), rows()), (image_classifier(ARCHITECTURES["both"]), images())],
    ids=["dense", "images"],
)
def test_the_module_is_a_copy_that_can_be_trained(clf, x):
    before = clf.network_.forward(x)
    module = clf.to_torch()
    assert not module.training
    loss = module(torch.from_numpy(x)).square().sum()
    loss.backward()
    with torch.no_grad():
        for parameter in module.parameters():
            assert parameter.grad is not None
            parameter.zero_()
    np.testing.assert_array_equal(clf.network_.forward(x), before)


def test_no_random_numbers_are_drawn():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    classifier().to_torch()
    assert torch.rand(1) == expected
