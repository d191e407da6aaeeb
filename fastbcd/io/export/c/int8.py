"""The forward pass in 8-bit integers, with sums of 32 bits."""

from __future__ import annotations

import numpy as np

from fastbcd.io.export.c.float import CLEAR, Forward, index_type, value_of
from fastbcd.io.export.c.kernels import Kernels, arguments
from fastbcd.io.export.c.quantise import IntegerLayer, IntegerNetwork, Rescaling, Step
from fastbcd.io.export.c.storage import smallest
from fastbcd.io.export.c.text import TYPES, Tables, real
from fastbcd.network.layers.activations import ALL_ACTIVATIONS, PiecewiseLinear

_QUANTISE = """\
/* Round to the grid of the inputs. */
static inline void @quantise(const float *x, int8_t *q, uint32_t n, float inverse, float zero)
{
    while (n--) {
        float u = x[n] * inverse + zero;
        u = u < 127 ? u : 127;
        u = u > -128 ? u : -128;
        q[n] = (int8_t)(u < 0 ? u - 0.5f : u + 0.5f);
    }
}
"""

_QUANTISE_COLUMNS = """\
/* Round some of the columns to the grid of the inputs. */
static inline void @quantise(const float *x, int8_t *q, const {index} *columns, uint32_t n,
    float inverse, float zero)
{{
    while (n--) {{
        float u = x[columns[n]] * inverse + zero;
        u = u < 127 ? u : 127;
        u = u > -128 ? u : -128;
        q[n] = (int8_t)(u < 0 ? u - 0.5f : u + 0.5f);
    }}
}}
"""

_QUANTISE_RAMPS = """\
/* Features that rise from 0 to 1 along a column, rounded to the grid of the inputs. */
static inline void @quantise(const float *x, int8_t *q, const {index} *columns,
    const float *starts, const float *slopes, uint32_t n, float inverse, float zero)
{{
    while (n--) {{
        const float v = (x[columns[n]] - starts[n]) * slopes[n];
        float u = (v < 0 ? 0 : v > 1 ? 1 : v) * inverse + zero;
        u = u < 127 ? u : 127;
        u = u > -128 ? u : -128;
        q[n] = (int8_t)(u < 0 ? u - 0.5f : u + 0.5f);
    }}
}}
"""

_RESCALED = """\
/* value * factor / 2^shift, halves rounded away from zero. */
static inline int64_t @rescaled(int32_t value, int32_t factor, uint32_t shift)
{
    const int64_t product = (int64_t)value * factor, half = (int64_t)1 << (shift - 1);
    return product < 0 ? -((half - product) >> shift) : (product + half) >> shift;
}
"""

_ROUND = """\
/* Bring sums to the grid of the next step{title}. */
static inline void @{name}(const int32_t *sums, int8_t *q, uint32_t n,
    const int32_t *intercept, const int32_t *factor, uint32_t shift, int32_t zero, int32_t low,
    int32_t high)
{{
    while (n--) {{
        const int32_t sum = sums[n] + (intercept ? intercept[n] : 0);
        const int64_t u = @rescaled(sum, {factor}, shift) + zero;
        q[n] = (int8_t)(u < low ? low : u > high ? high : u);
    }}
}}
"""

_ADD = """\
/* Add sums in the units of a part to sums in the units of the layer. */
static inline void @add(const int32_t *sums, int32_t *total, uint32_t n, const int32_t *factor,
    uint32_t shift)
{
    while (n--) {
        total[n] += (int32_t)@rescaled(sums[n], factor[n], shift);
    }
}
"""

_LOOK_UP = """\
/* Replace pre-activations by activations. */
static inline void @look_up(int8_t *q, uint32_t n, const int8_t *table)
{
    while (n--) {
        q[n] = table[q[n] + 128];
    }
}
"""

_FINISH = """\
/* Turn the sums of the last layer into floats. */
static inline void @finish(const int32_t *sums, float *outputs, uint32_t n,
    const int32_t *intercept, const float *unit)
{{
    while (n--) {{
        const float u = (float)(sums[n] + intercept[n]) * unit[n];
        outputs[n] = {value};
    }}
}}
"""


