/* The host link: frames in, replies, numbered events and statistics out. */
#include "frame.h"
#include "internal.h"

#include <string.h>

#define STATS_TICKS (100u * (CORE_TICK_HZ / 1000u))
#define TEST_LIMIT_MS 500u
#define HEADER 4u
#define KEY 4u /* session XOR boot in front of every payload; the bare session in Hello and HelloAck */
#define CRC 4u

static void frame_in(struct core *c, uint8_t *bytes, size_t n);
static void hello(struct core *c, uint32_t session);
static void reliable_in(struct core *c, uint8_t id, uint8_t seq, const uint8_t *p, size_t n);
static void message_in(struct core *c, uint8_t id, const uint8_t *p, size_t n);
static void configure_in(struct core *c, const uint8_t *p);
static void arm_in(struct core *c, const uint8_t *p);
static void decision_in(struct core *c, const uint8_t *p);
static void test_in(struct core *c, const uint8_t *p);
static void trigger_in(struct core *c, const uint8_t *p);
static void restart_in(struct core *c);
static int send(struct core *c, uint8_t id, const uint8_t *payload, size_t n);
static uint32_t tx_room(const struct core *c) { return CORE_TX - (c->tx_head - c->tx_tail); }

/* ---- in ---- */

void core_rx(struct core *c, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i]) {
            if (c->rx_length < sizeof c->rx) c->rx[c->rx_length++] = bytes[i];
            else c->rx_overflow = 1;
            continue;
        }
        if (c->rx_overflow) c->crc_errors++;
        else if (c->rx_length) frame_in(c, c->rx, c->rx_length);
        c->rx_length = 0;
        c->rx_overflow = 0;
    }
    session_flush(c);
}

static void frame_in(struct core *c, uint8_t *bytes, size_t n)
{
    n = cobs_decode(bytes, n);
    if (n < HEADER + KEY + CRC || n > CORE_FRAME) {
        c->crc_errors++;
        return;
    }
    const uint8_t *crc_at = bytes + n - CRC, *key_at = bytes + HEADER;
    if (get_uint(&crc_at, 4) != frame_crc32(bytes, n - CRC)) { /* RULE crc */
        c->crc_errors++;
        return;
    }
    uint8_t id = bytes[0] & 63u;
    uint32_t key = (uint32_t)get_uint(&key_at, 4);
    const uint8_t *payload = bytes + HEADER + KEY;
    size_t length = n - HEADER - KEY - CRC;
    if (id == ID_HELLO) { /* answered in any version, so that the host can name the mismatch */
        if (length == HELLO_BYTES && key) hello(c, key);
        return;
    }
    if (bytes[0] >> 6 != PROTOCOL_VERSION || !c->session || key != (c->session ^ c->boot)) { /* RULE key */
        c->stale_frames++;
        return;
    }
    if (bytes[1] & FRAME_RELIABLE) reliable_in(c, id, bytes[2], payload, length);
    else message_in(c, id, payload, length);
}

static void hello(struct core *c, uint32_t session)
{
    if (session != c->session) {
        c->session = session;
        c->heard = 0; /* RULE own-heartbeat */
        c->rx_seq = 0;
        c->request = 0;
        c->purging = 0;
        c->ack_due = c->nak_due = 0;
        c->tx_tail = c->tx_head; /* whatever waits belongs to the old session */
        c->again_from = c->again_to = c->next_event;
        c->stats_tick = c->tick;
        /* Bars the parts in the table; in every other state they are barred already. */
        if (c->state == STATE_ARMED) state_set(c, STATE_CONFIGURED, STATE_REASON_NEW_SESSION); /* RULE new-session */
    }
    uint8_t bytes[HELLO_ACK_BYTES];
    struct hello_ack ack = {c->session, c->boot, PROTOCOL_VERSION, SCHEMA_HASH, c->state, c->fault, event_oldest(c),
                            c->next_event, c->configured ? c->config.crc : 0};
    hello_ack_write(bytes, &ack);
    send(c, ID_HELLO_ACK, bytes, sizeof bytes);
}

