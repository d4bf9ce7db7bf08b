/* The local device module: a camera opened, described and closed. Whoever opens it has it alone. */
#include <string.h>

#include "device.h"

bool device_present(const struct device *device)
{
    struct plant_camera *wires = world_wires(device->index);
    return !wires || !word(&wires->unplugged);
}

static GC_ERROR open_device(struct device *device) /* lifecycle held */
{
    if (device->module.open) return fail(GC_ERR_RESOURCE_IN_USE, "%s is open already", device->id);
    if (!device_present(device)) return fail(GC_ERR_IO, "%s is unplugged", device->id);
    GC_ERROR error = world_claim(device->index);
    if (error) return error;

    pthread_mutex_lock(&device->lock);
    device->wires = world_wires(device->index);
    if (device->lost) device_power_cycle(device); /* its cable carried its power */
    device->lost = device->acquiring = device->software_pending = false;
    device->opened_ns = now_ns();
    if (device->wires) faults_read(device->wires, device->faults_taken);
    device->module.open = device->remote.open = true;
    pthread_mutex_unlock(&device->lock);
    return GC_ERR_SUCCESS;
}

GC_ERROR device_open(struct device *device)
{
    pthread_mutex_lock(&device->lifecycle);
    GC_ERROR error = open_device(device);
    pthread_mutex_unlock(&device->lifecycle);
    return error;
}

void device_close(struct device *device)
{
    pthread_mutex_lock(&device->lifecycle);
    stream_close(device);
    pthread_mutex_lock(&device->lock);
    if (device->module.open) world_release(device->index);
    device->module.open = device->remote.open = device->acquiring = false;
    device->registers.locked = 0;
    pthread_mutex_unlock(&device->lock);
    pthread_mutex_unlock(&device->lifecycle);
}

GC_ERROR device_info(struct device *device, int32_t command, struct answer to)
{
    pthread_mutex_lock(&device->lock);
    struct registers r = device->registers;
    bool open = device->module.open;
    pthread_mutex_unlock(&device->lock);
    switch (command) {
    case DEVICE_INFO_ID: return put_string(to, device->id);
    case DEVICE_INFO_VENDOR: return put_string(to, r.vendor);
    case DEVICE_INFO_MODEL: return put_string(to, r.model);
    case DEVICE_INFO_TLTYPE: return put_string(to, TLTYPE);
    case DEVICE_INFO_DISPLAYNAME: return put_string(to, device->id);
    case DEVICE_INFO_ACCESS_STATUS:
        if (open) return put_i32(to, DEVICE_ACCESS_STATUS_OPEN_READWRITE);
        return put_i32(to, world_claimed(device->index) ? DEVICE_ACCESS_STATUS_BUSY : DEVICE_ACCESS_STATUS_READWRITE);
    case DEVICE_INFO_USER_DEFINED_NAME: return put_string(to, r.user_id);
    case DEVICE_INFO_SERIAL_NUMBER: return put_string(to, r.serial);
    case DEVICE_INFO_VERSION: return put_string(to, r.firmware);
    case DEVICE_INFO_TIMESTAMP_FREQUENCY: return put_u64(to, 1000000000);
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "DEVICE_INFO %d", command);
    }
}

API DevClose(HANDLE handle)
{
    struct device *device = device_enter(handle, MODULE_DEVICE);
    if (!device) return GC_ERR_INVALID_HANDLE;
    device_leave(device);
    device_close(device);
    return GC_ERR_SUCCESS;
}

API DevGetInfo(HANDLE handle, int32_t command, int32_t *type, void *out, size_t *size)
{
    struct device *device = device_of(handle, MODULE_DEVICE);
    return device ? device_info(device, command, (struct answer){type, out, size}) : GC_ERR_INVALID_HANDLE;
}

API DevGetParentIF(HANDLE handle, HANDLE *interface)
{
    struct device *device = device_of(handle, MODULE_DEVICE);
    if (!device) return GC_ERR_INVALID_HANDLE;
    if (!interface) return fail(GC_ERR_INVALID_PARAMETER, "DevGetParentIF: null");
    *interface = device->interface;
    return GC_ERR_SUCCESS;
}

API DevGetPort(HANDLE handle, HANDLE *remote)
{
    struct device *device = device_of(handle, MODULE_DEVICE);
    if (!device) return GC_ERR_INVALID_HANDLE;
    if (!remote) return fail(GC_ERR_INVALID_PARAMETER, "DevGetPort: null");
    *remote = &device->remote;
    return GC_ERR_SUCCESS;
}

API DevGetNumDataStreams(HANDLE handle, uint32_t *streams)
{
    if (!device_of(handle, MODULE_DEVICE)) return GC_ERR_INVALID_HANDLE;
    if (!streams) return fail(GC_ERR_INVALID_PARAMETER, "DevGetNumDataStreams: null");
    *streams = 1;
    return GC_ERR_SUCCESS;
}

API DevGetDataStreamID(HANDLE handle, uint32_t index, char *id, size_t *size)
{
    if (!device_of(handle, MODULE_DEVICE)) return GC_ERR_INVALID_HANDLE;
    if (index) return fail(GC_ERR_INVALID_INDEX, "data stream %u of 1", index);
    return put_string((struct answer){NULL, id, size}, "stream");
}

API DevOpenDataStream(HANDLE handle, const char *id, HANDLE *stream)
{
    struct device *device = device_of(handle, MODULE_DEVICE);
    if (!device) return GC_ERR_INVALID_HANDLE;
    if (!id || strcmp(id, "stream")) return fail(GC_ERR_INVALID_ID, "no data stream %s", id ? id : "(null)");
    if (!stream) return fail(GC_ERR_INVALID_PARAMETER, "DevOpenDataStream: null");
    pthread_mutex_lock(&device->lifecycle);
    pthread_mutex_lock(&device->lock);
    GC_ERROR error = GC_ERR_SUCCESS;
    if (!device->module.open)
        error = fail(GC_ERR_INVALID_HANDLE, "%s is closed", device->id);
    else if (device->stream.module.open)
        error = fail(GC_ERR_RESOURCE_IN_USE, "the data stream of %s is open already", device->id);
    else
        stream_open(device), *stream = &device->stream.module;
    pthread_mutex_unlock(&device->lock);
    pthread_mutex_unlock(&device->lifecycle);
    return error;
}
