/* Data stream: buffers and their way idle -> queued -> filling -> done -> idle, acquisition, and what is known of each. */
#include <stdlib.h>
#include <string.h>

#include "device.h"

#define PAGE 4096u

struct buffer *buffer_first(struct stream *stream, enum buffer_state state)
{
    struct buffer *first = NULL;
    for (struct buffer *b = stream->buffers; b < stream->buffers + BUFFERS_MAX; b++)
        if (b->state == state && (!first || b->order < first->order)) first = b;
    return first;
}

void buffer_move(struct stream *stream, struct buffer *buffer, enum buffer_state state)
{
    buffer->state = state;
    buffer->order = stream->next_order++;
}

size_t buffer_count(const struct stream *stream, enum buffer_state state)
{
    size_t number = 0;
    for (const struct buffer *b = stream->buffers; b < stream->buffers + BUFFERS_MAX; b++) number += b->state == state;
    return number;
}

/* The announced buffer behind a handle, or null with the error set; lock held. */
static struct buffer *buffer_of(struct stream *stream, HANDLE handle)
{
    size_t offset = (size_t)((char *)handle - (char *)stream->buffers);
    struct buffer *buffer = handle;
    if (offset < sizeof stream->buffers && offset % sizeof *buffer == 0 && buffer->state != BUFFER_FREE) return buffer;
    fail(GC_ERR_INVALID_BUFFER, "not an announced buffer of this stream");
    return NULL;
}

static void forget(struct buffer *buffer)
{
    if (buffer->owned) free(buffer->base);
    *buffer = (struct buffer){.state = BUFFER_FREE};
}

void stream_open(struct device *device)
{
    struct stream *stream = &device->stream;
    stream->module.open = true;
    stream->started = stream->delivered = stream->underruns = 0;
}

/* End the grab thread if it runs; lifecycle held. */
static bool stop_grabbing(struct device *device)
{
    struct stream *stream = &device->stream;
    pthread_mutex_lock(&device->lock);
    bool running = stream->grabbing;
    stream->stop = true;
    device_changed(device);
    pthread_mutex_unlock(&device->lock);
    if (!running) return false;
    pthread_join(stream->thread, NULL);
    pthread_mutex_lock(&device->lock);
    stream->grabbing = false;
    pthread_mutex_unlock(&device->lock);
    return true;
}

void stream_close(struct device *device)
{
    struct stream *stream = &device->stream;
    stop_grabbing(device);
    pthread_mutex_lock(&device->lock);
    event_close(device);
    for (struct buffer *b = stream->buffers; b < stream->buffers + BUFFERS_MAX; b++) forget(b);
    stream->module.open = false;
    pthread_mutex_unlock(&device->lock);
}

API DSClose(HANDLE handle)
{
    struct device *device = device_enter(handle, MODULE_STREAM);
    if (!device) return GC_ERR_INVALID_HANDLE;
    device_leave(device);
    pthread_mutex_lock(&device->lifecycle);
    stream_close(device);
    pthread_mutex_unlock(&device->lifecycle);
    return GC_ERR_SUCCESS;
}

API DSGetParentDev(HANDLE handle, HANDLE *parent)
{
    struct device *device = device_of(handle, MODULE_STREAM);
    if (!device) return GC_ERR_INVALID_HANDLE;
    if (!parent) return fail(GC_ERR_INVALID_PARAMETER, "DSGetParentDev: null");
    *parent = &device->module;
    return GC_ERR_SUCCESS;
}

static GC_ERROR announce(HANDLE handle, struct buffer described, HANDLE *out)
{
    if (!out || !described.size) return fail(GC_ERR_INVALID_PARAMETER, "a buffer needs a size and a handle to return");
    struct device *device = device_enter(handle, MODULE_STREAM);
    if (!device) return GC_ERR_INVALID_HANDLE;
    GC_ERROR error = GC_ERR_SUCCESS;
    struct buffer *free_entry = buffer_first(&device->stream, BUFFER_FREE);
    if (free_entry) {
        *free_entry = described;
        buffer_move(&device->stream, free_entry, BUFFER_IDLE);
        *out = free_entry;
    } else {
        error = fail(GC_ERR_RESOURCE_EXHAUSTED, "%d buffers are announced, the limit", BUFFERS_MAX);
    }
    device_leave(device);
    return error;
}

API DSAnnounceBuffer(HANDLE handle, void *base, size_t size, void *user, HANDLE *buffer)
{
    if (!base) return fail(GC_ERR_INVALID_PARAMETER, "DSAnnounceBuffer: null");
    return announce(handle, (struct buffer){.base = base, .size = size, .user = user}, buffer);
}

