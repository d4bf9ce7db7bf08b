/* Vertical pass of the area average. */
#ifndef FIRSTSHIFT_ROWS_H
#define FIRSTSHIFT_ROWS_H

#include <stdint.h>

/* whole[i] = sum over k of weight[k] * row k; rows are `step` bytes apart. The first and the last row have any weight,
 * those between are covered whole and weigh 2^bits; up to 4 of them are summed in the same pass.
 * narrow: scratch [length]; whole: [length]. */
void firstshift_sum_rows(uint16_t *restrict narrow, int32_t *restrict whole, const uint8_t *restrict source,
                         int64_t step, int32_t rows, const float *restrict weight, int32_t bits, int32_t length);

#endif
