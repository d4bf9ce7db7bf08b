/* The producer itself: one system, one interface, DEVICES cameras; all handles are addresses of these. */
#include <stdlib.h>
#include <string.h>

#include "device.h"

#define INTERFACE_ID "firstshift-sim"
#define NEED_INIT                                                                                                      \
    if (!initialised) return fail(GC_ERR_NOT_INITIALIZED, "call GCInitLib first")

static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER; /* guards all of these and opening and closing */
static bool initialised, set_up;
static struct module system_module = {.kind = MODULE_SYSTEM}, interface_module = {.kind = MODULE_INTERFACE};
static struct device devices[DEVICES];
static bool listed[DEVICES];

static void set_up_once(void)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    for (unsigned i = 0; i < DEVICES; i++) {
        struct device *device = &devices[i];
        device->module = (struct module){MODULE_DEVICE, false, device};
        device->remote = (struct module){MODULE_REMOTE, false, device};
        device->stream.module = (struct module){MODULE_STREAM, false, device};
        pthread_mutex_init(&device->lifecycle, NULL);
        pthread_mutex_init(&device->lock, NULL);
        pthread_cond_init(&device->changed, &monotonic);
        device->interface = &interface_module;
        device_set_up(device, i);
    }
    set_up = true;
}

static struct module *part_of(struct device *device, enum module_kind kind)
{
    if (kind == MODULE_STREAM) return &device->stream.module;
    return kind == MODULE_REMOTE ? &device->remote : &device->module;
}

struct device *device_of(HANDLE handle, enum module_kind kind)
{
    for (unsigned i = 0; set_up && i < DEVICES; i++)
        if (handle == part_of(&devices[i], kind)) return &devices[i];
    fail(GC_ERR_INVALID_HANDLE, "not a handle of this kind");
    return NULL;
}

struct module *module_of(HANDLE handle)
{
    if (handle == &system_module || handle == &interface_module) return handle;
    for (unsigned i = 0; set_up && i < DEVICES; i++)
        for (enum module_kind kind = MODULE_DEVICE; kind <= MODULE_STREAM; kind++)
            if (handle == part_of(&devices[i], kind)) return handle;
    fail(GC_ERR_INVALID_HANDLE, "not a handle of this producer");
    return NULL;
}

static void close_interface(void)
{
    for (unsigned i = 0; i < DEVICES; i++) device_close(&devices[i]);
    interface_module.open = false;
}

API GCInitLib(void)
{
    pthread_mutex_lock(&library);
    GC_ERROR error = GC_ERR_SUCCESS;
    if (!set_up) set_up_once();
    if (initialised)
        error = fail(GC_ERR_RESOURCE_IN_USE, "the library is initialised already");
    else
        error = world_open(getenv("FIRSTSHIFT_PLANT"));
    if (error == GC_ERR_IO) say(); /* Harvester swallows the error and shows an empty list */
    if (!error) initialised = true;
    pthread_mutex_unlock(&library);
    return error;
}

API GCCloseLib(void)
{
    NEED_INIT;
    pthread_mutex_lock(&library);
    close_interface();
    system_module.open = initialised = false;
    world_close();
    pthread_mutex_unlock(&library);
    return GC_ERR_SUCCESS;
}

static GC_ERROR system_info(int32_t command, struct answer to)
{
    switch (command) {
    case TL_INFO_ID: return put_string(to, "firstshift-sim-tl");
    case TL_INFO_VENDOR: return put_string(to, "firstshift");
    case TL_INFO_MODEL: return put_string(to, "sim");
    case TL_INFO_VERSION: return put_string(to, "1.0");
    case TL_INFO_TLTYPE: return put_string(to, TLTYPE);
    case TL_INFO_NAME: return put_string(to, "sim.cti");
    case TL_INFO_PATHNAME: return put_string(to, "sim.cti");
    case TL_INFO_DISPLAYNAME: return put_string(to, "firstshift simulated cameras");
    case TL_INFO_CHAR_ENCODING: return put_i32(to, TL_CHAR_ENCODING_UTF8);
    case TL_INFO_GENTL_VER_MAJOR: return put(to, INFO_DATATYPE_UINT32, &(uint32_t){1}, 4);
    case TL_INFO_GENTL_VER_MINOR: return put(to, INFO_DATATYPE_UINT32, &(uint32_t){5}, 4);
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "TL_INFO %d", command);
    }
}

