#define _GNU_SOURCE /* open file description locks */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "info.h"

#define PATIENCE_NS 20000000u /* a writer that died inside its lock must not hang the camera */
#define PATTERN_NS_PER_COUNT 100000u

static struct plant *plant;
static size_t plant_bytes;
static int plant_file = -1;
static uint8_t ramp[SENSOR_WIDTH + SENSOR_HEIGHT + 256];

GC_ERROR world_open(const char *path)
{
    for (size_t i = 0; i < sizeof ramp; i++) ramp[i] = (uint8_t)i;
    if (!path || !*path) return GC_ERR_SUCCESS;

    struct stat status;
    plant_file = open(path, O_RDWR | O_CLOEXEC);
    if (plant_file < 0 || fstat(plant_file, &status) < 0)
        return fail(GC_ERR_IO, "FIRSTSHIFT_PLANT %s: %s; start the plant first", path, strerror(errno));
    plant_bytes = (size_t)status.st_size;
    void *mapping = MAP_FAILED;
    if (plant_bytes >= sizeof *plant)
        mapping = mmap(NULL, plant_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, plant_file, 0);
    if (mapping == MAP_FAILED) {
        world_close();
        return fail(GC_ERR_IO, "FIRSTSHIFT_PLANT %s: %zu bytes cannot be mapped", path, plant_bytes);
    }
    plant = mapping;
    if (plant->magic != PLANT_MAGIC || plant->version != PLANT_VERSION) {
        uint32_t version = plant->version;
        world_close();
        return fail(GC_ERR_IO, "FIRSTSHIFT_PLANT %s: not a plant of version %u (%u)", path, PLANT_VERSION, version);
    }
    return GC_ERR_SUCCESS;
}

void world_close(void)
{
    if (plant) munmap(plant, plant_bytes);
    if (plant_file >= 0) close(plant_file);
    plant = NULL;
    plant_file = -1;
}

struct plant_camera *world_wires(unsigned camera) { return plant ? &plant->cameras[camera] : NULL; }

/* Byte `camera` of the plant file is locked by the process that holds the camera, as a real one has one master. */
static struct flock claim_of(unsigned camera, short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = camera, .l_len = 1};
}

GC_ERROR world_claim(unsigned camera)
{
    struct flock claim = claim_of(camera, F_WRLCK);
    if (!plant || fcntl(plant_file, F_OFD_SETLK, &claim) == 0) return GC_ERR_SUCCESS;
    return fail(GC_ERR_ACCESS_DENIED, "camera %u is held by another process", camera);
}

bool world_claimed(unsigned camera)
{
    struct flock claim = claim_of(camera, F_WRLCK);
    return plant && fcntl(plant_file, F_OFD_GETLK, &claim) == 0 && claim.l_type != F_UNLCK;
}

void world_release(unsigned camera)
{
    struct flock claim = claim_of(camera, F_UNLCK);
    if (plant) fcntl(plant_file, F_OFD_SETLK, &claim);
}

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint32_t word(const uint32_t *shared) { return __atomic_load_n(shared, __ATOMIC_ACQUIRE); }

void count(uint32_t *shared, uint32_t by) { __atomic_fetch_add(shared, by, __ATOMIC_RELEASE); }

/* Begin to read under a sequence lock: false while its writer works. */
static bool begin_read(const uint32_t *seq, uint32_t *seen)
{
    *seen = word(seq);
    if (!(*seen & 1)) return true;
    sched_yield();
    return false;
}

static bool end_read(const uint32_t *seq, uint32_t seen)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(seq, __ATOMIC_RELAXED) == seen;
}

#define GET(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

int64_t world_counts(uint64_t ns)
{
    if (!plant) return (int64_t)(ns / PATTERN_NS_PER_COUNT);
    const struct plant_belt *belt = &plant->belt;
    int64_t counts = 0;
    for (uint64_t until = now_ns() + PATIENCE_NS; now_ns() < until;) {
        uint32_t seen;
        if (!begin_read(&belt->seq, &seen)) continue;
        int64_t elapsed = (int64_t)(ns - GET(belt->epoch_ns));
        counts = GET(belt->epoch_counts) + (int64_t)((__int128)elapsed * GET(belt->counts_per_s) / 1000000000);
        if (end_read(&belt->seq, seen)) break;
    }
    return counts;
}

/* Copy one scene's description; false if its writer never finished. */
static bool read_scene(const struct plant_scene *scene, struct plant_scene *copy)
{
    for (uint64_t until = now_ns() + PATIENCE_NS; now_ns() < until;) {
        if (!begin_read(&scene->seq, &copy->seq)) continue;
        copy->format = GET(scene->format);
        copy->width = GET(scene->width);
        copy->height = GET(scene->height);
        copy->from_counts = GET(scene->from_counts);
        copy->to_counts = GET(scene->to_counts);
        copy->pixel_offset = GET(scene->pixel_offset);
        if (end_read(&scene->seq, copy->seq)) return true;
    }
    return false;
}

/* A scene that does not lie whole inside the file, or of unknown format, is seen as black. */
static struct picture picture_of(const struct plant_scene *scene)
{
    size_t stride = (size_t)scene->width * (scene->format == PLANT_RGB8 ? 3 : 1);
    bool known = scene->format == PLANT_MONO8 || scene->format == PLANT_RGB8;
    if (!known || scene->pixel_offset > plant_bytes || stride > plant_bytes ||
        stride * scene->height > plant_bytes - scene->pixel_offset)
        return (struct picture){.format = MONO8};
    return (struct picture){(uint8_t *)plant + scene->pixel_offset, scene->format, scene->width, scene->height, stride};
}

struct view world_view(const struct plant_camera *wires, int64_t counts)
{
    if (!wires) /* one byte of stride makes a diagonal ramp of a single row */
        return (struct view){.picture = {ramp + (counts & 255), MONO8, SENSOR_WIDTH, SENSOR_HEIGHT, 1}};

    struct plant_scene copy = {0};
    for (unsigned i = 1; i < PLANT_SCENES; i++) {
        bool read = read_scene(&wires->scenes[i], &copy);
        if (read && copy.from_counts <= counts && counts < copy.to_counts)
            return (struct view){picture_of(&copy), &wires->scenes[i], copy.seq};
    }
    if (!read_scene(&wires->scenes[0], &copy)) copy = (struct plant_scene){.seq = copy.seq}; /* odd: never unchanged */
    return (struct view){picture_of(&copy), &wires->scenes[0], copy.seq};
}

bool view_unchanged(const struct view *view)
{
    return !view->scene || (!(view->seq & 1) && end_read(&view->scene->seq, view->seq));
}

void wait_for_edge(uint32_t *line, uint32_t seen, uint64_t at_most_ns)
{
    struct timespec timeout = {(time_t)(at_most_ns / 1000000000u), (long)(at_most_ns % 1000000000u)};
    syscall(SYS_futex, line, FUTEX_WAIT, seen, &timeout, NULL, 0);
}
