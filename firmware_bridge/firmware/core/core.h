/* Portable core of the inspection MCU: part sensor, camera lines, reject gate and the host link.
 *
 * Freestanding C11 (stdint.h and string.h only), no malloc, no globals: all state is in the caller's struct core.
 * One context calls everything; nothing blocks. Encoder counts and ticks are compared wrap-safe.
 *
 * A board calls core_step() whenever an input changes and no later than core_next_due() says, with the tick and the
 * encoder count latched at that moment, then puts the outputs on its wires. A board whose timers capture and compare
 * in hardware replays each edge and each due count in order, so that poll jitter never moves an edge.
 */
#ifndef CORE_H
#define CORE_H
#include <stddef.h>
#include <stdint.h>

#include "messages.h"

#define CORE_TICK_HZ 1000000u /* a tick is 1 us on every board */
#define CORE_PARTS 64u        /* parts between sensor and gate; one more is a latched fault */
#define CORE_EVENTS 256u      /* power of two */
#define CORE_CAMERAS 2u
#define CORE_EVENT_BYTES 30u  /* the largest event as packed */
#define CORE_PAYLOAD 200u     /* frame payload, the 4-byte key included */
#define CORE_FRAME (4u + CORE_PAYLOAD + 4u)
#define CORE_ENCODED (CORE_FRAME + 1u + 2u) /* COBS adds one byte below 255, two delimiters */
#define CORE_TX 4096u         /* power of two */

/* Limits of the lamps, the board's own: no message changes them. A board may set harder ones. */
#ifndef CORE_STROBE_MAX_US
#define CORE_STROBE_MAX_US 5000u /* longest on-time of one flash */
#endif
#ifndef CORE_STROBE_DUTY
#define CORE_STROBE_DUTY 10u /* from one flash to the next at least this many on-times: 10 % */
#endif

/* What has to show life before the hardware watchdog is fed: see core_feed(). */
#define CORE_ALIVE_STEP 1u    /* core_step() ran; set by itself */
#define CORE_ALIVE_LOOP 2u    /* the board's main loop came round */
#define CORE_ALIVE_CAPTURE 4u /* interrupt of the timer that latches encoder and sensors */
#define CORE_ALIVE_SERIAL 8u  /* interrupt of the serial line */
#define CORE_ALIVE_ALL 15u

#if defined(__GNUC__)
#define CORE_API __attribute__((visibility("default")))
#else
#define CORE_API
#endif

struct core_inputs {
    uint64_t tick;       /* us, never goes back */
    int64_t counts;      /* encoder, extended to 64 bits */
    uint32_t encoder_errors; /* running count of illegal transitions; 0 where the timer cannot tell */
    uint8_t part_sensor; /* 1 = a part is under the sensor */
    uint8_t gate_sensor; /* 1 = a part is under the gate's own sensor; 0 where there is none */
};

struct core_outputs {
    uint16_t strobe_us[CORE_CAMERAS];  /* with camera_line: on-time for the lamp's one-shot timer, 0 = no lamp */
    uint8_t lane;                      /* enum lane; with power off the spring holds LANE_REJECT */
    uint8_t camera_line[CORE_CAMERAS]; /* 1 = fire one rising edge now */
    uint8_t run_permit;                /* 1 = energise the run relay */
    uint8_t restart;                   /* 1 = reset the MCU now */
};

/* The latched fault in memory that a reset does not clear: placed by the board where start-up code writes nothing. */
struct core_retained {
    uint32_t magic;
    uint32_t fault; /* enum fault, 0 = none latched */
    int64_t detail;
    uint32_t count; /* faults latched since power-on */
    uint32_t crc;   /* of all before it */
};

struct core_part {
    uint32_t number;
    uint32_t verdict_seq;
    int64_t sensor;   /* counts at the leading edge */
    int64_t gate;     /* counts at which the part meets the gate */
    uint8_t decision; /* none, accept or reject: see parts.c */
    uint8_t barred;   /* 1 = no decision can open the gate for it any more, cause says why */
    uint8_t cause;    /* enum gate_cause, fixed once closed or barred */
    uint8_t closed;   /* the decision window is over */
    uint8_t met_gate; /* its GateEvent is written */
    uint8_t cameras_due; /* bit i = camera line i not fired yet */
    uint8_t crowded;     /* too close to a neighbour: the gate's sensor may see it never or twice */
    uint8_t confirmed;   /* the gate's sensor saw it, or its window is over */
};

struct core_event {
    uint8_t id;
    uint8_t length;
    uint8_t bytes[CORE_EVENT_BYTES];
};

