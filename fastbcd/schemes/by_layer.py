"""The choice of one scheme per layer."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from fastbcd.schemes.protocol import Scheme
from fastbcd.utils.validation import is_integer

SchemeChoice = Scheme | Mapping[int | str, Scheme | None] | None
"""One scheme for all hidden layers, or one per layer: {index or "output": scheme}."""


def schemes_by_layer(
    choice: SchemeChoice,
    shapes: Sequence[tuple[int, int]],
    images: Sequence[tuple[int, int, int] | None] | None = None,
) -> list[Scheme | None]:
    """Return the scheme of every layer, checked against its shape.

    Parameters
    ----------
    choice : Scheme, mapping or None
        One scheme for all hidden layers, or ``{layer index or "output": scheme}``. Layers count
        from 0 at the input; negative indices count from the output. The output layer stays
        dense unless it is named.
    shapes : sequence of (n_in, n_out)
        Shapes of the weight matrices, the output layer last.
    images : sequence of (h, w, c) or None, optional
        The images that dense layers have as inputs, for :meth:`Scheme.for_image`.

    Raises
    ------
    ValueError, TypeError
        For a key that names no layer, a value that is no scheme, or a scheme that does not
        fit a shape.
    """
    n_layers = len(shapes)
    found: list[Scheme | None] = [None] * n_layers
    if isinstance(choice, Scheme):
        found[: n_layers - 1] = [choice] * (n_layers - 1)
    elif isinstance(choice, Mapping):
        named: set[int] = set()
        for key, scheme in choice.items():
            if key != "output" and not is_integer(key, -sys.maxsize):
                raise TypeError(f'scheme: a key must be a layer index or "output", got {key!r}.')
            index = n_layers - 1 if key == "output" else int(key)
            if not -n_layers <= index < n_layers:
                raise ValueError(
                    f"scheme: there is no layer {key}. The network has {n_layers} layers: 0 to "
                    f'{n_layers - 1}, the last being "output".'
                )
            if scheme is not None and not isinstance(scheme, Scheme):
                raise TypeError(f"scheme[{key!r}] must be a Scheme or None, got {scheme!r}.")
            if index % n_layers in named:
                raise ValueError(f"scheme: key {key!r} names layer {index % n_layers} again.")
            named.add(index % n_layers)
            found[index] = scheme
    elif choice is not None:
        raise TypeError(
            "scheme must be a Scheme such as Prune(sparsity=0.9), a dict of them by layer, "
            f"or None; got {choice!r}{_advice(choice)}."
        )
    for index, (scheme, shape) in enumerate(zip(found, shapes, strict=True)):
        if scheme is not None:
            try:
                scheme.check(shape)
            except ValueError as error:
                raise ValueError(
                    f"scheme does not fit layer {index} of shape {shape[0]} x {shape[1]}: {error}"
                ) from None
            image = None if images is None else images[index]
            found[index] = scheme if image is None else scheme.for_image(shape, image)
    return found


def _advice(choice: object) -> str:
    """Return how to write a list of schemes; nothing for other values."""
    several = isinstance(choice, list | tuple)
    return ". Number the layers: scheme={0: ..., 1: ...}" if several else ""
