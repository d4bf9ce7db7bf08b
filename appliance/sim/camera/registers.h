/* The remote device's registers, addressed by their offset; camera.xml describes the same numbers. */
#ifndef REGISTERS_H
#define REGISTERS_H
#include <stddef.h>
#include <stdint.h>

#define XML_ADDRESS 0x10000u /* of every module's description */

enum { TRIGGER_OFF, TRIGGER_ON };
enum { SOURCE_SOFTWARE, SOURCE_LINE1 };
enum chunk { CHUNK_FRAME_ID, CHUNK_TIMESTAMP, CHUNK_EXPOSURE_TIME, CHUNK_ENCODER_VALUE, CHUNK_GAIN, CHUNKS };
#define CHUNK_ID(chunk) (0x10u + (chunk))
#define CHUNK_BYTES 8u /* each: int64 or float64, little endian */

struct registers {
    char vendor[32], model[32], serial[32], user_id[32], firmware[32]; /* 0x00 0x20 0x40 0x60 0x80 */
    double temperature_c;                                /* 0xA0 */
    uint64_t timestamp_ns;                               /* 0xA8 latched */
    uint32_t timestamp_latch, locked;                    /* 0xB0 0xB4 */
    uint32_t sensor_width, sensor_height;                /* 0xB8 0xBC */
    uint32_t width, height, offset_x, offset_y;          /* 0xC0 0xC4 0xC8 0xCC */
    uint32_t pixel_format, payload_size;                 /* 0xD0 0xD4 */
    uint32_t acquisition_mode;                           /* 0xD8 */
    uint32_t acquisition_start, acquisition_stop;        /* 0xDC 0xE0 */
    uint32_t frame_rate_enable;                          /* 0xE4 */
    double frame_rate_hz, exposure_us, gain_db;          /* 0xE8 0xF0 0xF8 */
    uint32_t trigger_mode, trigger_source;               /* 0x100 0x104 */
    uint32_t trigger_software;                           /* 0x108 */
    uint32_t chunk_mode, chunk_selector;                 /* 0x10C 0x110 */
    uint32_t chunk_enable[CHUNKS];                       /* 0x114 + 4 x selector */
};

size_t image_bytes(const struct registers *settings);
uint32_t chunk_mask(const struct registers *settings); /* bit i: chunk i is switched on */
size_t payload_bytes(const struct registers *settings);
#endif
