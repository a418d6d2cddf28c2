/* tuning.h: measured choices in place of the cost model's. A schedule ranks its candidates; a
 * record says which rank was the fastest for a kernel, by what the kernel computes, the target and
 * this version. With the same records a model becomes the same bytes. */
#ifndef ONNXCC_CODEGEN_TUNING_H
#define ONNXCC_CODEGEN_TUNING_H

#include "codegen/target.h"

typedef struct {
    const char *key;
    int rank; /* 0: the cost model's own choice */
} tuning_record;

typedef struct {
    arena *memory;
    LIST(tuning_record) records;
    int rank; /* of kernels without a record */
} tuning;

/* The name of an unscheduled kernel for a machine: 32 hexadecimal digits, in `a`. */
const char *tuning_key(loop_kernel *k, const target_machine *m, arena *a);
/* NULL if there is no record. */
const tuning_record *tuning_find(const tuning *t, const char *key);
/* Adds a record, or changes the one of this key. The key is copied. */
void tuning_set(tuning *t, const char *key, int rank);

#endif
