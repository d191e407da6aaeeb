"""Inputs and neurons that leave a network for good, by their price in loss per weight saved."""

from fastbcd.compression.removal.goal import Goal as Goal
from fastbcd.compression.removal.goal import goal_of as goal_of
from fastbcd.compression.removal.path import Path as Path
from fastbcd.compression.removal.run import run_removal as run_removal

__all__ = ["Goal", "Path", "goal_of", "run_removal"]
