"""Training: one loop, what is model-specific in tasks, everything else a small function."""
