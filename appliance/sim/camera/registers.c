#include "registers.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "device.h"

#define EXPOSURE_US_MIN 10.0
#define EXPOSURE_US_MAX 1000000.0
#define GAIN_DB_MAX 24.0
#define FRAME_RATE_HZ_MIN 0.1
#define FRAME_RATE_HZ_MAX 1000.0
#define SIDE_MIN 16u /* px */

#define AMBIENT_C 25.0 /* a running camera warms by WARMING_C with time constant WARMING_S */
#define WARMING_C 16.0
#define WARMING_S 600.0

#define BOOT_NS 1000000000u /* the clock of a camera that has just come up */

#define AT(member) offsetof(struct registers, member)
#define RULE(member, when) {AT(member), sizeof((struct registers *)0)->member, when}

_Static_assert(AT(temperature_c) == 0xA0 && AT(width) == 0xC0 && AT(frame_rate_hz) == 0xE8, "camera.xml");
_Static_assert(AT(trigger_mode) == 0x100 && AT(chunk_enable) == 0x114, "camera.xml");

enum when { ALWAYS, UNLOCKED };

static const struct { size_t address, size; enum when when; } writable[] = {
    RULE(user_id, ALWAYS), RULE(timestamp_latch, ALWAYS), RULE(locked, ALWAYS),
    RULE(width, UNLOCKED), RULE(height, UNLOCKED), RULE(offset_x, ALWAYS), RULE(offset_y, ALWAYS),
    RULE(pixel_format, UNLOCKED), RULE(acquisition_mode, ALWAYS), RULE(acquisition_start, ALWAYS),
    RULE(acquisition_stop, ALWAYS), RULE(frame_rate_enable, ALWAYS), RULE(frame_rate_hz, ALWAYS),
    RULE(exposure_us, ALWAYS), RULE(gain_db, ALWAYS), RULE(trigger_mode, ALWAYS), RULE(trigger_source, ALWAYS),
    RULE(trigger_software, ALWAYS), RULE(chunk_mode, UNLOCKED), RULE(chunk_selector, ALWAYS),
    RULE(chunk_enable[0], UNLOCKED), RULE(chunk_enable[1], UNLOCKED), RULE(chunk_enable[2], UNLOCKED),
    RULE(chunk_enable[3], UNLOCKED), RULE(chunk_enable[4], UNLOCKED),
};

size_t image_bytes(const struct registers *settings)
{
    return (size_t)settings->width * settings->height * bytes_per_pixel(settings->pixel_format);
}

uint32_t chunk_mask(const struct registers *settings)
{
    uint32_t mask = 0;
    for (unsigned i = 0; settings->chunk_mode && i < CHUNKS; i++) mask |= (uint32_t)!!settings->chunk_enable[i] << i;
    return mask;
}

size_t payload_bytes(const struct registers *settings)
{
    return image_bytes(settings) + CHUNK_BYTES * (size_t)__builtin_popcount(chunk_mask(settings));
}

uint64_t camera_clock(const struct device *device, uint64_t ns) { return ns + device->clock_offset_ns; }

void device_set_up(struct device *device, unsigned index)
{
    struct registers *r = &device->registers;
    *r = (struct registers){
        .vendor = "firstshift", .model = "sim", .firmware = "1.0", .sensor_width = SENSOR_WIDTH,
        .sensor_height = SENSOR_HEIGHT, .width = SENSOR_WIDTH, .height = SENSOR_HEIGHT, .pixel_format = MONO8,
        .frame_rate_hz = 30.0, .exposure_us = NOMINAL_EXPOSURE_US,
    };
    snprintf(r->serial, sizeof r->serial, "SIM%u", index);
    snprintf(r->user_id, sizeof r->user_id, "sim-%u", index);
    snprintf(device->id, sizeof device->id, "firstshift-sim-%u", index);
    device->index = index;
    device->clock_offset_ns = 86400000000000u * (index + 1) + 123456789u * (index + 3); /* powered up at another time */
}

void device_power_cycle(struct device *device)
{
    char user_id[sizeof device->registers.user_id];
    memcpy(user_id, device->registers.user_id, sizeof user_id);
    device_set_up(device, device->index);
    memcpy(device->registers.user_id, user_id, sizeof user_id);
    device->clock_offset_ns = BOOT_NS - now_ns();
}

