/* One simulated camera as the producer sees it: remote device (registers), local device, stream, grab thread.
 *
 * Locks: `lifecycle` is held while a thread is started or joined, `lock` for short looks at the state; the order is
 * library lock, lifecycle, lock. Waiting, exposing and rendering happen with `lock` released, so EventGetData is never
 * held up. `changed` is signalled on every change that a waiting thread may be waiting for.
 */
#ifndef DEVICE_H
#define DEVICE_H
#include <pthread.h>

#include "info.h"
#include "registers.h"
#include "world.h"

#define DEVICES PLANT_CAMERAS
#define BUFFERS_MAX 256
#define TLTYPE "Custom" /* anything but GEV or U3V: chunks come through DSGetBufferChunkData */
#define POLL_NS 5000000u /* how soon an unplugged cable is noticed */

enum fault { FAULT_DROP, FAULT_INCOMPLETE, FAULT_DOUBLE, FAULT_DELAY, FAULTS };

enum module_kind { MODULE_SYSTEM, MODULE_INTERFACE, MODULE_DEVICE, MODULE_REMOTE, MODULE_STREAM };

struct module { /* first member of all that has a port; its address is the handle */
    enum module_kind kind;
    bool open;
    struct device *device; /* null for system and interface */
};

struct frame { /* what is known about a filled buffer */
    uint64_t id, timestamp_ns; /* camera clock, start of exposure */
    uint32_t width, height, x, y, pixel_format;
    size_t image_bytes, data_bytes, filled_bytes;
    uint32_t chunk_mask; /* bit i: chunk i is present */
    bool incomplete, too_large, image;
};

enum buffer_state { BUFFER_FREE, BUFFER_IDLE, BUFFER_QUEUED, BUFFER_FILLING, BUFFER_DONE };

struct buffer {
    enum buffer_state state;
    uint64_t order; /* queues are first in, first out by this number */
    uint64_t due_ns; /* a done buffer is handed out from here on */
    uint8_t *base;
    size_t size;
    void *user;
    bool owned; /* allocated by us */
    bool new_data;
    struct frame frame;
};

struct event { /* EVENT_NEW_BUFFER of a stream */
    bool registered;
    unsigned kills, waiting;
    uint64_t fired;
};

struct stream {
    struct module module;
    struct event event;
    struct buffer buffers[BUFFERS_MAX];
    uint64_t next_order;
    pthread_t thread;
    bool grabbing, stop;
    uint64_t to_acquire, started, delivered, underruns;
};

struct trigger {
    uint64_t ns; /* CLOCK_MONOTONIC */
    int64_t counts;
};

struct device {
    struct module module; /* local */
    struct module remote;
    struct stream stream;
    struct module *interface;
    unsigned index;
    char id[32];
    pthread_mutex_t lifecycle, lock;
    pthread_cond_t changed;
    struct plant_camera *wires; /* null without a plant */
    bool lost; /* unplugged since it was opened */
    uint64_t opened_ns, clock_offset_ns;
    struct registers registers;
    uint32_t faults_taken[FAULTS]; /* running totals, as the plant's */

    bool acquiring, software_pending; /* between AcquisitionStart and AcquisitionStop */
    uint32_t line1_seen, missed;
    uint64_t next_frame_id, ready_ns; /* a trigger before ready_ns is missed */
    uint64_t next_free_run_ns;
    struct trigger software;
};

void device_set_up(struct device *device, unsigned index); /* as delivered */
void device_power_cycle(struct device *device); /* lock held: all but DeviceUserID is lost, the clock starts again */
bool device_present(const struct device *device); /* its cable is plugged in */
GC_ERROR device_open(struct device *device);
void device_close(struct device *device);
GC_ERROR device_info(struct device *device, int32_t command, struct answer to);
bool device_lost(struct device *device); /* lock held */
void device_changed(struct device *device);
void device_wait(struct device *device, uint64_t until_ns); /* lock held; may return early */
void device_miss(struct device *device, uint32_t triggers);

uint64_t camera_clock(const struct device *device, uint64_t ns);
GC_ERROR registers_read(struct device *device, uint64_t address, void *out, size_t size);
GC_ERROR registers_write(struct device *device, uint64_t address, const void *value, size_t size);

struct buffer *buffer_first(struct stream *stream, enum buffer_state state); /* oldest, or null */
void buffer_move(struct stream *stream, struct buffer *buffer, enum buffer_state state);
size_t buffer_count(const struct stream *stream, enum buffer_state state);

void event_close(struct device *device); /* lock held; returns when no thread waits in it */

void stream_open(struct device *device); /* lifecycle and lock held */
void stream_close(struct device *device); /* lifecycle held; ends the thread, forgets all buffers */
void faults_read(const struct plant_camera *wires, uint32_t totals[FAULTS]);
void *grab(void *device); /* thread: exposes and fills buffers until stream.stop */

/* Look up a handle. device_enter() also takes `lock` and only finds open modules; null, error set, if there is none. */
struct device *device_of(HANDLE handle, enum module_kind kind);
struct device *device_enter(HANDLE handle, enum module_kind kind);
void device_leave(struct device *device);
struct module *module_of(HANDLE handle);
#endif
