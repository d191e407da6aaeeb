"""How much each layer may keep."""
