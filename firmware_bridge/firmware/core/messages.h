/* Messages between host and MCU. Generated from messages.toml by generate.py; do not edit. */
#ifndef MESSAGES_H
#define MESSAGES_H
#include <stdint.h>

#define PROTOCOL_VERSION 1u
#define SCHEMA_HASH 0xE9BB1D15u

/* States of the MCU; outputs are safe (gate in reject lane, camera lines and run permit off) in all but armed. */
enum state { STATE_BOOT = 0, STATE_UNCONFIGURED = 1, STATE_CONFIGURED = 2, STATE_ARMED = 3, STATE_FAULT = 4 };

/* Why the state changed, or why a wish to change it was refused. */
enum state_reason { STATE_REASON_STARTED = 0, STATE_REASON_HOST_REQUEST = 1, STATE_REASON_NEW_SESSION = 2, STATE_REASON_HOST_LOST = 3, STATE_REASON_FAULT = 4, STATE_REASON_SCHEMA_MISMATCH = 5, STATE_REASON_NOT_CONFIGURED = 6, STATE_REASON_NOT_ALLOWED_NOW = 7, STATE_REASON_NOT_PURGED = 8 };

/* Answer to Configure; immutable: another configuration holds until the MCU is reset. */
enum configure_reason { CONFIGURE_REASON_ACCEPTED = 0, CONFIGURE_REASON_CRC = 1, CONFIGURE_REASON_IMMUTABLE = 2, CONFIGURE_REASON_TICK_RATE = 3, CONFIGURE_REASON_GATE = 4, CONFIGURE_REASON_LEAD = 5, CONFIGURE_REASON_HOLD = 6, CONFIGURE_REASON_MIN_GAP = 7, CONFIGURE_REASON_CAMERA = 8, CONFIGURE_REASON_HEARTBEAT = 9, CONFIGURE_REASON_GATE_SENSOR = 10, CONFIGURE_REASON_ENCODER = 11, CONFIGURE_REASON_STROBE = 12, CONFIGURE_REASON_TRIGGER_SOURCE = 13 };

/* What the MCU did with a decision; only `accepted` changed anything. */
enum decision_outcome { DECISION_OUTCOME_ACCEPTED = 0, DECISION_OUTCOME_LATE = 1, DECISION_OUTCOME_UNKNOWN = 2, DECISION_OUTCOME_DUPLICATE = 3, DECISION_OUTCOME_REFUSED = 4 };

/* Position of the gate; reject is the spring position. */
enum lane { LANE_REJECT = 0, LANE_ACCEPT = 1 };

/* Why a part met the gate in that lane; only `accepted` is a pass. */
enum gate_cause { GATE_CAUSE_NO_DECISION = 0, GATE_CAUSE_ACCEPTED = 1, GATE_CAUSE_DECIDED_REJECT = 2, GATE_CAUSE_HOST_LOST = 3, GATE_CAUSE_OLD_SESSION = 4, GATE_CAUSE_FAULT = 5, GATE_CAUSE_NOT_ARMED = 6, GATE_CAUSE_TOO_CLOSE = 7, GATE_CAUSE_GATE_LATE = 8 };

/* Latched faults, kept over a reset; memory: what was kept is damaged. */
enum fault { FAULT_NONE = 0, FAULT_TABLE_OVERFLOW = 1, FAULT_SYNC_LOST = 2, FAULT_ENCODER = 3, FAULT_CONFIGURATION = 4, FAULT_WATCHDOG = 5, FAULT_BROWN_OUT = 6, FAULT_STACK = 7, FAULT_CRASH = 8, FAULT_MEMORY = 9 };

/* Detail of the fault encoder; standing: parts come at an encoder that does not count. */
enum encoder_fault { ENCODER_FAULT_NONE = 0, ENCODER_FAULT_TOO_FAST = 1, ENCODER_FAULT_BACKWARDS = 2, ENCODER_FAULT_STANDING = 3, ENCODER_FAULT_TRANSITIONS = 4 };

