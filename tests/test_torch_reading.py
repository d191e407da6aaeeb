"""PyTorch networks are read by what they compute, or refused by name; they stay as they are."""

from __future__ import annotations

import copy
import types
import warnings

import numpy as np
import pytest
from deployed import ARCHITECTURES, classifier, image_classifier, images, matrices, rows

from fastbcd import compress
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.schemes import Prune

torch = pytest.importorskip("torch")
nn = torch.nn
prune = pytest.importorskip("torch.nn.utils.prune")
parametrize = pytest.importorskip("torch.nn.utils.parametrize")

NUMBERS = np.random.default_rng(0)
ROWS = NUMBERS.normal(size=(150, 6)).astype(np.float32)
PLANES = NUMBERS.normal(size=(150, 2, 8, 6)).astype(np.float32)


def imported(model, X, **options):
    """Return ``model`` as an estimator of which nothing is compressed."""
    return compress(model, X, scheme={}, epochs=0, random_state=0, **options)


def as_rows(X):
    X = X.transpose(0, 2, 3, 1) if X.ndim == 4 else X
    return X.reshape(len(X), -1)


def state(model):
    """Return all that must stay as it was."""
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    parts = []
    for module in model.modules():
        own = {key: value for key, value in vars(module).items() if key[0] != "_"}
        hooks = [len(module._forward_hooks), len(module._forward_pre_hooks)]
        weight = own.pop("weight", None)
        parts.append((own, hooks, id(weight), None if weight is None else weight.clone()))
    grads = [parameter.grad for parameter in model.parameters()]
    return tensors, parts, [None if grad is None else grad.clone() for grad in grads]


def assert_same_state(model, before):
    tensors, parts, grads = state(model)
    assert tensors.keys() == before[0].keys()
    for name, value in tensors.items():
        torch.testing.assert_close(value, before[0][name], rtol=0, atol=0, equal_nan=True)
    for now, then in zip(parts, before[1], strict=True):
        assert now[:3] == then[:3]
        if now[3] is not None:
            assert torch.equal(now[3], then[3])
    for now, then in zip(grads, before[2], strict=True):
        assert (now is None) == (then is None)
        assert now is None or torch.equal(now, then)


