"""The forward pass in single precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbcd.io.export.c.images import MAXIMA, MEANS, Along, Rows, describe
from fastbcd.io.export.c.kernels import Kernels, arguments
from fastbcd.io.export.c.text import TYPES, Tables, real
from fastbcd.io.export.c.weights import Affine, Part, Product
from fastbcd.network.layers.activations import ALL_ACTIVATIONS, PiecewiseLinear
from fastbcd.network.layers.encoding import PiecewiseLinearEncoding
from fastbcd.network.layers.patches import Patches

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

_COPY = """\
/* Features that are columns as they are. */
static inline void @copy(const float *x, float *y, const {index} *columns, uint32_t n)
{{
    while (n--) {{
        y[n] = x[columns[n]];
    }}
}}
"""

_RAMPS = """\
/* Features that rise from 0 to 1 along a column. */
static inline void @ramps(const float *x, float *y, const {index} *columns, const float *starts,
    const float *slopes, uint32_t n)
{{
    while (n--) {{
        const float u = (x[columns[n]] - starts[n]) * slopes[n];
        y[n] = u < 0 ? 0 : u > 1 ? 1 : u;
    }}
}}
"""

_VALUES = {
    "hard_tanh": "u < -1 ? -1.0f : u > 1 ? 1.0f : u",
    "logistic": "1 / (1 + expf(-u))",
    "tanh": "tanhf(u)",
    "softplus": "(u > 0 ? u : 0) + log1pf(expf(u > 0 ? -u : u))",
    "silu": "u / (1 + expf(-u))",
    "gelu": "0.5f * u * erfcf(-0.70710678f * u)",
}

INDICES = (np.dtype(np.uint8), np.dtype(np.int16), np.dtype(np.int32))
"""Types of the index of a column, the smallest first."""


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
        return self.take(name, size)

    def take(self, name: str, size: int) -> str:
        """Return ``name``, made to hold ``size`` numbers."""
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


def index_type(n_columns: int) -> np.dtype[Any]:
    """Return the type of the index of a column."""
    return next(kind for kind in INDICES if n_columns - 1 <= np.iinfo(kind).max)


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
            self._lines.append(f"\n    /* Layer {index}: {describe(layer)}. */")
            if isinstance(layer.view, PiecewiseLinearEncoding):
                current = self._encoding(index, layer.view, current)
            if isinstance(layer.view, Patches):
                current = self._means(layer.view, current)
            if isinstance(layer.view, Patches) and not layer.view.is_whole:
                current = self._convolution(index, layer, layer.view, current)
            else:
                current = self._sum(index, layer, current, last)
                self._activate(index, layer, current)
        text = "\n".join([*self._helpers.values(), self._kernels.text])
        body = "\n".join(self._lines)
        if "(x," not in body and "(x +" not in body:
            body = f"    (void)x;\n{body}"
        function = (
            "/* The outputs of the network, before they are made classes or probabilities. */\n"
            "static inline void @outputs(const float *x, float *outputs)\n"
            f"{{\n{self._buffers.declarations}{body}\n}}\n"
        )
        return Forward(f"{text}\n{function}", self._buffers.n_bytes)

    def _encoding(self, index: int, view: PiecewiseLinearEncoding, source: str) -> str:
        """Write the features of an encoding; return the buffer."""
        view = view.astype(np.dtype(np.float32))
        kind = index_type(view.n_columns)
        target = self._buffers.other(source, view.n_features)
        n_plain, n_ramps = len(view.plain), len(view.columns)
        if n_plain:
            self._helpers["copy"] = _COPY.format(index=TYPES[kind.name])
            plain = self._tables.add(view.plain.astype(kind), f"plain_{index}")
            self._lines.append(f"    @copy({source}, {target}, {plain}, {n_plain});")
        if n_ramps:
            self._helpers["ramps"] = _RAMPS.format(index=TYPES[kind.name])
            columns = self._tables.add(view.columns.astype(kind), f"columns_{index}")
            starts = self._tables.add(view.starts, f"starts_{index}")
            slopes = self._tables.add(view.slopes, f"slopes_{index}")
            self._lines.append(
                f"    @ramps({source}, {target} + {n_plain}, {columns}, {starts}, {slopes}, "
                f"{n_ramps});"
            )
        return target

    def _means(self, view: Patches, source: str) -> str:
        """Write averages and zeros around them, if there are any; return the buffer."""
        if view.window == (1, 1) and not any(view.padding):
            return source
        self._helpers["means"] = MEANS
        h, w, c = view.pooled_shape
        top, left = view.padding
        target = self._buffers.other(source, (h + 2 * top) * (w + 2 * left) * c)
        self._lines.append(
            f"    @means({source}, {target}, {view.shape[1]}, {c}, {view.window[0]}, "
            f"{view.window[1]}, {h}, {w}, {top}, {left});"
        )
        return target

    def _convolution(self, index: int, layer: Affine, view: Patches, source: str) -> str:
        """Write a convolution row by row; return the buffer that holds its images."""
        rows, n = Rows.of(layer, view), layer.shape[1]
        pixels, (high, wide) = rows.along.pixels, rows.window
        target = self._buffers.other(source, rows.n_out * n)
        outside, self._lines = self._lines, []
        row = f"{target} + i * {pixels * n}"
        if rows.window != (1, 1):
            row = self._buffers.take("row", pixels * n)
        self._add_parts(index, layer.parts, f"{source} + i * {rows.down}", row, rows.along)
        self._activate(index, layer, row, pixels)
        if rows.window != (1, 1):
            self._helpers["maxima"] = MAXIMA
            count = pixels // wide
            below, first = ("i", "1") if high == 1 else (f"i / {high}", f"i % {high} == 0")
            place = f"{target} + {below} * {count * n}"
            self._lines.append(f"    @maxima(row, {place}, {count}, {n}, {wide}, {first});")
        inside = [f"    {line}".replace("\n", "\n    ") for line in self._lines]
        head = f"    for (uint32_t i = 0; i < {rows.n}; i++) {{"
        self._lines = [*outside, head, *inside, "    }"]
        return target

    def _sum(self, index: int, layer: Affine, source: str, last: bool) -> str:
        """Write the products of a layer; return the buffer that holds their sum."""
        parts = layer.parts
        if len(parts) == 1:
            *first, final = parts[0]
            source, parts = self._chain(index, first, source, "ab"), [(final,)]
        target = "outputs" if last else self._buffers.other(source, layer.shape[1])
        self._add_parts(index, parts, source, target)
        return target

    def _add_parts(
        self, index: int, parts: list[Part], source: str, target: str, along: Along | None = None
    ) -> None:
        """Write the sum of parts into ``target``, for one vector or along a row of pixels."""
        pixels = 1 if along is None else along.pixels
        n_out = parts[0][-1].n_out
        self._clear(target, n_out * pixels)
        # A scaled part that comes first needs no room of its own.
        for number, part in enumerate(sorted(parts, key=lambda p: p[-1].scale is None)):
            *first, final = part
            current = self._chain(index, first, source, "st", along)
            way = Along.pixelwise(pixels, final.n_in) if first and along is not None else along
            if number and final.scale is not None:
                apart = self._buffers.other(current, n_out * pixels, "st")
                self._clear(apart, n_out * pixels)
                self._multiply(index, final, current, apart, way)
                self._scale(index, final, apart, pixels)
                self._helpers["add"] = _ADD
                self._lines.append(f"    @add({target}, {apart}, {n_out * pixels});")
            else:
                self._multiply(index, final, current, target, way)
                self._scale(index, final, target, pixels)

    def _chain(
        self,
        index: int,
        products: list[Product],
        source: str,
        pair: str,
        along: Along | None = None,
    ) -> str:
        pixels = 1 if along is None else along.pixels
        for product in products:
            target = self._buffers.other(source, product.n_out * pixels, pair)
            self._clear(target, product.n_out * pixels)
            self._multiply(index, product, source, target, along)
            self._scale(index, product, target, pixels)
            source = target
            along = None if along is None else Along.pixelwise(pixels, product.n_out)
        return source

    def _clear(self, target: str, n: int) -> None:
        self._lines.append(f"    @clear({target}, {n});")

    def _multiply(
        self, index: int, product: Product, source: str, target: str, along: Along | None = None
    ) -> None:
        storage = product.storage
        if storage.form.startswith("sparse") and not storage.count:
            return
        batch = ""
        vectors = f"{source}, {target}"
        n_in, n_out = storage.shape
        if along is not None:
            batch = "patches"
            vectors += f", {along.pixels}, {along.right}, {n_out}, {along.together}, {along.skip}"
        elif product.batch > 1:
            batch = "cores"
            ways = f"{product.batch}, 1, 1" if product.interleaved else f"1, {n_in}, {n_out}"
            vectors += f", {product.batch}, {ways}"
        values = self._tables.add(storage.values, f"values_{index}")
        stream = self._tables.add(storage.stream, f"stream_{index}") if storage.stream.size else "0"
        name = self._kernels.call(storage, batch)
        self._lines.append(f"    {name}({vectors},\n        {arguments(storage, values, stream)});")

    def _scale(self, index: int, product: Product, target: str, pixels: int) -> None:
        if product.scale is None:
            return
        self._helpers["scale"] = _SCALE
        scale = self._tables.add(product.scale.astype(np.float32), f"scale_{index}")
        self._each("scale", target, scale, product.n_out, pixels)

    def _activate(self, index: int, layer: Affine, target: str, pixels: int = 1) -> None:
        name = layer.activation
        self._helpers[name] = _ACTIVATE.format(name=name, value=value_of(name))
        intercept = layer.intercept.astype(np.float32)
        table = self._tables.add(intercept, f"intercept_{index}")
        self._each(name, target, table, intercept.size, pixels)

    def _each(self, name: str, target: str, table: str, n: int, pixels: int) -> None:
        """Write the call of a function of ``n`` numbers and a table for each pixel."""
        if pixels == 1:
            self._lines.append(f"    @{name}({target}, {table}, {n});")
            return
        self._lines += [
            f"    for (uint32_t j = 0; j < {pixels}; j++) {{",
            f"        @{name}({target} + j * {n}, {table}, {n});",
            "    }",
        ]