/* What started this boot, as far as the board can tell. */
enum reset_reason { RESET_REASON_POWER_ON = 0, RESET_REASON_PIN = 1, RESET_REASON_HOST_REQUEST = 2, RESET_REASON_WATCHDOG = 3, RESET_REASON_BROWN_OUT = 4, RESET_REASON_CRASH = 5 };

/* What makes a part: an edge of the part sensor, or SoftTrigger. */
enum trigger_source { TRIGGER_SOURCE_SENSOR = 0, TRIGGER_SOURCE_PLC = 1 };

/* Outputs that TestOutput can drive. */
enum test_target { TEST_TARGET_GATE_ACCEPT = 0, TEST_TARGET_CAMERA0 = 1, TEST_TARGET_CAMERA1 = 2, TEST_TARGET_RUN_PERMIT = 3 };

enum message_id { ID_HELLO = 1, ID_CONFIGURE = 2, ID_ARM = 3, ID_DISARM = 4, ID_HEARTBEAT = 5, ID_CLOCK_REQUEST = 6, ID_DECISION = 7, ID_EVENT_REQUEST = 8, ID_TEST_OUTPUT = 9, ID_RELEASE_FAULT = 10, ID_SOFT_TRIGGER = 11, ID_RESTART = 12, ID_ACK = 32, ID_HELLO_ACK = 33, ID_CONFIGURE_ACK = 34, ID_STATE_CHANGED = 35, ID_CLOCK_REPLY = 36, ID_DECISION_ACK = 37, ID_STATS = 38, ID_PART_EVENT = 48, ID_EXPOSED_EVENT = 49, ID_GATE_EVENT = 50, ID_FAULT_EVENT = 51 };

static inline uint8_t *put_uint(uint8_t *p, uint64_t v, unsigned bytes)
{
    while (bytes--) { *p++ = (uint8_t)v; v >>= 8; }
    return p;
}

static inline uint64_t get_uint(const uint8_t **p, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++) v |= (uint64_t)*(*p)++ << (8 * i);
    return v;
}

/* Open a session; every part already in the table becomes an old_session reject and the MCU disarms. */
#define HELLO_BYTES 4u
struct hello {
    uint32_t host_session; /* random, not 0 */
};
static inline void hello_write(uint8_t *p, const struct hello *m)
{
    p = put_uint(p, m->host_session, 4);
    (void)p;
}
static inline void hello_read(const uint8_t *p, struct hello *m)
{
    m->host_session = (uint32_t)get_uint(&p, 4);
}

