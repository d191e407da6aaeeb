"""What an export says of networks that it cannot express."""

from __future__ import annotations

from fastbcd.network.network import Network


def refuse_images(network: Network, target: str, fix: str = "Save the network with save()") -> None:
    """Raise ValueError, ending in ``fix``, if a layer sees patches of images or pools them."""
    for index, layer in enumerate(network.layers):
        if not layer.is_plain:
            raise ValueError(
                f"{target} cannot express layer {index}, which is a convolution or pools images. "
                f"{fix}, or train one of dense layers."
            )
