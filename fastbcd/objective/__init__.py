"""The objective F, its terms and its subgradient."""

from fastbcd.objective.terms import Terms as Terms

__all__ = ["Terms"]
