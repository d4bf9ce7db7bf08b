/* The emulated device as a library: find a kernel, launch it, give and take guarded memory. KERNELS lists `ENTRY(name)`
 * for every kernel of the sources, written by emulated.py beside the sources' includes. */
#include "kernels_list.h"

#define ENTRY(name) {#name, emulation::entry<name>::signature, emulation::entry<name>::run},
static const emulation::kernel kernels[] = {KERNELS};
#undef ENTRY

extern "C" {

int emulated_find(const char *name)
{
    for (unsigned i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (!strcmp(kernels[i].name, name)) return int(i);
    return -1;
}

const char *emulated_signature(int kernel) { return kernels[kernel].signature; }

int emulated_launch(int kernel, const unsigned *grid, const unsigned *block, void **arguments, unsigned shared_bytes,
                    int backward, char *message, size_t length)
{
    return emulation::launch(kernels[kernel], grid, block, arguments, shared_bytes, backward, message, length);
}

/* Memory whose last byte lies within 16 bytes of guard pages; others lie before it. */
unsigned char *emulated_allocate(size_t size)
{
    const size_t page = size_t(sysconf(_SC_PAGESIZE)), whole = (size + page - 1) / page * page;
    auto *memory = static_cast<unsigned char *>(
        mmap(nullptr, whole + 2 * emulation::GUARD_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (memory == MAP_FAILED) return nullptr;
    if (mprotect(memory + emulation::GUARD_BYTES, whole, PROT_READ | PROT_WRITE)) return nullptr;
    memset(memory + emulation::GUARD_BYTES, 0xA5, whole);
    return memory + emulation::GUARD_BYTES + whole - (size + 15) / 16 * 16;
}

/* Give 0, or 1 when the few bytes up to the guard page or those before the memory were written. */
int emulated_free(unsigned char *memory, size_t size)
{
    const size_t page = size_t(sysconf(_SC_PAGESIZE)), whole = (size + page - 1) / page * page;
    unsigned char *const end = memory + (size + 15) / 16 * 16, *const start = end - whole;
    int written = 0;
    for (unsigned char *byte = start; byte < memory; byte++) written |= *byte != 0xA5;
    for (unsigned char *byte = memory + size; byte < end; byte++) written |= *byte != 0xA5;
    munmap(start - emulation::GUARD_BYTES, whole + 2 * emulation::GUARD_BYTES);
    return written;
}
}