/* Set the geometry of the station, in encoder counts from the part sensor's leading edge; immutable until reset. */
#define CONFIGURE_BYTES 60u
struct configure {
    int32_t gate_counts; /* sensor to gate */
    int32_t lead_counts; /* the decision closes this long before the gate */
    int32_t camera_counts[2]; /* sensor to camera, -1 = no camera */
    int32_t min_gap_counts; /* parts closer than this (edge to edge) are both rejected */
    int32_t gate_hold_counts; /* the gate is in the accept lane half of this before and after the part */
    uint16_t heartbeat_timeout_ms; /* host lost after this silence, 20..400 ms */
    uint32_t tick_hz; /* must equal the MCU's tick rate */
    int32_t gate_sensor_counts; /* sensor to the gate's own sensor, -1 = none */
    int32_t gate_window_counts; /* each part meets the gate's sensor within this much of its place */
    uint32_t encoder_max_hz; /* counts per s that no belt here reaches, 0 = not watched */
    int32_t encoder_back_counts; /* the belt runs back at most this far, -1 = not watched */
    int32_t shortest_part_counts; /* no two parts enter nearer than this, 0 = not watched */
    uint16_t strobe_us[2]; /* on-time of each camera line's lamp, 0 = none */
    uint8_t host_lost_rejects; /* so many parts rejected in a row for a lost host disarm, 0 = only the 500 ms do */
    uint8_t trigger_source; /* what makes a part */
    uint32_t crc; /* CRC-32 of the fields before it, as packed */
};
static inline void configure_write(uint8_t *p, const struct configure *m)
{
    p = put_uint(p, (uint32_t)m->gate_counts, 4);
    p = put_uint(p, (uint32_t)m->lead_counts, 4);
    p = put_uint(p, (uint32_t)m->camera_counts[0], 4);
    p = put_uint(p, (uint32_t)m->camera_counts[1], 4);
    p = put_uint(p, (uint32_t)m->min_gap_counts, 4);
    p = put_uint(p, (uint32_t)m->gate_hold_counts, 4);
    p = put_uint(p, m->heartbeat_timeout_ms, 2);
    p = put_uint(p, m->tick_hz, 4);
    p = put_uint(p, (uint32_t)m->gate_sensor_counts, 4);
    p = put_uint(p, (uint32_t)m->gate_window_counts, 4);
    p = put_uint(p, m->encoder_max_hz, 4);
    p = put_uint(p, (uint32_t)m->encoder_back_counts, 4);
    p = put_uint(p, (uint32_t)m->shortest_part_counts, 4);
    p = put_uint(p, m->strobe_us[0], 2);
    p = put_uint(p, m->strobe_us[1], 2);
    p = put_uint(p, m->host_lost_rejects, 1);
    p = put_uint(p, m->trigger_source, 1);
    p = put_uint(p, m->crc, 4);
    (void)p;
}
static inline void configure_read(const uint8_t *p, struct configure *m)
{
    m->gate_counts = (int32_t)get_uint(&p, 4);
    m->lead_counts = (int32_t)get_uint(&p, 4);
    m->camera_counts[0] = (int32_t)get_uint(&p, 4);
    m->camera_counts[1] = (int32_t)get_uint(&p, 4);
    m->min_gap_counts = (int32_t)get_uint(&p, 4);
    m->gate_hold_counts = (int32_t)get_uint(&p, 4);
    m->heartbeat_timeout_ms = (uint16_t)get_uint(&p, 2);
    m->tick_hz = (uint32_t)get_uint(&p, 4);
    m->gate_sensor_counts = (int32_t)get_uint(&p, 4);
    m->gate_window_counts = (int32_t)get_uint(&p, 4);
    m->encoder_max_hz = (uint32_t)get_uint(&p, 4);
    m->encoder_back_counts = (int32_t)get_uint(&p, 4);
    m->shortest_part_counts = (int32_t)get_uint(&p, 4);
    m->strobe_us[0] = (uint16_t)get_uint(&p, 2);
    m->strobe_us[1] = (uint16_t)get_uint(&p, 2);
    m->host_lost_rejects = (uint8_t)get_uint(&p, 1);
    m->trigger_source = (uint8_t)get_uint(&p, 1);
    m->crc = (uint32_t)get_uint(&p, 4);
}

/* Start to trigger cameras and to obey decisions; refused on another schema. */
#define ARM_BYTES 4u
struct arm {
    uint32_t schema_hash; /* the host's schema */
};
static inline void arm_write(uint8_t *p, const struct arm *m)
{
    p = put_uint(p, m->schema_hash, 4);
    (void)p;
}
static inline void arm_read(const uint8_t *p, struct arm *m)
{
    m->schema_hash = (uint32_t)get_uint(&p, 4);
}

/* Make the outputs safe; parts in flight are rejected. */
#define DISARM_BYTES 0u

/* Say that the host lives, every 50 ms. */
#define HEARTBEAT_BYTES 8u
struct heartbeat {
    uint64_t host_ns; /* host monotonic clock */
};
static inline void heartbeat_write(uint8_t *p, const struct heartbeat *m)
{
    p = put_uint(p, m->host_ns, 8);
    (void)p;
}
static inline void heartbeat_read(const uint8_t *p, struct heartbeat *m)
{
    m->host_ns = (uint64_t)get_uint(&p, 8);
}

