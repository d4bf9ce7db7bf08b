/* Anomaly map: bilinear enlargement, Gaussian blur and the maximum with its place, in one pass.
 *
 * Definition: kernels/reference/anomaly_map.py. Error bound: 2e-6 of the largest absolute value of the map. Both steps
 * are linear and separable, so that each axis is one banded matrix (`map_axis`), made once; a result costs a few
 * multiplications however wide the blur is. One thread, no allocation.
 */
#include <math.h>
#include <stdint.h>

#include "multiversion.h"

enum { LANES = 16 };

/* Larger cells are taken as not finite: no sum of them can overflow. */
#define LARGEST 1e37f

typedef struct {
    int32_t source;        /* cells of the map along this axis */
    int32_t length;        /* results along this axis */
    int32_t band;          /* weights of each result */
    const int32_t *first;  /* [length] first cell of each result */
    const float *weight;   /* [length][band] */
} map_axis;

static int all_sane(const float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!(fabsf(values[i]) <= LARGEST)) return 0;
    return 1;
}

static void widen(const map_axis *axis, const float *restrict row, float *restrict wide)
{
    const float *weight = axis->weight;
    for (int32_t x = 0; x < axis->length; x++, weight += axis->band) {
        const float *cell = row + axis->first[x];
        float sum = 0.0f;
        for (int32_t k = 0; k < axis->band; k++) sum += weight[k] * cell[k];
        wide[x] = sum;
    }
}

/* out[x] = sum over k of weight[k] * wide[k][x]; gives the largest. */
MULTIVERSION
static float join(const float *restrict wide, const float *restrict weight, int32_t band, int32_t length,
                  float *restrict out)
{
    for (int32_t x = 0; x < length; x++) out[x] = weight[0] * wide[x];
    for (int32_t k = 1; k < band; k++)
        for (int32_t x = 0; x < length; x++) out[x] += weight[k] * wide[(int64_t)k * length + x];
    float best[LANES];
    for (int32_t i = 0; i < LANES; i++) best[i] = out[0];
    int32_t x = 0;
    for (; x + LANES <= length; x += LANES)
        for (int32_t i = 0; i < LANES; i++) best[i] = out[x + i] > best[i] ? out[x + i] : best[i];
    for (; x < length; x++) best[0] = out[x] > best[0] ? out[x] : best[0];
    for (int32_t i = 1; i < LANES; i++) best[0] = best[i] > best[0] ? best[i] : best[0];
    return best[0];
}

/* Give the place (row * cols + col) of the first maximum, or -1 and a map of nan when a cell is not sane.
 * map: [rows.source][cols.source]; out: [rows.length][cols.length]; wide: scratch [rows.source][cols.length]. */
int64_t firstshift_finish_map(const map_axis *rows, const map_axis *cols, const float *map, float *wide, float *out)
{
    const int32_t length = cols->length;
    if (!all_sane(map, (int64_t)rows->source * cols->source)) {
        for (int64_t i = 0; i < (int64_t)rows->length * length; i++) out[i] = NAN;
        return -1;
    }
    for (int32_t y = 0; y < rows->source; y++) widen(cols, map + (int64_t)y * cols->source, wide + (int64_t)y * length);
    float highest = -INFINITY;
    int64_t row = 0;
    for (int32_t y = 0; y < rows->length; y++) {
        const float best = join(wide + (int64_t)rows->first[y] * length, rows->weight + (int64_t)y * rows->band,
                                rows->band, length, out + (int64_t)y * length);
        if (best > highest) {
            highest = best;
            row = y;
        }
    }
    int64_t place = row * length;
    while (out[place] != highest) place++;
    return place;
}

/* Layout check for the Python side. */
int32_t firstshift_map_axis_bytes(void) { return (int32_t)sizeof(map_axis); }
