/* What every kernel includes: CUDA as it is, or the host's emulation of it (host/emulation.h).
 *
 * Kernels keep to blocks, barriers and shared memory; no warp intrinsics, so that the emulation runs what the device
 * runs. Reductions are by 64-bit keys whose order does not depend on the order of threads.
 */
#pragma once

#ifdef __CUDACC__
#include <cfloat>
#include <cmath>
/* As large as the launch says. */
extern __shared__ __align__(16) unsigned char dynamic_shared[];
#else
#include "host/emulation.h"
#endif

typedef unsigned char uint8;
typedef unsigned int uint32;
typedef unsigned long long uint64;

#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)

__device__ __forceinline__ int smaller(int a, int b) { return a < b ? a : b; }
__device__ __forceinline__ int larger(int a, int b) { return a > b ? a : b; }

/* Order floats as unsigned numbers, nan above everything: what is no number must not be lost in a reduction. */
__device__ __forceinline__ uint32 ordered(float value)
{
    if (value != value) return 0xFFFFFFFFu;
    union { float f; uint32 u; } bits;
    bits.f = value + 0.0f; /* -0 and 0 are one value */
    return bits.u & 0x80000000u ? ~bits.u : bits.u | 0x80000000u;
}
