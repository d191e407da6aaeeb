"""Losses: value, gradient and the closed-form step of the outputs."""