static void reliable_in(struct core *c, uint8_t id, uint8_t seq, const uint8_t *p, size_t n)
{
    c->ack_due = 1;
    if (seq == (uint8_t)(c->rx_seq + 1)) { /* RULE once */
        c->rx_seq = seq;
        message_in(c, id, p, n);
    } else if ((uint8_t)(seq - c->rx_seq) < 128u) {
        c->nak_due = 1;
    }
}

static void message_in(struct core *c, uint8_t id, const uint8_t *p, size_t n)
{
    if (id == ID_CONFIGURE && n == CONFIGURE_BYTES) configure_in(c, p);
    if (id == ID_ARM && n == ARM_BYTES) arm_in(c, p);
    if (id == ID_DECISION && n == DECISION_BYTES) decision_in(c, p);
    if (id == ID_TEST_OUTPUT && n == TEST_OUTPUT_BYTES) test_in(c, p);
    if (id == ID_DISARM && n == DISARM_BYTES) {
        if (c->state == STATE_ARMED) state_set(c, STATE_CONFIGURED, STATE_REASON_HOST_REQUEST);
        else session_state_changed(c, STATE_REASON_NOT_ALLOWED_NOW);
    }
    if (id == ID_RELEASE_FAULT && n == RELEASE_FAULT_BYTES) fault_release(c);
    if (id == ID_SOFT_TRIGGER && n == SOFT_TRIGGER_BYTES) trigger_in(c, p);
    if (id == ID_RESTART && n == RESTART_BYTES) restart_in(c);
    if (id == ID_HEARTBEAT && n == HEARTBEAT_BYTES) {
        c->heard = 1;
        c->heartbeat_tick = c->tick;
    }
    if (id == ID_CLOCK_REQUEST && n == CLOCK_REQUEST_BYTES) {
        uint8_t bytes[CLOCK_REPLY_BYTES];
        struct clock_request request;
        clock_request_read(p, &request);
        struct clock_reply reply = {request.host_ns, c->tick, c->counts};
        clock_reply_write(bytes, &reply);
        send(c, ID_CLOCK_REPLY, bytes, sizeof bytes);
    }
    if (id == ID_EVENT_REQUEST && n == EVENT_REQUEST_BYTES) {
        struct event_request request;
        event_request_read(p, &request);
        if (request.count > CORE_EVENTS) request.count = CORE_EVENTS;
        c->again_from = request.first;
        c->again_to = request.first + request.count;
        if (ahead32(event_oldest(c), c->again_from) > 0) session_stats(c);
    }
}

static void configure_in(struct core *c, const uint8_t *p)
{
    uint8_t bytes[CONFIGURE_ACK_BYTES];
    struct configure wish;
    configure_read(p, &wish);
    uint8_t reason = configure_check(c, &wish, frame_crc32(p, CONFIGURE_BYTES - 4u));
    struct configure_ack ack = {reason == CONFIGURE_REASON_ACCEPTED, reason};
    configure_ack_write(bytes, &ack);
    send(c, ID_CONFIGURE_ACK, bytes, sizeof bytes);
    if (!ack.accepted || c->configured) return;
    c->config = wish;
    c->configured = 1;
    if (c->state == STATE_UNCONFIGURED) state_set(c, STATE_CONFIGURED, STATE_REASON_HOST_REQUEST);
}

/* Only a reset ends a configuration, and none may cost a part its gate event. */
static void restart_in(struct core *c)
{
    int idle = c->state == STATE_CONFIGURED || c->state == STATE_UNCONFIGURED;
    if (idle && !c->part_count) c->restart_due = 1; /* RULE restart */
    else session_state_changed(c, STATE_REASON_NOT_ALLOWED_NOW);
}

