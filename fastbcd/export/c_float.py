"""The forward pass in single precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastbcd.activations import ALL_ACTIVATIONS, PiecewiseLinear
from fastbcd.export.c_kernels import Kernels, arguments
from fastbcd.export.c_text import Tables, real
from fastbcd.export.c_weights import Affine, Product

CLEAR = """\
static inline void @clear({type} *y, uint32_t n)
{{
    while (n) {{
        y[--n] = 0;
    }}
}}
"""

_SCALE = """\
static inline void @scale(float *y, const float *scale, uint32_t n)
{
    while (n--) {
        y[n] *= scale[n];
    }
}
"""

_ADD = """\
static inline void @add(float *y, const float *x, uint32_t n)
{
    while (n--) {
        y[n] += x[n];
    }
}
"""

_ACTIVATE = """\
static inline void @{name}(float *y, const float *intercept, uint32_t n)
{{
    while (n--) {{
        const float u = y[n] + intercept[n];
        y[n] = {value};
    }}
}}
"""

_VALUES = {
    "hard_tanh": "u < -1 ? -1.0f : u > 1 ? 1.0f : u",
    "logistic": "1 / (1 + expf(-u))",
    "tanh": "tanhf(u)",
}


@dataclass(frozen=True)
class Forward:
    """C text of the forward pass.

    Parameters
    ----------
    text : str
        Functions; the last is ``@outputs``.
    ram : int
        Bytes of its buffers.
    """

    text: str
    ram: int


def value_of(activation: str) -> str:
    """Return the C expression of an activation of ``u``."""
    function = ALL_ACTIVATIONS[activation]
    if not isinstance(function, PiecewiseLinear):
        return _VALUES[activation]
    if function.slope == 1:
        return "u"
    return f"u > 0 ? u : {real(function.slope)} * u" if function.slope else "u > 0 ? u : 0"


class Buffers:
    """Scratch memory of the forward pass: two buffers take turns, sums take up to two more."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}

    def other(self, current: str, size: int, pair: str = "ab") -> str:
        """Return the one of the pair that is not ``current``, and make it hold ``size`` numbers."""
        name = pair[1] if current == pair[0] else pair[0]
        self._sizes[name] = max(self._sizes.get(name, 0), size)
        return name

    @property
    def declarations(self) -> str:
        """Their definitions."""
        return "".join(
            f"    @@BUFFER float {name}[{size}];\n" for name, size in sorted(self._sizes.items())
        )

    @property
    def n_bytes(self) -> int:
        """Bytes of all of them."""
        return 4 * sum(self._sizes.values())


class FloatWriter:
    """Writes the forward pass layer by layer.

    Parameters
    ----------
    tables : Tables
        Takes the constant arrays.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._kernels = Kernels(integer=False)
        self._helpers = {"clear": CLEAR.format(type="float")}
        self._buffers = Buffers()
        self._lines: list[str] = []

    def write(self, layers: list[Affine]) -> Forward:
        """Return the text for the layers of a network."""
        current = "x"
        for index, layer in enumerate(layers):
            last = index == len(layers) - 1
            n_in, n_out = layer.shape
            self._lines.append(f"\n    /* Layer {index}: {n_in} -> {n_out}, {layer.activation}. */")
            current = self._sum(index, layer, current, last)
            self._activate(index, layer, current)
        text = "\n".join([*self._helpers.values(), self._kernels.text])
        body = "\n".join(self._lines)
        if "(x," not in body:
            body = f"    (void)x;\n{body}"
        function = (
            "/* The outputs of the network, before they are made classes or probabilities. */\n"
            "static inline void @outputs(const float *x, float *outputs)\n"
            f"{{\n{self._buffers.declarations}{body}\n}}\n"
        )
        return Forward(f"{text}\n{function}", self._buffers.n_bytes)

    def _sum(self, index: int, layer: Affine, source: str, last: bool) -> str:
        """Write the products of a layer; return the buffer that holds their sum."""
        n_out = layer.shape[1]
        if len(layer.parts) == 1:
            *first, final = layer.parts[0]
            current = self._chain(index, first, source, "ab")
            target = "outputs" if last else self._buffers.other(current, n_out)
            self._clear(target, n_out)
            self._multiply(index, final, current, target)
            self._scale(index, final, target)
            return target
        target = "outputs" if last else self._buffers.other(source, n_out)
        self._clear(target, n_out)
        # A scaled part that comes first needs no room of its own.
        for number, part in enumerate(sorted(layer.parts, key=lambda p: p[-1].scale is None)):
            *first, final = part
            current = self._chain(index, first, source, "st")
            if number and final.scale is not None:
                apart = self._buffers.other(current, n_out, "st")
                self._clear(apart, n_out)
                self._multiply(index, final, current, apart)
                self._scale(index, final, apart)
                self._helpers["add"] = _ADD
                self._lines.append(f"    @add({target}, {apart}, {n_out});")
            else:
                self._multiply(index, final, current, target)
                self._scale(index, final, target)
        return target

    def _chain(self, index: int, products: list[Product], source: str, pair: str) -> str:
        for product in products:
            target = self._buffers.other(source, product.n_out, pair)
            self._clear(target, product.n_out)
            self._multiply(index, product, source, target)
            self._scale(index, product, target)
            source = target
        return source

    def _clear(self, target: str, n: int) -> None:
        self._lines.append(f"    @clear({target}, {n});")

    def _multiply(self, index: int, product: Product, source: str, target: str) -> None:
        storage = product.storage
        if storage.form.startswith("sparse") and not storage.count:
            return
        batched = product.batch > 1
        vectors = f"{source}, {target}"
        if batched and product.interleaved:
            vectors += f", {product.batch}, {product.batch}, 1, 1"
        elif batched:
            n_in, n_out = storage.shape
            vectors += f", {product.batch}, 1, {n_in}, {n_out}"
        values = self._tables.add(storage.values, f"values_{index}")
        stream = self._tables.add(storage.stream, f"stream_{index}") if storage.stream.size else "0"
        name = self._kernels.call(storage, batched)
        self._lines.append(f"    {name}({vectors},\n        {arguments(storage, values, stream)});")

    def _scale(self, index: int, product: Product, target: str) -> None:
        if product.scale is None:
            return
        self._helpers["scale"] = _SCALE
        scale = self._tables.add(product.scale.astype(np.float32), f"scale_{index}")
        self._lines.append(f"    @scale({target}, {scale}, {product.n_out});")

    def _activate(self, index: int, layer: Affine, target: str) -> None:
        name = layer.activation
        self._helpers[name] = _ACTIVATE.format(name=name, value=value_of(name))
        intercept = layer.intercept.astype(np.float32)
        table = self._tables.add(intercept, f"intercept_{index}")
        self._lines.append(f"    @{name}({target}, {table}, {intercept.size});")
