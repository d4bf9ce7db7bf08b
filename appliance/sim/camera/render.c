#include "render.h"

#include <math.h>
#include <string.h>

typedef void convert_row(const uint8_t *restrict in, uint8_t *restrict out, uint32_t width, uint32_t y);

uint32_t bytes_per_pixel(uint32_t pixel_format)
{
    if (pixel_format == RGB8) return 3;
    return pixel_format == MONO8 || pixel_format == BAYER_RG8 ? 1 : 0;
}

struct tone tone_of(double exposure_us, double gain_db)
{
    struct tone tone;
    double factor = exposure_us / NOMINAL_EXPOSURE_US * pow(10.0, gain_db / 20.0);
    tone.identity = factor == 1.0;
    for (int value = 0; value < 256; value++) {
        double light = floor(value * factor + 0.5);
        tone.map[value] = light > 255.0 ? 255 : (uint8_t)light;
    }
    return tone;
}

static void copy_grey(const uint8_t *restrict in, uint8_t *restrict out, uint32_t width, uint32_t y)
{
    (void)y;
    memcpy(out, in, width);
}

static void copy_rgb(const uint8_t *restrict in, uint8_t *restrict out, uint32_t width, uint32_t y)
{
    (void)y;
    memcpy(out, in, (size_t)width * 3);
}

static void grey_to_rgb(const uint8_t *restrict in, uint8_t *restrict out, uint32_t width, uint32_t y)
{
    (void)y;
    for (uint32_t x = 0; x < width; x++) out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = in[x];
}

static void rgb_to_grey(const uint8_t *restrict in, uint8_t *restrict out, uint32_t width, uint32_t y)
{
    (void)y;
    for (uint32_t x = 0; x < width; x++) /* ITU-R BT.601 luma 0.299 R + 0.587 G + 0.114 B, in 1/65536, rounded */
        out[x] = (uint8_t)((19595u * in[3 * x] + 38470u * in[3 * x + 1] + 7471u * in[3 * x + 2] + 32768u) >> 16);
}

static void rgb_to_bayer(const uint8_t *restrict in, uint8_t *restrict out, uint32_t width, uint32_t y)
{
    uint32_t even = y & 1 ? 1 : 0, odd = y & 1 ? 2 : 1; /* rows R G R G / G B G B */
    uint32_t x = 0;
    for (; x + 1 < width; x += 2) {
        out[x] = in[3 * x + even];
        out[x + 1] = in[3 * x + 3 + odd];
    }
    if (x < width) out[x] = in[3 * x + even];
}

static convert_row *converter(uint32_t from, uint32_t to)
{
    if (from == MONO8) return to == RGB8 ? grey_to_rgb : copy_grey; /* a grey scene looks grey through any mosaic */
    if (to == RGB8) return copy_rgb;
    return to == MONO8 ? rgb_to_grey : rgb_to_bayer;
}

void render(const struct picture *picture, struct window window, uint32_t pixel_format, const struct tone *tone,
            uint8_t *out)
{
    convert_row *convert = converter(picture->format, pixel_format);
    size_t bytes = bytes_per_pixel(pixel_format), row_bytes = bytes * window.width;
    uint32_t covered = picture->width > window.x ? picture->width - window.x : 0; /* px of a row that see the picture */
    if (covered > window.width) covered = window.width;

    for (uint32_t row = 0; row < window.rows; row++, out += row_bytes) {
        uint32_t y = window.y + row;
        size_t lit = y < picture->height ? covered * bytes : 0;
        if (lit) {
            const uint8_t *in = picture->pixels + y * picture->stride;
            convert(in + (size_t)window.x * bytes_per_pixel(picture->format), out, covered, y);
            for (size_t i = 0; !tone->identity && i < lit; i++) out[i] = tone->map[out[i]];
        }
        memset(out + lit, 0, row_bytes - lit);
    }
}
