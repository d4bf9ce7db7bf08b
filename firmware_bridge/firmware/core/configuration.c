/* What a station may be: each rule of its configuration, and whether the copy in memory is still what was sent. */
#include "frame.h"
#include "internal.h"

static int gate_sensor_wrong(const struct configure *wish)
{
    if (wish->gate_sensor_counts == -1) return wish->gate_window_counts != 0;
    /* In its window before the part leaves the table, and no two windows meet. */
    int32_t window = wish->gate_window_counts;
    return wish->gate_sensor_counts > wish->gate_counts || window < 1 || window > wish->gate_hold_counts / 2 ||
           window >= wish->gate_sensor_counts;
}

uint8_t configure_check(const struct core *c, const struct configure *wish, uint32_t crc)
{
    if (crc != wish->crc) return CONFIGURE_REASON_CRC;
    if (c->configured) /* RULE immutable */
        return c->config.crc == wish->crc ? CONFIGURE_REASON_ACCEPTED : CONFIGURE_REASON_IMMUTABLE;
    if (wish->tick_hz != CORE_TICK_HZ) return CONFIGURE_REASON_TICK_RATE;
    if (wish->gate_counts <= 0 || wish->gate_counts > 1 << 30) return CONFIGURE_REASON_GATE;
    if (wish->lead_counts < 0 || wish->lead_counts >= wish->gate_counts) return CONFIGURE_REASON_LEAD;
    /* The gate moves after the decision closed, and back before the neighbour's own position. */
    if (wish->gate_hold_counts < 2 || wish->gate_hold_counts / 2 > wish->lead_counts) return CONFIGURE_REASON_HOLD;
    if (wish->min_gap_counts < wish->gate_hold_counts) return CONFIGURE_REASON_MIN_GAP;
    /* A part that comes too close still finds its predecessor's decision open. */
    if (wish->min_gap_counts > wish->gate_counts - wish->lead_counts) return CONFIGURE_REASON_MIN_GAP;
    for (unsigned k = 0; k < CORE_CAMERAS; k++)
        if (wish->camera_counts[k] < -1 || wish->camera_counts[k] >= wish->gate_counts) return CONFIGURE_REASON_CAMERA;
    if (wish->heartbeat_timeout_ms < 20 || wish->heartbeat_timeout_ms > 400) return CONFIGURE_REASON_HEARTBEAT;
    if (gate_sensor_wrong(wish)) return CONFIGURE_REASON_GATE_SENSOR;
    if (wish->encoder_back_counts < -1 || wish->shortest_part_counts < 0 ||
        wish->shortest_part_counts > wish->min_gap_counts)
        return CONFIGURE_REASON_ENCODER;
    for (unsigned k = 0; k < CORE_CAMERAS; k++)
        if (wish->strobe_us[k] > CORE_STROBE_MAX_US) return CONFIGURE_REASON_STROBE; /* RULE strobe-on-time */
    if (wish->trigger_source > TRIGGER_SOURCE_PLC) return CONFIGURE_REASON_TRIGGER_SOURCE;
    return CONFIGURE_REASON_ACCEPTED;
}

/* Give 1 while the configuration in memory still has the checksum that it came with. */
int configuration_sound(const struct core *c)
{
    uint8_t bytes[CONFIGURE_BYTES];
    configure_write(bytes, &c->config);
    return frame_crc32(bytes, sizeof bytes - 4u) == c->config.crc;
}

/* A pulse shorter than a quarter of the shortest real one is noise: below it a timer's filter swallows. */
uint32_t core_encoder_filter_ns(const struct core *c)
{
    return c->configured && c->config.encoder_max_hz ? 1000000000u / c->config.encoder_max_hz / 4u : 0u;
}
