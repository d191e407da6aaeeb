"""The objective F, its parts and its subgradient."""
