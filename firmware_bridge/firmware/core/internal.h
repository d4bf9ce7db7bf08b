/* What the files of the core offer each other; no board includes this. */
#ifndef INTERNAL_H
#define INTERNAL_H
#include "core.h"

#define CHECK_TICKS (100u * (CORE_TICK_HZ / 1000u)) /* the configuration in memory is verified this often */
#define HOST_GONE_TICKS (500u * (CORE_TICK_HZ / 1000u)) /* run permit off, disarm, stop sending */

/* a - b for values that may wrap: positive when a is ahead. */
static inline int64_t ahead(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }
/* a + b that may wrap. */
static inline int64_t plus(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
static inline int32_t ahead32(uint32_t a, uint32_t b) { return (int32_t)(a - b); }

/* core.c: states */
void state_set(struct core *c, uint8_t state, uint8_t reason);
int host_alive(const struct core *c);
int host_gone(const struct core *c);

/* configuration.c: what a station may be */
uint8_t configure_check(const struct core *c, const struct configure *wish, uint32_t crc);
int configuration_sound(const struct core *c);

/* faults.c: latched faults, kept over reset, released when the belt has run empty */
void fault_latch(struct core *c, uint8_t fault, int64_t detail);
void fault_start(struct core *c);
void fault_release(struct core *c);
void fault_step(struct core *c);
int32_t purge_counts(const struct core *c);

/* watch.c: is the encoder to be believed, and does the gate's sensor see what it must */
void encoder_watch(struct core *c, uint32_t errors);
void encoder_edge(struct core *c);
void gate_sensor_step(struct core *c, uint8_t level);

/* parts.c: part table, decision window, gate */
void parts_enter(struct core *c, uint32_t request);
void parts_close(struct core *c);
void parts_gate(struct core *c);
uint8_t parts_lane(const struct core *c);
void parts_cameras(struct core *c, struct core_outputs *out);
int32_t parts_way_left(const struct core *c);
int strobe_fire(struct core *c, uint8_t k, struct core_outputs *out);
void parts_bar(struct core *c, uint8_t cause);
uint8_t parts_decide(struct core *c, const struct decision *d);

/* session.c: frames in, frames and events out */
void session_step(struct core *c);
int session_may_test(const struct core *c, uint8_t output);
void session_stats(struct core *c);
void session_state_changed(struct core *c, uint8_t reason);
uint32_t event_oldest(const struct core *c);
/* Number, keep and send one event of `length` packed bytes. */
void event_write(struct core *c, uint8_t id, const uint8_t *bytes, uint8_t length);
void session_flush(struct core *c);
#endif
