/* Is the encoder to be believed, and does the gate's own sensor see every part where it must be, and no other? */
#include "internal.h"

#define WATCH_TICKS (10u * (CORE_TICK_HZ / 1000u)) /* speed is looked at over this time */
#define JITTER_TICKS (2u * (CORE_TICK_HZ / 1000u)) /* and counted this much longer: when a count was latched */
#define STANDING_EDGES 3u                          /* a bouncing sensor makes one or two */

static struct core_part *part_at(struct core *c, uint32_t i) { return &c->parts[(c->first_part + i) % CORE_PARTS]; }

static void watch_from_here(struct core *c)
{
    c->watch_tick = c->step_tick = c->tick;
    c->watch_counts = c->step_counts = c->furthest = c->counts;
}

/* Positions are in doubt. While a fault is latched already, the belt has to run empty from here anew. */
static void doubt(struct core *c, uint8_t why)
{
    watch_from_here(c);
    if (c->state == STATE_FAULT) c->seen_at = c->counts;
    else fault_latch(c, FAULT_ENCODER, why);
}

static int too_fast(const struct core *c, uint64_t since, int64_t from)
{
    uint64_t ticks = c->tick - since;
    int64_t way = ahead(c->counts, from);
    if (ticks > CORE_TICK_HZ) ticks = CORE_TICK_HZ;
    uint64_t limit = c->config.encoder_max_hz * (ticks + JITTER_TICKS) / CORE_TICK_HZ + 1u;
    return c->config.encoder_max_hz && (uint64_t)(way < 0 ? -way : way) > limit; /* RULE encoder-too-fast */
}

void encoder_watch(struct core *c, uint32_t errors)
{
    int new_errors = errors != c->encoder_errors;
    c->encoder_errors = errors;
    if (c->state != STATE_ARMED && c->state != STATE_FAULT) c->watching = 0;
    else if (!c->watching) {
        c->watching = 1;
        watch_from_here(c);
    } else if (new_errors) {
        doubt(c, ENCODER_FAULT_TRANSITIONS); /* RULE encoder-transitions */
    } else if (too_fast(c, c->watch_tick, c->watch_counts) || too_fast(c, c->step_tick, c->step_counts)) {
        doubt(c, ENCODER_FAULT_TOO_FAST); /* noise that creeps, noise that jumps */
    } else if (c->config.encoder_back_counts >= 0 && ahead(c->furthest, c->counts) > c->config.encoder_back_counts) {
        doubt(c, ENCODER_FAULT_BACKWARDS); /* RULE encoder-backwards */
    } else {
        if (ahead(c->counts, c->furthest) > 0) c->furthest = c->counts;
        c->step_tick = c->tick;
        c->step_counts = c->counts;
        if (c->tick - c->watch_tick < WATCH_TICKS) return;
        c->watch_tick = c->tick;
        c->watch_counts = c->counts;
    }
}

/* A leading edge of the part sensor: parts cannot come nearer than the shortest one is long, so the belt moved. */
void encoder_edge(struct core *c)
{
    int64_t way = ahead(c->counts, c->last_edge);
    int stood = way < c->config.shortest_part_counts && -way < c->config.shortest_part_counts;
    c->standing_edges = stood ? (uint8_t)(c->standing_edges + 1u) : 0;
    if (c->standing_edges < STANDING_EDGES) return; /* RULE encoder-standing */
    c->standing_edges = 0;
    if (c->state == STATE_ARMED) doubt(c, ENCODER_FAULT_STANDING);
}

static int in_window(const struct core *c, const struct core_part *p)
{
    int64_t off = ahead(c->counts, plus(p->sensor, c->config.gate_sensor_counts));
    return off >= -(int64_t)c->config.gate_window_counts && off < c->config.gate_window_counts;
}

static void edge(struct core *c)
{
    int crowded = 0;
    c->gate_edges++;
    for (uint32_t i = 0; i < c->part_count; i++) {
        struct core_part *p = part_at(c, i);
        if (!in_window(c, p)) continue;
        crowded |= p->crowded;
        if (p->confirmed) continue;
        p->confirmed = 1;
        return;
    }
    if (crowded) return;
    /* What was on the belt before this boot, or passed the sensor untold, is not in the table. */
    if (ahead(c->counts, c->stranger) < (int64_t)c->config.gate_sensor_counts + c->config.gate_window_counts) return;
    c->extra_parts++;
    if (c->state == STATE_ARMED) fault_latch(c, FAULT_SYNC_LOST, 0); /* RULE extra-part */
}

/* Take the level of the gate's sensor, then look whose window is over. */
void gate_sensor_step(struct core *c, uint8_t level)
{
    int rose = level && !c->gate_sensor;
    c->gate_sensor = level;
    if (rose) c->seen_at = c->counts; /* RULE purge-edge */
    if (!c->configured || c->config.gate_sensor_counts < 0) return;
    if (rose) edge(c);
    for (uint32_t i = 0; i < c->part_count; i++) {
        struct core_part *p = part_at(c, i);
        int64_t over = plus(plus(p->sensor, c->config.gate_sensor_counts), c->config.gate_window_counts);
        if (p->confirmed || ahead(c->counts, over) < 0) continue;
        p->confirmed = 1;
        if (p->crowded) continue;
        c->missing_parts++;
        if (c->state == STATE_ARMED) fault_latch(c, FAULT_SYNC_LOST, p->number); /* RULE missing-part */
    }
}