API GCGetInfo(int32_t command, int32_t *type, void *out, size_t *size)
{
    return system_info(command, (struct answer){type, out, size}); /* allowed before GCInitLib */
}

API TLOpen(HANDLE *tl)
{
    NEED_INIT;
    if (!tl) return fail(GC_ERR_INVALID_PARAMETER, "TLOpen: null");
    pthread_mutex_lock(&library);
    bool taken = system_module.open;
    if (!taken) system_module.open = true, *tl = &system_module;
    pthread_mutex_unlock(&library);
    return taken ? fail(GC_ERR_RESOURCE_IN_USE, "the system module is open already") : GC_ERR_SUCCESS;
}

static GC_ERROR need(HANDLE handle, const struct module *module)
{
    NEED_INIT;
    if (handle == module && module->open) return GC_ERR_SUCCESS;
    return fail(GC_ERR_INVALID_HANDLE, "not an open %s", module == &system_module ? "system" : "interface");
}

#define NEED(handle, module)                                                                                           \
    GC_ERROR missing = need(handle, &(module));                                                                        \
    if (missing) return missing

API TLClose(HANDLE tl)
{
    NEED(tl, system_module);
    pthread_mutex_lock(&library);
    close_interface();
    system_module.open = false;
    pthread_mutex_unlock(&library);
    return GC_ERR_SUCCESS;
}

API TLGetInfo(HANDLE tl, int32_t command, int32_t *type, void *out, size_t *size)
{
    NEED(tl, system_module);
    return system_info(command, (struct answer){type, out, size});
}

API TLUpdateInterfaceList(HANDLE tl, bool8_t *changed, uint64_t timeout_ms)
{
    NEED(tl, system_module);
    (void)timeout_ms;
    if (changed) *changed = 0;
    return GC_ERR_SUCCESS;
}

API TLGetNumInterfaces(HANDLE tl, uint32_t *interfaces)
{
    NEED(tl, system_module);
    if (!interfaces) return fail(GC_ERR_INVALID_PARAMETER, "TLGetNumInterfaces: null");
    *interfaces = 1;
    return GC_ERR_SUCCESS;
}

API TLGetInterfaceID(HANDLE tl, uint32_t index, char *id, size_t *size)
{
    NEED(tl, system_module);
    if (index) return fail(GC_ERR_INVALID_INDEX, "interface %u of 1", index);
    return put_string((struct answer){NULL, id, size}, INTERFACE_ID);
}

static GC_ERROR interface_info(int32_t command, struct answer to)
{
    switch (command) {
    case INTERFACE_INFO_ID: return put_string(to, INTERFACE_ID);
    case INTERFACE_INFO_DISPLAYNAME: return put_string(to, "firstshift simulated plant");
    case INTERFACE_INFO_TLTYPE: return put_string(to, TLTYPE);
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "INTERFACE_INFO %d", command);
    }
}

API TLGetInterfaceInfo(HANDLE tl, const char *id, int32_t command, int32_t *type, void *out, size_t *size)
{
    NEED(tl, system_module);
    if (!id || strcmp(id, INTERFACE_ID)) return fail(GC_ERR_INVALID_ID, "no interface %s", id ? id : "(null)");
    return interface_info(command, (struct answer){type, out, size});
}

