#include "rows.h"

#include "multiversion.h"

enum { WHOLE_ROWS = 256 }; /* 257 rows of 255 fill 16 bits */

/* Sum `rows` whole rows, a multiple of 4 and at most WHOLE_ROWS, without weights. */
MULTIVERSION
static void sum_whole_rows(uint16_t *restrict narrow, const uint8_t *restrict source, int64_t step, int32_t rows,
                           int32_t length)
{
    for (int32_t i = 0; i < length; i++) narrow[i] = 0;
    for (int32_t k = 0; k < rows; k += 4) {
        const uint8_t *a = source + k * step, *b = a + step, *c = b + step, *d = c + step;
        for (int32_t i = 0; i < length; i++) narrow[i] = (uint16_t)(narrow[i] + a[i] + b[i] + c[i] + d[i]);
    }
}

MULTIVERSION
static void add_shifted(int32_t *restrict whole, const uint16_t *restrict narrow, int32_t bits, int32_t length)
{
    for (int32_t i = 0; i < length; i++) whole[i] += narrow[i] << bits;
}

MULTIVERSION
void firstshift_sum_rows(uint16_t *restrict narrow, int32_t *restrict whole, const uint8_t *restrict source,
                         int64_t step, int32_t rows, const float *restrict weight, int32_t bits, int32_t length)
{
    const uint8_t *first = source, *last = source + (rows - 1) * step;
    const float wa = weight[0], wz = rows > 1 ? weight[rows - 1] : 0.0f;
    const int32_t between = rows - 2, now = between > 0 && between % 4 == 0 ? 4 : between > 0 ? between % 4 : 0;
    const uint8_t *a = source + step, *b = a + step, *c = b + step, *d = c + step;
    switch (now) {
    case 1:
        for (int32_t i = 0; i < length; i++) whole[i] = (a[i] << bits) + (int32_t)(wa * first[i] + wz * last[i]);
        break;
    case 2:
        for (int32_t i = 0; i < length; i++)
            whole[i] = ((uint16_t)(a[i] + b[i]) << bits) + (int32_t)(wa * first[i] + wz * last[i]);
        break;
    case 3:
        for (int32_t i = 0; i < length; i++)
            whole[i] = ((uint16_t)(a[i] + b[i] + c[i]) << bits) + (int32_t)(wa * first[i] + wz * last[i]);
        break;
    case 4:
        for (int32_t i = 0; i < length; i++)
            whole[i] = ((uint16_t)(a[i] + b[i] + c[i] + d[i]) << bits) + (int32_t)(wa * first[i] + wz * last[i]);
        break;
    default:
        for (int32_t i = 0; i < length; i++) whole[i] = (int32_t)(wa * first[i] + wz * last[i]);
    }
    for (int32_t done = now; done < between;) { /* what is left is a multiple of 4 */
        const int32_t more = between - done < WHOLE_ROWS ? between - done : WHOLE_ROWS;
        sum_whole_rows(narrow, source + (1 + done) * step, step, more, length);
        add_shifted(whole, narrow, bits, length);
        done += more;
    }
}
