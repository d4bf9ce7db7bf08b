/* Features -> distance to the nearest vector of a memory bank, and which it is.
 *
 * Reference: `nearest` in kernels/reference/neighbours.py.
 * Error bound: (channels + 4) / 2^24 of the distance, relative: differences are squared and summed in float32, without
 *   the cancellation of the dot-product form. A feature that is not finite, or whose square overflows, gives nan and
 *   -1.
 * Launch: `knn_part` 256 threads for 64 features, parts of the bank along y; then `knn_join` 256 for 256 features.
 * Traffic: features once for each part, the bank once for each 64 features, out of the cache. Not measured on a device.
 */
#include "device.cuh"

enum { KNN_THREADS = 256, SIDE = 64, STEP = 16, EACH = 4, GROUPS = SIDE / EACH, PITCH = SIDE + 4 };

/* Load SIDE rows of STEP channels, transposed; what lies outside is 0. */
__device__ __forceinline__ void load_rows(const float *from, int rows, int channels, int first_row, int first_channel,
                                          float (&to)[STEP][PITCH])
{
    const int line = threadIdx.x / 4, row = first_row + line;
    for (int k = threadIdx.x % 4; k < STEP; k += 4) {
        const int channel = first_channel + k;
        to[k][line] = row < rows && channel < channels ? from[static_cast<long long>(row) * channels + channel] : 0.0f;
    }
}

/* A smaller key is nearer, at one distance the lower place; what is no number comes before all. */
__device__ __forceinline__ uint64 nearness(float squared, int place)
{
    const uint32 distance = squared != squared ? 0u : ordered(squared);
    return static_cast<uint64>(distance) << 32 | static_cast<uint32>(place);
}

/* features: (count, channels); bank: (bank_count, channels); part_rows: a multiple of SIDE; nearest: (parts, count). */
KERNEL(KNN_THREADS)
knn_part(const float *features, int count, const float *bank, int bank_count, int channels, int part_rows,
         uint64 *nearest)
{
    __shared__ float feature[STEP][PITCH], other[STEP][PITCH];
    __shared__ uint64 keys[SIDE][GROUPS];
    const int across = threadIdx.x % GROUPS, down = threadIdx.x / GROUPS;
    const int first = blockIdx.x * SIDE, start = blockIdx.y * part_rows, end = smaller(start + part_rows, bank_count);
    uint64 best[EACH];
    for (int i = 0; i < EACH; i++) best[i] = ~0ull;
    for (int row = start; row < end; row += SIDE) {
        float sum[EACH][EACH] = {};
        for (int channel = 0; channel < channels; channel += STEP) {
            load_rows(features, count, channels, first, channel, feature);
            load_rows(bank, end, channels, row, channel, other);
            __syncthreads();
#pragma unroll
            for (int k = 0; k < STEP; k++)
#pragma unroll
                for (int i = 0; i < EACH; i++)
#pragma unroll
                    for (int j = 0; j < EACH; j++) {
                        const float apart = feature[k][down * EACH + i] - other[k][across * EACH + j];
                        sum[i][j] += apart * apart;
                    }
            __syncthreads();
        }
        for (int j = 0; j < EACH; j++) {
            const int place = row + across * EACH + j;
            for (int i = 0; i < EACH && place < end; i++) {
                const uint64 key = nearness(sum[i][j], place);
                best[i] = key < best[i] ? key : best[i];
            }
        }
    }
    for (int i = 0; i < EACH; i++) keys[down * EACH + i][across] = best[i];
    __syncthreads();
    if (threadIdx.x < SIDE && first + static_cast<int>(threadIdx.x) < count) {
        uint64 least = keys[threadIdx.x][0];
        for (int i = 1; i < GROUPS; i++) least = keys[threadIdx.x][i] < least ? keys[threadIdx.x][i] : least;
        nearest[static_cast<long long>(blockIdx.y) * count + first + threadIdx.x] = least;
    }
}

/* distance: (count,), place: (count,) in the bank. */
KERNEL(KNN_THREADS)
knn_join(const uint64 *nearest, int parts, int count, float *distance, int *place)
{
    const int i = blockIdx.x * KNN_THREADS + threadIdx.x;
    if (i >= count) return;
    uint64 least = nearest[i];
    for (int part = 1; part < parts; part++) {
        const uint64 key = nearest[static_cast<long long>(part) * count + i];
        least = key < least ? key : least;
    }
    union { uint32 u; float f; } bits;
    bits.u = static_cast<uint32>(least >> 32);
    bits.u &= 0x7FFFFFFFu; /* squares are not negative: undo `ordered` */
    const bool number = least >> 32 != 0 && bits.f <= FLT_MAX;
    distance[i] = number ? sqrtf(bits.f) : NAN;
    place[i] = number ? static_cast<int>(static_cast<uint32>(least)) : -1;
}
