/* onnxcc_rt_strings.c: constant strings, from a table of offsets to the array that kernels read. */
#include "onnxcc_runtime.h"

void onnxcc_rt_strings(const int64_t *frame, int64_t begin, int64_t end);

/* frame: state, strings, table (count + 1 offsets as u64, then bytes), count. */
void onnxcc_rt_strings(const int64_t *frame, int64_t begin, int64_t end) {
    onnxcc_string *strings = (onnxcc_string *)(intptr_t)frame[1];
    const char *table = (const char *)(intptr_t)frame[2];
    const uint64_t *offsets = (const uint64_t *)(const void *)table;
    (void)begin, (void)end;
    for (int64_t i = 0; i < frame[3]; i++) {
        strings[i].data = table + offsets[i];
        strings[i].length = (size_t)(offsets[i + 1] - offsets[i]);
    }
}