/* Ask for the MCU's clock and encoder. */
#define CLOCK_REQUEST_BYTES 8u
struct clock_request {
    uint64_t host_ns; /* host monotonic clock when sent */
};
static inline void clock_request_write(uint8_t *p, const struct clock_request *m)
{
    p = put_uint(p, m->host_ns, 8);
    (void)p;
}
static inline void clock_request_read(const uint8_t *p, struct clock_request *m)
{
    m->host_ns = (uint64_t)get_uint(&p, 8);
}

/* Decide one part of this boot; one-shot, and a reject after an accept wins until the window closes. */
#define DECISION_BYTES 9u
struct decision {
    uint32_t part; /* part number of this boot */
    uint8_t accept; /* 1 = accept; any other value rejects */
    uint32_t verdict_seq; /* number of the verdict, echoed at the gate */
};
static inline void decision_write(uint8_t *p, const struct decision *m)
{
    p = put_uint(p, m->part, 4);
    p = put_uint(p, m->accept, 1);
    p = put_uint(p, m->verdict_seq, 4);
    (void)p;
}
static inline void decision_read(const uint8_t *p, struct decision *m)
{
    m->part = (uint32_t)get_uint(&p, 4);
    m->accept = (uint8_t)get_uint(&p, 1);
    m->verdict_seq = (uint32_t)get_uint(&p, 4);
}

/* Ask for events again; events older than the ring are answered by Stats, which names the oldest. */
#define EVENT_REQUEST_BYTES 6u
struct event_request {
    uint32_t first; /* event number */
    uint16_t count; /* at most 256 */
};
static inline void event_request_write(uint8_t *p, const struct event_request *m)
{
    p = put_uint(p, m->first, 4);
    p = put_uint(p, m->count, 2);
    (void)p;
}
static inline void event_request_read(const uint8_t *p, struct event_request *m)
{
    m->first = (uint32_t)get_uint(&p, 4);
    m->count = (uint16_t)get_uint(&p, 2);
}

/* Drive one output while configured and disarmed, the gate only when the belt has run empty; the next part ends it. */
#define TEST_OUTPUT_BYTES 3u
struct test_output {
    uint8_t output; /* which output */
    uint16_t duration_ms; /* 1..500 ms */
};
static inline void test_output_write(uint8_t *p, const struct test_output *m)
{
    p = put_uint(p, m->output, 1);
    p = put_uint(p, m->duration_ms, 2);
    (void)p;
}
static inline void test_output_read(const uint8_t *p, struct test_output *m)
{
    m->output = (uint8_t)get_uint(&p, 1);
    m->duration_ms = (uint16_t)get_uint(&p, 2);
}

/* Leave the latched fault state; after sync_lost or encoder only once the belt has run empty, as Stats tells. */
#define RELEASE_FAULT_BYTES 0u

/* Make a part here and now; only armed and with trigger_source plc. */
#define SOFT_TRIGGER_BYTES 4u
struct soft_trigger {
    uint32_t request; /* not 0; the same as the last one taken in this session makes no part */
};
static inline void soft_trigger_write(uint8_t *p, const struct soft_trigger *m)
{
    p = put_uint(p, m->request, 4);
    (void)p;
}
static inline void soft_trigger_read(const uint8_t *p, struct soft_trigger *m)
{
    m->request = (uint32_t)get_uint(&p, 4);
}

/* Reset the MCU for another configuration; refused while armed, in fault or with parts in the table. */
#define RESTART_BYTES 0u

/* Carry only the header's acknowledgement. */
#define ACK_BYTES 0u

