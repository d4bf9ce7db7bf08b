/* States, step order and configuration. */
#include "internal.h"

#include <string.h>

static void host_watch(struct core *c);
static void test_step(struct core *c, struct core_outputs *out);

void core_init(struct core *c, uint32_t boot)
{
    memset(c, 0, sizeof *c);
    c->boot = boot;
    c->state = STATE_BOOT;
    c->lane = LANE_REJECT;
    c->next_event = 1;
    c->again_from = c->again_to = 1;
}

size_t core_size(void) { return sizeof(struct core); }

void core_step(struct core *c, const struct core_inputs *in, struct core_outputs *out)
{
    memset(out, 0, sizeof *out);
    c->tick = in->tick;
    c->counts = in->counts;
    if (c->state == STATE_BOOT) {
        c->state = STATE_UNCONFIGURED;
        c->last_edge = in->counts; /* a part may have passed unseen just before this boot */
    }
    host_watch(c);
    if (in->part_sensor && !c->sensor) parts_enter(c);
    c->sensor = in->part_sensor;
    parts_close(c);
    parts_gate(c); /* before the lane moves: a part met the gate where the last step left it */
    c->lane = parts_lane(c);
    parts_cameras(c, out);
    c->run_permit = c->state == STATE_ARMED;
    out->lane = c->lane;
    out->run_permit = c->run_permit;
    test_step(c, out);
    session_step(c);
}

int core_next_due(const struct core *c, int64_t *counts)
{
    int found = 0;
    int64_t half_hold = c->config.gate_hold_counts / 2;
    for (uint32_t i = 0; i < c->part_count; i++) {
        const struct core_part *p = &c->parts[(c->first_part + i) % CORE_PARTS];
        int64_t due[3 + CORE_CAMERAS];
        unsigned n = 0;
        if (!p->closed) due[n++] = plus(p->gate, -c->config.lead_counts);
        if (!p->met_gate) {
            due[n++] = p->gate;
            if (p->cause == GATE_CAUSE_ACCEPTED && ahead(plus(p->gate, -half_hold), c->counts) > 0)
                due[n++] = plus(p->gate, -half_hold);
        } else if (i == 0) {
            due[n++] = plus(p->gate, half_hold);
        }
        for (unsigned k = 0; k < CORE_CAMERAS; k++)
            if (c->state == STATE_ARMED && (p->cameras_due >> k & 1u)) due[n++] = plus(p->sensor, c->config.camera_counts[k]);
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

void fault_latch(struct core *c, uint8_t fault, int64_t detail)
{
    if (c->state == STATE_FAULT) return;
    uint8_t bytes[FAULT_EVENT_BYTES];
    struct fault_event event = {c->next_event, fault, detail, c->tick};
    c->fault = fault;
    fault_event_write(bytes, &event);
    event_write(c, ID_FAULT_EVENT, bytes, sizeof bytes);
    state_set(c, STATE_FAULT, STATE_REASON_FAULT);
}

int host_alive(const struct core *c)
{
    return c->heard && c->tick - c->heartbeat_tick <= c->config.heartbeat_timeout_ms * (uint64_t)(CORE_TICK_HZ / 1000u);
}

int host_gone(const struct core *c) { return !c->heard || c->tick - c->heartbeat_tick >= HOST_GONE_TICKS; }

/* A host that was away this long has to arm again: the line must not start by itself when it returns. */
static void host_watch(struct core *c)
{
    if (c->state == STATE_ARMED && host_gone(c)) state_set(c, STATE_CONFIGURED, STATE_REASON_HOST_LOST);
}

uint8_t configure_check(const struct core *c, const struct configure *wish, uint32_t crc)
{
    if (crc != wish->crc) return CONFIGURE_REASON_CRC;
    if (c->state == STATE_ARMED)
        return c->config.crc == wish->crc ? CONFIGURE_REASON_ACCEPTED : CONFIGURE_REASON_ARMED;
    if (c->state == STATE_FAULT) return CONFIGURE_REASON_FAULT;
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
    return CONFIGURE_REASON_ACCEPTED;
}

static void test_step(struct core *c, struct core_outputs *out)
{
    if (!c->test_active) return;
    if ((int64_t)(c->tick - c->test_end) >= 0 || c->part_count) {
        c->test_active = 0;
        return;
    }
    if (c->test_output == TEST_TARGET_GATE_ACCEPT) out->lane = LANE_ACCEPT;
    if (c->test_output == TEST_TARGET_RUN_PERMIT) out->run_permit = 1;
    if (c->test_output == TEST_TARGET_CAMERA0) out->camera_line[0] |= c->test_pulse;
    if (c->test_output == TEST_TARGET_CAMERA1) out->camera_line[1] |= c->test_pulse;
    c->test_pulse = 0;
}
