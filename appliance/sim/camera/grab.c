/* The sensor at work: wait for a trigger, expose in real time, fill the oldest queued buffer. */
#include <string.h>

#include "device.h"

#define READOUT_NS_PER_ROW 1000u /* 2048 rows: 2.05 ms, in which no trigger is accepted */

static uint64_t exposure_ns(const struct registers *r) { return (uint64_t)(r->exposure_us * 1000.0); }

static uint64_t cycle_ns(const struct registers *r) { return exposure_ns(r) + (uint64_t)r->height * READOUT_NS_PER_ROW; }

static bool line1_trigger(struct device *device, struct trigger *trigger)
{
    struct plant_camera *wires = device->wires;
    uint32_t seen = device->line1_seen;
    if (!wires) { /* nothing is connected to the line */
        device_wait(device, now_ns() + POLL_NS);
        return false;
    }
    if (word(&wires->line1) == seen) {
        pthread_mutex_unlock(&device->lock);
        wait_for_edge(&wires->line1, seen, POLL_NS);
        pthread_mutex_lock(&device->lock);
        return false;
    }
    uint32_t edges;
    do {
        edges = word(&wires->line1);
        trigger->ns = __atomic_load_n(&wires->line1_ns, __ATOMIC_ACQUIRE);
        trigger->counts = __atomic_load_n(&wires->line1_counts, __ATOMIC_ACQUIRE);
    } while (edges != word(&wires->line1));
    device->line1_seen = edges;
    bool ready = trigger->ns >= device->ready_ns;
    device_miss(device, edges - seen - (ready ? 1 : 0)); /* only the last edge's position is known */
    return ready;
}

static bool software_trigger(struct device *device, struct trigger *trigger)
{
    if (!device->software_pending) {
        device_wait(device, now_ns() + POLL_NS);
        return false;
    }
    device->software_pending = false;
    *trigger = device->software;
    return true;
}

static bool free_run(struct device *device, struct trigger *trigger)
{
    const struct registers *r = &device->registers;
    uint64_t now = now_ns(), period = cycle_ns(r);
    if (r->frame_rate_enable && 1e9 / r->frame_rate_hz > (double)period) period = (uint64_t)(1e9 / r->frame_rate_hz);
    if (now < device->next_free_run_ns) {
        uint64_t poll = now + POLL_NS;
        device_wait(device, poll < device->next_free_run_ns ? poll : device->next_free_run_ns);
        return false;
    }
    if (now - device->next_free_run_ns > period) device->next_free_run_ns = now; /* too late: do not catch up */
    *trigger = (struct trigger){device->next_free_run_ns, world_counts(device->next_free_run_ns)};
    device->next_free_run_ns += period;
    return true;
}

/* Wait a little for the next trigger; lock held. */
static bool next_trigger(struct device *device, struct trigger *trigger)
{
    if (device_lost(device) || !device->acquiring || device->stream.to_acquire == 0) {
        device_wait(device, now_ns() + POLL_NS);
        return false;
    }
    if (device->registers.trigger_mode == TRIGGER_OFF) return free_run(device, trigger);
    if (device->registers.trigger_source == SOURCE_LINE1) return line1_trigger(device, trigger);
    return software_trigger(device, trigger);
}

void faults_read(const struct plant_camera *wires, uint32_t totals[FAULTS])
{
    totals[FAULT_DROP] = word(&wires->drop_total);
    totals[FAULT_INCOMPLETE] = word(&wires->incomplete_total);
    totals[FAULT_DOUBLE] = word(&wires->double_total);
    totals[FAULT_DELAY] = word(&wires->delay_total);
}

/* Take one of the faults that the plant asked for, if any is left. */
static bool take(struct device *device, enum fault fault)
{
    if (!device->wires) return false;
    uint32_t totals[FAULTS];
    faults_read(device->wires, totals);
    if (totals[fault] == device->faults_taken[fault]) return false;
    device->faults_taken[fault]++;
    return true;
}

static void write_chunks(const struct frame *frame, const struct registers *settings, int64_t counts, uint8_t *out)
{
    int64_t id = (int64_t)frame->id, timestamp = (int64_t)frame->timestamp_ns;
    const void *values[CHUNKS] = {
        [CHUNK_FRAME_ID] = &id, [CHUNK_TIMESTAMP] = &timestamp, [CHUNK_EXPOSURE_TIME] = &settings->exposure_us,
        [CHUNK_ENCODER_VALUE] = &counts, [CHUNK_GAIN] = &settings->gain_db,
    };
    for (unsigned i = 0; i < CHUNKS; i++) {
        if (!(frame->chunk_mask >> i & 1)) continue;
        memcpy(out, values[i], CHUNK_BYTES);
        out += CHUNK_BYTES;
    }
}

