"""Run the kernels on CUDA devices."""
