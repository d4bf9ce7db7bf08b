/* The plant file as the board's wires: belt encoder, part sensor, camera lines, gate. */
#ifndef WIRES_H
#define WIRES_H
#include "core.h"
#include "plant.h"

struct wires {
    struct plant *plant;
    struct plant_belt belt; /* last consistent copy */
    int moving;
    uint64_t last_ns;
    int64_t last_counts;
    int64_t offset; /* of the encoder to the belt, as at the last look */
    uint64_t tick_offset, start_ns; /* the MCU's clock has an origin and a rate of its own */
    int64_t ppm;
    uint64_t seen[PLANT_PARTS]; /* number of the part whose edges are tracked in this entry */
    uint8_t edges[2][PLANT_PARTS]; /* by sensor: 0 = not entered, 1 = under the sensor, 2 = left */
    uint64_t seen_extra[PLANT_EXTRAS];
    uint8_t extra_edges[PLANT_EXTRAS];
    int under[2]; /* parts under the part sensor, and under the gate's own */
    int restart;  /* the core asked for a reset */
    uint8_t lane;
    int spring; /* held open: its end of file lets the spring go */
};

/* Map the plant and put the gate in its spring position; parts that passed before are not seen. 0 = good. */
int wires_open(struct wires *w, const char *path, uint64_t now);
/* Start the gate's spring: a child that puts the gate back to reject when this process is gone. 0 = good. */
int wires_spring(struct wires *w);
/* Let the spring take the gate and wait for it, for an orderly end. */
void wires_close(struct wires *w);
/* Replay everything due up to `now` through the core, one edge at a time. */
void wires_advance(struct wires *w, struct core *core, uint64_t now);
/* Let the outputs follow what the core just received. */
void wires_settle(struct wires *w, struct core *core);
/* Give the instant of the next edge or due count; UINT64_MAX when none is known. */
uint64_t wires_next_due(struct wires *w, const struct core *core);
#endif