/* Answer Hello with the MCU's identity. */
#define HELLO_ACK_BYTES 28u
struct hello_ack {
    uint32_t host_session; /* echo */
    uint32_t boot; /* random number of this boot */
    uint16_t version; /* protocol version */
    uint32_t schema_hash; /* the MCU's schema */
    uint8_t state; /* state after Hello */
    uint8_t fault; /* latched fault */
    uint32_t oldest_event; /* oldest event that the ring still holds */
    uint32_t next_event; /* number that the next event will get; events start at 1 */
    uint32_t config_crc; /* crc of the active Configure, 0 = none */
};
static inline void hello_ack_write(uint8_t *p, const struct hello_ack *m)
{
    p = put_uint(p, m->host_session, 4);
    p = put_uint(p, m->boot, 4);
    p = put_uint(p, m->version, 2);
    p = put_uint(p, m->schema_hash, 4);
    p = put_uint(p, m->state, 1);
    p = put_uint(p, m->fault, 1);
    p = put_uint(p, m->oldest_event, 4);
    p = put_uint(p, m->next_event, 4);
    p = put_uint(p, m->config_crc, 4);
    (void)p;
}
static inline void hello_ack_read(const uint8_t *p, struct hello_ack *m)
{
    m->host_session = (uint32_t)get_uint(&p, 4);
    m->boot = (uint32_t)get_uint(&p, 4);
    m->version = (uint16_t)get_uint(&p, 2);
    m->schema_hash = (uint32_t)get_uint(&p, 4);
    m->state = (uint8_t)get_uint(&p, 1);
    m->fault = (uint8_t)get_uint(&p, 1);
    m->oldest_event = (uint32_t)get_uint(&p, 4);
    m->next_event = (uint32_t)get_uint(&p, 4);
    m->config_crc = (uint32_t)get_uint(&p, 4);
}

/* Answer Configure; if it is lost, Stats shows config_crc and state. */
#define CONFIGURE_ACK_BYTES 2u
struct configure_ack {
    uint8_t accepted; /* 1 = active */
    uint8_t reason; /* first rule that failed */
};
static inline void configure_ack_write(uint8_t *p, const struct configure_ack *m)
{
    p = put_uint(p, m->accepted, 1);
    p = put_uint(p, m->reason, 1);
    (void)p;
}
static inline void configure_ack_read(const uint8_t *p, struct configure_ack *m)
{
    m->accepted = (uint8_t)get_uint(&p, 1);
    m->reason = (uint8_t)get_uint(&p, 1);
}

/* Report the state after a change, or after a refused wish. */
#define STATE_CHANGED_BYTES 2u
struct state_changed {
    uint8_t state; /* state now */
    uint8_t reason; /* why */
};
static inline void state_changed_write(uint8_t *p, const struct state_changed *m)
{
    p = put_uint(p, m->state, 1);
    p = put_uint(p, m->reason, 1);
    (void)p;
}
static inline void state_changed_read(const uint8_t *p, struct state_changed *m)
{
    m->state = (uint8_t)get_uint(&p, 1);
    m->reason = (uint8_t)get_uint(&p, 1);
}

/* Answer ClockRequest. */
#define CLOCK_REPLY_BYTES 24u
struct clock_reply {
    uint64_t host_ns; /* echo */
    uint64_t tick; /* MCU clock, 1 MHz */
    int64_t counts; /* encoder at that tick */
};
static inline void clock_reply_write(uint8_t *p, const struct clock_reply *m)
{
    p = put_uint(p, m->host_ns, 8);
    p = put_uint(p, m->tick, 8);
    p = put_uint(p, (uint64_t)m->counts, 8);
    (void)p;
}
static inline void clock_reply_read(const uint8_t *p, struct clock_reply *m)
{
    m->host_ns = (uint64_t)get_uint(&p, 8);
    m->tick = (uint64_t)get_uint(&p, 8);
    m->counts = (int64_t)get_uint(&p, 8);
}

