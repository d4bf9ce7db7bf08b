/* Part table, decision window and gate. The absence of a valid, in-time accept is a reject. */
#include "internal.h"

#include <string.h>

enum { DECISION_NONE, DECISION_ACCEPT, DECISION_REJECT };

static struct core_part *part_at(const struct core *c, uint32_t i)
{
    return (struct core_part *)&c->parts[(c->first_part + i) % CORE_PARTS];
}

static void bar(struct core_part *p, uint8_t cause)
{
    if (p->barred || p->met_gate) return;
    p->barred = 1;
    p->cause = cause;
    p->cameras_due = 0;
}

static void gate_event(struct core *c, struct core_part *p, uint8_t lane)
{
    uint8_t bytes[GATE_EVENT_BYTES];
    struct gate_event event = {c->next_event, p->number, lane, p->cause, p->verdict_seq, c->counts, c->tick};
    p->met_gate = 1;
    if (lane == LANE_ACCEPT) c->accepts++;
    else c->rejects++;
    gate_event_write(bytes, &event);
    event_write(c, ID_GATE_EVENT, bytes, sizeof bytes);
}

void parts_enter(struct core *c, uint32_t request)
{
    uint8_t bytes[PART_EVENT_BYTES];
    struct core_part part = {.number = ++c->last_number, .sensor = c->counts};
    struct part_event event = {c->next_event, part.number, c->counts, c->tick, request};
    part_event_write(bytes, &event);
    event_write(c, ID_PART_EVENT, bytes, sizeof bytes);

    c->seen_at = c->counts;
    if (!request) encoder_edge(c);
    if (c->part_count == CORE_PARTS) fault_latch(c, FAULT_TABLE_OVERFLOW, part.number); /* RULE table-full */
    if (c->part_count == CORE_PARTS || !c->configured) { /* no gate position known: rejected where it stands */
        bar(&part, c->state == STATE_FAULT ? GATE_CAUSE_FAULT : GATE_CAUSE_NOT_ARMED);
        gate_event(c, &part, LANE_REJECT);
        c->last_edge = c->stranger = c->counts;
        return;
    }
    part.gate = plus(c->counts, c->config.gate_counts);
    for (unsigned k = 0; k < CORE_CAMERAS; k++)
        if (c->config.camera_counts[k] >= 0) part.cameras_due |= (uint8_t)(1u << k);
    if (c->state == STATE_FAULT) bar(&part, GATE_CAUSE_FAULT);
    else if (c->state != STATE_ARMED) bar(&part, GATE_CAUSE_NOT_ARMED); /* RULE not-armed */
    if (ahead(c->counts, c->last_edge) < c->config.min_gap_counts) { /* RULE too-close */
        /* The gate cannot part them, and a bouncing sensor looks the same: both go to the reject lane. */
        bar(&part, GATE_CAUSE_TOO_CLOSE);
        part.crowded = 1;
        if (c->part_count) {
            struct core_part *before = part_at(c, c->part_count - 1);
            bar(before, GATE_CAUSE_TOO_CLOSE);
            before->crowded = 1;
        }
    }
    *part_at(c, c->part_count++) = part;
    c->last_edge = c->counts;
}

static uint8_t closing_cause(const struct core *c, const struct core_part *p)
{
    if (!host_alive(c)) return GATE_CAUSE_HOST_LOST; /* RULE host-lost */
    if (p->decision == DECISION_NONE) return GATE_CAUSE_NO_DECISION; /* RULE no-decision */
    return p->decision == DECISION_ACCEPT ? GATE_CAUSE_ACCEPTED : GATE_CAUSE_DECIDED_REJECT;
}

void parts_close(struct core *c)
{
    for (uint32_t i = 0; i < c->part_count; i++) {
        struct core_part *p = part_at(c, i);
        if (p->closed || ahead(c->counts, plus(p->gate, -c->config.lead_counts)) < 0) continue;
        p->closed = 1;
        if (p->barred) continue; /* RULE barred-stays */
        p->cause = closing_cause(c, p);
        c->lost_rejects = p->cause == GATE_CAUSE_HOST_LOST ? (uint8_t)(c->lost_rejects + 1u) : 0;
        if (!c->config.host_lost_rejects || c->lost_rejects < c->config.host_lost_rejects) continue;
        c->lost_rejects = 0;
        state_set(c, STATE_CONFIGURED, STATE_REASON_HOST_LOST); /* RULE lost-rejects */
    }
}

