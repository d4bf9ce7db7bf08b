/* Copy memory: what the card itself can do, beside which the bench sets the other kernels.
 *
 * Reference: the bytes. Error bound: none.
 * Launch: 256 threads of 16 bytes each.
 */
#include "device.cuh"

enum { COPY_THREADS = 256 };

KERNEL(COPY_THREADS)
bandwidth_copy(const uint64 *from, uint64 *to, long long pairs)
{
    const long long i = static_cast<long long>(blockIdx.x) * COPY_THREADS + threadIdx.x;
    if (i >= pairs) return;
    const uint64 first = from[2 * i], second = from[2 * i + 1];
    to[2 * i] = first;
    to[2 * i + 1] = second;
}