API DSAllocAndAnnounceBuffer(HANDLE handle, size_t size, void *user, HANDLE *buffer)
{
    void *base = NULL;
    if (posix_memalign(&base, PAGE, size)) return fail(GC_ERR_OUT_OF_MEMORY, "no %zu bytes for a buffer", size);
    GC_ERROR error = announce(handle, (struct buffer){.base = base, .size = size, .user = user, .owned = true}, buffer);
    if (error) free(base);
    return error;
}

/* Enter a stream and find one of its buffers. */
static GC_ERROR enter(HANDLE handle, HANDLE buffer_handle, struct device **device, struct buffer **buffer)
{
    *device = device_enter(handle, MODULE_STREAM);
    if (!*device) return GC_ERR_INVALID_HANDLE;
    *buffer = buffer_of(&(*device)->stream, buffer_handle);
    if (*buffer) return GC_ERR_SUCCESS;
    device_leave(*device);
    return GC_ERR_INVALID_BUFFER;
}

API DSRevokeBuffer(HANDLE handle, HANDLE buffer_handle, void **base, void **user)
{
    struct device *device;
    struct buffer *buffer;
    GC_ERROR error = enter(handle, buffer_handle, &device, &buffer);
    if (error) return error;
    if (buffer->state != BUFFER_IDLE) {
        error = fail(GC_ERR_BUSY, "the buffer is queued or being filled; flush the queues first");
    } else {
        if (base) *base = buffer->owned ? NULL : buffer->base;
        if (user) *user = buffer->user;
        forget(buffer);
    }
    device_leave(device);
    return error;
}

API DSQueueBuffer(HANDLE handle, HANDLE buffer_handle)
{
    struct device *device;
    struct buffer *buffer;
    GC_ERROR error = enter(handle, buffer_handle, &device, &buffer);
    if (error) return error;
    if (buffer->state == BUFFER_IDLE)
        buffer_move(&device->stream, buffer, BUFFER_QUEUED);
    else
        error = fail(GC_ERR_RESOURCE_IN_USE, "the buffer is queued already, being filled, or not fetched yet");
    device_leave(device);
    return error;
}

API DSGetBufferID(HANDLE handle, uint32_t index, HANDLE *buffer)
{
    if (!buffer) return fail(GC_ERR_INVALID_PARAMETER, "DSGetBufferID: null");
    struct device *device = device_enter(handle, MODULE_STREAM);
    if (!device) return GC_ERR_INVALID_HANDLE;
    struct buffer *found = NULL;
    uint32_t at = 0;
    for (struct buffer *b = device->stream.buffers; b < device->stream.buffers + BUFFERS_MAX; b++)
        if (b->state != BUFFER_FREE && at++ == index) found = b;
    device_leave(device);
    *buffer = found;
    return found ? GC_ERR_SUCCESS : fail(GC_ERR_INVALID_INDEX, "buffer %u is not announced", index);
}

/* Move every buffer of one state to another, in its order. */
static void move_all(struct stream *stream, enum buffer_state from, enum buffer_state to)
{
    struct buffer *buffer;
    while ((buffer = buffer_first(stream, from))) buffer_move(stream, buffer, to);
}

API DSFlushQueue(HANDLE handle, int32_t operation)
{
    struct device *device = device_enter(handle, MODULE_STREAM);
    if (!device) return GC_ERR_INVALID_HANDLE;
    struct stream *stream = &device->stream;
    GC_ERROR error = GC_ERR_SUCCESS;
    switch (operation) {
    case ACQ_QUEUE_INPUT_TO_OUTPUT:
        for (struct buffer *b; (b = buffer_first(stream, BUFFER_QUEUED)); buffer_move(stream, b, BUFFER_DONE))
            b->new_data = false, b->due_ns = 0, b->frame = (struct frame){0};
        break;
    case ACQ_QUEUE_OUTPUT_DISCARD: move_all(stream, BUFFER_DONE, BUFFER_IDLE); break;
    case ACQ_QUEUE_ALL_TO_INPUT: move_all(stream, BUFFER_DONE, BUFFER_QUEUED); /* fall through */
    case ACQ_QUEUE_UNQUEUED_TO_INPUT: move_all(stream, BUFFER_IDLE, BUFFER_QUEUED); break;
    case ACQ_QUEUE_ALL_DISCARD:
        move_all(stream, BUFFER_QUEUED, BUFFER_IDLE);
        move_all(stream, BUFFER_DONE, BUFFER_IDLE);
        break;
    default: error = fail(GC_ERR_INVALID_PARAMETER, "ACQ_QUEUE %d", operation);
    }
    device_changed(device);
    device_leave(device);
    return error;
}