/* Answer Decision; informative, the gate event is the truth. */
#define DECISION_ACK_BYTES 9u
struct decision_ack {
    uint32_t part; /* echo */
    uint32_t verdict_seq; /* echo */
    uint8_t outcome; /* what was done */
};
static inline void decision_ack_write(uint8_t *p, const struct decision_ack *m)
{
    p = put_uint(p, m->part, 4);
    p = put_uint(p, m->verdict_seq, 4);
    p = put_uint(p, m->outcome, 1);
    (void)p;
}
static inline void decision_ack_read(const uint8_t *p, struct decision_ack *m)
{
    m->part = (uint32_t)get_uint(&p, 4);
    m->verdict_seq = (uint32_t)get_uint(&p, 4);
    m->outcome = (uint8_t)get_uint(&p, 1);
}

/* Counters since boot, every 100 ms while the host lives; parts = accepts + rejects + parts still in the table. */
#define STATS_BYTES 114u
struct stats {
    uint64_t tick; /* MCU clock, 1 MHz */
    int64_t counts; /* encoder */
    uint32_t parts; /* leading edges of the part sensor */
    uint32_t accepts; /* gate events in the accept lane */
    uint32_t rejects; /* gate events in the reject lane */
    uint32_t late_decisions; /* after the window closed */
    uint32_t unknown_decisions; /* for a part that never was */
    uint32_t duplicate_decisions; /* same decision again */
    uint32_t refused_decisions; /* disarmed, host lost, old session or contradictory */
    uint32_t crc_errors; /* damaged frames */
    uint32_t stale_frames; /* frames of another session or boot */
    uint32_t dropped_frames; /* frames not sent because the host did not read */
    uint32_t oldest_event; /* oldest event that the ring still holds */
    uint32_t next_event; /* number that the next event will get */
    uint32_t config_crc; /* crc of the active Configure, 0 = none */
    uint8_t state; /* state now */
    uint8_t fault; /* latched fault */
    uint8_t host_alive; /* 1 = heartbeat within its limit */
    uint8_t run_permit; /* 1 = the line may run */
    uint8_t reset; /* what started this boot */
    uint8_t purging; /* 1 = the fault is released as soon as the belt has run empty */
    int32_t purge_counts; /* travel until the belt has run empty, 0 = it has, -1 = not configured */
    int64_t fault_detail; /* of the latched fault, as in FaultEvent */
    uint32_t faults; /* latched since power-on, over resets */
    uint32_t gate_edges; /* leading edges of the gate's sensor */
    uint32_t missing_parts; /* not seen by the gate's sensor in their window */
    uint32_t extra_parts; /* seen by the gate's sensor in no part's window */
    uint32_t strobes_refused; /* camera edges withheld to spare the lamp */
    uint32_t encoder_errors; /* illegal transitions of the encoder */
    uint32_t refused_triggers; /* SoftTriggers that made no part */
};
static inline void stats_write(uint8_t *p, const struct stats *m)
{
    p = put_uint(p, m->tick, 8);
    p = put_uint(p, (uint64_t)m->counts, 8);
    p = put_uint(p, m->parts, 4);
    p = put_uint(p, m->accepts, 4);
    p = put_uint(p, m->rejects, 4);
    p = put_uint(p, m->late_decisions, 4);
    p = put_uint(p, m->unknown_decisions, 4);
    p = put_uint(p, m->duplicate_decisions, 4);
    p = put_uint(p, m->refused_decisions, 4);
    p = put_uint(p, m->crc_errors, 4);
    p = put_uint(p, m->stale_frames, 4);
    p = put_uint(p, m->dropped_frames, 4);
    p = put_uint(p, m->oldest_event, 4);
    p = put_uint(p, m->next_event, 4);
    p = put_uint(p, m->config_crc, 4);
    p = put_uint(p, m->state, 1);
    p = put_uint(p, m->fault, 1);
    p = put_uint(p, m->host_alive, 1);
    p = put_uint(p, m->run_permit, 1);
    p = put_uint(p, m->reset, 1);
    p = put_uint(p, m->purging, 1);
    p = put_uint(p, (uint32_t)m->purge_counts, 4);
    p = put_uint(p, (uint64_t)m->fault_detail, 8);
    p = put_uint(p, m->faults, 4);
    p = put_uint(p, m->gate_edges, 4);
    p = put_uint(p, m->missing_parts, 4);
    p = put_uint(p, m->extra_parts, 4);
    p = put_uint(p, m->strobes_refused, 4);
    p = put_uint(p, m->encoder_errors, 4);
    p = put_uint(p, m->refused_triggers, 4);
    (void)p;
}
static inline void stats_read(const uint8_t *p, struct stats *m)
{
    m->tick = (uint64_t)get_uint(&p, 8);
    m->counts = (int64_t)get_uint(&p, 8);
    m->parts = (uint32_t)get_uint(&p, 4);
    m->accepts = (uint32_t)get_uint(&p, 4);
    m->rejects = (uint32_t)get_uint(&p, 4);
    m->late_decisions = (uint32_t)get_uint(&p, 4);
    m->unknown_decisions = (uint32_t)get_uint(&p, 4);
    m->duplicate_decisions = (uint32_t)get_uint(&p, 4);
    m->refused_decisions = (uint32_t)get_uint(&p, 4);
    m->crc_errors = (uint32_t)get_uint(&p, 4);
    m->stale_frames = (uint32_t)get_uint(&p, 4);
    m->dropped_frames = (uint32_t)get_uint(&p, 4);
    m->oldest_event = (uint32_t)get_uint(&p, 4);
    m->next_event = (uint32_t)get_uint(&p, 4);
    m->config_crc = (uint32_t)get_uint(&p, 4);
    m->state = (uint8_t)get_uint(&p, 1);
    m->fault = (uint8_t)get_uint(&p, 1);
    m->host_alive = (uint8_t)get_uint(&p, 1);
    m->run_permit = (uint8_t)get_uint(&p, 1);
    m->reset = (uint8_t)get_uint(&p, 1);
    m->purging = (uint8_t)get_uint(&p, 1);
    m->purge_counts = (int32_t)get_uint(&p, 4);
    m->fault_detail = (int64_t)get_uint(&p, 8);
    m->faults = (uint32_t)get_uint(&p, 4);
    m->gate_edges = (uint32_t)get_uint(&p, 4);
    m->missing_parts = (uint32_t)get_uint(&p, 4);
    m->extra_parts = (uint32_t)get_uint(&p, 4);
    m->strobes_refused = (uint32_t)get_uint(&p, 4);
    m->encoder_errors = (uint32_t)get_uint(&p, 4);
    m->refused_triggers = (uint32_t)get_uint(&p, 4);
}

