#include "device.h"

#include <time.h>

bool device_lost(struct device *device)
{
    if (device->lost || !device->wires || !word(&device->wires->unplugged)) return device->lost;
    device->lost = true; /* until it is closed and opened again, as with a real cable */
    device_changed(device);
    return true;
}

void device_changed(struct device *device) { pthread_cond_broadcast(&device->changed); }

void device_wait(struct device *device, uint64_t until_ns)
{
    struct timespec until = {(time_t)(until_ns / 1000000000u), (long)(until_ns % 1000000000u)};
    pthread_cond_timedwait(&device->changed, &device->lock, &until);
}

void device_miss(struct device *device, uint32_t triggers)
{
    if (triggers && device->wires) count(&device->wires->missed, triggers);
}

struct device *device_enter(HANDLE handle, enum module_kind kind)
{
    struct device *device = device_of(handle, kind);
    if (!device) return NULL;
    pthread_mutex_lock(&device->lock);
    if (((struct module *)handle)->open) return device;
    pthread_mutex_unlock(&device->lock);
    fail(GC_ERR_INVALID_HANDLE, "the module is closed");
    return NULL;
}

void device_leave(struct device *device) { pthread_mutex_unlock(&device->lock); }
