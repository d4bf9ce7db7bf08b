/* Boxes and scores -> the few that count: thresholds, order, suppression by class.
 *
 * Reference: `decode_boxes` in kernels/reference/boxes.py.
 * Error bound: none, equal in every result: order is that of whole-number keys, overlap is computed in float64 without
 *   fused multiply-add, and greedy choice takes the largest key left.
 * Launch: `boxes_select` 256 threads for 1,024 scores; then `boxes_suppress` one block of 256 threads.
 * Traffic: scores and boxes once. Not measured on a device; the second kernel's time grows with results kept times
 *   candidates / 256.
 */
#include "device.cuh"

enum { BOX_THREADS = 256, SCORES_PER_BLOCK = 1024, JOINED = 16 };

__device__ __forceinline__ bool finite(float value) { return fabsf(value) <= FLT_MAX; }

/* keys: [blocks][SCORES_PER_BLOCK], candidates first; counts: [blocks], -1 where a number is not finite. */
KERNEL(BOX_THREADS)
boxes_select(const float *boxes, const float *scores, const float *thresholds, int box_count, int classes, uint64 *keys,
             int *counts)
{
    __shared__ int found, bad;
    const int thread = threadIdx.x, first = blockIdx.x * SCORES_PER_BLOCK;
    if (thread == 0) found = bad = 0;
    __syncthreads();
    for (int i = first + thread; i < first + SCORES_PER_BLOCK && i < box_count * classes; i += BOX_THREADS) {
        const float score = scores[i];
        if (!finite(score)) bad = 1;
        if (!(score >= thresholds[i % classes])) continue;
        keys[first + atomicAdd(&found, 1)] =
            static_cast<uint64>(ordered(score)) << 32 | (0xFFFFFFFFu - static_cast<uint32>(i));
    }
    for (int i = blockIdx.x * BOX_THREADS + thread; i < 4 * box_count; i += gridDim.x * BOX_THREADS)
        if (!finite(boxes[i])) bad = 1;
    __syncthreads();
    if (thread == 0) counts[blockIdx.x] = bad ? -1 : found;
}

__device__ __forceinline__ double extent(double low, double high) { return high > low ? high - low : 0.0; }

__device__ __forceinline__ bool overlap(const float *a, const float *b, double iou)
{
    const double left = fmax(a[0], b[0]), top = fmax(a[1], b[1]), right = fmin(a[2], b[2]), bottom = fmin(a[3], b[3]);
    const double both = __dmul_rn(extent(left, right), extent(top, bottom));
    const double area_a = __dmul_rn(extent(a[0], a[2]), extent(a[1], a[3]));
    const double area_b = __dmul_rn(extent(b[0], b[2]), extent(b[1], b[3]));
    return both > __dmul_rn(iou, area_a + area_b - both);
}

/* keys, counts: of boxes_select; alive: scratch [box_count * classes]; index, kind, score: [most], strongest first;
 * count: results, -1 when an input is not finite. */
KERNEL(BOX_THREADS)
boxes_suppress(const float *boxes, const float *scores, int classes, const uint64 *keys, const int *counts, int blocks,
               uint64 *alive, double iou, int most, int *index, int *kind, float *score, int *count)
{
    __shared__ uint64 best[BOX_THREADS], joined[JOINED];
    __shared__ int total, bad;
    const int thread = threadIdx.x;
    if (thread == 0) total = bad = 0;
    __syncthreads();
    for (int block = thread; block < blocks; block += BOX_THREADS) {
        if (counts[block] < 0) bad = 1;
        const int to = counts[block] > 0 ? atomicAdd(&total, counts[block]) : 0;
        for (int i = 0; i < counts[block]; i++) alive[to + i] = keys[block * SCORES_PER_BLOCK + i];
    }
    __syncthreads();
    const int candidates = bad ? 0 : total;
    int kept = 0;
    uint64 last = 0;
    for (; kept < most; kept++) {
        const uint32 last_place = 0xFFFFFFFFu - static_cast<uint32>(last);
        uint64 mine = 0;
        for (int i = thread; i < candidates; i += BOX_THREADS) {
            const uint64 key = alive[i];
            const uint32 place = 0xFFFFFFFFu - static_cast<uint32>(key);
            if (key && last && (key == last || (iou < 1.0 && place % classes == last_place % classes &&
                overlap(boxes + 4 * (last_place / classes), boxes + 4 * (place / classes), iou))))
                alive[i] = 0;
            else if (key > mine)
                mine = key;
        }
        best[thread] = mine;
        __syncthreads();
        if (thread < JOINED) {
            for (int i = thread; i < BOX_THREADS; i += JOINED) mine = best[i] > mine ? best[i] : mine;
            joined[thread] = mine;
        }
        __syncthreads();
        last = joined[0];
        for (int i = 1; i < JOINED; i++) last = joined[i] > last ? joined[i] : last;
        if (!last) break;
        if (thread == 0) {
            const uint32 place = 0xFFFFFFFFu - static_cast<uint32>(last);
            index[kept] = static_cast<int>(place / classes);
            kind[kept] = static_cast<int>(place % classes);
            score[kept] = scores[place];
        }
    }
    if (thread == 0) *count = bad ? -1 : kept;
}