/* A part's leading edge passed the sensor; exactly one per part, in every state. */
#define PART_EVENT_BYTES 28u
struct part_event {
    uint32_t event; /* event number */
    uint32_t part; /* part number, from 1 in each boot */
    int64_t counts; /* encoder at the edge */
    uint64_t tick; /* MCU clock at the edge */
    uint32_t request; /* of the SoftTrigger that made it, 0 = the part sensor */
};
static inline void part_event_write(uint8_t *p, const struct part_event *m)
{
    p = put_uint(p, m->event, 4);
    p = put_uint(p, m->part, 4);
    p = put_uint(p, (uint64_t)m->counts, 8);
    p = put_uint(p, m->tick, 8);
    p = put_uint(p, m->request, 4);
    (void)p;
}
static inline void part_event_read(const uint8_t *p, struct part_event *m)
{
    m->event = (uint32_t)get_uint(&p, 4);
    m->part = (uint32_t)get_uint(&p, 4);
    m->counts = (int64_t)get_uint(&p, 8);
    m->tick = (uint64_t)get_uint(&p, 8);
    m->request = (uint32_t)get_uint(&p, 4);
}

/* A camera line fired for a part. */
#define EXPOSED_EVENT_BYTES 29u
struct exposed_event {
    uint32_t event; /* event number */
    uint32_t part; /* part number */
    uint8_t camera; /* 0 or 1 */
    uint32_t trigger_index; /* edges on this camera line in this boot, this one included */
    int64_t counts; /* encoder at the edge */
    uint64_t tick; /* MCU clock at the edge */
};
static inline void exposed_event_write(uint8_t *p, const struct exposed_event *m)
{
    p = put_uint(p, m->event, 4);
    p = put_uint(p, m->part, 4);
    p = put_uint(p, m->camera, 1);
    p = put_uint(p, m->trigger_index, 4);
    p = put_uint(p, (uint64_t)m->counts, 8);
    p = put_uint(p, m->tick, 8);
    (void)p;
}
static inline void exposed_event_read(const uint8_t *p, struct exposed_event *m)
{
    m->event = (uint32_t)get_uint(&p, 4);
    m->part = (uint32_t)get_uint(&p, 4);
    m->camera = (uint8_t)get_uint(&p, 1);
    m->trigger_index = (uint32_t)get_uint(&p, 4);
    m->counts = (int64_t)get_uint(&p, 8);
    m->tick = (uint64_t)get_uint(&p, 8);
}