static void trigger_in(struct core *c, const uint8_t *p)
{
    struct soft_trigger wish;
    soft_trigger_read(p, &wish);
    if (c->state != STATE_ARMED || !host_alive(c) || c->config.trigger_source != TRIGGER_SOURCE_PLC || !wish.request ||
        wish.request == c->request) { /* RULE trigger-once */
        c->refused_triggers++;
        return;
    }
    c->request = wish.request;
    parts_enter(c, wish.request);
}

static void arm_in(struct core *c, const uint8_t *p)
{
    struct arm wish;
    arm_read(p, &wish);
    uint8_t refusal = 0;
    if (wish.schema_hash != SCHEMA_HASH) refusal = STATE_REASON_SCHEMA_MISMATCH; /* RULE schema */
    else if (!c->configured) refusal = STATE_REASON_NOT_CONFIGURED;
    else if (c->state != STATE_CONFIGURED || !host_alive(c)) refusal = STATE_REASON_NOT_ALLOWED_NOW; /* RULE arm */
    if (refusal) {
        session_state_changed(c, refusal);
        return;
    }
    c->lost_rejects = 0;
    state_set(c, STATE_ARMED, STATE_REASON_HOST_REQUEST);
}

static void decision_in(struct core *c, const uint8_t *p)
{
    uint8_t bytes[DECISION_ACK_BYTES];
    struct decision wish;
    decision_read(p, &wish);
    struct decision_ack ack = {wish.part, wish.verdict_seq, parts_decide(c, &wish)};
    if (ack.outcome == DECISION_OUTCOME_LATE) c->late_decisions++;
    if (ack.outcome == DECISION_OUTCOME_UNKNOWN) c->unknown_decisions++;
    if (ack.outcome == DECISION_OUTCOME_DUPLICATE) c->duplicate_decisions++;
    if (ack.outcome == DECISION_OUTCOME_REFUSED) c->refused_decisions++;
    decision_ack_write(bytes, &ack);
    send(c, ID_DECISION_ACK, bytes, sizeof bytes);
}

/* A tested gate opens for whatever comes: nothing may be on the belt, known to the table or not. */
int session_may_test(const struct core *c, uint8_t output)
{
    if (c->state != STATE_CONFIGURED || c->part_count || c->restart_due) return 0;
    return output != TEST_TARGET_GATE_ACCEPT || !parts_way_left(c); /* RULE tested-gate */
}

static void test_in(struct core *c, const uint8_t *p)
{
    struct test_output wish;
    test_output_read(p, &wish);
    if (wish.output > TEST_TARGET_RUN_PERMIT || !wish.duration_ms || wish.duration_ms > TEST_LIMIT_MS ||
        !session_may_test(c, wish.output)) {
        session_state_changed(c, STATE_REASON_NOT_ALLOWED_NOW);
        return;
    }
    c->test_active = c->test_pulse = 1;
    c->test_output = wish.output;
    c->test_end = c->tick + wish.duration_ms * (uint64_t)(CORE_TICK_HZ / 1000u);
}

/* ---- out ---- */

void session_step(struct core *c)
{
    if (c->session && !host_gone(c) && c->tick - c->stats_tick >= STATS_TICKS) session_stats(c);
    session_flush(c);
}

/* Send events asked for again while there is room, then the acknowledgement if no frame has carried it. */
void session_flush(struct core *c)
{
    if (!c->session) return;
    if (ahead32(event_oldest(c), c->again_from) > 0) c->again_from = event_oldest(c);
    if (ahead32(c->again_to, c->next_event) > 0) c->again_to = c->next_event;
    while (ahead32(c->again_to, c->again_from) > 0 && tx_room(c) > CORE_TX / 2) {
        const struct core_event *e = &c->events[c->again_from++ % CORE_EVENTS];
        send(c, e->id, e->bytes, e->length);
    }
    if (c->ack_due || c->nak_due) send(c, ID_ACK, NULL, 0);
}

