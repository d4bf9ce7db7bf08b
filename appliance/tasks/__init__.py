"""Turn raw tensors into findings, one file per task."""
