#include "storm.h"

#include <stdlib.h>
#include <string.h>

#define TURN 2000u /* us between two looks of the host */
#define NEVER INT64_MAX

struct storm {
    const struct storm_wish *wish;
    struct storm_log *log;
    struct random random;
    struct core core;
    struct core_retained kept;
    struct core_outputs out;
    struct pipe to_mcu, to_host;
    struct host host;
    uint64_t tick, belt_tick, belt_again;
    int64_t counts, belt_counts, speed; /* counts per ms */
    int64_t *enter, *leave;
    uint32_t parts, entered, left, closed, met, seen, gone;
    uint32_t reported; /* events of the core looked at */
    uint8_t running;
};

static void note(struct storm *s, uint8_t kind, uint32_t value, uint8_t flag)
{
    struct storm_log *log = s->log;
    if (log->record_count == log->record_cap) {
        log->overflow = 1;
        return;
    }
    log->records[log->record_count++] = (struct record){s->counts, s->tick, value, kind, flag, {0, 0}};
}

static void note_reports(struct storm *s)
{
    while (s->reported != s->core.next_event) {
        const struct core_event *e = &s->core.events[s->reported++ % CORE_EVENTS];
        if (e->id != ID_GATE_EVENT) continue;
        struct gate_event report;
        gate_event_read(e->bytes, &report);
        note(s, RECORD_REPORT, report.part, (uint8_t)(report.lane | report.cause << 1));
    }
}

static void step(struct storm *s)
{
    uint8_t permit = s->out.run_permit;
    struct core_inputs in = {
        .tick = s->tick, .counts = s->counts, .part_sensor = s->entered > s->left,
        .gate_sensor = s->wish->gate_sensor && s->seen > s->gone,
    };
    core_step(&s->core, &in, &s->out);
    if (s->out.run_permit != permit) note(s, RECORD_PERMIT, 0, s->out.run_permit);
    note_reports(s);
}

static void start(struct storm *s, uint8_t reason, uint8_t flags)
{
    uint32_t boot = 1 + draw(&s->random, 0x7FFFFFFE);
    if (reason == RESET_REASON_POWER_ON) memset(&s->kept, (int)draw(&s->random, 256), sizeof s->kept);
    core_start(&s->core, boot, reason, &s->kept);
    memset(&s->out, 0, sizeof s->out);
    s->reported = 1;
    note(s, RECORD_START, boot, (uint8_t)(flags | (s->entered > s->left ? START_COVERED : 0)));
    step(s);
}

static void reset(struct storm *s)
{
    uint32_t how = draw(&s->random, 10);
    s->log->mcu_resets++;
    if (how < 3) start(s, RESET_REASON_POWER_ON, START_EMPTY);
    else if (how < 7) start(s, RESET_REASON_PIN, 0);
    else if (how < 8) start(s, RESET_REASON_WATCHDOG, START_FAULT);
    else if (how < 9) start(s, RESET_REASON_BROWN_OUT, START_FAULT);
    else {
        ((uint8_t *)&s->kept)[draw(&s->random, sizeof s->kept)] ^= 0x10;
        start(s, RESET_REASON_PIN, START_FAULT);
    }
}

static int64_t counts_at(const struct storm *s, uint64_t tick)
{
    return s->belt_counts + (int64_t)(tick - s->belt_tick) * s->speed / 1000;
}

static uint64_t tick_of(const struct storm *s, int64_t counts)
{
    int64_t ahead = (counts - s->belt_counts) * 1000;
    return s->belt_tick + (uint64_t)((ahead + s->speed - 1) / s->speed);
}

static void run_belt(struct storm *s, int64_t speed)
{
    s->belt_tick = s->tick;
    s->belt_counts = s->counts;
    s->speed = speed;
}

static int64_t next_own(const struct storm *s)
{
    int64_t next = NEVER, gate = s->wish->gate;
    int64_t sight = s->wish->gate_sensor_counts;
    int64_t each[6] = {
        s->entered < s->parts ? s->enter[s->entered] : NEVER,
        s->left < s->entered ? s->leave[s->left] : NEVER,
        s->closed < s->parts ? s->enter[s->closed] + gate - s->wish->lead : NEVER,
        s->met < s->parts ? s->enter[s->met] + gate : NEVER,
        s->seen < s->entered ? s->enter[s->seen] + sight : NEVER,
        s->gone < s->seen ? s->leave[s->gone] + sight : NEVER,
    };
    for (unsigned i = 0; i < 6; i++)
        if (each[i] < next) next = each[i];
    return next;
}

/* Let one thing happen that is due at the present count; 0 when nothing is. */
static int happen(struct storm *s)
{
    int64_t gate = s->wish->gate, sight = s->wish->gate_sensor_counts;
    if (s->left < s->entered && s->leave[s->left] <= s->counts) {
        s->left++;
        step(s);
    } else if (s->gone < s->seen && s->leave[s->gone] + sight <= s->counts) {
        s->gone++;
        step(s);
    } else if (s->seen < s->entered && s->enter[s->seen] + sight <= s->counts) {
        s->seen++;
        step(s);
    } else if (s->closed < s->parts && s->enter[s->closed] + gate - s->wish->lead <= s->counts) {
        note(s, RECORD_CLOSE, s->closed++, 0);
        step(s);
    } else if (s->met < s->parts && s->enter[s->met] + gate <= s->counts) {
        uint8_t before = s->out.lane;
        uint32_t part = s->met++;
        step(s);
        note(s, RECORD_GATE, part, before == LANE_ACCEPT || s->out.lane == LANE_ACCEPT);
    } else if (s->entered < s->parts && s->enter[s->entered] <= s->counts) {
        note(s, RECORD_ENTER, s->entered++, 0);
        step(s);
    } else {
        return 0;
    }
    return 1;
}

