/* From what lies under the camera to the pixels it sends: crop, mosaic or luma, exposure and gain. Pure functions. */
#ifndef RENDER_H
#define RENDER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MONO8 0x01080001u /* PFNC codes */
#define BAYER_RG8 0x01080009u
#define RGB8 0x02180014u

struct picture { /* pixel (x, y) lies on sensor pixel (x, y); the sensor sees black outside the picture */
    const uint8_t *pixels;
    uint32_t format; /* MONO8 or RGB8 */
    uint32_t width, height;
    size_t stride; /* bytes from row to row */
};

struct window { /* the part of the sensor that is read out; even offsets keep the mosaic's phase */
    uint32_t x, y, width, rows;
};

struct tone { /* light to pixel value */
    bool identity;
    uint8_t map[256];
};

uint32_t bytes_per_pixel(uint32_t pixel_format); /* 0 = format not supported */

/* A picture's value is what NOMINAL_EXPOSURE_US at 0 dB gives; light is linear, 20 dB a decade, clipped at 255. */
#define NOMINAL_EXPOSURE_US 1000.0
struct tone tone_of(double exposure_us, double gain_db);

/* Write window.rows packed rows of `pixel_format` to `out`. */
void render(const struct picture *picture, struct window window, uint32_t pixel_format, const struct tone *tone,
            uint8_t *out);
#endif