struct core {
    uint64_t tick;
    int64_t counts;
    uint32_t boot;
    uint8_t state;  /* enum state */
    uint8_t fault;  /* enum fault */
    uint8_t sensor; /* level at the last step */
    uint8_t gate_sensor;
    uint8_t lane; /* as put out by the last step */
    uint8_t run_permit;
    uint8_t reset;       /* enum reset_reason */
    uint8_t restart_due; /* the host asked for a reset */
    uint8_t alive;       /* CORE_ALIVE_... since the last core_feed() */

    struct core_retained *kept; /* NULL: the board keeps nothing */
    uint8_t latch_due;          /* a fault found at the start, latched by the first step */
    int64_t fault_detail;
    uint32_t faults;
    uint8_t purging;

    struct configure config;
    uint8_t configured;

    struct core_part parts[CORE_PARTS]; /* ring in order of the sensor */
    uint32_t first_part, part_count;
    uint32_t last_number;
    int64_t last_edge;
    int64_t seen_at; /* a part may have been at a sensor here at the latest: an edge, a boot, a doubt */
    uint32_t trigger_index[CORE_CAMERAS];
    uint64_t strobe_tick[CORE_CAMERAS]; /* of the last flash */
    uint8_t strobed[CORE_CAMERAS];
    int64_t stranger; /* the last part that the table does not hold entered here at the latest */
    uint8_t lost_rejects; /* in a row */

    /* encoder watch */
    uint64_t watch_tick, step_tick;
    int64_t watch_counts, step_counts, furthest;
    uint32_t encoder_errors; /* as put in by the last step */
    uint8_t watching, standing_edges;
    uint64_t check_tick;

    uint8_t test_output; /* enum test_target */
    uint8_t test_active, test_pulse;
    uint64_t test_end;

    /* host session */
    uint32_t session; /* 0 = none */
    uint8_t heard;    /* a heartbeat came in this session */
    uint64_t heartbeat_tick;
    uint64_t stats_tick;
    uint8_t rx_seq; /* last reliable frame taken, in order */
    uint32_t request; /* last SoftTrigger taken in this session, 0 = none */
    uint8_t ack_due, nak_due;

    uint8_t rx[CORE_ENCODED];
    uint32_t rx_length;
    uint8_t rx_overflow;
    uint8_t tx[CORE_TX];
    uint32_t tx_head, tx_tail; /* free-running */

    struct core_event events[CORE_EVENTS]; /* index = number % CORE_EVENTS */
    uint32_t next_event;
    uint32_t again_from, again_to; /* events asked for again */

    uint32_t accepts, rejects;
    uint32_t late_decisions, unknown_decisions, duplicate_decisions, refused_decisions;
    uint32_t crc_errors, stale_frames, dropped_frames;
    uint32_t gate_edges, missing_parts, extra_parts, strobes_refused, refused_triggers;
};

/* Start from power-on with nothing kept; `boot` is a random number that tells this boot from every other. */
CORE_API void core_init(struct core *c, uint32_t boot);
/* Start after a reset (enum reset_reason); a fault that `kept` holds, or that the reset itself is, is latched. Where the
 * reset register shows power-on and brown-out together it was power-on. */
CORE_API void core_start(struct core *c, uint32_t boot, uint8_t reset, struct core_retained *kept);
CORE_API size_t core_size(void);
/* Take bytes from the host, at the time of the last step; step again at once, so that the outputs follow. */
CORE_API void core_rx(struct core *c, const uint8_t *bytes, size_t n);
/* Advance to these inputs and give the outputs. */
CORE_API void core_step(struct core *c, const struct core_inputs *in, struct core_outputs *out);
/* Move up to `cap` bytes for the host into `buf`; gives the number moved. */
CORE_API size_t core_tx(struct core *c, uint8_t *buf, size_t cap);
/* Give 1 and the smallest count at which a step is due (it may lie behind), or 0 when none is. */
CORE_API int core_next_due(const struct core *c, int64_t *counts);
/* Latch a fault that only the board sees: stack canary, brown-out warning. At the time of the last step. */
CORE_API void core_fault(struct core *c, uint8_t fault, int64_t detail);
/* Note signs of life, CORE_ALIVE_...; the only call that an interrupt may make beside another. */
CORE_API void core_alive(struct core *c, uint8_t signs);
/* Give 1 when all of `needed` showed life since the last 1: only then does the board feed its hardware watchdog. */
CORE_API int core_feed(struct core *c, uint8_t needed);
/* Give the shortest pulse that the encoder's inputs may take for real, ns: for the timer's filter. 0 = not known. */
CORE_API uint32_t core_encoder_filter_ns(const struct core *c);
#endif