class Plain(nn.Sequential):
    """Only builds itself in its own way."""

    def __init__(self):
        super().__init__(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class Doubling(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Squared(nn.Module):
    def forward(self, weight):
        return weight * weight.abs()


class Tagged(torch.Tensor):
    pass


def dense(*middle, n_in=6, n_out=3):
    return nn.Sequential(nn.Linear(n_in, 8), *middle, nn.Linear(8, n_out))


def shared_activation():
    act = nn.ReLU()
    return nn.Sequential(nn.Linear(6, 8), act, nn.Linear(8, 8), act, nn.Linear(8, 3))


def shared_layer():
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(6, 3))


def pooled(*modules):
    """Return a network with modules between a convolution and a dense layer."""
    return nn.Sequential(nn.Conv2d(2, 3, 2), *modules, nn.Flatten(), nn.Linear(18, 3))


def normalised(*modules, X=ROWS):
    """Return the network with statistics of batches, still in training mode."""
    model = nn.Sequential(*modules).train()
    for _ in range(3):
        model(torch.from_numpy(X))
    return model


def changed(change):
    """Return a network whose first layer was changed, then loaded from a checkpoint of another."""

    def build(seed):
        torch.manual_seed(seed)
        model = dense(nn.ReLU())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old functions, that they are old
            change(model[0])
        return model

    model, other = build(1), build(2)
    model.load_state_dict(other.state_dict())  # attributes that hooks compute are stale now
    return model


ACCEPTED = {
    "an activation used twice": (shared_activation, ROWS),
    "a layer used thrice": (shared_layer, ROWS),
    "a subclass with the same forward": (Plain, ROWS),
    "nested": (lambda: nn.Sequential(nn.Sequential(dense(nn.ReLU())), nn.Identity()), ROWS),
    "leaky ReLU": (lambda: dense(nn.LeakyReLU()), ROWS),
    "hard tanh": (lambda: dense(nn.Hardtanh()), ROWS),
    "tanh": (lambda: dense(nn.Tanh()), ROWS),
    "sigmoid": (lambda: dense(nn.Sigmoid()), ROWS),
    "softplus": (lambda: dense(nn.Softplus()), ROWS),
    "SiLU": (lambda: dense(nn.SiLU()), ROWS),
    "GELU": (lambda: dense(nn.GELU()), ROWS),
    "GELU before a maximum": (lambda: pooled(nn.GELU(), nn.MaxPool2d(2)), PLANES),
    "softplus behind a maximum": (lambda: pooled(nn.MaxPool2d(2), nn.Softplus()), PLANES),
    "in place": (lambda: dense(nn.ReLU(inplace=True)), ROWS),
    "dropout while training": (lambda: dense(nn.ReLU(), nn.Dropout(0.5)).train(), ROWS),
    "alpha dropout": (lambda: dense(nn.Tanh(), nn.AlphaDropout(0.5)).train(), ROWS),
    "batch normalisation": (
        lambda: normalised(
            nn.BatchNorm1d(6), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(),
            nn.BatchNorm1d(8, affine=False), nn.Linear(8, 3), nn.BatchNorm1d(3),
        ),
        ROWS,
    ),
    "batch normalisation of images": (
        lambda: normalised(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(96),
            nn.Linear(96, 3), X=PLANES,
        ),
        PLANES,
    ),
    "an exact ceil_mode": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AvgPool2d(2, ceil_mode=True), nn.Flatten(),
            nn.Linear(24, 3),
        ),
        PLANES,
    ),
    "the usual divisor": (
        lambda: nn.Sequential(
            nn.AvgPool2d(2, divisor_override=4, count_include_pad=False), nn.Conv2d(2, 4, 2),
            nn.MaxPool2d(2, ceil_mode=False), nn.Flatten(), nn.Linear(4, 3),
        ),
        PLANES,
    ),
    "flattened planes": (lambda: nn.Sequential(nn.Flatten(), dense(n_in=48)), PLANES[:, 0]),
    "flattened in two steps": (
        lambda: nn.Sequential(nn.Flatten(2), nn.Flatten(1, 2), dense(n_in=96)), PLANES,
    ),
    "flattened volumes": (
        lambda: nn.Sequential(nn.Flatten(), dense(n_in=96)), PLANES.reshape(150, 2, 2, 4, 6),
    ),
    "one channel of rows": (
        lambda: nn.Sequential(
            nn.Unflatten(1, (1, 8, 6)), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(96, 3),
        ),
        PLANES[:, 0].reshape(150, -1),
    ),
    "float64": (lambda: dense(nn.ReLU()).double(), ROWS.astype(float)),
    "float16": (lambda: dense(nn.ReLU()).half(), ROWS),
    "bfloat16": (lambda: dense(nn.ReLU()).bfloat16(), ROWS),
    "frozen": (lambda: dense(nn.ReLU()).requires_grad_(False), ROWS),
    "pruned": (lambda: changed(lambda m: prune.l1_unstructured(m, "weight", 0.5)), ROWS),
    "pruned twice": (
        lambda: changed(
            lambda m: (
                prune.l1_unstructured(m, "weight", 0.5), prune.random_unstructured(m, "bias", 0.5),
                prune.ln_structured(m, "weight", 0.3, n=2, dim=0),
            )
        ),
        ROWS,
    ),
    "weight_norm": (lambda: changed(nn.utils.weight_norm), ROWS),
    "spectral_norm": (lambda: changed(nn.utils.spectral_norm), ROWS),
    "parametrized weight_norm": (lambda: changed(nn.utils.parametrizations.weight_norm), ROWS),
    "parametrized spectral_norm": (lambda: changed(nn.utils.parametrizations.spectral_norm), ROWS),
    "an own parametrization": (
        lambda: changed(lambda m: parametrize.register_parametrization(m, "weight", Squared())),
        ROWS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_understood_computes_the_same(name):
    torch.manual_seed(0)
    build, X = ACCEPTED[name]
    model = build()
    modes = [module.training for module in model.modules()]
    before = state(model)
    found = imported(model, X).predict(as_rows(X))
    assert_same_state(model, before)
    assert [module.training for module in model.modules()] == modes
    wide = model.eval() if name == "float64" else model.eval().float()
    with torch.no_grad():
        expected = wide(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("grads", [False, True])
def test_gradients_stay(grads):
    model = dense(nn.ReLU())
    if grads:
        model(torch.from_numpy(ROWS)).sum().backward()
    before = state(model)
    imported(model, ROWS)
    assert_same_state(model, before)


def hooked(attach):
    model = dense(nn.ReLU())
    attach(model)
    return model


def replaced():
    model = dense(nn.ReLU())
    layer = model[0]
    layer.forward = types.MethodType(lambda self, x: 2 * nn.Linear.forward(self, x), layer)
    return model


def quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is old
        return torch.ao.quantization.quantize_dynamic(dense(nn.ReLU()), {nn.Linear})


def quantisation_aware():
    qat = pytest.importorskip("torch.ao.nn.qat")
    setting = torch.ao.quantization.get_default_qat_qconfig()
    return nn.Sequential(qat.Linear(6, 8, qconfig=setting), nn.ReLU(), nn.Linear(8, 3))


def tagged():
    model = dense(nn.ReLU())
    model[0].weight = nn.Parameter(model[0].weight.detach().as_subclass(Tagged))
    return model


def computed_twice():
    layer = nn.Linear(6, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(layer)
    prune.l1_unstructured(layer, "weight_v", 0.5)
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(8, 3))


def traced():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(torch.jit.script(nn.Linear(6, 8)), nn.ReLU(), nn.Linear(8, 3))


def convolved(*modules, n_in=96):
    return nn.Sequential(nn.Conv2d(2, 4, 3), *modules, nn.Flatten(), nn.Linear(n_in, 3))


def pass_on(module, inputs, outputs=None):
    return None


REFUSED = {
    "a skip connection": (
        lambda: nn.Sequential(nn.Linear(6, 8), Residual(nn.Linear(8, 8), nn.ReLU()), Plain()),
        r"Module 1 \(test_torch_reading\.Residual\) has a forward of its own",
    ),
    "a skip connection around all": (
        lambda: Residual(nn.Linear(6, 6)), r"test_torch_reading\.Residual has a forward",
    ),
    "an own Linear": (
        lambda: nn.Sequential(Doubling(6, 8), nn.Linear(8, 3)),
        r"Module 0 \(test_torch_reading\.Doubling\) is not supported",
    ),
    "a forward on the object": (
        replaced, r"Module 0 \(torch\.nn\.modules\.linear\.Linear\) has a forward of its own",
    ),
    "a forward hook": (
        lambda: hooked(lambda m: m[1].register_forward_hook(pass_on)),
        r"Module 1 \(ReLU\) has a forward hook, pass_on",
    ),
    "a forward pre-hook": (
        lambda: hooked(lambda m: m[0].register_forward_pre_hook(pass_on)),
        r"Module 0 \(Linear\) has a forward pre-hook, pass_on",
    ),
    "a hook around all": (
        lambda: hooked(lambda m: m.register_forward_hook(pass_on)),
        r"torch\.nn\.modules\.container\.Sequential has a forward hook",
    ),
    "a hook that computes what a hook uses": (computed_twice, "several hooks"),
    "int8": (quantised, r"torch\.ao\.nn\.quantized\.dynamic\.modules\.linear\.Linear"),
    "quantisation-aware": (quantisation_aware, r"torch\.ao\.nn\.qat\.modules\.linear\.Linear"),
    "a tensor of another class": (tagged, r"Module 0 \(Linear\).*test_torch_reading\.Tagged"),
    "a script": (traced, r"Module 0 \(torch\.jit\._script\.RecursiveScriptModule\)"),
    "no values": (lambda: dense(nn.ReLU()).to("meta"), r"Module 0 \(Linear\).*meta device"),
    "not initialised": (
        lambda: nn.Sequential(nn.LazyLinear(8), nn.Linear(8, 3)), r"Module 0 \(.*LazyLinear\)",
    ),
    "a gap": (lambda: hooked(lambda m: m._modules.update({"1": None})), "Module 1 .*NoneType"),
    "ELU": (lambda: dense(nn.ELU()), r"1 \(torch\.nn\.modules\.activation\.ELU\) is not supp"),
    "ReLU6": (lambda: dense(nn.ReLU6()), r"activation\.ReLU6"),
    "other bounds": (lambda: dense(nn.Hardtanh(0, 6)), r"1 \(Hardtanh\): bounds 0.* and 6"),
    "other softplus": (lambda: dense(nn.Softplus(2.0)), r"1 \(Softplus\): beta=2.0"),
    "approximate GELU": (lambda: dense(nn.GELU("tanh")), r'1 \(GELU\): approximate="tanh"'),
    "other slope": (lambda: dense(nn.LeakyReLU(0.3)), r"1 \(LeakyReLU\): slope 0.3"),
    "Softmax of rows": (lambda: nn.Sequential(dense(), nn.Softmax(dim=0)), r"Softmax\) with dim=0"),
    "LogSoftmax of rows": (lambda: nn.Sequential(dense(), nn.LogSoftmax(0)), r"with dim=0"),
    "Softmax within": (lambda: dense(nn.Softmax(1)), r"2 \(Linear\) follows a final softmax"),
    "no running statistics": (
        lambda: nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3, track_running_stats=False)),
        r"1 \(BatchNorm1d\) has no running statistics",
    ),
    "rows flattened into one": (lambda: nn.Sequential(nn.Flatten(0), dense()), "start_dim=1"),
}  # fmt: skip