GC_ERROR registers_read(struct device *device, uint64_t address, void *out, size_t size)
{
    if (address > sizeof device->registers || size > sizeof device->registers - address)
        return fail(GC_ERR_INVALID_ADDRESS, "no register at 0x%llx", (unsigned long long)address);
    device->registers.payload_size = (uint32_t)payload_bytes(&device->registers);
    double seconds = (double)(now_ns() - device->opened_ns) / 1e9;
    device->registers.temperature_c = AMBIENT_C + WARMING_C * (1.0 - exp(-seconds / WARMING_S));
    memcpy(out, (const char *)&device->registers + address, size);
    return GC_ERR_SUCCESS;
}

static bool window_fits(uint32_t offset, uint32_t side, uint32_t step, uint32_t sensor)
{
    return side >= SIDE_MIN && side % step == 0 && offset % 2 == 0 && offset <= sensor && side <= sensor - offset;
}

static bool within(double value, double low, double high) { return value >= low && value <= high; }

static bool plausible(const struct registers *r)
{
    return window_fits(r->offset_x, r->width, 8, r->sensor_width) &&
           window_fits(r->offset_y, r->height, 2, r->sensor_height) && bytes_per_pixel(r->pixel_format) &&
           within(r->exposure_us, EXPOSURE_US_MIN, EXPOSURE_US_MAX) && within(r->gain_db, 0.0, GAIN_DB_MAX) &&
           within(r->frame_rate_hz, FRAME_RATE_HZ_MIN, FRAME_RATE_HZ_MAX) && r->acquisition_mode == 0 &&
           r->trigger_mode <= TRIGGER_ON && r->trigger_source <= SOURCE_LINE1 && r->chunk_selector < CHUNKS;
}

static void ignore_past_edges(struct device *device)
{
    if (device->wires) device->line1_seen = word(&device->wires->line1);
    device->software_pending = false;
}

static void start(struct device *device)
{
    ignore_past_edges(device);
    device->acquiring = true;
    device->next_frame_id = 0;
    device->ready_ns = 0;
    device->next_free_run_ns = now_ns();
}

static void fire_software_trigger(struct device *device)
{
    const struct registers *r = &device->registers;
    uint64_t now = now_ns();
    if (!device->acquiring || r->trigger_mode != TRIGGER_ON || r->trigger_source != SOURCE_SOFTWARE) return;
    if (device->software_pending || now < device->ready_ns) {
        device_miss(device, 1);
        return;
    }
    device->software = (struct trigger){now, world_counts(now)};
    device->software_pending = true;
}

/* What a written register sets off, beside holding its value. */
static void act(struct device *device, size_t address)
{
    switch (address) {
    case AT(acquisition_start): start(device); break;
    case AT(acquisition_stop): device->acquiring = false; break;
    case AT(trigger_software): fire_software_trigger(device); break;
    case AT(trigger_mode):
    case AT(trigger_source): ignore_past_edges(device); break;
    case AT(timestamp_latch): device->registers.timestamp_ns = camera_clock(device, now_ns()); break;
    default: return;
    }
    device_changed(device);
}

GC_ERROR registers_write(struct device *device, uint64_t address, const void *value, size_t size)
{
    size_t i = 0, rules = sizeof writable / sizeof *writable;
    while (i < rules && writable[i].address != address) i++;
    if (i == rules) return fail(GC_ERR_ACCESS_DENIED, "0x%llx is not writable", (unsigned long long)address);
    bool text = address == AT(user_id);
    if (text ? size > writable[i].size : size != writable[i].size)
        return fail(GC_ERR_INVALID_PARAMETER, "register 0x%llx has %zu bytes, not %zu", (unsigned long long)address,
                    writable[i].size, size);
    if (writable[i].when == UNLOCKED && device->registers.locked)
        return fail(GC_ERR_ACCESS_DENIED, "register 0x%llx is locked while acquiring", (unsigned long long)address);

    struct registers candidate = device->registers;
    memset((char *)&candidate + address, 0, writable[i].size);
    memcpy((char *)&candidate + address, value, size);
    candidate.user_id[sizeof candidate.user_id - 1] = 0;
    if (!plausible(&candidate))
        return fail(GC_ERR_INVALID_VALUE, "register 0x%llx: value out of limits", (unsigned long long)address);
    device->registers = candidate;
    act(device, address);
    return GC_ERR_SUCCESS;
}
