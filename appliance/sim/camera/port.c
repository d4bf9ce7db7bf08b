/* Ports: every module has one; its description lies in the same address space, at XML_ADDRESS. */
#include <stdio.h>
#include <string.h>

#include "device.h"

extern const unsigned char camera_xml[], host_xml[]; /* embedded by build.py */
extern const size_t camera_xml_bytes, host_xml_bytes;

struct description {
    const char *name;
    const unsigned char *text;
    size_t bytes;
};

static struct description description_of(const struct module *module)
{
    if (module->kind == MODULE_REMOTE) return (struct description){"camera.xml", camera_xml, camera_xml_bytes};
    return (struct description){"host.xml", host_xml, host_xml_bytes};
}

/* Take the lock of a device's module, or find that the module is closed or its cable out. */
static GC_ERROR enter(struct module *module)
{
    if (!module) return GC_ERR_INVALID_HANDLE;
    if (!module->device) return module->open ? GC_ERR_SUCCESS : fail(GC_ERR_INVALID_HANDLE, "the module is closed");
    struct device *device = device_enter(module, module->kind);
    if (!device) return GC_ERR_INVALID_HANDLE;
    if (module->kind != MODULE_REMOTE || !device_lost(device)) return GC_ERR_SUCCESS;
    device_leave(device);
    return fail(GC_ERR_IO, "%s is unplugged; close it and open it again", device->id);
}

static void leave(struct module *module)
{
    if (module->device) device_leave(module->device);
}

API GCReadPort(HANDLE port, uint64_t address, void *out, size_t *size)
{
    struct module *module = module_of(port);
    if (!out || !size) return fail(GC_ERR_INVALID_PARAMETER, "GCReadPort: null");
    GC_ERROR error = enter(module);
    if (error) return error;
    struct description xml = description_of(module);
    uint64_t from = address - XML_ADDRESS;
    if (address >= XML_ADDRESS && from <= xml.bytes && *size <= xml.bytes - from)
        memcpy(out, xml.text + from, *size);
    else if (module->kind == MODULE_REMOTE)
        error = registers_read(module->device, address, out, *size);
    else
        error = fail(GC_ERR_INVALID_ADDRESS, "no register at 0x%llx", (unsigned long long)address);
    leave(module);
    return error;
}

API GCWritePort(HANDLE port, uint64_t address, const void *value, size_t *size)
{
    struct module *module = module_of(port);
    if (!value || !size) return fail(GC_ERR_INVALID_PARAMETER, "GCWritePort: null");
    GC_ERROR error = enter(module);
    if (error) return error;
    if (module->kind == MODULE_REMOTE)
        error = registers_write(module->device, address, value, *size);
    else
        error = fail(GC_ERR_ACCESS_DENIED, "this module has no writable register");
    leave(module);
    return error;
}

API GCGetPortInfo(HANDLE port, int32_t command, int32_t *type, void *out, size_t *size)
{
    static const char *const kinds[] = {"TLSystem", "TLInterface", "TLDevice", "Device", "TLDataStream"};
    struct answer to = {type, out, size};
    struct module *module = module_of(port);
    if (!module) return GC_ERR_INVALID_HANDLE;
    switch (command) {
    case PORT_INFO_ID: return put_string(to, module->device ? module->device->id : kinds[module->kind]);
    case PORT_INFO_VENDOR: return put_string(to, "firstshift");
    case PORT_INFO_MODEL: return put_string(to, "sim");
    case PORT_INFO_TLTYPE: return put_string(to, TLTYPE);
    case PORT_INFO_MODULE: return put_string(to, kinds[module->kind]);
    case PORT_INFO_LITTLE_ENDIAN: return put_bool(to, true);
    case PORT_INFO_BIG_ENDIAN: return put_bool(to, false);
    case PORT_INFO_ACCESS_READ: return put_bool(to, true);
    case PORT_INFO_ACCESS_WRITE: return put_bool(to, true);
    case PORT_INFO_ACCESS_NA: return put_bool(to, false);
    case PORT_INFO_ACCESS_NI: return put_bool(to, false);
    case PORT_INFO_VERSION: return put_string(to, "1.0");
    case PORT_INFO_PORTNAME: return put_string(to, "Device");
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "PORT_INFO %d", command);
    }
}

API GCGetNumPortURLs(HANDLE port, uint32_t *urls)
{
    if (!module_of(port)) return GC_ERR_INVALID_HANDLE;
    if (!urls) return fail(GC_ERR_INVALID_PARAMETER, "GCGetNumPortURLs: null");
    *urls = 1;
    return GC_ERR_SUCCESS;
}

API GCGetPortURLInfo(HANDLE port, uint32_t index, int32_t command, int32_t *type, void *out, size_t *size)
{
    struct answer to = {type, out, size};
    struct module *module = module_of(port);
    if (!module) return GC_ERR_INVALID_HANDLE;
    if (index) return fail(GC_ERR_INVALID_INDEX, "URL %u of 1", index);
    struct description xml = description_of(module);
    char url[64];
    snprintf(url, sizeof url, "local:%s;%x;%zx", xml.name, XML_ADDRESS, xml.bytes);
    switch (command) {
    case URL_INFO_URL: return put_string(to, url);
    case URL_INFO_SCHEMA_VER_MAJOR: return put_i32(to, 1);
    case URL_INFO_SCHEMA_VER_MINOR: return put_i32(to, 1);
    case URL_INFO_FILE_VER_MAJOR: return put_i32(to, 1);
    case URL_INFO_FILE_VER_MINOR: return put_i32(to, 0);
    case URL_INFO_FILE_VER_SUBMINOR: return put_i32(to, 0);
    case URL_INFO_FILE_REGISTER_ADDRESS: return put_u64(to, XML_ADDRESS);
    case URL_INFO_FILE_SIZE: return put_u64(to, xml.bytes);
    case URL_INFO_SCHEME: return put_i32(to, URL_SCHEME_LOCAL);
    case URL_INFO_FILENAME: return put_string(to, xml.name);
    default: return fail(GC_ERR_NOT_AVAILABLE, "URL_INFO %d", command);
    }
}

API GCGetPortURL(HANDLE port, char *url, size_t *size) { return GCGetPortURLInfo(port, 0, URL_INFO_URL, NULL, url, size); }
