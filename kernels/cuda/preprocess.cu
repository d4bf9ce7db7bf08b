/* Raw frame -> input image in one pass: region, colour, area-exact resize, and bytes or normalised planes.
 *
 * Reference: `preprocess` and `normalised` in kernels/reference/image.py.
 * Error bound: bytes are the exact average rounded once, so they differ from the float64 reference only where that errs
 *   at a half, by 1 grey level; planes by 1e-4 grey levels times the scale.
 * Launch: 128 threads; one block for each tile_rows x tile_cols results, columns along x; dynamic shared memory as in
 *   area.cuh. Nothing is written to device memory but the result.
 * Traffic: the region once, rows and columns at the edges of blocks twice, and the result. Not measured on a device.
 */
#include "area.cuh"

#define PREPROCESS(name, kind) \
    KERNEL(AREA_THREADS) \
    name(const uint8 *pixels, long long row_bytes, int frame_rows, int frame_cols, int x, int y, int points_rows, \
         int points_cols, int out_rows, int out_cols, int tile_rows, int tile_cols, uint8 *bytes, float *planes, \
         float mean_red, float mean_green, float mean_blue, float scale_red, float scale_green, float scale_blue) \
    { \
        const frame in = {pixels, row_bytes, frame_rows, frame_cols, x, y}; \
        const area shape = {points_rows, points_cols, out_rows, out_cols, tile_rows, tile_cols}; \
        const result out = {bytes, planes, {mean_red, mean_green, mean_blue}, {scale_red, scale_green, scale_blue}}; \
        average(kind(in, points_cols), shape, out); \
    }

PREPROCESS(preprocess_bayer, bayer_quads)
PREPROCESS(preprocess_bayer_full, bayer_pixels)
PREPROCESS(preprocess_mono, mono)
PREPROCESS(preprocess_rgb, rgb)
