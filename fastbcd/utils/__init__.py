"""Checks of parameters and rows, files, progress and warm-up. Nothing here knows a network."""
