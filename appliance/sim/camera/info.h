/* How every call reports: a value with its GenTL data type, or an error with a sentence. */
#ifndef INFO_H
#define INFO_H
#include <stdbool.h>

#include "gentl.h"

struct answer { /* the caller's three pointers of any ...GetInfo call */
    int32_t *type;
    void *out;
    size_t *size;
};

GC_ERROR fail(GC_ERROR code, const char *format, ...) __attribute__((format(printf, 2, 3)));

void say(void); /* print this thread's last error on stderr */

GC_ERROR put(struct answer to, int32_t type, const void *value, size_t size);
GC_ERROR put_string(struct answer to, const char *text);
GC_ERROR put_bool(struct answer to, bool value);
GC_ERROR put_i32(struct answer to, int32_t value);
GC_ERROR put_u64(struct answer to, uint64_t value);
GC_ERROR put_size(struct answer to, size_t value);
GC_ERROR put_pointer(struct answer to, const void *value);
#endif
