"""The objective F, its terms and its subgradient."""
