/* EVENT_NEW_BUFFER of a data stream; no other event exists here. The event's handle is its address. */
#include "device.h"

static struct device *event_enter(HANDLE handle)
{
    /* The handle is the address of the event inside its stream. */
    struct stream *stream = (struct stream *)((char *)handle - offsetof(struct stream, event));
    struct device *device = handle ? device_of(&stream->module, MODULE_STREAM) : NULL;
    if (!device) {
        fail(GC_ERR_INVALID_HANDLE, "not an event");
        return NULL;
    }
    pthread_mutex_lock(&device->lock);
    if (stream->event.registered) return device;
    pthread_mutex_unlock(&device->lock);
    fail(GC_ERR_INVALID_HANDLE, "the event is not registered");
    return NULL;
}

void event_close(struct device *device)
{
    struct event *event = &device->stream.event;
    event->registered = false;
    device_changed(device);
    while (event->waiting) pthread_cond_wait(&device->changed, &device->lock);
}

API GCRegisterEvent(HANDLE source, int32_t type, HANDLE *handle)
{
    struct module *module = module_of(source);
    if (!module) return GC_ERR_INVALID_HANDLE;
    if (module->kind != MODULE_STREAM || type != EVENT_NEW_BUFFER)
        return fail(GC_ERR_NOT_IMPLEMENTED, "event type %d on module kind %d", type, module->kind);
    if (!handle) return fail(GC_ERR_INVALID_PARAMETER, "GCRegisterEvent: null");
    struct device *device = device_enter(source, MODULE_STREAM);
    if (!device) return GC_ERR_INVALID_HANDLE;
    struct event *event = &device->stream.event;
    GC_ERROR error = event->registered ? fail(GC_ERR_RESOURCE_IN_USE, "the event is registered already") : 0;
    if (!error) *event = (struct event){.registered = true}, *handle = event;
    device_leave(device);
    return error;
}

API GCUnregisterEvent(HANDLE source, int32_t type)
{
    struct device *device = device_enter(source, MODULE_STREAM);
    if (!device) return GC_ERR_INVALID_HANDLE;
    bool registered = type == EVENT_NEW_BUFFER && device->stream.event.registered;
    if (registered) event_close(device);
    device_leave(device);
    return registered ? GC_ERR_SUCCESS : fail(GC_ERR_NOT_AVAILABLE, "event type %d is not registered", type);
}

/* Wait for the oldest filled buffer; lock held, released while waiting. */
static GC_ERROR wait_for_buffer(struct device *device, uint64_t timeout_ms, struct buffer **found)
{
    struct event *event = &device->stream.event;
    uint64_t now = now_ns();
    uint64_t until = timeout_ms > (UINT64_MAX - now) / 1000000u ? UINT64_MAX : now + timeout_ms * 1000000u;
    for (;; now = now_ns()) {
        struct buffer *buffer = buffer_first(&device->stream, BUFFER_DONE);
        if (buffer && buffer->due_ns <= now) {
            *found = buffer;
            return GC_ERR_SUCCESS;
        }
        if (!event->registered) return fail(GC_ERR_ABORT, "the event was unregistered");
        if (!buffer && device_lost(device)) return fail(GC_ERR_IO, "%s is unplugged", device->id);
        if (event->kills) {
            event->kills--;
            return fail(GC_ERR_ABORT, "EventKill");
        }
        if (now >= until) return fail(GC_ERR_TIMEOUT, "no buffer within %llu ms", (unsigned long long)timeout_ms);
        uint64_t wake = now + POLL_NS;
        if (buffer && buffer->due_ns < wake) wake = buffer->due_ns;
        device_wait(device, until < wake ? until : wake);
    }
}

API EventGetData(HANDLE handle, void *out, size_t *size, uint64_t timeout_ms)
{
    if (!out || !size) return fail(GC_ERR_INVALID_PARAMETER, "EventGetData: null");
    if (*size < sizeof(struct new_buffer)) return fail(GC_ERR_BUFFER_TOO_SMALL, "EventGetData: %zu bytes", *size);
    struct device *device = event_enter(handle);
    if (!device) return GC_ERR_INVALID_HANDLE;
    struct event *event = &device->stream.event;
    struct buffer *buffer = NULL;
    event->waiting++;
    GC_ERROR error = wait_for_buffer(device, timeout_ms, &buffer);
    event->waiting--;
    if (!error) {
        buffer_move(&device->stream, buffer, BUFFER_IDLE);
        *(struct new_buffer *)out = (struct new_buffer){buffer, buffer->user};
        *size = sizeof(struct new_buffer);
    }
    if (!event->registered) device_changed(device); /* event_close() waits for us */
    device_leave(device);
    return error;
}

API EventGetDataInfo(HANDLE handle, const void *in, size_t in_size, int32_t command, int32_t *type, void *out,
                     size_t *size)
{
    struct answer to = {type, out, size};
    const struct new_buffer *data = in;
    (void)handle;
    if (!data || in_size < sizeof *data) return fail(GC_ERR_INVALID_PARAMETER, "EventGetDataInfo: no event data");
    if (command == EVENT_DATA_ID) return put_pointer(to, data->buffer);
    if (command == EVENT_DATA_VALUE) return put_pointer(to, data->user);
    return fail(GC_ERR_NOT_AVAILABLE, "EVENT_DATA %d", command);
}

API EventGetInfo(HANDLE handle, int32_t command, int32_t *type, void *out, size_t *size)
{
    struct answer to = {type, out, size};
    struct device *device = event_enter(handle);
    if (!device) return GC_ERR_INVALID_HANDLE;
    size_t waiting = buffer_count(&device->stream, BUFFER_DONE);
    uint64_t fired = device->stream.event.fired;
    device_leave(device);
    switch (command) {
    case EVENT_EVENT_TYPE: return put_i32(to, EVENT_NEW_BUFFER);
    case EVENT_NUM_IN_QUEUE: return put_size(to, waiting);
    case EVENT_NUM_FIRED: return put_u64(to, fired);
    case EVENT_SIZE_MAX:
    case EVENT_INFO_DATA_SIZE_MAX: return put_size(to, sizeof(struct new_buffer));
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "EVENT_INFO %d", command);
    }
}

API EventFlush(HANDLE handle)
{
    struct device *device = event_enter(handle);
    if (!device) return GC_ERR_INVALID_HANDLE;
    struct buffer *buffer;
    while ((buffer = buffer_first(&device->stream, BUFFER_DONE))) buffer_move(&device->stream, buffer, BUFFER_IDLE);
    device_leave(device);
    return GC_ERR_SUCCESS;
}

API EventKill(HANDLE handle)
{
    struct device *device = event_enter(handle);
    if (!device) return GC_ERR_INVALID_HANDLE;
    device->stream.event.kills++;
    device_changed(device);
    device_leave(device);
    return GC_ERR_SUCCESS;
}
