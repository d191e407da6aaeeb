"""The former place of the steps of int8 arithmetic; see :mod:`fastbcd.io.export.c.quantise`."""

from fastbcd.io.export.c.quantise import quantise as quantise

__all__ = ["quantise"]
