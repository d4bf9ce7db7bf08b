/* Coefficients and prototypes -> the mask of each kept box, inside the box.
 *
 * Reference: `decode_mask` in kernels/reference/masks.py.
 * Error bound: a cell may differ only where the exact sum is smaller than K / 2^23 times the sum of the absolute
 *   products. A box or a sum inside it that is not finite gives an empty mask and area -1.
 * Launch: 256 threads for each result, dynamic shared memory K floats.
 * Traffic: prototypes inside each box, each mask once. Not measured on a device.
 */
#include "device.cuh"

enum { MASK_THREADS = 256 };

/* First cell whose centre is at `edge` or beyond, within [0, limit]. */
__device__ __forceinline__ int first_cell(double edge, int limit)
{
    const double cell = ceil(edge - 0.5);
    return cell <= 0.0 ? 0 : cell >= limit ? limit : static_cast<int>(cell);
}

/* boxes: (boxes, 4) x1 y1 x2 y2 float32, times scale in prototype cells; index, count: of boxes_suppress;
 * coefficients: (boxes, count_k); prototypes: (count_k, rows, cols); masks: (results, rows, cols); areas: (results,), 0
 * and the mask left as it was beyond `count`. */
KERNEL(MASK_THREADS)
masks_decode(const float *coefficients, const float *prototypes, const float *boxes, const int *index, const int *count,
             int count_k, int rows, int cols, double scale_x, double scale_y, uint8 *masks, int *areas)
{
    __shared__ int area, bad;
    float *const weight = reinterpret_cast<float *>(dynamic_shared);
    const int thread = threadIdx.x, number = blockIdx.x, cells = rows * cols;
    const bool used = number < *count;
    const int box = used ? index[number] : 0;
    if (thread == 0) {
        area = bad = 0;
        areas[number] = 0;
    }
    __syncthreads();
    if (!used) return;

    coefficients += static_cast<long long>(box) * count_k;
    for (int k = thread; k < count_k; k += MASK_THREADS) weight[k] = coefficients[k];
    const float *const edge = boxes + 4LL * box;
    for (int i = 0; i < 4; i++)
        if (!(fabsf(edge[i]) <= FLT_MAX) && thread == 0) bad = 1;
    __syncthreads();
    const bool box_is_bad = bad;
    const int left = first_cell(edge[0] * scale_x, cols), right = first_cell(edge[2] * scale_x, cols);
    const int top = first_cell(edge[1] * scale_y, rows), bottom = first_cell(edge[3] * scale_y, rows);
    uint8 *const mask = masks + static_cast<long long>(number) * cells;
    int own = 0;
    __syncthreads();
    for (int cell = thread; cell < cells; cell += MASK_THREADS) {
        const int row = cell / cols, col = cell % cols;
        uint8 inside = 0;
        if (!box_is_bad && row >= top && row < bottom && col >= left && col < right) {
            float sum = 0.0f;
            for (int k = 0; k < count_k; k++) sum += weight[k] * prototypes[static_cast<long long>(k) * cells + cell];
            if (!(fabsf(sum) <= FLT_MAX)) bad = 1;
            inside = sum > 0.0f;
        }
        mask[cell] = inside;
        own += inside;
    }
    if (own) atomicAdd(&area, own);
    __syncthreads();
    if (bad)
        for (int cell = thread; cell < cells; cell += MASK_THREADS) mask[cell] = 0;
    if (thread == 0) areas[number] = bad ? -1 : area;
}
