/* Entry points of what this camera does not have: stacked port access, multi-part payloads, flows, composite buffers.
 * Callers look them up by name and some give up when one is missing. */
#include "info.h"

#define ABSENT(name, ...)                                                                                              \
    API name(__VA_ARGS__) { return fail(GC_ERR_NOT_IMPLEMENTED, #name); }

#pragma GCC diagnostic ignored "-Wunused-parameter"

ABSENT(GCReadPortStacked, HANDLE port, void *entries, size_t *number)
ABSENT(GCWritePortStacked, HANDLE port, void *entries, size_t *number)
ABSENT(DSGetNumBufferParts, HANDLE stream, HANDLE buffer, uint32_t *parts)
ABSENT(DSGetBufferPartInfo, HANDLE stream, HANDLE buffer, uint32_t part, int32_t command, int32_t *type, void *out,
       size_t *size)
ABSENT(DSAnnounceCompositeBuffer, HANDLE stream, size_t segments, void **bases, size_t *sizes, void *user, HANDLE *buffer)
ABSENT(DSGetNumBufferSegments, HANDLE stream, HANDLE buffer, uint32_t *segments)
ABSENT(DSGetBufferSegmentInfo, HANDLE stream, HANDLE buffer, uint32_t segment, int32_t command, int32_t *type, void *out,
       size_t *size)
ABSENT(DSGetNumFlows, HANDLE stream, uint32_t *flows)
ABSENT(DSGetFlowInfo, HANDLE stream, uint32_t flow, int32_t command, int32_t *type, void *out, size_t *size)
