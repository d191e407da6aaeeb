"""Models in and out of Python: importing, exporting, saving. It sees networks, never estimators."""
