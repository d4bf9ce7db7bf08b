#include "debayer.h"

#include "multiversion.h"

/* Place inside [0, length) by mirroring at the first and last place, as often as needed. */
static int32_t mirrored(int32_t place, int32_t length)
{
    while (place < 0 || place >= length) place = place < 0 ? -place : 2 * (length - 1) - place;
    return place;
}

/* own, near, far: a row, the sum of the rows 1 away from it and of those 2 away. */
MULTIVERSION
static void add_columns(const uint8_t *const row[5], int32_t from, int32_t count, int16_t *restrict own,
                        int16_t *restrict near, int16_t *restrict far)
{
    const uint8_t *a = row[0] + from, *b = row[1] + from, *c = row[2] + from, *d = row[3] + from, *e = row[4] + from;
    for (int32_t i = 0; i < count; i++) {
        own[i] = c[i];
        near[i] = (int16_t)(b[i] + d[i]);
        far[i] = (int16_t)(a[i] + e[i]);
    }
}

static inline int16_t clipped(int16_t value)
{
    const int16_t positive = value < 0 ? 0 : value;
    return positive > 255 * DEBAYER_ONE ? 255 * DEBAYER_ONE : positive;
}

/* All sums fit 16 bits, and are cut to them so that compilers use the narrow lanes. on_green: -1 where the pixel is
 * green, 0 where it has the row's colour; that colour's plane is row_plane. */
MULTIVERSION
static void interpolate(const int16_t *restrict own, const int16_t *restrict near, const int16_t *restrict far,
                        const int16_t *restrict on_green, int32_t width, int16_t *restrict row_plane,
                        int16_t *restrict green_plane, int16_t *restrict other_plane)
{
    for (int32_t x = 0; x < width; x++) {
        const int16_t centre = own[x], mask = on_green[x];
        const int16_t beside = (int16_t)(own[x - 1] + own[x + 1]), beyond = (int16_t)(own[x - 2] + own[x + 2]);
        const int16_t corners = (int16_t)(near[x - 1] + near[x + 1]), distant = (int16_t)(far[x] + beyond);
        const int16_t whole = (int16_t)(DEBAYER_ONE * centre), common = (int16_t)(10 * centre - 2 * corners);
        const int16_t green = clipped((int16_t)(8 * centre + 4 * (near[x] + beside) - 2 * distant));
        const int16_t across = clipped((int16_t)(common + 8 * beside - 2 * beyond + far[x]));
        const int16_t along = clipped((int16_t)(common + 8 * near[x] - 2 * far[x] + beyond));
        const int16_t opposite = clipped((int16_t)(12 * centre + 4 * corners - 3 * distant));
        row_plane[x] = (int16_t)((across & mask) | (whole & ~mask));
        green_plane[x] = (int16_t)((whole & mask) | (green & ~mask));
        other_plane[x] = (int16_t)((along & mask) | (opposite & ~mask));
    }
}

void firstshift_debayer_row(const mosaic *frame, int32_t x, int32_t y, int32_t width, const debayer_memory *memory)
{
    const int32_t wide = width + 2 * DEBAYER_HALO, start = x - DEBAYER_HALO;
    int16_t *own = memory->sums, *near = own + wide, *far = near + wide;
    const uint8_t *row[5];
    for (int32_t d = -2; d <= 2; d++) row[d + 2] = frame->first + mirrored(y + d, frame->rows) * frame->row_bytes;
    const int32_t from = start < 0 ? -start : 0;
    const int32_t to = start + wide > frame->cols ? frame->cols - start : wide;
    add_columns(row, start + from, to - from, own + from, near + from, far + from);
    for (int32_t i = 0; i < from; i++)
        add_columns(row, mirrored(start + i, frame->cols), 1, own + i, near + i, far + i);
    for (int32_t i = to; i < wide; i++)
        add_columns(row, mirrored(start + i, frame->cols), 1, own + i, near + i, far + i);
    const int32_t on_red = (y & 1) == 0, first_is_green = on_red ? x & 1 : !(x & 1);
    int16_t *red = memory->planes, *green = red + width, *blue = green + width;
    interpolate(own + DEBAYER_HALO, near + DEBAYER_HALO, far + DEBAYER_HALO, memory->odd + first_is_green, width,
                on_red ? red : blue, green, on_red ? blue : red);
}
