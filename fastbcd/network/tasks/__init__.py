"""Meaning of the outputs of a network: one of k classes, several labels, or numbers."""

from fastbcd.network.tasks.classes import Classification as Classification
from fastbcd.network.tasks.labels import MultilabelClassification as MultilabelClassification
from fastbcd.network.tasks.numbers import Regression as Regression
from fastbcd.network.tasks.protocol import Task as Task

__all__ = ["Classification", "MultilabelClassification", "Regression", "Task"]
