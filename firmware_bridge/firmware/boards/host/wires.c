#include "wires.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void belt_read(struct wires *w);
static int next_edge(struct wires *w, int64_t *counts);
static int next_due(struct wires *w, const struct core *core, int64_t *counts);
static uint8_t *source(struct wires *w, int k, int64_t *enter, int64_t *leave);
static int sensor_edge(struct wires *w, int64_t counts);
static void parts_notice(struct wires *w);
static void step(struct wires *w, struct core *core, uint64_t ns, int64_t counts);
static void gate_move(struct plant *plant, uint8_t lane, uint32_t part, uint64_t ns, int64_t counts);

enum { PART_SENSOR, GATE_SENSOR };
#define SOURCES (2 * PLANT_PARTS + PLANT_EXTRAS) /* of edges: each part at either sensor, and what only the gate's sees */

__extension__ typedef __int128 wide;

static int64_t counts_at(const struct plant_belt *b, uint64_t ns)
{
    wide product = (wide)((int64_t)(ns - b->epoch_ns)) * b->counts_per_s;
    wide whole = product / 1000000000;
    return b->epoch_counts + (int64_t)(product < 0 && whole * 1000000000 != product ? whole - 1 : whole);
}

/* First ns at which counts_at() reaches `counts`, for a belt that runs forward. */
static uint64_t when(const struct plant_belt *b, int64_t counts)
{
    wide product = (wide)(counts - b->epoch_counts) * 1000000000;
    wide whole = product / b->counts_per_s;
    return b->epoch_ns + (uint64_t)(int64_t)(product > 0 && whole * b->counts_per_s != product ? whole + 1 : whole);
}

int wires_open(struct wires *w, const char *path, uint64_t now)
{
    struct stat info;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info)) return -1;
    errno = EINVAL;
    if ((uint64_t)info.st_size < sizeof(struct plant)) return -1;
    w->plant = mmap(NULL, sizeof(struct plant), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (w->plant == MAP_FAILED) return -1;
    errno = EINVAL;
    if (w->plant->magic != PLANT_MAGIC || w->plant->version != PLANT_VERSION) return -1;
    belt_read(w);
    w->start_ns = w->last_ns = now;
    w->last_counts = counts_at(&w->belt, now);
    parts_notice(w);
    for (int k = 0; k < SOURCES; k++) {
        int64_t enter, leave;
        uint8_t *edges = source(w, k, &enter, &leave);
        if (edges && leave <= w->last_counts) *edges = 2;
    }
    gate_move(w->plant, PLANT_LANE_REJECT, 0, now, w->last_counts);
    errno = 0;
    return 0;
}

int wires_spring(struct wires *w)
{
    int ends[2];
    char nothing;
    if (pipe2(ends, O_CLOEXEC)) return -1;
    pid_t child = fork();
    if (child < 0) return -1;
    if (child) {
        close(ends[0]); /* the writing end stays open until this process dies, however it dies */
        w->spring = ends[1];
        return 0;
    }
    close(ends[1]);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    while (read(ends[0], &nothing, 1) < 0 && errno == EINTR) { }
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    uint32_t moves = __atomic_load_n(&w->plant->gate_moves, __ATOMIC_ACQUIRE);
    belt_read(w);
    if (w->plant->gate_log[(moves - 1) % PLANT_GATE_LOG].lane != PLANT_LANE_REJECT)
        gate_move(w->plant, PLANT_LANE_REJECT, 0, ns, counts_at(&w->belt, ns));
    _exit(0);
}

void wires_close(struct wires *w)
{
    close(w->spring);
    while (wait(NULL) < 0 && errno == EINTR) { }
}

void wires_advance(struct wires *w, struct core *core, uint64_t now)
{
    belt_read(w);
    parts_notice(w);
    int64_t counts = counts_at(&w->belt, now), due;
    /* The belt's new speed may lie a little in the past: what was counted already stays counted. */
    if (w->belt.counts_per_s >= 0 && counts < w->last_counts) counts = w->last_counts;
    while (next_due(w, core, &due) && due <= counts) {
        int64_t at = due > w->last_counts ? due : w->last_counts;
        uint64_t ns = w->belt.counts_per_s > 0 ? when(&w->belt, at) : now;
        if (ns < w->last_ns) ns = w->last_ns;
        if (ns > now) ns = now;
        while (sensor_edge(w, at)) step(w, core, ns, at);
        step(w, core, ns, at);
    }
    step(w, core, now, counts);
}

void wires_settle(struct wires *w, struct core *core) { step(w, core, w->last_ns, w->last_counts); }

uint64_t wires_next_due(struct wires *w, const struct core *core)
{
    int64_t due;
    if (w->belt.counts_per_s <= 0 || !next_due(w, core, &due)) return UINT64_MAX;
    return due <= w->last_counts ? 0 : when(&w->belt, due);
}

static void belt_read(struct wires *w)
{
    struct plant_belt *b = &w->plant->belt;
    w->offset = w->plant->wires.encoder_offset;
    for (;;) {
        uint32_t seq = __atomic_load_n(&b->seq, __ATOMIC_ACQUIRE);
        struct plant_belt copy = *b;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!(seq & 1u) && seq == __atomic_load_n(&b->seq, __ATOMIC_RELAXED)) {
            w->belt = copy;
            w->moving = copy.counts_per_s != 0;
            return;
        }
    }
}

