"""The size of layers for which NumPy replaces some kernels.

The first call of a kernel on a machine compiles it, which takes between 0.2 and 2 seconds. For a
layer of few weights NumPy and LAPACK are nearly as fast as the kernels: what they lose in the whole
of a ``compress`` is a small part of what the compilation takes. The kernels gain more with every
further weight.
"""

SMALL = 1 << 12
"""Maximum number of weights of a small layer, or of entries of a small batch. A number of the
machine: both ways compute the same, to rounding."""


def is_small(n_entries: int) -> bool:
    """Return whether NumPy is fast enough for a layer or a batch of this many entries.

    The answer depends on nothing else: if it depended on what is compiled already, so would the
    last digits of a result.
    """
    return n_entries <= SMALL
