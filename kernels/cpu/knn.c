/* Distance of each feature to the nearest vector of a memory bank.
 *
 * Definition: nearest in kernels/reference/neighbours.py. Error bound: the square of a distance is too large by at most
 * 4 * channels / 2^24 * (|feature| + |vector|)^2, the largest vector taken: |b|^2 - 2 f.b finds the neighbour, and its
 * distance is then taken from the differences. One thread, no allocation.
 *
 * The bank lies in panels of 16 vectors, [panels][channels][16]; a panel stays in the first cache while a group of
 * features passes, and 6 features at a time keep their 96 sums in registers.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "multiversion.h"

enum { LANES = 16, ROWS = 6, GROUP = 48 };

typedef float lanes __attribute__((vector_size(64)));

/* The best of each lane so far. */
typedef struct {
    float score[GROUP][LANES];
    int32_t panel[GROUP][LANES];
} leaders;

/* Compare `rows` features, at most ROWS, with one panel. */
MULTIVERSION
static void approach(const float *features, int32_t rows, int32_t channels, const float *restrict panel,
                     const float *restrict squares, int32_t number, leaders *restrict led, int32_t place)
{
    const float *a = features, *b = features + (rows > 1) * (int64_t)channels;
    const float *c = features + (rows > 2 ? 2 : 0) * (int64_t)channels;
    const float *d = features + (rows > 3 ? 3 : 0) * (int64_t)channels;
    const float *e = features + (rows > 4 ? 4 : 0) * (int64_t)channels;
    const float *f = features + (rows > 5 ? 5 : 0) * (int64_t)channels;
    lanes sums[ROWS] = {{0}};
    for (int32_t k = 0; k < channels; k++) {
        lanes vectors;
        memcpy(&vectors, panel + (int64_t)k * LANES, sizeof vectors);
        sums[0] += a[k] * vectors;
        sums[1] += b[k] * vectors;
        sums[2] += c[k] * vectors;
        sums[3] += d[k] * vectors;
        sums[4] += e[k] * vectors;
        sums[5] += f[k] * vectors;
    }
    for (int32_t r = 0; r < rows; r++) {
        float product[LANES], *score = led->score[place + r];
        int32_t *best = led->panel[place + r];
        memcpy(product, sums + r, sizeof product);
        for (int32_t i = 0; i < LANES; i++) {
            const float found = squares[i] - 2.0f * product[i];
            const int nearer = found < score[i];
            score[i] = nearer ? found : score[i];
            best[i] = nearer ? number : best[i];
        }
    }
}

/* Distance to vector `lane` of a panel, from the differences. */
static float distance(const float *restrict feature, const float *restrict panel, int32_t lane, int32_t channels)
{
    float sums[4] = {0};
    for (int32_t k = 0; k < channels; k++) {
        const float difference = feature[k] - panel[(int64_t)k * LANES + lane];
        sums[k & 3] += difference * difference;
    }
    const float squared = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    return isfinite(squared) ? sqrtf(squared) : NAN;
}

/* features: [count][channels]; bank: [panels][channels][16]; squares: [panels][16], infinite where a lane is unused;
 * distances: [count], nan for a feature that is not finite. */
void firstshift_nearest(const float *features, int64_t count, int32_t channels, const float *bank,
                        const float *squares, int32_t panels, float *distances)
{
    leaders led;
    const int64_t panel_floats = (int64_t)channels * LANES;
    for (int64_t start = 0; start < count; start += GROUP) {
        const int32_t size = (int32_t)(count - start < GROUP ? count - start : GROUP);
        for (int32_t i = 0; i < size * LANES; i++) {
            led.score[i / LANES][i % LANES] = INFINITY;
            led.panel[i / LANES][i % LANES] = 0;
        }
        for (int32_t p = 0; p < panels; p++)
            for (int32_t i = 0; i < size; i += ROWS)
                approach(features + (start + i) * channels, size - i < ROWS ? size - i : ROWS, channels,
                         bank + p * panel_floats, squares + (int64_t)p * LANES, p, &led, i);
        for (int32_t i = 0; i < size; i++) {
            int32_t lane = 0;
            for (int32_t j = 1; j < LANES; j++) lane = led.score[i][j] < led.score[i][lane] ? j : lane;
            const float *panel = bank + led.panel[i][lane] * panel_floats;
            const int found = led.score[i][lane] < INFINITY;
            distances[start + i] = found ? distance(features + (start + i) * channels, panel, lane, channels) : NAN;
        }
    }
}
