"""The modules of a PyTorch network in the order in which they are applied, and their tensors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from fastbcd.utils.types import Float

KINDS = (
    "Linear", "Conv2d", "MaxPool2d", "AvgPool2d", "ReLU", "LeakyReLU", "Hardtanh", "Tanh",
    "Sigmoid", "Softplus", "SiLU", "GELU", "Softmax", "LogSoftmax", "BatchNorm1d", "BatchNorm2d",
    "Flatten", "Unflatten", "ChannelShuffle", "Identity", "Dropout", "Dropout1d", "Dropout2d",
    "Dropout3d", "AlphaDropout", "FeatureAlphaDropout",
)  # fmt: skip
"""PyTorch's own classes that are understood, by their names in torch.nn."""

SUPPORTED = (
    "PyTorch's own Linear, Conv2d, MaxPool2d, AvgPool2d, ReLU, LeakyReLU(0.01), Hardtanh(-1, 1), "
    "Tanh, Sigmoid, Softplus, SiLU, GELU (exact), Identity, Dropout, BatchNorm1d, BatchNorm2d, "
    "Flatten, Unflatten, ChannelShuffle and a final Softmax or LogSoftmax"
)

RUNS = ("forward", "__call__", "_call_impl", "_wrapped_call_impl", "__iter__", "__getattr__")
"""What a subclass of Sequential must inherit, to compute what Sequential computes."""

PRUNING = "torch.nn.utils.prune.BasePruningMethod"
WEIGHT_NORM = "torch.nn.utils.weight_norm.WeightNorm"
SPECTRAL_NORM = "torch.nn.utils.spectral_norm.SpectralNorm"


class Applied(NamedTuple):
    """A module where it is applied.

    Parameters
    ----------
    where : str
        Its name in the network and its class, for messages.
    kind : str
        One of :data:`KINDS`.
    module : torch.nn.Module
        The module itself; the same one may be applied several times.
    """

    where: str
    kind: str
    module: Any

    def array(self, name: str) -> Float | None:
        """Return the tensor ``name`` as ``forward`` uses it: masked, normalised, parametrized."""
        found = getattr(self.module, name, None)
        for hook in self.module._forward_pre_hooks.values():
            # The attribute is stale until the hook has run: call what the hook would store.
            if PRUNING in _ancestors(hook) and hook._tensor_name == name:
                found = hook.apply_mask(self.module)
            elif full_name(hook) == WEIGHT_NORM and hook.name == name:
                found = hook.compute_weight(self.module)
            elif full_name(hook) == SPECTRAL_NORM and hook.name == name:
                found = hook.compute_weight(self.module, do_power_iteration=False)
        return None if found is None else _array(self.where, found)


def full_name(thing: Any) -> str:
    """Return the full name of the class of ``thing``."""
    cls = type(thing)
    return f"{cls.__module__}.{cls.__qualname__}"


def _ancestors(thing: Any) -> list[str]:
    return [f"{cls.__module__}.{cls.__qualname__}" for cls in type(thing).__mro__]


def is_torch(model: Any) -> bool:
    """Whether ``model`` is a PyTorch module of any kind. PyTorch is not imported."""
    return "torch.nn.modules.module.Module" in _ancestors(model)


def is_sequential(model: Any) -> bool:
    """Whether ``model`` is a ``torch.nn.Sequential`` or of a subclass of it."""
    return "torch.nn.modules.container.Sequential" in _ancestors(model)


def applied_modules(model: Any) -> list[Applied]:
    """Return the modules in order, once for each time that they are applied.

    Raises
    ------
    ValueError
        For a class that is not understood, a ``forward`` of its own, or a hook that may change
        what a module computes. The module is named.
    """
    from torch import nn
    from torch.nn.utils import parametrize

    understood = {getattr(nn, name): name for name in KINDS}
    found: list[Applied] = []

    def visit(module: Any, name: str) -> None:
        where = f"Module {name} ({full_name(module)})" if name else full_name(module)
        if is_sequential(module):
            inherited = all(
                getattr(type(module), key) is getattr(nn.Sequential, key) for key in RUNS
            )
            if not inherited or "forward" in vars(module):
                raise ValueError(
                    f"{where} has a forward of its own; what it computes is not known. Only the "
                    "forward of torch.nn.Sequential is supported."
                )
            _check_hooks(where, module, known=False)
            for key, child in module._modules.items():  # children() leaves out repetitions
                visit(child, f"{name}.{key}" if name else key)
            return
        cls = type(module)
        if is_torch(module) and parametrize.is_parametrized(module):
            cls = parametrize.type_before_parametrizations(module)
        if cls not in understood:
            raise ValueError(f"{where} is not supported. Supported are {SUPPORTED}.")
        if "forward" in vars(module):
            raise ValueError(
                f"{where} has a forward of its own, set on the object. Delete it, or replace the "
                "module by a plain one."
            )
        kind = understood[cls]
        where = f"Module {name} ({kind})"
        _check_hooks(where, module, known=True)
        found.append(Applied(where, kind, module))

    visit(model, "")
    return found


