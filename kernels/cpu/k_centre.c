/* Greedy farthest-point choice (k-centre), one thread.
 *
 * Definition: kernels/reference/neighbours.py. Error bound: float32 sums of squared differences; the same choice unless
 * two candidates are equally far to 7 digits. One thread on purpose: a threaded matrix product per step spins on cores
 * that other processes hold and takes 10 times longer on a busy machine.
 */
#include <math.h>
#include <stdint.h>

#include "multiversion.h"

enum { BLOCK = 512 };

/* Lower nearest[] to the squared distance from centre where that is smaller, and give the place of its maximum. */
MULTIVERSION
static int64_t approach(const float *restrict points, int64_t count, int32_t channels, int64_t centre,
                        float *restrict nearest)
{
    float highest = -1.0f;
    int64_t farthest = 0;
    for (int64_t start = 0; start < count; start += BLOCK) {
        const int32_t length = (int32_t)(count - start < BLOCK ? count - start : BLOCK);
        float distance[BLOCK] = {0};
        for (int32_t c = 0; c < channels; c++) {
            const float *restrict row = points + c * count + start;
            const float middle = points[c * count + centre];
            for (int32_t i = 0; i < length; i++) distance[i] += (row[i] - middle) * (row[i] - middle);
        }
        for (int32_t i = 0; i < length; i++)
            nearest[start + i] = distance[i] < nearest[start + i] ? distance[i] : nearest[start + i];
        for (int32_t i = 0; i < length; i++) {
            if (nearest[start + i] > highest) {
                highest = nearest[start + i];
                farthest = start + i;
            }
        }
    }
    return farthest;
}

/* points: [channels][count]; chosen: [wanted], chosen[0] is given; nearest: scratch [count]. */
void firstshift_k_centre(const float *points, int64_t count, int32_t channels, int64_t wanted, float *nearest,
                         int64_t *chosen)
{
    for (int64_t i = 0; i < count; i++) nearest[i] = INFINITY;
    for (int64_t step = 1; step < wanted; step++)
        chosen[step] = approach(points, count, channels, chosen[step - 1], nearest);
}
