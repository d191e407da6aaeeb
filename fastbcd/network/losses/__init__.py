"""Losses: value, gradient and output step; links to probabilities."""
