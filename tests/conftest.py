"""Settings that every test shares."""

from __future__ import annotations

from hypothesis import settings

# The same examples in every run, and no failure because a kernel was compiled during one.
settings.register_profile("fastbcd", derandomize=True, deadline=None, database=None)
settings.load_profile("fastbcd")