REFUSED_IMAGES = {
    "GELU behind a maximum": (
        lambda: pooled(nn.MaxPool2d(2), nn.GELU()),
        r"2 \(GELU\) follows a MaxPool2d",
    ),
    "a sum": (
        lambda: convolved(nn.AvgPool2d(2, divisor_override=1), n_in=24),
        r"1 \(AvgPool2d\): divisor_override=1",
    ),
    "ceil_mode": (lambda: convolved(nn.MaxPool2d(4, ceil_mode=True), n_in=8), "ceil_mode"),
    "padded": (lambda: convolved(nn.AvgPool2d(2, padding=1), n_in=48), r"AvgPool2d\): windows"),
    "overlapping": (lambda: convolved(nn.MaxPool2d(2, stride=1)), r"MaxPool2d\): windows"),
    "indices": (lambda: convolved(nn.MaxPool2d(2, return_indices=True)), "return_indices"),
    "Softmax2d": (lambda: convolved(nn.Softmax2d()), r"activation\.Softmax2d"),
    "normalised apart": (lambda: convolved(nn.ReLU(), nn.BatchNorm2d(4)), "directly follow"),
    "grouped": (lambda: nn.Sequential(nn.Conv2d(2, 4, 3, groups=2)), "groups=1"),
}


@pytest.mark.parametrize("name", [*REFUSED, *REFUSED_IMAGES])
def test_what_is_not_understood_is_refused_by_name(name):
    torch.manual_seed(0)
    (build, message), X = (
        (REFUSED | REFUSED_IMAGES)[name],
        PLANES if name in REFUSED_IMAGES else ROWS,
    )
    model = build()
    modes = [module.training for module in model.modules() if module is not None]
    with pytest.raises(ValueError, match=message):
        imported(model, X)
    assert [module.training for module in model.modules() if module is not None] == modes


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = dense(nn.ReLU())

    def forward(self, x):
        return self.head(x) ** 2


