/* Raw frame -> batch of overlapping tiles, each like an input image of its own.
 *
 * Reference: `gather_tiles` in kernels/reference/image.py.
 * Error bound: as preprocess.cu; none at native resolution of Mono8 and RGB8.
 * Launch: 128 threads; tile_rows x tile_cols results along y and x, one tile of the batch along z.
 * Traffic: each tile's region once; what tiles share is read again, out of the cache. Not measured on a device.
 */
#include "area.cuh"

/* origins: (tiles, 2) x and y in frame pixels; bytes: (tiles, rows, cols, 3); planes: (tiles, 3, rows, cols). */
#define TILES(name, kind) \
    KERNEL(AREA_THREADS) \
    name(const uint8 *pixels, long long row_bytes, int frame_rows, int frame_cols, const int *origins, \
         int points_rows, int points_cols, int out_rows, int out_cols, int tile_rows, int tile_cols, uint8 *bytes, \
         float *planes, \
         float mean_red, float mean_green, float mean_blue, float scale_red, float scale_green, float scale_blue) \
    { \
        const long long before = static_cast<long long>(blockIdx.z) * out_rows * out_cols * 3; \
        const int *const origin = origins + 2 * blockIdx.z; \
        const frame in = {pixels, row_bytes, frame_rows, frame_cols, origin[0], origin[1]}; \
        const area shape = {points_rows, points_cols, out_rows, out_cols, tile_rows, tile_cols}; \
        const result out = {bytes ? bytes + before : bytes, planes ? planes + before : planes, \
                            {mean_red, mean_green, mean_blue}, {scale_red, scale_green, scale_blue}}; \
        average(kind(in, points_cols), shape, out); \
    }

TILES(tiles_bayer, bayer_quads)
TILES(tiles_bayer_full, bayer_pixels)
TILES(tiles_mono, mono)
TILES(tiles_rgb, rgb)
