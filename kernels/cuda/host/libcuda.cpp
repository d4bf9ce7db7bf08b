/* The few calls of the CUDA driver that our binding makes, over the emulated device: build as libcuda.so.1, and pycuda
 * itself runs the kernels on the host. Every other call is missing, so load the binding lazily. Two devices: 0 has
 * memory of its own, 1 maps the host's. */
#include "emulation.cpp"

#include <cstdlib>

namespace {

typedef int status;
enum { FINE = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_IMAGE = 200, NOT_FOUND = 500,
       LAUNCH_FAILED = 719 };
enum { DEVICES = 2, LARGEST = 1 << 30 };

struct allocation {
    unsigned char *memory;
    size_t size;
    allocation *next;
};

allocation *allocations;
int context, module, streams, events;
const void *registered[64];
char message[400];

const void **slot(const void *memory)
{
    for (auto &entry : registered)
        if (entry == memory) return &entry;
    return nullptr;
}

status copy(void *to, const void *from, size_t size)
{
    memcpy(to, from, size);
    return FINE;
}

} // namespace

extern "C" {

status cuInit(unsigned) { return FINE; }
status cuDriverGetVersion(int *version) { return *version = 13000, FINE; }
status cuDeviceGetCount(int *count) { return *count = DEVICES, FINE; }
status cuDeviceGet(int *device, int number) { return *device = number, number < DEVICES ? FINE : INVALID_DEVICE; }
status cuDeviceGetName(char *name, int length, int) { return snprintf(name, size_t(length), "host emulation"), FINE; }
status cuDeviceComputeCapability(int *major, int *minor, int) { return *major = 9, *minor = 0, FINE; }
status cuDeviceGetAttribute(int *value, int attribute, int device)
{
    enum { INTEGRATED = 18, HOST_REGISTER_SUPPORTED = 99, READ_ONLY_HOST_REGISTER_SUPPORTED = 113 };
    *value = attribute == HOST_REGISTER_SUPPORTED || attribute == READ_ONLY_HOST_REGISTER_SUPPORTED;
    if (attribute == INTEGRATED) *value = device == 1;
    return FINE;
}
status cuDevicePrimaryCtxRetain(void **made, int) { return *made = &context, FINE; }
status cuDevicePrimaryCtxRelease_v2(int) { return FINE; }
status cuCtxPushCurrent_v2(void *) { return FINE; }
status cuCtxPopCurrent_v2(void **popped) { return popped ? (*popped = &context, FINE) : FINE; }
status cuCtxGetDevice(int *device) { return *device = 0, FINE; }
status cuCtxSynchronize() { return FINE; }

status cuMemAlloc_v2(unsigned char **made, size_t size)
{
    *made = size && size <= LARGEST ? emulated_allocate(size) : nullptr;
    if (!*made) return size ? OUT_OF_MEMORY : INVALID_VALUE;
    allocations = new allocation{*made, size, allocations};
    return FINE;
}
status cuMemFree_v2(unsigned char *memory)
{
    for (allocation **at = &allocations; *at; at = &(*at)->next)
        if ((*at)->memory == memory) {
            allocation *const found = *at;
            *at = found->next;
            const int written = emulated_free(memory, found->size);
            delete found;
            return written ? LAUNCH_FAILED : FINE;
        }
    return INVALID_VALUE;
}
status cuMemHostAlloc(void **made, size_t size, unsigned)
{
    *made = calloc(size, 1);
    return *made ? FINE : OUT_OF_MEMORY;
}
status cuMemFreeHost(void *memory) { return free(memory), FINE; }
status cuMemHostRegister_v2(void *memory, size_t, unsigned)
{
    const void **const free_slot = slot(nullptr);
    if (slot(memory) || !free_slot) return INVALID_VALUE;
    return *free_slot = memory, FINE;
}
status cuMemHostUnregister(void *memory)
{
    const void **const found = slot(memory);
    return found ? (*found = nullptr, FINE) : INVALID_VALUE;
}
status cuMemHostGetDevicePointer_v2(void **device, void *memory, unsigned) { return *device = memory, FINE; }
status cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t size, void *) { return copy(to, from, size); }
status cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t size, void *) { return copy(to, from, size); }

status cuStreamCreate(void **made, unsigned) { return *made = reinterpret_cast<void *>(intptr_t(++streams)), FINE; }
status cuStreamDestroy_v2(void *) { return FINE; }
status cuStreamSynchronize(void *) { return FINE; }
status cuStreamWaitEvent(void *, void *, unsigned) { return FINE; }
status cuEventCreate(void **made, unsigned) { return *made = reinterpret_cast<void *>(intptr_t(++events)), FINE; }
status cuEventDestroy_v2(void *) { return FINE; }
status cuEventRecord(void *, void *) { return FINE; }
status cuEventSynchronize(void *) { return FINE; }
status cuEventElapsedTime_v2(float *ms, void *, void *) { return *ms = 1.0f, FINE; }

status cuModuleLoadDataEx(void **made, const void *image, unsigned, int *, void **values)
{
    values[1] = values[3] = nullptr; /* pycuda reads the lengths of its two messages back */
    return memcmp(image, "emulated", 8) ? INVALID_IMAGE : (*made = &module, FINE);
}
status cuFuncSetBlockShape(void *, int, int, int) { return FINE; }
status cuModuleUnload(void *) { return FINE; }
status cuModuleGetFunction(void **function, void *, const char *name)
{
    const int number = emulated_find(name);
    return *function = reinterpret_cast<void *>(intptr_t(number + 1)), number < 0 ? NOT_FOUND : FINE;
}
status cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                      unsigned shared_bytes, void *, void **, void **extra)
{
    const int kernel = int(reinterpret_cast<intptr_t>(function)) - 1;
    const unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
    auto *const buffer = static_cast<unsigned char *>(extra[1]);
    const char *const signature = emulated_signature(kernel);
    void *arguments[64];
    size_t offset = 0;
    for (int i = 0; signature[i]; i++) {
        const size_t size = strchr("iIf", signature[i]) ? 4 : 8;
        offset = (offset + size - 1) / size * size;
        arguments[i] = buffer + offset;
        offset += size;
    }
    const size_t given = *static_cast<size_t *>(extra[3]);
    if (offset != given) {
        snprintf(message, sizeof message, "%zu bytes of arguments, the kernel takes %zu", given, offset);
        return INVALID_VALUE;
    }
    const int failed = emulated_launch(kernel, grid, block, arguments, shared_bytes, 0, message, sizeof message);
    return failed ? LAUNCH_FAILED : FINE;
}

status cuGetErrorString(status code, const char **text)
{
    static char told[500];
    snprintf(told, sizeof told, "error %d %s", code, message);
    return *text = told, FINE;
}
}