void parts_gate(struct core *c)
{
    for (uint32_t i = 0; i < c->part_count; i++) {
        struct core_part *p = part_at(c, i);
        if (p->met_gate || ahead(c->counts, p->gate) < 0) continue;
        if (p->cause == GATE_CAUSE_ACCEPTED && c->lane == LANE_REJECT) p->cause = GATE_CAUSE_GATE_LATE;
        gate_event(c, p, c->lane);
    }
    while (c->part_count) {
        struct core_part *p = part_at(c, 0);
        if (!p->met_gate || ahead(c->counts, plus(p->gate, c->config.gate_hold_counts / 2)) < 0) break;
        c->first_part = (c->first_part + 1) % CORE_PARTS;
        c->part_count--;
    }
}

uint8_t parts_lane(const struct core *c)
{
    uint8_t lane = LANE_REJECT; /* RULE default-reject */
    int64_t half_hold = c->config.gate_hold_counts / 2;
    for (uint32_t i = 0; c->state == STATE_ARMED && i < c->part_count; i++) {
        const struct core_part *p = part_at(c, i);
        int64_t past = ahead(c->counts, p->gate);
        if (p->closed && p->cause == GATE_CAUSE_ACCEPTED && past >= -half_hold && past < half_hold) lane = LANE_ACCEPT;
    }
    return lane;
}

/* Give the travel until the belt has run empty from sensor to gate, 0 = nothing can be on it. */
int32_t parts_way_left(const struct core *c)
{
    int64_t way = (int64_t)c->config.gate_counts + c->config.gate_hold_counts / 2 + c->config.gate_window_counts;
    int64_t left = way - ahead(c->counts, c->seen_at);
    if (left < 1) left = c->part_count || c->sensor || c->gate_sensor; /* RULE empty-belt */
    return left > INT32_MAX ? INT32_MAX : (int32_t)left;
}

/* Raise a camera line with its lamp, unless the lamp has not rested long enough; give 1 when it rose. */
int strobe_fire(struct core *c, uint8_t k, struct core_outputs *out)
{
    uint32_t on = c->config.strobe_us[k], rest = on * CORE_STROBE_DUTY;
    if (on > CORE_STROBE_MAX_US || (on && c->strobed[k] && c->tick - c->strobe_tick[k] < rest)) { /* RULE strobe-duty */
        c->strobes_refused++;
        return 0;
    }
    c->strobed[k] = on != 0;
    c->strobe_tick[k] = c->tick;
    out->camera_line[k] = 1;
    out->strobe_us[k] = (uint16_t)on;
    return 1;
}

void parts_cameras(struct core *c, struct core_outputs *out)
{
    if (c->state != STATE_ARMED) return;
    for (uint32_t i = 0; i < c->part_count; i++) {
        struct core_part *p = part_at(c, i);
        for (uint8_t k = 0; k < CORE_CAMERAS; k++) {
            /* One edge per line and step; the next stays due. */
            if (!(p->cameras_due >> k & 1u) || out->camera_line[k]) continue;
            if (ahead(c->counts, plus(p->sensor, c->config.camera_counts[k])) < 0) continue;
            if (!strobe_fire(c, k, out)) { /* without light no image: the part is rejected */
                bar(p, GATE_CAUSE_TOO_CLOSE); /* RULE no-light */
                p->cameras_due = 0;
                continue;
            }
            uint8_t bytes[EXPOSED_EVENT_BYTES];
            struct exposed_event event = {c->next_event, p->number, k, ++c->trigger_index[k], c->counts, c->tick};
            p->cameras_due &= (uint8_t)~(1u << k);
            exposed_event_write(bytes, &event);
            event_write(c, ID_EXPOSED_EVENT, bytes, sizeof bytes);
        }
    }
}

void parts_bar(struct core *c, uint8_t cause)
{
    for (uint32_t i = 0; i < c->part_count; i++) bar(part_at(c, i), cause);
}

uint8_t parts_decide(struct core *c, const struct decision *d)
{
    struct core_part *p = NULL;
    uint8_t wish = d->accept == 1 ? DECISION_ACCEPT : DECISION_REJECT;
    for (uint32_t i = 0; i < c->part_count && !p; i++)
        if (part_at(c, i)->number == d->part) p = part_at(c, i);
    if (!p) return d->part && ahead32(c->last_number, d->part) >= 0 ? DECISION_OUTCOME_LATE : DECISION_OUTCOME_UNKNOWN;
    if (p->closed) return DECISION_OUTCOME_LATE; /* RULE late */
    if (p->barred || c->state != STATE_ARMED) return DECISION_OUTCOME_REFUSED; /* RULE barred */
    if (p->decision == wish) return DECISION_OUTCOME_DUPLICATE;
    /* One-shot: only towards reject may a decision change. */
    if (wish == DECISION_ACCEPT && (p->decision == DECISION_REJECT || !host_alive(c))) /* RULE one-shot */
        return DECISION_OUTCOME_REFUSED;
    p->decision = wish;
    p->verdict_seq = d->verdict_seq;
    return DECISION_OUTCOME_ACCEPTED;
}