def test_other_modules_are_refused_with_a_full_name():
    with pytest.raises(TypeError, match=r"torch\.nn\.modules\.linear\.Linear.*Sequential"):
        imported(nn.Linear(6, 3), ROWS)
    with pytest.raises(TypeError, match=r"test_torch_reading\.Holder as a whole.*: model\.head\."):
        imported(Holder(), ROWS)
    with pytest.raises(TypeError, match=r"DataParallel as a whole.*: model\.module\."):
        imported(nn.DataParallel(dense()), ROWS)


def test_what_no_name_tells_is_found_by_comparison():
    model = dense(nn.ReLU())
    before = state(model)
    handle = nn.modules.module.register_module_forward_hook(lambda module, inputs, out: 1.01 * out)
    try:
        with pytest.raises(ValueError, match=r"PyTorch network by up to .* on 100 rows of X"):
            imported(model, ROWS)
    finally:
        handle.remove()
    assert_same_state(model, before)
    imported(model, ROWS)


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("depth", [1, 8])
def test_rounding_is_no_difference(depth, offset):
    torch.manual_seed(0)
    hidden = [m for _ in range(depth) for m in (nn.Linear(64, 64), nn.Tanh())]
    X = NUMBERS.normal(offset, size=(300, 64)).astype(np.float32)
    model = normalised(nn.BatchNorm1d(64), *hidden, nn.Linear(64, 3), X=X)
    imported(model, X)


