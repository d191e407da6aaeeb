"""Layers for images and signals: what ``hidden_layer_sizes`` may hold besides integers."""

from fastbcd.network.layers.specs import AveragePool2D as AveragePool2D
from fastbcd.network.layers.specs import Conv2D as Conv2D
from fastbcd.network.layers.specs import MaxPool2D as MaxPool2D

__all__ = ["AveragePool2D", "Conv2D", "MaxPool2D"]
