/* States, the order of a step, and signs of life. */
#include "internal.h"

#include <string.h>

static void host_watch(struct core *c);
static void sensor_step(struct core *c, uint8_t level);
static void configuration_watch(struct core *c);
static void test_step(struct core *c, struct core_outputs *out);

size_t core_size(void) { return sizeof(struct core); }

void core_step(struct core *c, const struct core_inputs *in, struct core_outputs *out)
{
    memset(out, 0, sizeof *out);
    c->tick = in->tick;
    c->counts = in->counts;
    core_alive(c, CORE_ALIVE_STEP);
    if (c->state == STATE_BOOT) {
        c->last_edge = c->stranger = c->seen_at = in->counts; /* a part may have passed unseen just before this boot */
        c->encoder_errors = in->encoder_errors;
        fault_start(c);
    }
    host_watch(c);
    encoder_watch(c, in->encoder_errors);
    sensor_step(c, in->part_sensor);
    gate_sensor_step(c, in->gate_sensor);
    parts_close(c);
    parts_gate(c); /* before the lane moves: a part met the gate where the last step left it */
    c->lane = parts_lane(c);
    parts_cameras(c, out);
    configuration_watch(c);
    fault_step(c);
    /* An empty belt has to be seen running; all that moves on it meanwhile is rejected. */
    c->run_permit = c->state == STATE_ARMED || (c->state == STATE_FAULT && c->purging && host_alive(c));
    out->lane = c->lane;
    out->run_permit = c->run_permit;
    out->restart = c->restart_due;
    test_step(c, out);
    session_step(c);
}

int core_next_due(const struct core *c, int64_t *counts)
{
    int found = 0;
    int64_t half_hold = c->config.gate_hold_counts / 2;
    for (uint32_t i = 0; i < c->part_count; i++) {
        const struct core_part *p = &c->parts[(c->first_part + i) % CORE_PARTS];
        int64_t due[4 + CORE_CAMERAS];
        unsigned n = 0;
        if (!p->closed) due[n++] = plus(p->gate, -c->config.lead_counts);
        if (!p->met_gate) {
            due[n++] = p->gate;
            if (p->cause == GATE_CAUSE_ACCEPTED && ahead(plus(p->gate, -half_hold), c->counts) > 0)
                due[n++] = plus(p->gate, -half_hold);
        } else if (i == 0) {
            due[n++] = plus(p->gate, half_hold);
        }
        if (!p->confirmed && c->configured && c->config.gate_sensor_counts >= 0)
            due[n++] = plus(plus(p->sensor, c->config.gate_sensor_counts), c->config.gate_window_counts);
        for (unsigned k = 0; k < CORE_CAMERAS; k++)
            if (c->state == STATE_ARMED && (p->cameras_due >> k & 1u))
                due[n++] = plus(p->sensor, c->config.camera_counts[k]);
        while (n--)
            if (!found++ || ahead(*counts, due[n]) > 0) *counts = due[n];
    }
    return found != 0;
}

void state_set(struct core *c, uint8_t state, uint8_t reason)
{
    c->state = state;
    c->test_active = 0;
    if (state != STATE_ARMED) {
        uint8_t cause = GATE_CAUSE_NOT_ARMED;
        if (reason == STATE_REASON_FAULT) cause = GATE_CAUSE_FAULT;
        if (reason == STATE_REASON_NEW_SESSION) cause = GATE_CAUSE_OLD_SESSION;
        if (reason == STATE_REASON_HOST_LOST) cause = GATE_CAUSE_HOST_LOST;
        parts_bar(c, cause);
    }
    session_state_changed(c, reason);
}

int host_alive(const struct core *c)
{
    return c->heard && c->tick - c->heartbeat_tick <= c->config.heartbeat_timeout_ms * (uint64_t)(CORE_TICK_HZ / 1000u);
}

int host_gone(const struct core *c) { return !c->heard || c->tick - c->heartbeat_tick >= HOST_GONE_TICKS; }

/* A host that was away this long has to arm again: the line must not start by itself when it returns. */
static void host_watch(struct core *c)
{
    if (c->state == STATE_ARMED && host_gone(c)) /* RULE host-gone */
        state_set(c, STATE_CONFIGURED, STATE_REASON_HOST_LOST);
}

static void sensor_step(struct core *c, uint8_t level)
{
    if (level && !c->sensor) {
        c->seen_at = c->counts; /* whatever makes a part here, something is on the belt */
        if (!c->configured || c->config.trigger_source == TRIGGER_SOURCE_SENSOR) parts_enter(c, 0);
    }
    c->sensor = level;
}

static void configuration_watch(struct core *c)
{
    if (c->tick - c->check_tick < CHECK_TICKS) return;
    c->check_tick = c->tick;
    if (c->configured && !configuration_sound(c)) fault_latch(c, FAULT_CONFIGURATION, 0); /* RULE configuration-sound */
}

void core_alive(struct core *c, uint8_t signs) { c->alive |= signs; }

int core_feed(struct core *c, uint8_t needed)
{
    if ((c->alive & needed) != needed) return 0; /* RULE all-alive */
    c->alive = 0;
    return 1;
}

static void test_step(struct core *c, struct core_outputs *out)
{
    if (!c->test_active) return;
    if ((int64_t)(c->tick - c->test_end) >= 0 || !session_may_test(c, c->test_output)) {
        c->test_active = 0;
        return;
    }
    if (c->test_output == TEST_TARGET_GATE_ACCEPT) out->lane = LANE_ACCEPT;
    if (c->test_output == TEST_TARGET_RUN_PERMIT) out->run_permit = 1;
    if (c->test_pulse && c->test_output == TEST_TARGET_CAMERA0) strobe_fire(c, 0, out);
    if (c->test_pulse && c->test_output == TEST_TARGET_CAMERA1) strobe_fire(c, 1, out);
    c->test_pulse = 0;
}
