"""The experiments of the paper behind the full solver (arXiv 2303.06815), side by side."""
