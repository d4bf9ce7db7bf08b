"""Give the numeric kernels of the hot path: a numpy specification and fused versions beside it."""
