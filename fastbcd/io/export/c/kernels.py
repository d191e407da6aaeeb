"""The C functions that multiply by a matrix while they decode it.

``@`` stands for the name that the header's user chose. Each function adds a product to ``y``:
y_j += sum_i x_i w_ij. Only those that a network needs are written.
"""

from __future__ import annotations

from fastbcd.io.export.c.storage import Storage

PEEK = """\
/* At least 25 bits of a stream from bit number at on, the lowest bit of a byte first. */
static inline uint32_t @peek(const uint8_t *stream, uint32_t at)
{
    const uint8_t *p = stream + (at >> 3);
    return ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24)
           >> (at & 7);
}
"""

NEXT = """\
/* The zeros before the next non-zero, and its code. There are q zero bits, a one, the
   k + q * growth low bits of the gap, and the bits of the code. */
static inline uint32_t @next(const uint8_t *stream, uint32_t *at, uint32_t k, uint32_t growth,
    uint32_t bits, uint32_t *code)
{
    /* De Bruijn: the product's upper five bits tell where the only one of a word is. */
    static const uint8_t place[32] = {
        0, 1, 28, 2, 29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4, 8,
        31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6, 11, 5, 10, 9};
    uint32_t window = @peek(stream, *at), q = 0, last, low;
    for (; !(window & 0x1ffffff); q += 25) {
        window = @peek(stream, *at += 25);
    }
    last = place[(uint32_t)((window & (0 - window)) * 0x077cb531u) >> 27];
    q += last;
    *at += last + 1;
    low = k + (growth ? q : 0);
    window = last + 1 + low + bits > 25 ? @peek(stream, *at) : window >> last >> 1;
    *at += low + bits;
    *code = window >> low & (((uint32_t)1 << bits) - 1);
    return (((growth ? ((uint32_t)1 << q) - 1 : q)) << k) + (window & (((uint32_t)1 << low) - 1));
}
"""

SPREAD = """\
/* Multiply one entry of a matrix by all vectors of a batch. */
static inline void @spread(const float *x, float *y, float w, uint32_t batch, uint32_t x_next,
                           uint32_t y_next)
{
    for (; batch; batch--, x += x_next, y += y_next) {
        *y += w * *x;
    }
}
"""

_ROWS = """\
/* {comment} */
static inline void {name}({vectors},
    uint32_t n_in, uint32_t n_out, {tables})
{{
    for (uint32_t i = 0; i < n_in; i++) {{
{row}
        for (uint32_t j = 0; j < n_out; j++) {{
            {update}
        }}
    }}
}}
"""

_NON_ZEROS = """\
/* {comment} */
static inline void {name}({vectors},
    uint32_t n_out, {tables})
{{
    uint32_t at = 0, code, i = 0, j = 0;
    for (; count; count--, j++) {{
        for (j += @next(stream, &at, k, growth, {bits}, &code); j >= n_out; j -= n_out) {{
            i++;
        }}
        {update}
    }}
}}
"""

_COMMENTS = {
    "dense": "All entries, row by row.",
    "codes": "All entries, row by row, each a code of the codebook.",
    "sparse": "The non-zeros, row by row: their gaps as bits, their values beside.",
    "sparse_codes": "The non-zeros, row by row: a gap, then a code of the codebook.",
}

_TABLES = {
    "dense": "const {type} *weights",
    "codes": "const {type} *codebook, const uint8_t *stream, uint32_t bits",
    "sparse": "const {type} *values, const uint8_t *stream, uint32_t count, uint32_t k,\n"
    "    uint32_t growth",
    "sparse_codes": "const {type} *codebook, const uint8_t *stream, uint32_t bits,\n"
    "    uint32_t count, uint32_t k, uint32_t growth",
}

_ENTRY = {
    "dense": "w[j]",
    "codes": "codebook[@peek(stream, at + j * bits) & mask]",
    "sparse": "*values++",
    "sparse_codes": "codebook[code]",
}

_DENSE_ROW = "        const {type} *w = weights + i * n_out;"

_CODES_ROW = """\
        const uint32_t at = i * n_out * bits, mask = ((uint32_t)1 << bits) - 1;"""

_SKIP_ZEROS = """\
        if (a == 0) {
            continue;
        }"""


class Kernels:
    """The functions that a header needs, each written once.

    Parameters
    ----------
    integer : bool
        Whether weights and inputs are int8, codebooks int16 and sums int32, rather than all
        float.
    """

    def __init__(self, integer: bool) -> None:
        self._integer = integer
        self._written: dict[str, str] = {}

    @property
    def text(self) -> str:
        """All of them, helpers first."""
        return "\n".join(self._written.values())

    def call(self, storage: Storage, batch: str = "") -> str:
        """Return the name of the function for a form, and see to it that it is written.

        ``batch`` is "" for one vector, "cores" for a batch that a core of a train is multiplied
        by, and "patches" for the patches along a row of pixels.
        """
        form = storage.form
        name = f"@{form}_{batch}" if batch else f"@{form}"
        if name not in self._written:
            if form != "dense":
                self._written["peek"] = PEEK
            if form.startswith("sparse"):
                self._written["next"] = NEXT
            if batch:
                self._written["spread"] = SPREAD
            self._written[name] = self._write(name, form, batch)
        return name

    def _write(self, name: str, form: str, batch: str) -> str:
        by_row = not form.startswith("sparse")
        weight = "float"
        if self._integer:
            weight = "int16_t" if form.endswith("codes") else "int8_t"
        if self._integer:
            vectors = "const int8_t *x, int32_t zero, int32_t *y"
            factor, loaded = "(x[i] - zero)", "        const int32_t a = x[i] - zero;"
        else:
            vectors = "const float *x, float *y"
            factor, loaded = "x[i]", "        const float a = x[i];"
        if batch == "cores":
            vectors += ", uint32_t batch,\n    uint32_t step, uint32_t x_next, uint32_t y_next"
            update = "@spread(x + i * step, y + j * step, {entry}, batch, x_next, y_next);"
        elif batch == "patches":
            vectors += ", uint32_t batch,\n    uint32_t x_next, uint32_t y_next"
            vectors += ", uint32_t together, uint32_t skip"
            place = "x + i + i / together * skip, y + j"
            update = f"@spread({place}, {{entry}}, batch, x_next, y_next);"
        else:
            update = f"y[j] += {'a' if by_row else factor} * {{entry}};"
        seek = _CODES_ROW if form == "codes" else _DENSE_ROW.format(type=weight)
        row = seek if batch else "\n".join([loaded, _SKIP_ZEROS, seek])
        return (_ROWS if by_row else _NON_ZEROS).format(
            comment=_COMMENTS[form],
            name=name,
            vectors=vectors,
            tables=_TABLES[form].format(type=weight),
            row=row,
            bits="bits" if form == "sparse_codes" else "0",
            update=update.format(entry=_ENTRY[form]),
        )


def arguments(storage: Storage, values: str, stream: str) -> str:
    """Return the arguments that name a form's tables, after those of the vectors."""
    n_in, n_out = storage.shape
    gaps = f"{storage.count}, {storage.gaps.k}, {storage.gaps.growth}"
    return {
        "dense": f"{n_in}, {n_out}, {values}",
        "codes": f"{n_in}, {n_out}, {values}, {stream}, {storage.bits}",
        "sparse": f"{n_out}, {values}, {stream}, {gaps}",
        "sparse_codes": f"{n_out}, {values}, {stream}, {storage.bits}, {gaps}",
    }[storage.form]
