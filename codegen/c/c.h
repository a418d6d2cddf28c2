/* c.h: a whole program as one file of portable C99: its kernels by the text printer, its weights,
 * and the same entry as in a library. It needs NAME.h beside it and nothing else. */
#ifndef ONNXCC_CODEGEN_C_C_H
#define ONNXCC_CODEGEN_C_C_H

#include "codegen/program.h"

typedef struct {
    const char *text; /* of NAME.c, NUL-terminated */
    size_t bytes;
    size_t stack_bytes; /* largest stack use of a kernel */
} c_source;

c_source c_write(const program *p, bool weights_in_file, arena *a);

/* ---- entry.c ---- */

/* Text behind the kernels: helper functions and NAME_run. used[kernel][buffer] says what a kernel
 * reads or writes; other arguments are not passed. */
const char *c_entry(const program *p, const char *const *kernels, const bool *const *used,
                    bool weights_in_file, arena *a);

#endif
