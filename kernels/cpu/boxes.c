/* Box decode: scores over their class's threshold, strongest first, greedy non-maximum suppression per class.
 *
 * Definition: kernels/reference/boxes.py. Error bound: none, equal in every result; so build.py compiles this file
 * without contraction into fused multiply-add. One thread, no allocation.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "multiversion.h"

enum { BLOCK = 64 };

/* Bits of a float in an order of unsigned numbers; minus zero counts as zero. */
static inline uint32_t ordered(float value)
{
    uint32_t bits;
    value += 0.0f;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

MULTIVERSION
static int all_finite(const float *values, int64_t count)
{
    uint32_t bad = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

/* Which blocks hold a score that reaches the lowest threshold. */
MULTIVERSION
static void mark_blocks(const float *scores, int64_t blocks, float lowest, uint8_t *marks)
{
    for (int64_t b = 0; b < blocks; b++) {
        uint32_t any = 0;
        for (int32_t i = 0; i < BLOCK; i++) any |= scores[b * BLOCK + i] >= lowest;
        marks[b] = (uint8_t)any;
    }
}

/* Keys grow with the score and, at equal scores, fall with the place (index * classes + kind). */
static int64_t collect(const float *scores, const float *thresholds, int64_t count, int32_t classes, uint8_t *marks,
                       uint64_t *keys)
{
    float lowest = INFINITY;
    for (int32_t c = 0; c < classes; c++) lowest = thresholds[c] < lowest ? thresholds[c] : lowest;
    const int64_t blocks = count / BLOCK;
    mark_blocks(scores, blocks, lowest, marks);
    int64_t found = 0;
    for (int64_t start = 0; start < count; start += BLOCK) {
        if (start / BLOCK < blocks && !marks[start / BLOCK]) continue;
        const int64_t end = start + BLOCK < count ? start + BLOCK : count;
        for (int64_t i = start; i < end; i++)
            if (scores[i] >= lowest && scores[i] >= thresholds[i % classes])
                keys[found++] = (uint64_t)ordered(scores[i]) << 32 | (uint32_t)~(uint32_t)i;
    }
    return found;
}

static void sift(uint64_t *heap, int64_t place, int64_t count)
{
    const uint64_t key = heap[place];
    for (int64_t child; (child = 2 * place + 1) < count; place = child) {
        if (child + 1 < count && heap[child + 1] > heap[child]) child++;
        if (heap[child] <= key) break;
        heap[place] = heap[child];
    }
    heap[place] = key;
}

static inline double over(double value) { return value > 0.0 ? value : 0.0; }

static inline double area(const float *box)
{
    return over((double)box[2] - box[0]) * over((double)box[3] - box[1]);
}

static int overlaps(const float *a, const float *b, double iou)
{
    const double width = over((double)(a[2] < b[2] ? a[2] : b[2]) - (a[0] > b[0] ? a[0] : b[0]));
    const double height = over((double)(a[3] < b[3] ? a[3] : b[3]) - (a[1] > b[1] ? a[1] : b[1]));
    const double shared = width * height;
    return shared > iou * (area(a) + area(b) - shared);
}

/* Give the number of results, at most `most`, or -1 when a score or a coordinate is not finite.
 * boxes: [count][4]; scores: [count][classes]; scratch: keys [count * classes], marks [count * classes / 64];
 * index, kind, score: [most]. */
int32_t firstshift_decode_boxes(const float *boxes, const float *scores, const float *thresholds, int64_t count,
                                int32_t classes, int32_t most, double iou, uint64_t *keys, uint8_t *marks,
                                int32_t *index, int32_t *kind, float *score)
{
    if (!all_finite(scores, count * classes) || !all_finite(boxes, count * 4)) return -1;
    int64_t left = collect(scores, thresholds, count * classes, classes, marks, keys);
    for (int64_t i = left / 2 - 1; i >= 0; i--) sift(keys, i, left);
    int32_t kept = 0;
    while (left > 0 && kept < most) {
        const uint32_t place = ~(uint32_t)keys[0];
        keys[0] = keys[--left];
        if (left > 0) sift(keys, 0, left);
        const int32_t box = (int32_t)(place / (uint32_t)classes), class = (int32_t)(place % (uint32_t)classes);
        int suppressed = 0;
        for (int32_t k = 0; iou < 1.0 && k < kept && !suppressed; k++)
            suppressed = kind[k] == class && overlaps(boxes + 4 * (int64_t)index[k], boxes + 4 * (int64_t)box, iou);
        if (suppressed) continue;
        index[kept] = box;
        kind[kept] = class;
        score[kept++] = scores[place];
    }
    return kept;
}
