/* The simulated plant as the machine's own wires: one tmpfs file that stands for belt, sensors, lamps and gate.
 *
 * Who writes what (every field has exactly one writer):
 *   plant   appliance/sim/plant.py        belt, parts[], scenes[], faults, wires
 *   mcu     firmware_bridge boards/host   line1, line1_*, gate_log[], gate_moves
 *   camera  appliance/sim/camera          exposures, missed, delivered
 *
 * Layout: struct plant at offset 0, then the scenes' pixels at their byte offsets. Little endian, 8-byte aligned, no
 * padding the compiler could choose: every member is naturally aligned. `plant.py` mirrors this file field by field and
 * a test compares sizes and offsets.
 *
 * Position: counts(t) = belt.epoch_counts + (t - belt.epoch_ns) * belt.counts_per_s / 1e9, t = CLOCK_MONOTONIC in ns.
 * belt and each scene are sequence locks: `seq` is odd while its writer works, readers retry on odd or changed.
 */
#ifndef PLANT_H
#define PLANT_H
#include <stdint.h>

#define PLANT_MAGIC 0x544E4C50u /* "PLNT" */
#define PLANT_VERSION 2u
#define PLANT_CAMERAS 2
#define PLANT_SCENES 16 /* per camera; scene 0 is the empty belt and matches when no other does */
#define PLANT_PARTS 256 /* ring of scheduled parts, index = number % PLANT_PARTS */
#define PLANT_GATE_LOG 1024
#define PLANT_EXTRAS 16 /* ring of parts that only the gate's own sensor sees, index = number % PLANT_EXTRAS */
#define PLANT_TAKEN 16  /* ring of the last parts that a hand took from the belt */

#define PLANT_SENSOR_WORKS 0u
#define PLANT_SENSOR_LOW 1u /* stuck */
#define PLANT_SENSOR_HIGH 2u

#define PLANT_MONO8 0x01080001u /* PFNC codes */
#define PLANT_RGB8 0x02180014u

#define PLANT_LANE_REJECT 0u /* the gate's spring position: power off, MCU reset, default */
#define PLANT_LANE_ACCEPT 1u

struct plant_belt {
    uint32_t seq;
    uint32_t reserved;
    uint64_t epoch_ns;     /* CLOCK_MONOTONIC */
    int64_t epoch_counts;  /* encoder counts at epoch_ns */
    int64_t counts_per_s;  /* 0 = stopped */
};

struct plant_part { /* the part sensor is high while enter_counts <= counts < leave_counts */
    uint64_t number;       /* 1, 2, 3 ...; 0 = empty entry */
    int64_t enter_counts;
    int64_t leave_counts;
};

struct plant_scene { /* what a camera sees while from_counts <= counts < to_counts */
    uint32_t seq;
    uint32_t format;       /* PLANT_MONO8 or PLANT_RGB8 */
    uint32_t width;        /* px */
    uint32_t height;       /* px */
    int64_t from_counts;
    int64_t to_counts;
    uint64_t part_number;  /* 0 = empty belt */
    uint64_t pixel_offset; /* bytes from the start of the file; rows are packed, no padding */
};

struct plant_camera {
    /* wires, written by the MCU */
    uint32_t line1;        /* count of rising edges; FUTEX_WAKE after each (shared futex) */
    uint32_t reserved0;
    int64_t line1_counts;  /* encoder at the last edge */
    uint64_t line1_ns;     /* CLOCK_MONOTONIC at the last edge */
    /* faults, written by the plant; *_total are running totals that the camera consumes at its own pace */
    uint32_t unplugged;    /* 1 = device absent: GC_ERR_IO, not listed */
    uint32_t drop_total;       /* exposures that never arrive */
    uint32_t incomplete_total; /* frames delivered with the lower half missing, flagged incomplete */
    uint32_t double_total;     /* triggers that expose twice */
    uint32_t delay_total;      /* frames delivered delay_ns late */
    uint32_t reserved1;
    uint64_t delay_ns;
    /* counters, written by the camera */
    uint32_t exposures;
    uint32_t delivered;
    uint32_t missed;       /* edges that came while the camera was not ready */
    uint32_t reserved2;
    struct plant_scene scenes[PLANT_SCENES];
};

struct plant_gate_event {
    uint64_t ns;           /* CLOCK_MONOTONIC */
    int64_t counts;
    uint32_t lane;
    uint32_t part;         /* the MCU's part number, for reports only */
};

struct plant_wires { /* what else the MCU's inputs see, and what is wrong with them */
    int64_t gate_sensor_counts; /* the gate's own sensor, after the part sensor; 0 = there is none */
    int64_t encoder_offset;     /* the encoder counts this much more than the belt moved: noise and slip */
    uint32_t encoder_errors;    /* running count of illegal transitions */
    uint32_t part_sensor;       /* PLANT_SENSOR_... */
    uint32_t gate_sensor;
    uint32_t extras_scheduled;  /* highest number in extras[] */
    struct plant_part extras[PLANT_EXTRAS]; /* counts of the belt at the gate's sensor */
    uint64_t taken[PLANT_TAKEN];            /* part numbers, 0 = none; they never reach the gate */
};

struct plant {
    uint32_t magic;
    uint32_t version;
    uint64_t file_bytes;
    struct plant_belt belt;
    uint32_t parts_scheduled; /* highest part number in parts[] */
    uint32_t gate_moves;      /* events ever written; the last is gate_log[(gate_moves - 1) % PLANT_GATE_LOG] */
    struct plant_part parts[PLANT_PARTS];
    struct plant_camera cameras[PLANT_CAMERAS];
    struct plant_gate_event gate_log[PLANT_GATE_LOG];
    struct plant_wires wires;
};
#endif