/* Take up parts newly scheduled; an entry counts once parts_scheduled covers its number. */
static void parts_notice(struct wires *w)
{
    uint32_t scheduled = __atomic_load_n(&w->plant->parts_scheduled, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < PLANT_PARTS; i++) {
        uint64_t number = w->plant->parts[i].number;
        if (!number || number > scheduled || number == w->seen[i]) continue;
        for (int sensor = 0; sensor < 2; sensor++) {
            if (w->edges[sensor][i] == 1) w->under[sensor]--; /* overwritten under it: the plant gave it up */
            w->edges[sensor][i] = 0;
        }
        w->seen[i] = number;
    }
    scheduled = __atomic_load_n(&w->plant->wires.extras_scheduled, __ATOMIC_ACQUIRE);
    for (int i = 0; i < PLANT_EXTRAS; i++) {
        uint64_t number = w->plant->wires.extras[i].number;
        if (!number || number > scheduled || number == w->seen_extra[i]) continue;
        if (w->extra_edges[i] == 1) w->under[GATE_SENSOR]--;
        w->extra_edges[i] = 0;
        w->seen_extra[i] = number;
    }
}

/* Give the state of what edge source `k` has still to bring to its sensor, and where; NULL for nothing. */
static uint8_t *source(struct wires *w, int k, int64_t *enter, int64_t *leave)
{
    int sensor = k / PLANT_PARTS, i = k % PLANT_PARTS;
    int64_t place = w->plant->wires.gate_sensor_counts;
    if (sensor && !place) return NULL;
    const struct plant_part *p = sensor < 2 ? &w->plant->parts[i] : &w->plant->wires.extras[i];
    uint8_t *edges = sensor < 2 ? &w->edges[sensor][i] : &w->extra_edges[i];
    if (!(sensor < 2 ? w->seen[i] : w->seen_extra[i]) || *edges == 2) return NULL;
    if (sensor == GATE_SENSOR && w->plant->wires.taken[p->number % PLANT_TAKEN] == p->number && !*edges) {
        *edges = 2;
        return NULL;
    }
    *enter = p->enter_counts + (sensor == GATE_SENSOR ? place : 0);
    *leave = p->leave_counts + (sensor == GATE_SENSOR ? place : 0);
    return edges;
}

static int next_edge(struct wires *w, int64_t *counts)
{
    int found = 0;
    for (int k = 0; k < SOURCES; k++) {
        int64_t enter, leave;
        const uint8_t *edges = source(w, k, &enter, &leave);
        if (!edges) continue;
        int64_t edge = *edges ? leave : enter;
        if (!found++ || edge < *counts) *counts = edge;
    }
    return found;
}

static int next_due(struct wires *w, const struct core *core, int64_t *counts)
{
    int64_t core_due;
    int found = next_edge(w, counts);
    if (!core_next_due(core, &core_due)) return found;
    core_due -= w->offset;
    if (!found || core_due < *counts) {
        *counts = core_due;
        found = 1;
    }
    return found;
}

/* Take the earliest edge at or before `counts`, a leaving one first, so that touching parts stay two. */
static int sensor_edge(struct wires *w, int64_t counts)
{
    uint8_t *best = NULL;
    int best_sensor = 0;
    int64_t best_counts = 0;
    for (int k = 0; k < SOURCES; k++) {
        int64_t enter, leave;
        uint8_t *edges = source(w, k, &enter, &leave);
        if (!edges) continue;
        int64_t edge = *edges ? leave : enter;
        if (edge > counts) continue;
        if (!best || edge < best_counts || (edge == best_counts && *edges > *best)) {
            best = edges;
            best_sensor = k < PLANT_PARTS ? PART_SENSOR : GATE_SENSOR;
            best_counts = edge;
        }
    }
    if (!best) return 0;
    w->under[best_sensor] += *best ? -1 : 1;
    ++*best;
    return 1;
}

static uint32_t part_at_gate(const struct core *core)
{
    const struct core_part *best = NULL;
    for (uint32_t i = 0; i < core->part_count; i++) {
        const struct core_part *p = &core->parts[(core->first_part + i) % CORE_PARTS];
        if (!best || llabs(p->gate - core->counts) < llabs(best->gate - core->counts)) best = p;
    }
    return best ? best->number : 0;
}

static uint8_t level(int under, uint32_t sensor)
{
    return sensor == PLANT_SENSOR_WORKS ? under > 0 : sensor == PLANT_SENSOR_HIGH;
}

static void step(struct wires *w, struct core *core, uint64_t ns, int64_t counts)
{
    struct core_outputs out;
    int64_t elapsed = (int64_t)(ns - w->start_ns);
    struct core_inputs in = {
        .tick = w->tick_offset + (uint64_t)((wide)elapsed * (1000000 + w->ppm) / 1000000000),
        .counts = counts + w->offset,
        .encoder_errors = w->plant->wires.encoder_errors,
        .part_sensor = level(w->under[PART_SENSOR], w->plant->wires.part_sensor),
        .gate_sensor = level(w->under[GATE_SENSOR], w->plant->wires.gate_sensor),
    };
    w->last_ns = ns;
    w->last_counts = counts;
    core_step(core, &in, &out);
    w->restart |= out.restart;
    for (int k = 0; k < PLANT_CAMERAS; k++) {
        if (!out.camera_line[k]) continue;
        struct plant_camera *camera = &w->plant->cameras[k];
        camera->line1_counts = counts;
        camera->line1_ns = ns;
        __atomic_fetch_add(&camera->line1, 1, __ATOMIC_RELEASE);
        syscall(SYS_futex, &camera->line1, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
    if (out.lane != w->lane) {
        w->lane = out.lane;
        gate_move(w->plant, out.lane, part_at_gate(core), ns, counts);
    }
}

static void gate_move(struct plant *plant, uint8_t lane, uint32_t part, uint64_t ns, int64_t counts)
{
    uint32_t moves = plant->gate_moves;
    plant->gate_log[moves % PLANT_GATE_LOG] = (struct plant_gate_event){ns, counts, lane, part};
    __atomic_store_n(&plant->gate_moves, moves + 1, __ATOMIC_RELEASE);
}