def _check_hooks(where: str, module: Any, known: bool) -> None:
    """Refuse hooks, but for those of pruning and normalisation where they are ``known``."""
    if module._forward_hooks:
        hook = next(iter(module._forward_hooks.values()))
        raise ValueError(
            f"{where} has a forward hook, {_called(hook)}, which may change its outputs. Remove "
            "it: call remove() of the handle that register_forward_hook returned."
        )
    computed = []
    for hook in module._forward_pre_hooks.values():
        kinds = _ancestors(hook)
        masks = PRUNING in kinds
        if not known or not (masks or full_name(hook) in (WEIGHT_NORM, SPECTRAL_NORM)):
            raise ValueError(
                f"{where} has a forward pre-hook, {_called(hook)}, which may change its inputs or "
                "weights. Remove it: call remove() of the handle that register_forward_pre_hook "
                "returned."
            )
        computed.append("pruning" if masks else kinds[0])
    if len(computed) > 1 and set(computed) != {"pruning"}:
        raise ValueError(
            f"{where} has several hooks that compute its weights. Make them permanent first: "
            "torch.nn.utils.prune.remove, remove_weight_norm or remove_spectral_norm."
        )


def _called(hook: Any) -> str:
    return getattr(hook, "__qualname__", None) or full_name(hook)


def _array(where: str, tensor: Any) -> Float:
    import torch

    plain = (torch.Tensor, torch.nn.Parameter, getattr(torch.nn, "Buffer", torch.Tensor))
    if type(tensor) not in plain:
        raise ValueError(
            f"{where} holds its weights as {full_name(tensor)}, which is not supported. Compress "
            "the floating-point network that it was made from."
        )
    if tensor.is_meta or not tensor.is_floating_point():
        held = "on the meta device, without values" if tensor.is_meta else f"as {tensor.dtype}"
        raise ValueError(f"{where} holds its weights {held}; only floating-point values are read.")
    values = tensor.detach().cpu()
    if values.layout != torch.strided:
        values = values.to_dense()
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()  # exact: all narrower types are subsets of float32
    return np.array(values.numpy())


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Put ``model`` into evaluation mode; afterwards every module is as it was."""
    import torch

    saved = [(module, dict(vars(module))) for module in model.modules()]
    try:
        for module, _ in saved:
            module.training = False
            module._compiled_call_impl = None  # compiling takes a minute, and a C++ compiler
        with torch.no_grad():
            yield
    finally:
        # Hooks store the weights that they compute as plain attributes.
        for module, state in saved:
            for name in vars(module).keys() - state.keys():
                del vars(module)[name]
            vars(module).update(state)


def run(model: Any, rows: Any) -> Float:
    """Return what ``model`` itself computes for ``rows``, in evaluation mode on the CPU.

    Half precision is widened to single: what the rounded weights compute is compared, not how
    the steps between them are rounded. Buffers are copied, so that none can change.

    Raises
    ------
    ValueError
        If the network cannot take the rows.
    """
    import torch

    def widened(tensor: Any) -> Any:
        copied = tensor.detach().cpu().clone()
        wide = not copied.is_floating_point() or copied.dtype in (torch.float32, torch.float64)
        return copied if wide else copied.float()

    parameters = {name: widened(tensor) for name, tensor in model.named_parameters()}
    buffers = {name: widened(tensor) for name, tensor in model.named_buffers()}
    floating = [t.dtype for t in parameters.values() if t.is_floating_point()]
    x = torch.tensor(np.asarray(rows), dtype=floating[0] if floating else torch.float32)
    with evaluating(model), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as Softmax without dim
        try:
            out = torch.func.functional_call(model, {**parameters, **buffers}, (x,))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ValueError(
                f"The PyTorch network itself cannot take these rows: {error}"
            ) from error
    outputs: Float = out.detach().numpy()
    return outputs
