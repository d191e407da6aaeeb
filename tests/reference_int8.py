"""The slow, obvious twin of the int8 arithmetic that the C header does."""

from __future__ import annotations

import numpy as np


def rescaled(sums, rescaling):
    """sums * factor / 2^shift, halves rounded away from zero."""
    product = sums.astype(np.int64) * rescaling.factor.astype(np.int64)
    magnitude = (np.abs(product) + (1 << (rescaling.shift - 1))) >> rescaling.shift
    return np.sign(product) * magnitude


def inputs(grid, x):
    u = x.astype(np.float32) * np.float32(1 / grid.scale)
    u = u + np.float32(grid.zero - grid.offset / grid.scale)
    u = np.clip(u, -128, 127)
    return np.trunc(u + np.copysign(np.float32(0.5), u)).astype(np.int64)


def product(step, q):
    sums = (q - step.zero) @ step.weight.astype(np.int64)
    assert np.abs(sums).max(initial=0) < 2**31
    return sums


def outputs(network, x, leaky_slope=0.01):
    """Return the outputs that C computes for rows ``x``, as float32."""
    q = inputs(network.input, x)
    for layer in network.layers:
        totals = []
        for steps in layer.parts:
            part = q
            for step in steps[:-1]:
                part = np.clip(
                    rescaled(product(step, part), step.rescaling) + step.output.zero, -128, 127
                )
            sums = product(steps[-1], part)
            totals.append(sums if len(layer.parts) == 1 else rescaled(sums, steps[-1].rescaling))
        sums = np.sum(totals, axis=0) + layer.intercept
        assert np.abs(sums).max(initial=0) < 2**31
        if layer.rescaling is None:
            return sums.astype(np.float32) * layer.unit.astype(np.float32)
        if layer.activation == "leaky_relu":
            smaller = layer.rescaling.factor.astype(np.int64) * round(leaky_slope * 2**31)
            smaller = (smaller + (1 << 30)) >> 31
            factor = np.where(sums < 0, smaller, layer.rescaling.factor)
            sums = rescaled(sums, type(layer.rescaling)(factor, layer.rescaling.shift))
        else:
            sums = rescaled(sums, layer.rescaling)
        q = np.clip(sums + layer.output.zero, layer.low, layer.high)
        if layer.table is not None:
            q = layer.table[q + 128].astype(np.int64)
    raise AssertionError