API DSStartAcquisition(HANDLE handle, int32_t flags, uint64_t frames)
{
    (void)flags;
    struct device *device = device_enter(handle, MODULE_STREAM);
    if (!device) return GC_ERR_INVALID_HANDLE;
    device_leave(device);
    pthread_mutex_lock(&device->lifecycle);
    pthread_mutex_lock(&device->lock);
    struct stream *stream = &device->stream;
    GC_ERROR error = GC_ERR_SUCCESS;
    if (!stream->module.open) error = fail(GC_ERR_INVALID_HANDLE, "the stream is closed");
    if (stream->grabbing) error = fail(GC_ERR_RESOURCE_IN_USE, "acquisition runs already");
    if (!error) {
        stream->stop = false;
        stream->to_acquire = frames;
        stream->started = stream->delivered = stream->underruns = 0;
        stream->grabbing = pthread_create(&stream->thread, NULL, grab, device) == 0;
        if (!stream->grabbing) error = fail(GC_ERR_RESOURCE_EXHAUSTED, "no thread for acquisition");
    }
    pthread_mutex_unlock(&device->lock);
    pthread_mutex_unlock(&device->lifecycle);
    return error;
}

API DSStopAcquisition(HANDLE handle, int32_t flags)
{
    (void)flags; /* an exposure under way is given up either way */
    struct device *device = device_enter(handle, MODULE_STREAM);
    if (!device) return GC_ERR_INVALID_HANDLE;
    device_leave(device);
    pthread_mutex_lock(&device->lifecycle);
    bool stopped = stop_grabbing(device);
    pthread_mutex_unlock(&device->lifecycle);
    return stopped ? GC_ERR_SUCCESS : fail(GC_ERR_RESOURCE_IN_USE, "acquisition does not run");
}

static GC_ERROR stream_info(struct device *device, int32_t command, struct answer to)
{
    const struct stream *stream = &device->stream;
    switch (command) {
    case STREAM_INFO_ID: return put_string(to, "stream");
    case STREAM_INFO_NUM_DELIVERED: return put_u64(to, stream->delivered);
    case STREAM_INFO_NUM_UNDERRUN: return put_u64(to, stream->underruns);
    case STREAM_INFO_NUM_ANNOUNCED: return put_size(to, BUFFERS_MAX - buffer_count(stream, BUFFER_FREE));
    case STREAM_INFO_NUM_QUEUED: return put_size(to, buffer_count(stream, BUFFER_QUEUED));
    case STREAM_INFO_NUM_AWAIT_DELIVERY: return put_size(to, buffer_count(stream, BUFFER_DONE));
    case STREAM_INFO_NUM_STARTED: return put_u64(to, stream->started);
    case STREAM_INFO_PAYLOAD_SIZE: return put_size(to, payload_bytes(&device->registers));
    case STREAM_INFO_IS_GRABBING: return put_bool(to, stream->grabbing);
    case STREAM_INFO_DEFINES_PAYLOADSIZE: return put_bool(to, false); /* the remote device's PayloadSize holds */
    case STREAM_INFO_TLTYPE: return put_string(to, TLTYPE);
    case STREAM_INFO_NUM_CHUNKS_MAX: return put_size(to, CHUNKS);
    case STREAM_INFO_BUF_ANNOUNCE_MIN: return put_size(to, 1);
    case STREAM_INFO_BUF_ALIGNMENT: return put_size(to, 1);
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "STREAM_INFO %d", command);
    }
}

API DSGetInfo(HANDLE handle, int32_t command, int32_t *type, void *out, size_t *size)
{
    struct device *device = device_enter(handle, MODULE_STREAM);
    if (!device) return GC_ERR_INVALID_HANDLE;
    GC_ERROR error = stream_info(device, command, (struct answer){type, out, size});
    device_leave(device);
    return error;
}

