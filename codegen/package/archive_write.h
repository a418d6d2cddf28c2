/* archive_write.h: static libraries: an ar archive (GNU variant) of object files with its symbol
 * table. Deterministic: no dates, no owners. */
#ifndef ONNXCC_CODEGEN_PACKAGE_ARCHIVE_WRITE_H
#define ONNXCC_CODEGEN_PACKAGE_ARCHIVE_WRITE_H

#include "ir/diag.h"

#include <stddef.h>

/* An object file in memory (or mapped). Its symbols are read out of it. */
typedef struct {
    const char *name; /* file name of the member */
    const void *data;
    size_t bytes;
} archive_member;

bool archive_write(const char *path, const archive_member *members, size_t count, arena *a,
                   diag *d);

#endif
