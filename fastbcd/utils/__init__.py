"""Parameter and row checks, files, progress and warm-up; independent of networks."""