static void advance(struct storm *s, uint64_t until)
{
    int64_t last = counts_at(s, until), due;
    for (;;) {
        int64_t next = next_own(s);
        if (core_next_due(&s->core, &due) && due < next) next = due;
        if (next > last) break;
        if (next > s->counts) {
            uint64_t tick = tick_of(s, next);
            if (tick > s->tick) s->tick = tick < until ? tick : until;
            s->counts = next;
        }
        while (happen(s)) { }
        step(s);
    }
    s->tick = until;
    s->counts = last;
    step(s);
}

static void deliver(struct storm *s)
{
    static _Thread_local uint8_t bytes[PIPE_BYTES];
    uint32_t n = pipe_get(&s->to_mcu, s->tick, bytes);
    if (!n) return;
    if (s->log->blob_cap - s->log->blob_count < n) {
        s->log->overflow = 1;
        return;
    }
    memcpy(s->log->blob + s->log->blob_count, bytes, n);
    s->log->blob_count += n;
    note(s, RECORD_BYTES, n, 0);
    core_rx(&s->core, bytes, n);
    step(s);
}

static void talk(struct storm *s)
{
    static _Thread_local uint8_t bytes[PIPE_BYTES];
    uint32_t n;
    while ((n = (uint32_t)core_tx(&s->core, bytes, PIPE_CHUNK)))
        pipe_put(&s->to_host, &s->random, s->wish, s->log, s->tick, bytes, n);
    if (s->tick < s->host.frozen_until) return;
    n = pipe_get(&s->to_host, s->tick, bytes);
    if (n) host_hear(&s->host, &s->random, s->wish, s->tick, bytes, n);
    uint32_t session = s->host.session;
    n = host_speak(&s->host, &s->random, s->wish, s->tick, bytes);
    s->log->sessions += session != s->host.session;
    if (n) pipe_put(&s->to_mcu, &s->random, s->wish, s->log, s->tick, bytes, n);
}

static void trouble(struct storm *s)
{
    struct random *r = &s->random;
    if (s->belt_again && s->tick >= s->belt_again) {
        s->belt_again = 0;
        run_belt(s, 4 + draw(r, 20));
    }
    if (!s->wish->trouble || draw(r, s->wish->trouble) >= TURN / 1000) return;
    uint32_t kind = draw(r, 8);
    if (kind < 2) {
        s->log->host_freezes++;
        s->host.frozen_until = s->tick + 1000u * (30 + draw(r, kind ? 200 : 900));
    } else if (kind < 3) {
        s->log->host_restarts++;
        host_restart(&s->host, r, s->tick);
    } else if (kind < 5) {
        reset(s);
    } else if (kind < 6) {
        s->log->belt_stops++;
        run_belt(s, 0);
        s->belt_again = s->tick + 1000u * (20 + draw(r, 1200));
    } else if (!s->belt_again) {
        run_belt(s, 4 + draw(r, 20));
    }
}

static void lay_out(struct storm *s)
{
    int64_t at = s->wish->gate;
    for (uint32_t i = 0; i < s->parts; i++) {
        int64_t gap = s->wish->gap_min + draw(&s->random, s->wish->gap_spread);
        if (!draw(&s->random, 50)) gap = 3 + draw(&s->random, 40); /* a part that sways under the sensor */
        at += gap;
        s->enter[i] = at;
        s->leave[i] = at + 10 + draw(&s->random, 60);
    }
    for (uint32_t i = 0; i + 1 < s->parts; i++)
        if (s->leave[i] >= s->enter[i + 1]) s->leave[i] = s->enter[i + 1] - 1;
}

size_t storm_record_size(void) { return sizeof(struct record); }

int storm_run(const struct storm_wish *wish, struct storm_log *log)
{
    struct storm *s = calloc(1, sizeof *s);
    int64_t *edges = calloc(2 * (size_t)wish->parts + 1, sizeof *edges);
    if (!s || !edges) {
        free(s);
        free(edges);
        return -1;
    }
    s->wish = wish;
    s->log = log;
    s->random.state = wish->seed * 0x9E3779B97F4A7C15ull | 1u;
    for (int i = 0; i < 8; i++) draw(&s->random, 0);
    s->parts = wish->parts;
    s->enter = edges;
    s->leave = edges + wish->parts;
    s->tick = draw(&s->random, 0x7FFFFFFF);
    lay_out(s);
    run_belt(s, 10);
    start(s, RESET_REASON_POWER_ON, START_EMPTY);
    host_restart(&s->host, &s->random, s->tick);
    while (s->met < s->parts && !log->overflow) {
        uint64_t next = s->tick + TURN;
        advance(s, next);
        talk(s);
        deliver(s);
        if (s->out.restart) start(s, RESET_REASON_HOST_REQUEST, 0);
        trouble(s);
    }
    free(edges);
    free(s);
    return 0;
}
