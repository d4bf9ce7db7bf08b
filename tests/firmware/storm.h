/* A line in a storm: the real core, a belt of parts, a host and two bad wires, drawn from a seed. It judges nothing; it
 * writes down what physically happened, in order, for a judge that knows only the rule. */
#ifndef STORM_H
#define STORM_H
#include "core.h"

enum record_kind {
    RECORD_START,  /* the MCU starts; value = boot number, flag = enum start_flag */
    RECORD_ENTER,  /* a part's leading edge; value = index of the part */
    RECORD_CLOSE,  /* the belt is at the part's gate position less the lead */
    RECORD_GATE,   /* the part meets the gate; flag = 1 if the gate was or went there in the accept lane */
    RECORD_BYTES,  /* bytes reach the MCU; value = how many, they follow those before in the blob */
    RECORD_REPORT, /* the MCU's own gate event; value = its part number, flag = lane | cause << 1 */
    RECORD_PERMIT, /* run permit changed; flag = level */
};

enum start_flag {
    START_COVERED = 1, /* a part is under the sensor */
    START_EMPTY = 2,   /* nothing was kept: the supply was off */
    START_FAULT = 4,   /* the reset is a fault itself, or what was kept is damaged */
};

struct record {
    int64_t counts;
    uint64_t tick;
    uint32_t value;
    uint8_t kind;
    uint8_t flag;
    uint8_t reserved[2];
};

struct storm_wish {
    uint64_t seed;
    uint32_t parts;
    uint32_t noise;     /* of 10,000 chunks on the line so many are harmed */
    uint32_t trouble;   /* mean ms between troubles of a whole unit (host, MCU, belt); 0 = none */
    uint32_t hostile;   /* 1 = the host also says things that no good host says */
    int32_t gate, lead; /* as in `configure` */
    uint32_t gap_min, gap_spread; /* counts between leading edges */
    uint32_t gate_sensor; /* 1 = a sensor at the gate sees each part */
    int32_t gate_sensor_counts;   /* where it stands */
    const uint8_t *configure;
    uint32_t configure_bytes;
};

struct storm_log {
    struct record *records;
    uint8_t *blob;
    uint32_t record_cap, blob_cap;
    uint32_t record_count, blob_count;
    uint32_t chunks_lost, chunks_damaged, chunks_doubled, chunks_held, chunks_replayed, garbage;
    uint32_t host_freezes, host_restarts, mcu_resets, belt_stops, sessions, overflow;
};

struct random {
    uint64_t state;
};
uint32_t draw(struct random *r, uint32_t below);

#define PIPE_BYTES 65536u
#define PIPE_HISTORY 32u
#define PIPE_CHUNK 512u
struct pipe {
    uint8_t bytes[PIPE_BYTES];
    uint32_t count;
    uint64_t held_until;
    struct {
        uint8_t bytes[PIPE_CHUNK];
        uint32_t count;
    } history[PIPE_HISTORY];
    uint32_t history_count;
};
/* Put a chunk on the wire and let the wire do to it what it likes. */
void pipe_put(struct pipe *p, struct random *r, const struct storm_wish *wish, struct storm_log *log, uint64_t tick,
              const uint8_t *bytes, uint32_t n);
/* Take what has arrived by `tick`; gives the number of bytes. */
uint32_t pipe_get(struct pipe *p, uint64_t tick, uint8_t *bytes);

#define WINDOW 8u
#define AGENDA 256u
struct host {
    uint32_t session, boot;
    uint8_t connected, seq;
    uint64_t heard, hello_due, heartbeat_due, resend_due, frozen_until;
    struct {
        uint8_t bytes[CORE_ENCODED];
        uint32_t count;
    } flying[WINDOW];
    uint32_t flying_count;
    struct {
        uint64_t at;
        uint32_t part, accept;
    } agenda[AGENDA];
    uint32_t agenda_count;
    uint8_t rx[512];
    uint32_t rx_count;
};
void host_restart(struct host *h, struct random *r, uint64_t tick);
void host_hear(struct host *h, struct random *r, const struct storm_wish *wish, uint64_t tick, const uint8_t *bytes,
               uint32_t n);
/* Give what the host says now. */
uint32_t host_speak(struct host *h, struct random *r, const struct storm_wish *wish, uint64_t tick, uint8_t *bytes);

/* Play one storm; 0 = good. */
CORE_API int storm_run(const struct storm_wish *wish, struct storm_log *log);
CORE_API size_t storm_record_size(void);
#endif