void session_stats(struct core *c)
{
    uint8_t bytes[STATS_BYTES];
    struct stats stats = {
        .tick = c->tick, .counts = c->counts, .parts = c->last_number, .accepts = c->accepts, .rejects = c->rejects,
        .late_decisions = c->late_decisions, .unknown_decisions = c->unknown_decisions,
        .duplicate_decisions = c->duplicate_decisions, .refused_decisions = c->refused_decisions,
        .crc_errors = c->crc_errors, .stale_frames = c->stale_frames, .dropped_frames = c->dropped_frames,
        .oldest_event = event_oldest(c), .next_event = c->next_event,
        .config_crc = c->configured ? c->config.crc : 0, .state = c->state, .fault = c->fault,
        .host_alive = (uint8_t)host_alive(c), .run_permit = c->run_permit, .reset = c->reset,
        .purging = c->purging, .purge_counts = purge_counts(c), .fault_detail = c->fault_detail, .faults = c->faults,
        .gate_edges = c->gate_edges, .missing_parts = c->missing_parts, .extra_parts = c->extra_parts,
        .strobes_refused = c->strobes_refused, .encoder_errors = c->encoder_errors,
        .refused_triggers = c->refused_triggers,
    };
    c->stats_tick = c->tick;
    stats_write(bytes, &stats);
    send(c, ID_STATS, bytes, sizeof bytes);
}

void session_state_changed(struct core *c, uint8_t reason)
{
    uint8_t bytes[STATE_CHANGED_BYTES];
    struct state_changed change = {c->state, reason};
    state_changed_write(bytes, &change);
    send(c, ID_STATE_CHANGED, bytes, sizeof bytes);
}

uint32_t event_oldest(const struct core *c)
{
    uint32_t held = c->next_event - 1u;
    return held < CORE_EVENTS ? 1u : c->next_event - CORE_EVENTS;
}

void event_write(struct core *c, uint8_t id, const uint8_t *bytes, uint8_t length)
{
    struct core_event *e = &c->events[c->next_event++ % CORE_EVENTS];
    e->id = id;
    e->length = length;
    memcpy(e->bytes, bytes, length);
    if (!host_gone(c)) send(c, id, bytes, length); /* a host that is gone asks for them when it is back */
}

/* Queue one frame; a frame that finds no room is dropped and counted, never waited for. */
static int send(struct core *c, uint8_t id, const uint8_t *payload, size_t n)
{
    uint8_t raw[CORE_FRAME], coded[CORE_ENCODED];
    if (!c->session) return 0;
    uint8_t flags = (uint8_t)(FRAME_ACK | (c->nak_due ? FRAME_NAK : 0u));
    uint8_t *p = raw;
    *p++ = (uint8_t)(PROTOCOL_VERSION << 6 | id);
    *p++ = flags;
    *p++ = 0;
    *p++ = c->rx_seq;
    p = put_uint(p, id == ID_HELLO_ACK ? c->session : c->session ^ c->boot, 4);
    if (n) memcpy(p, payload, n);
    p += n;
    p = put_uint(p, frame_crc32(raw, (size_t)(p - raw)), 4);
    size_t length = cobs_encode(raw, (size_t)(p - raw), coded + 1) + 2;
    coded[0] = coded[length - 1] = 0;
    if (tx_room(c) < length) {
        c->dropped_frames++;
        return 0;
    }
    for (size_t i = 0; i < length; i++) c->tx[c->tx_head++ % CORE_TX] = coded[i];
    c->ack_due = c->nak_due = 0;
    return 1;
}

size_t core_tx(struct core *c, uint8_t *buf, size_t cap)
{
    size_t n = 0;
    while (n < cap && c->tx_tail != c->tx_head) buf[n++] = c->tx[c->tx_tail++ % CORE_TX];
    session_flush(c);
    return n;
}
