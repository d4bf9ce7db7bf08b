/* Map of distances -> picture of the input's size: enlarged, blurred, with its maximum.
 *
 * Reference: `finish_map` in kernels/reference/anomaly_map.py.
 * Error bound: 2e-6 of the largest absolute value of the map; the maximum is the picture's own, first row and column of
 *   it. One cell that is not finite, or over 1e37, makes everything nan and the place -1.
 * Launch: `anomaly_map` 256 threads for tile_rows x 32 results, images along z, dynamic shared memory 32 floats for
 *   each row of the map under a tile; then `anomaly_peak` 256 threads for each image.
 * Traffic: map a few times out of the cache, picture once. Not measured on a device.
 */
#include "device.cuh"

enum { MAP_THREADS = 256, MAP_COLS = 32, MAP_ROWS = MAP_THREADS / MAP_COLS };

/* Bring the largest key of the block to all its threads; keys: [MAP_THREADS]. */
__device__ __forceinline__ uint64 largest_key(uint64 mine, uint64 *keys)
{
    keys[threadIdx.x] = mine;
    for (int half = MAP_THREADS / 2; half; half /= 2) {
        __syncthreads();
        if (static_cast<int>(threadIdx.x) < half && keys[threadIdx.x + half] > keys[threadIdx.x])
            keys[threadIdx.x] = keys[threadIdx.x + half];
    }
    __syncthreads();
    return keys[0];
}

/* Each axis is one banded matrix: result i is the sum over k of weight[i * band + k] * cell[first[i] + k].
 * map: (images, map_rows, map_cols); out: (images, rows, cols); peaks: one key for each block. */
KERNEL(MAP_THREADS)
anomaly_map(const float *map, int map_rows, int map_cols, const int *row_first, const float *row_weight, int row_band,
            const int *col_first, const float *col_weight, int col_band, int rows, int cols, int tile_rows, float *out,
            uint64 *peaks)
{
    __shared__ uint64 keys[MAP_THREADS];
    float *const wide = reinterpret_cast<float *>(dynamic_shared);
    const int lane = threadIdx.x % MAP_COLS, line = threadIdx.x / MAP_COLS;
    const int col = blockIdx.x * MAP_COLS + lane, first = blockIdx.y * tile_rows;
    const int end = smaller(first + tile_rows, rows);
    const int above = row_first[first], below = row_first[end - 1] + row_band;
    map += static_cast<long long>(blockIdx.z) * map_rows * map_cols;
    out += static_cast<long long>(blockIdx.z) * rows * cols;

    for (int row = above + line; row < below && col < cols; row += MAP_ROWS) {
        const float *const cell = map + row * map_cols + col_first[col];
        float sum = 0.0f;
        for (int k = 0; k < col_band; k++) sum += col_weight[col * col_band + k] * cell[k];
        wide[(row - above) * MAP_COLS + lane] = sum;
    }
    __syncthreads();
    uint64 best = 0;
    for (int row = first + line; row < end && col < cols; row += MAP_ROWS) {
        const float *const cell = wide + (row_first[row] - above) * MAP_COLS + lane;
        float sum = 0.0f;
        for (int k = 0; k < row_band; k++) sum += row_weight[row * row_band + k] * cell[k * MAP_COLS];
        const uint32 place = static_cast<uint32>(row * cols + col);
        const uint64 key = static_cast<uint64>(ordered(sum)) << 32 | (0xFFFFFFFFu - place);
        out[place] = sum;
        best = key > best ? key : best;
    }
    best = largest_key(best, keys);
    const long long block = (static_cast<long long>(blockIdx.z) * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    if (threadIdx.x == 0) peaks[block] = best;
}

/* Join the blocks' peaks and look at every cell; value: (images,), place: (images,) row * cols + col. */
KERNEL(MAP_THREADS)
anomaly_peak(const float *map, int map_cells, float *out, int cells, const uint64 *peaks, int blocks, float *value,
             int *place)
{
    __shared__ uint64 keys[MAP_THREADS];
    const int image = blockIdx.x, thread = threadIdx.x;
    map += static_cast<long long>(image) * map_cells;
    out += static_cast<long long>(image) * cells;
    peaks += static_cast<long long>(image) * blocks;

    uint64 best = 0, bad = 0;
    for (int i = thread; i < blocks; i += MAP_THREADS) best = peaks[i] > best ? peaks[i] : best;
    for (int i = thread; i < map_cells; i += MAP_THREADS) bad |= !(fabsf(map[i]) <= 1e37f);
    bad = largest_key(bad, keys);
    __syncthreads();
    best = largest_key(best, keys);
    if (bad) {
        for (int i = thread; i < cells; i += MAP_THREADS) out[i] = NAN;
    }
    if (thread == 0) {
        const int peak = static_cast<int>(0xFFFFFFFFu - static_cast<uint32>(best));
        place[image] = bad ? -1 : peak;
        value[image] = bad ? NAN : out[peak];
    }
}