API TLOpenInterface(HANDLE tl, const char *id, HANDLE *interface)
{
    NEED(tl, system_module);
    if (!id || strcmp(id, INTERFACE_ID)) return fail(GC_ERR_INVALID_ID, "no interface %s", id ? id : "(null)");
    if (!interface) return fail(GC_ERR_INVALID_PARAMETER, "TLOpenInterface: null");
    pthread_mutex_lock(&library);
    bool taken = interface_module.open;
    if (!taken) interface_module.open = true, *interface = &interface_module;
    pthread_mutex_unlock(&library);
    return taken ? fail(GC_ERR_RESOURCE_IN_USE, "the interface is open already") : GC_ERR_SUCCESS;
}

API IFClose(HANDLE interface)
{
    NEED(interface, interface_module);
    pthread_mutex_lock(&library);
    close_interface();
    pthread_mutex_unlock(&library);
    return GC_ERR_SUCCESS;
}

API IFGetInfo(HANDLE interface, int32_t command, int32_t *type, void *out, size_t *size)
{
    NEED(interface, interface_module);
    return interface_info(command, (struct answer){type, out, size});
}

API IFGetParentTL(HANDLE interface, HANDLE *tl)
{
    NEED(interface, interface_module);
    if (!tl) return fail(GC_ERR_INVALID_PARAMETER, "IFGetParentTL: null");
    *tl = &system_module;
    return GC_ERR_SUCCESS;
}

API IFUpdateDeviceList(HANDLE interface, bool8_t *changed, uint64_t timeout_ms)
{
    NEED(interface, interface_module);
    (void)timeout_ms;
    bool differs = false;
    pthread_mutex_lock(&library);
    for (unsigned i = 0; i < DEVICES; i++) {
        bool now = device_present(&devices[i]);
        differs |= now != listed[i];
        listed[i] = now;
    }
    pthread_mutex_unlock(&library);
    if (changed) *changed = differs;
    return GC_ERR_SUCCESS;
}

API IFGetNumDevices(HANDLE interface, uint32_t *number)
{
    NEED(interface, interface_module);
    if (!number) return fail(GC_ERR_INVALID_PARAMETER, "IFGetNumDevices: null");
    *number = 0;
    pthread_mutex_lock(&library);
    for (unsigned i = 0; i < DEVICES; i++) *number += listed[i];
    pthread_mutex_unlock(&library);
    return GC_ERR_SUCCESS;
}

API IFGetDeviceID(HANDLE interface, uint32_t index, char *id, size_t *size)
{
    NEED(interface, interface_module);
    const struct device *found = NULL;
    uint32_t at = 0;
    pthread_mutex_lock(&library);
    for (unsigned i = 0; i < DEVICES; i++)
        if (listed[i] && at++ == index) found = &devices[i];
    pthread_mutex_unlock(&library);
    if (!found) return fail(GC_ERR_INVALID_INDEX, "device %u is not listed", index);
    return put_string((struct answer){NULL, id, size}, found->id);
}

static struct device *named(const char *id)
{
    for (unsigned i = 0; id && i < DEVICES; i++)
        if (!strcmp(id, devices[i].id)) return &devices[i];
    fail(GC_ERR_INVALID_ID, "no device %s", id ? id : "(null)");
    return NULL;
}

API IFGetDeviceInfo(HANDLE interface, const char *id, int32_t command, int32_t *type, void *out, size_t *size)
{
    NEED(interface, interface_module);
    struct device *device = named(id);
    return device ? device_info(device, command, (struct answer){type, out, size}) : GC_ERR_INVALID_ID;
}

API IFOpenDevice(HANDLE interface, const char *id, int32_t access, HANDLE *handle)
{
    NEED(interface, interface_module);
    (void)access; /* whoever opens it has it alone */
    struct device *device = named(id);
    if (!device) return GC_ERR_INVALID_ID;
    if (!handle) return fail(GC_ERR_INVALID_PARAMETER, "IFOpenDevice: null");
    pthread_mutex_lock(&library);
    GC_ERROR error = device_open(device);
    if (!error) *handle = &device->module;
    pthread_mutex_unlock(&library);
    return error;
}
