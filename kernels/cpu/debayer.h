/* One row of full-resolution colour out of a BayerRG8 frame, in sixteenths of a grey level.
 *
 * Definition: debayer in kernels/reference/image.py (before division by 16). Exact. Neighbours outside the region are
 * those of the frame; at the frame's own edge it is mirrored, the edge pixel once, so that colours keep their places.
 */
#ifndef FIRSTSHIFT_DEBAYER_H
#define FIRSTSHIFT_DEBAYER_H

#include <stdint.h>

enum { DEBAYER_HALO = 2, DEBAYER_ONE = 16 };

typedef struct {
    const uint8_t *first;  /* pixel (0, 0) of the frame */
    int64_t row_bytes;     /* distance of two rows; may be negative */
    int32_t rows, cols;    /* of the frame */
} mosaic;

typedef struct {
    const int16_t *odd;    /* [width + 1] 0, -1, 0, -1, ... */
    int16_t *sums;         /* scratch [3][width + 2 * DEBAYER_HALO] */
    int16_t *planes;       /* result [3][width], red, green, blue, each 0 to 255 * DEBAYER_ONE */
} debayer_memory;

/* x, y, width: the part of a row. */
void firstshift_debayer_row(const mosaic *frame, int32_t x, int32_t y, int32_t width, const debayer_memory *memory);

#endif
