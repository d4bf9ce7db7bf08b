#include "info.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local GC_ERROR last_code;
static _Thread_local char last_text[256];

GC_ERROR fail(GC_ERROR code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_text, sizeof last_text, format, arguments);
    va_end(arguments);
    last_code = code;
    return code;
}

void say(void) { fprintf(stderr, "sim.cti: %s\n", last_text); }

API GCGetLastError(GC_ERROR *code, char *text, size_t *size)
{
    if (!code) return GC_ERR_INVALID_PARAMETER;
    *code = last_code;
    return put((struct answer){NULL, text, size}, INFO_DATATYPE_STRING, last_text, strlen(last_text) + 1);
}

GC_ERROR put(struct answer to, int32_t type, const void *value, size_t size)
{
    if (!to.size) return fail(GC_ERR_INVALID_PARAMETER, "the size pointer is null");
    if (to.type) *to.type = type;
    if (to.out && *to.size < size)
        return fail(GC_ERR_BUFFER_TOO_SMALL, "the answer has %zu bytes, the buffer %zu", size, *to.size);
    if (to.out) memcpy(to.out, value, size);
    *to.size = size;
    return GC_ERR_SUCCESS;
}

GC_ERROR put_string(struct answer to, const char *text) { return put(to, INFO_DATATYPE_STRING, text, strlen(text) + 1); }

GC_ERROR put_bool(struct answer to, bool value) { return put(to, INFO_DATATYPE_BOOL8, &(bool8_t){value}, 1); }

GC_ERROR put_i32(struct answer to, int32_t value) { return put(to, INFO_DATATYPE_INT32, &value, sizeof value); }

GC_ERROR put_u64(struct answer to, uint64_t value) { return put(to, INFO_DATATYPE_UINT64, &value, sizeof value); }

GC_ERROR put_size(struct answer to, size_t value) { return put(to, INFO_DATATYPE_SIZET, &value, sizeof value); }

GC_ERROR put_pointer(struct answer to, const void *value) { return put(to, INFO_DATATYPE_PTR, &value, sizeof value); }
