"""What an export says of networks that it cannot express."""

from __future__ import annotations

from fastbcd.network.network import Network


def refuse_images(network: Network, target: str, fix: str = "Save the network with save()") -> None:
    """Raise ValueError, ending in ``fix``, if a layer sees patches of images or pools them."""
    for index, layer in enumerate(network.layers):
        if layer.sees_images:
            raise ValueError(
                f"{target} cannot express layer {index}, which is a convolution or pools images. "
                f"{fix}, or train one of dense layers."
            )


def refuse_encoding(network: Network, target: str, mend: str) -> None:
    """Raise ValueError, ending in ``mend``, if the network reads columns through an encoding."""
    if network.encoding is not None:
        raise ValueError(
            f"{target} cannot express the encoding through which the network reads its columns. "
            f"{mend}, or train with encoding=None."
        )
