/* What a GenTL producer and its caller agree on (GenTL standard 1.5): types, error code, the two packed records.
 * Own declarations; the numbers are in gentl_constants.h. Functions are declared where they are defined. */
#ifndef GENTL_H
#define GENTL_H
#include <stddef.h>
#include <stdint.h>

#include "gentl_constants.h"

#define API __attribute__((visibility("default"))) GC_ERROR
#define GENTL_INFINITE UINT64_MAX

typedef int32_t GC_ERROR;
typedef uint8_t bool8_t;
typedef void *HANDLE; /* of any module, event or buffer */

struct chunk_record { /* filled by DSGetBufferChunkData; byte-packed by the standard */
    uint64_t id;
    ptrdiff_t offset;
    size_t length;
} __attribute__((packed));

struct new_buffer { /* data of EVENT_NEW_BUFFER */
    HANDLE buffer;
    void *user;
};
#endif