class Int8Writer:
    """Writes the forward pass layer by layer.

    Parameters
    ----------
    tables : Tables
        Takes the constant arrays.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._kernels = Kernels(integer=True)
        self._helpers = {"clear": CLEAR.format(type="int32_t")}
        self._sizes: dict[tuple[str, str], int] = {}
        self._lines: list[str] = []

    def write(self, network: IntegerNetwork, n_in: int) -> Forward:
        """Return the text for a network in integers."""
        grid, view = network.input, network.encoding
        to_grid = f"{real(1 / grid.scale)}, {real(grid.zero - grid.offset / grid.scale)}"
        if view is None:
            self._need("int8_t", "q", n_in)
            self._helpers["quantise"] = _QUANTISE
            self._lines.append(f"    @quantise(x, q, {n_in}, {to_grid});")
        else:
            self._need("int8_t", "q", view.n_features)
            kind = index_type(view.n_columns)
        if view is not None and not len(view.columns):
            self._helpers["quantise"] = _QUANTISE_COLUMNS.format(index=TYPES[kind.name])
            columns = self._tables.add(view.plain.astype(kind), "columns_0")
            self._lines.append(f"    @quantise(x, q, {columns}, {view.n_features}, {to_grid});")
        elif view is not None:
            self._helpers["quantise"] = _QUANTISE_RAMPS.format(index=TYPES[kind.name])
            columns = self._tables.add(view.columns.astype(kind), "columns_0")
            starts = self._tables.add(view.starts, "starts_0")
            slopes = self._tables.add(view.slopes, "slopes_0")
            self._lines.append(
                f"    @quantise(x, q, {columns}, {starts}, {slopes},\n"
                f"        {view.n_features}, {to_grid});"
            )
        for index, layer in enumerate(network.layers):
            n_out = layer.unit.size
            self._lines.append(f"\n    /* Layer {index}: {n_out} outputs, {layer.activation}. */")
            sums = self._sum(index, layer, n_out)
            self._activate(index, layer, sums, n_out)
        buffers = "".join(
            f"    @@BUFFER {c_type} {name}[{size}];\n"
            for (c_type, name), size in sorted(self._sizes.items())
        )
        function = (
            "/* The outputs of the network, before they are made classes or probabilities. */\n"
            "static inline void @outputs(const float *x, float *outputs)\n"
            f"{{\n{buffers}" + "\n".join(self._lines) + "\n}\n"
        )
        text = "\n".join([*self._helpers.values(), self._kernels.text, function])
        ram = sum(size * (1 if kind == "int8_t" else 4) for (kind, _), size in self._sizes.items())
        return Forward(text, ram)

    def _need(self, c_type: str, name: str, size: int) -> None:
        self._sizes[c_type, name] = max(self._sizes.get((c_type, name), 0), size)

    def _sum(self, index: int, layer: IntegerLayer, n_out: int) -> str:
        """Write the products of a layer; return the buffer that holds their sum."""
        if len(layer.parts) == 1:
            self._chain(index, layer.parts[0], "q")
            return "sums"
        self._need("int32_t", "total", n_out)
        self._helpers |= {"rescaled": _RESCALED, "add": _ADD}
        self._lines.append(f"    @clear(total, {n_out});")
        for steps in layer.parts:
            self._chain(index, steps, "t")
            rescaling = steps[-1].rescaling
            assert rescaling is not None
            factor, shift = self._rescaling(index, rescaling)
            self._lines.append(f"    @add(sums, total, {n_out}, {factor}, {shift});")
        return "total"

    def _chain(self, index: int, steps: list[Step], between: str) -> None:
        """Write the products of a part, from ``q`` to ``sums``, by way of ``between``."""
        source = "q"
        for step in steps:
            n_out = step.unit.size
            self._need("int32_t", "sums", n_out)
            self._lines.append(f"    @clear(sums, {n_out});")
            self._multiply(index, step, source)
            if step.output is not None and step.rescaling is not None:
                self._need("int8_t", between, n_out)
                factor, shift = self._rescaling(index, step.rescaling)
                self._rounding("round", "factor[n]", "")
                self._lines.append(
                    f"    @round(sums, {between}, {n_out}, 0, {factor}, {shift}, "
                    f"{step.output.zero}, -128, 127);"
                )
                source = between

    def _multiply(self, index: int, step: Step, source: str) -> None:
        storage = smallest(step.weight)
        if storage.form.startswith("sparse") and not storage.count:
            return
        values = storage.values
        if storage.form.endswith("codes"):
            values = values.astype(np.int16)
        table = self._tables.add(values, f"values_{index}")
        stream = self._tables.add(storage.stream, f"stream_{index}") if storage.stream.size else "0"
        self._lines.append(
            f"    {self._kernels.call(storage)}({source}, {step.zero}, sums,\n"
            f"        {arguments(storage, table, stream)});"
        )

    def _rescaling(self, index: int, rescaling: Rescaling) -> tuple[str, int]:
        return self._tables.add(rescaling.factor, f"factor_{index}"), rescaling.shift

    def _rounding(self, name: str, factor: str, title: str) -> None:
        self._helpers["rescaled"] = _RESCALED
        self._helpers[name] = _ROUND.format(name=name, factor=factor, title=title)

    def _activate(self, index: int, layer: IntegerLayer, sums: str, n_out: int) -> None:
        intercept = self._tables.add(layer.intercept, f"intercept_{index}")
        if layer.rescaling is None or layer.output is None:
            unit = self._tables.add(layer.unit.astype(np.float32), f"unit_{index}")
            self._helpers["finish"] = _FINISH.format(value=value_of(layer.activation))
            self._lines.append(f"    @finish({sums}, outputs, {n_out}, {intercept}, {unit});")
            return
        self._need("int8_t", "q", n_out)
        factor, shift = self._rescaling(index, layer.rescaling)
        function = ALL_ACTIVATIONS[layer.activation]
        name = "round"
        if isinstance(function, PiecewiseLinear) and 0 < function.slope < 1:
            name = f"round_{layer.activation}"
            slope = round(function.slope * 2**31)
            smaller = f"(sum < 0 ? (int32_t)@rescaled(factor[n], {slope}, 31) : factor[n])"
            self._rounding(name, smaller, ", negative ones through a smaller factor")
        else:
            self._rounding(name, "factor[n]", "")
        self._lines.append(
            f"    @{name}({sums}, q, {n_out}, {intercept}, {factor}, {shift},\n"
            f"        {layer.output.zero}, {layer.low}, {layer.high});"
        )
        if layer.table is not None:
            self._helpers["look_up"] = _LOOK_UP
            table = self._tables.add(layer.table, f"table_{index}")
            self._lines.append(f"    @look_up(q, {n_out}, {table});")