static GC_ERROR buffer_info(const struct buffer *buffer, int32_t command, struct answer to)
{
    const struct frame *frame = &buffer->frame;
    bool queued = buffer->state != BUFFER_IDLE;
    switch (command) {
    case BUFFER_INFO_BASE: return put_pointer(to, buffer->base);
    case BUFFER_INFO_SIZE: return put_size(to, buffer->size);
    case BUFFER_INFO_USER_PTR: return put_pointer(to, buffer->user);
    case BUFFER_INFO_TIMESTAMP:
    case BUFFER_INFO_TIMESTAMP_NS: return put_u64(to, frame->timestamp_ns);
    case BUFFER_INFO_NEW_DATA: return put_bool(to, buffer->new_data);
    case BUFFER_INFO_IS_QUEUED: return put_bool(to, queued);
    case BUFFER_INFO_IS_ACQUIRING: return put_bool(to, buffer->state == BUFFER_FILLING);
    case BUFFER_INFO_IS_INCOMPLETE: return put_bool(to, frame->incomplete);
    case BUFFER_INFO_TLTYPE: return put_string(to, TLTYPE);
    case BUFFER_INFO_SIZE_FILLED: return put_size(to, frame->filled_bytes);
    case BUFFER_INFO_DATA_SIZE: return put_size(to, frame->data_bytes);
    case BUFFER_INFO_WIDTH: return put_size(to, frame->width);
    case BUFFER_INFO_HEIGHT: return put_size(to, frame->height);
    case BUFFER_INFO_DELIVERED_IMAGEHEIGHT: return put_size(to, frame->incomplete ? frame->height / 2 : frame->height);
    case BUFFER_INFO_XOFFSET: return put_size(to, frame->x);
    case BUFFER_INFO_YOFFSET: return put_size(to, frame->y);
    case BUFFER_INFO_XPADDING:
    case BUFFER_INFO_YPADDING:
    case BUFFER_INFO_IMAGEOFFSET: return put_size(to, 0);
    case BUFFER_INFO_FRAMEID: return put_u64(to, frame->id);
    case BUFFER_INFO_IMAGEPRESENT: return put_bool(to, frame->image);
    case BUFFER_INFO_PAYLOADTYPE: return put_size(to, PAYLOAD_TYPE_IMAGE);
    case BUFFER_INFO_PIXELFORMAT: return put_u64(to, frame->pixel_format);
    case BUFFER_INFO_PIXELFORMAT_NAMESPACE: return put_u64(to, PIXELFORMAT_NAMESPACE_PFNC_32BIT);
    case BUFFER_INFO_PIXEL_ENDIANNESS: return put_i32(to, PIXELENDIANNESS_LITTLE);
    case BUFFER_INFO_DELIVERED_CHUNKPAYLOADSIZE:
        return put_size(to, CHUNK_BYTES * (size_t)__builtin_popcount(frame->chunk_mask));
    case BUFFER_INFO_CONTAINS_CHUNKDATA: return put_bool(to, frame->chunk_mask != 0);
    case BUFFER_INFO_DATA_LARGER_THAN_BUFFER: return put_bool(to, frame->too_large);
    case BUFFER_INFO_IS_COMPOSITE: return put_bool(to, false);
    default: return fail(GC_ERR_NOT_AVAILABLE, "BUFFER_INFO %d", command);
    }
}

API DSGetBufferInfo(HANDLE handle, HANDLE buffer_handle, int32_t command, int32_t *type, void *out, size_t *size)
{
    struct device *device;
    struct buffer *buffer;
    GC_ERROR error = enter(handle, buffer_handle, &device, &buffer);
    if (error) return error;
    error = buffer_info(buffer, command, (struct answer){type, out, size});
    device_leave(device);
    return error;
}

/* The chunks lie behind the image, CHUNK_BYTES each, in the order of their numbers. */
static GC_ERROR list_chunks(const struct frame *frame, struct chunk_record *chunks, size_t *number)
{
    size_t present = (size_t)__builtin_popcount(frame->chunk_mask), at = 0;
    if (chunks && *number < present)
        return fail(GC_ERR_BUFFER_TOO_SMALL, "%zu chunks do not fit into %zu records", present, *number);
    for (unsigned i = 0; chunks && i < CHUNKS; i++) {
        if (!(frame->chunk_mask >> i & 1)) continue;
        ptrdiff_t offset = (ptrdiff_t)(frame->image_bytes + at * CHUNK_BYTES);
        chunks[at++] = (struct chunk_record){CHUNK_ID(i), offset, CHUNK_BYTES};
    }
    *number = present;
    return GC_ERR_SUCCESS;
}

API DSGetBufferChunkData(HANDLE handle, HANDLE buffer_handle, struct chunk_record *chunks, size_t *number)
{
    struct device *device;
    struct buffer *buffer;
    if (!number) return fail(GC_ERR_INVALID_PARAMETER, "DSGetBufferChunkData: null");
    GC_ERROR error = enter(handle, buffer_handle, &device, &buffer);
    if (error) return error;
    error = list_chunks(&buffer->frame, chunks, number);
    device_leave(device);
    return error;
}
