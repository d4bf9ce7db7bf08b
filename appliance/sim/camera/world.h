/* The camera's end of the simulated plant (../plant.h): belt position, trigger line, faults, and what lies in view. */
#ifndef WORLD_H
#define WORLD_H
#include "../plant.h"
#include "gentl.h"
#include "render.h"

#define SENSOR_WIDTH 2448u
#define SENSOR_HEIGHT 2048u

struct view { /* what a camera sees; its pixels hold still while view_unchanged() is true */
    struct picture picture;
    const struct plant_scene *scene; /* null: the built-in pattern */
    uint32_t seq;
};

GC_ERROR world_open(const char *path); /* null: no plant, a built-in pattern that moves with a 10 kHz belt */
void world_close(void);

struct plant_camera *world_wires(unsigned camera); /* null without a plant */
GC_ERROR world_claim(unsigned camera);             /* fails while another process holds this camera */
bool world_claimed(unsigned camera);               /* by another process */
void world_release(unsigned camera);

uint64_t now_ns(void); /* CLOCK_MONOTONIC */
int64_t world_counts(uint64_t ns);
struct view world_view(const struct plant_camera *wires, int64_t counts);
bool view_unchanged(const struct view *view);

uint32_t word(const uint32_t *shared); /* read a word that another process writes */
void count(uint32_t *shared, uint32_t by);
void wait_for_edge(uint32_t *line, uint32_t seen, uint64_t at_most_ns);
#endif
