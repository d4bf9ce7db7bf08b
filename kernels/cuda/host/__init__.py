"""Run the CUDA sources on the host: the same kernels and launchers, compiled as C++, on guarded memory."""