def test_the_network_itself_must_take_the_rows():
    model = dense(nn.ReLU())
    model[2].double()  # PyTorch multiplies no single by double precision
    with pytest.raises(ValueError, match="itself cannot take these rows"):
        imported(model, ROWS)


# ------------------------------------------------------------------ there and back


@pytest.mark.parametrize("activation", [name for name in ALL_ACTIVATIONS if name != "identity"])
def test_activations_come_back(activation):
    clf = classifier(matrices()["low rank"], activation=activation)
    back = imported(clf.to_torch(), rows())
    np.testing.assert_allclose(
        back.predict(rows()), clf.network_.forward(rows()), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_networks_of_images_come_back(name):
    clf = image_classifier(ARCHITECTURES[name])
    back = imported(clf.to_torch(), images())
    np.testing.assert_allclose(
        back.predict(images()), clf.network_.forward(images()), rtol=1e-5, atol=1e-5
    )


def test_a_copy_is_read_like_the_original():
    model = changed(lambda m: prune.l1_unstructured(m, "weight", 0.5))
    with torch.no_grad():
        model(torch.from_numpy(ROWS))
    small = compress(model, ROWS, scheme=Prune(sparsity=0.5), epochs=0, random_state=0)
    clean = copy.copy(model)
    prune.remove(clean[0], "weight")
    again = compress(clean, ROWS, scheme=Prune(sparsity=0.5), epochs=0, random_state=0)
    np.testing.assert_allclose(small.predict(ROWS), again.predict(ROWS), rtol=1e-6)


def test_a_module_with_a_forward_of_its_own_is_told_to_become_a_sequential():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 3)

        def forward(self, x):
            return self.b(self.a(x).relu())

    net = Net()
    with pytest.raises(TypeError, match=r"Net.*forward.*torch\.nn\.Sequential, in the order"):
        imported(net, ROWS)
    small = imported(nn.Sequential(net.a, nn.ReLU(), net.b), ROWS, task="regression")
    with torch.no_grad():
        expected = net(torch.from_numpy(ROWS)).numpy()
    np.testing.assert_allclose(small.predict(ROWS), expected, atol=1e-5)