/* A part met the gate; exactly one per part, in every state; lane as it physically was. */
#define GATE_EVENT_BYTES 30u
struct gate_event {
    uint32_t event; /* event number */
    uint32_t part; /* part number */
    uint8_t lane; /* position of the gate */
    uint8_t cause; /* why */
    uint32_t verdict_seq; /* of the last decision taken for this part, 0 = none */
    int64_t counts; /* encoder at the gate */
    uint64_t tick; /* MCU clock at the gate */
};
static inline void gate_event_write(uint8_t *p, const struct gate_event *m)
{
    p = put_uint(p, m->event, 4);
    p = put_uint(p, m->part, 4);
    p = put_uint(p, m->lane, 1);
    p = put_uint(p, m->cause, 1);
    p = put_uint(p, m->verdict_seq, 4);
    p = put_uint(p, (uint64_t)m->counts, 8);
    p = put_uint(p, m->tick, 8);
    (void)p;
}
static inline void gate_event_read(const uint8_t *p, struct gate_event *m)
{
    m->event = (uint32_t)get_uint(&p, 4);
    m->part = (uint32_t)get_uint(&p, 4);
    m->lane = (uint8_t)get_uint(&p, 1);
    m->cause = (uint8_t)get_uint(&p, 1);
    m->verdict_seq = (uint32_t)get_uint(&p, 4);
    m->counts = (int64_t)get_uint(&p, 8);
    m->tick = (uint64_t)get_uint(&p, 8);
}

/* A fault was latched. */
#define FAULT_EVENT_BYTES 21u
struct fault_event {
    uint32_t event; /* event number */
    uint8_t fault; /* which */
    int64_t detail; /* table_overflow, sync_lost: the part, 0 = one too many; encoder: EncoderFault */
    uint64_t tick; /* MCU clock */
};
static inline void fault_event_write(uint8_t *p, const struct fault_event *m)
{
    p = put_uint(p, m->event, 4);
    p = put_uint(p, m->fault, 1);
    p = put_uint(p, (uint64_t)m->detail, 8);
    p = put_uint(p, m->tick, 8);
    (void)p;
}
static inline void fault_event_read(const uint8_t *p, struct fault_event *m)
{
    m->event = (uint32_t)get_uint(&p, 4);
    m->fault = (uint8_t)get_uint(&p, 1);
    m->detail = (int64_t)get_uint(&p, 8);
    m->tick = (uint64_t)get_uint(&p, 8);
}

#endif