/* Fill `buffer` (state FILLING, so nobody else touches it); without the lock. */
static struct frame fill(const struct device *device, struct buffer *buffer, const struct registers *settings,
                         struct trigger trigger, bool incomplete)
{
    struct frame frame = {
        .timestamp_ns = camera_clock(device, trigger.ns), .width = settings->width, .height = settings->height,
        .x = settings->offset_x, .y = settings->offset_y, .pixel_format = settings->pixel_format,
        .image_bytes = image_bytes(settings), .data_bytes = payload_bytes(settings), .incomplete = incomplete,
        .chunk_mask = incomplete ? 0 : chunk_mask(settings), .image = true,
    };
    if (buffer->size < frame.data_bytes) {
        frame.too_large = frame.incomplete = true;
        frame.chunk_mask = 0;
        return frame;
    }
    struct window window = {settings->offset_x, settings->offset_y, settings->width,
                            incomplete ? settings->height / 2 : settings->height};
    struct tone tone = tone_of(settings->exposure_us, settings->gain_db);
    struct view view;
    int tries = 0;
    do { /* the plant may repaint a scene under our eyes */
        view = world_view(device->wires, trigger.counts);
        render(&view.picture, window, settings->pixel_format, &tone, buffer->base);
    } while (!view_unchanged(&view) && ++tries < 3);
    if (tries == 3) frame.incomplete = true;
    frame.filled_bytes = incomplete ? frame.data_bytes / 2 : frame.data_bytes;
    return frame;
}

/* One exposure, from its frame id to its buffer; lock held, released while it takes time. */
static void expose(struct device *device, struct trigger trigger)
{
    struct stream *stream = &device->stream;
    struct registers settings = device->registers;
    uint64_t id = device->next_frame_id++, end_ns = trigger.ns + exposure_ns(&settings);
    stream->started++;
    if (device->wires) count(&device->wires->exposures, 1);
    while (now_ns() < end_ns) {
        if (stream->stop || device_lost(device)) return;
        uint64_t poll = now_ns() + POLL_NS;
        device_wait(device, poll < end_ns ? poll : end_ns);
    }

    if (take(device, FAULT_DROP)) return;
    bool incomplete = take(device, FAULT_INCOMPLETE);
    uint64_t delay_ns = take(device, FAULT_DELAY) ? __atomic_load_n(&device->wires->delay_ns, __ATOMIC_ACQUIRE) : 0;
    struct buffer *buffer = buffer_first(stream, BUFFER_QUEUED);
    if (!buffer) {
        stream->underruns++;
        return;
    }
    buffer_move(stream, buffer, BUFFER_FILLING);
    pthread_mutex_unlock(&device->lock);
    struct frame frame = fill(device, buffer, &settings, trigger, incomplete);
    frame.id = id;
    if (frame.chunk_mask) write_chunks(&frame, &settings, trigger.counts, buffer->base + frame.image_bytes);
    pthread_mutex_lock(&device->lock);

    buffer->frame = frame;
    buffer->new_data = true;
    buffer->due_ns = trigger.ns + cycle_ns(&settings) + delay_ns; /* the last row leaves the sensor then */
    buffer_move(stream, buffer, BUFFER_DONE);
    stream->delivered++;
    stream->event.fired++;
    if (stream->to_acquire != GENTL_INFINITE) stream->to_acquire--;
    if (device->wires) count(&device->wires->delivered, 1);
    device_changed(device);
}

void *grab(void *argument)
{
    struct device *device = argument;
    pthread_mutex_lock(&device->lock);
    while (!device->stream.stop) {
        struct trigger trigger;
        if (!next_trigger(device, &trigger)) continue;
        int times = take(device, FAULT_DOUBLE) ? 2 : 1;
        uint64_t cycle = cycle_ns(&device->registers);
        device->ready_ns = trigger.ns + (uint64_t)times * cycle;
        for (int i = 0; i < times; i++) expose(device, (struct trigger){trigger.ns + (uint64_t)i * cycle, trigger.counts});
    }
    pthread_mutex_unlock(&device->lock);
    return NULL;
}
