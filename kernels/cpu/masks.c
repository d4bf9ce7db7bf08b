/* Mask decode: sum over k of coefficient k times prototype k, over zero inside a box.
 *
 * Definition: kernels/reference/masks.py. Error bound: a cell may differ only where the exact sum is smaller than
 * K / 2^23 times the sum of the absolute products. One thread, no allocation; prototypes are read inside the box only.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "multiversion.h"

/* Sum one row of `length` cells; prototypes lie `plane` floats apart. */
MULTIVERSION
static void sum_row(const float *restrict coefficients, const float *restrict prototypes, int32_t count, int64_t plane,
                    int32_t length, float *restrict sums)
{
    int32_t k = 0;
    for (int32_t x = 0; x < length; x++) sums[x] = 0.0f;
    for (; k + 4 <= count; k += 4) {
        const float *a = prototypes + k * plane, *b = a + plane, *c = b + plane, *d = c + plane;
        const float wa = coefficients[k], wb = coefficients[k + 1], wc = coefficients[k + 2], wd = coefficients[k + 3];
        for (int32_t x = 0; x < length; x++) sums[x] += wa * a[x] + wb * b[x] + (wc * c[x] + wd * d[x]);
    }
    for (; k < count; k++)
        for (int32_t x = 0; x < length; x++) sums[x] += coefficients[k] * prototypes[k * plane + x];
}

/* Write the row's cells, count them into *area, and say whether all sums are finite. */
MULTIVERSION
static int write_row(const float *restrict sums, int32_t length, uint8_t *restrict out, int32_t *restrict area)
{
    uint32_t bad = 0;
    int32_t cells = 0;
    for (int32_t x = 0; x < length; x++) {
        uint32_t bits;
        memcpy(&bits, sums + x, sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
        out[x] = sums[x] > 0.0f;
        cells += sums[x] > 0.0f;
    }
    *area += cells;
    return !bad;
}

/* First cell whose centre is at `edge` or beyond, within [0, limit]. */
static int32_t first_cell(double edge, int32_t limit)
{
    const double cell = ceil(edge - 0.5);
    return cell <= 0.0 ? 0 : cell >= limit ? limit : (int32_t)cell;
}

/* Give the area in cells, or -1 (and an empty mask) when the box or a sum inside it is not finite.
 * prototypes: [count][rows][cols]; box: x1 y1 x2 y2 in cells; out: [rows][cols] 1 inside the mask, else 0;
 * sums: scratch [cols]. */
int32_t firstshift_decode_mask(const float *coefficients, const float *prototypes, int32_t count, int32_t rows,
                               int32_t cols, const double *box, float *sums, uint8_t *out)
{
    const int64_t plane = (int64_t)rows * cols;
    memset(out, 0, (size_t)plane);
    if (!isfinite(box[0]) || !isfinite(box[1]) || !isfinite(box[2]) || !isfinite(box[3])) return -1;
    const int32_t left = first_cell(box[0], cols), right = first_cell(box[2], cols);
    const int32_t top = first_cell(box[1], rows), bottom = first_cell(box[3], rows);
    int32_t area = 0;
    for (int32_t y = top; y < bottom && left < right; y++) {
        const int64_t place = (int64_t)y * cols + left;
        sum_row(coefficients, prototypes + place, count, plane, right - left, sums);
        if (!write_row(sums, right - left, out + place, &area)) {
            memset(out, 0, (size_t)plane);
            return -1;
        }
    }
    return area;
}
