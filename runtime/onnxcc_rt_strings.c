/* onnxcc_rt_strings.c: constant strings, from a table of offsets to the array that kernels read. */
#include "onnxcc_runtime.h"

int onnxcc_rt_strings(const onnxcc_call *call);

/* Inputs: the table (n + 1 offsets from its beginning as u64, then the bytes). Outputs: n strings.
 */
int onnxcc_rt_strings(const onnxcc_call *call) {
    const char *table = call->inputs[0].data;
    const uint64_t *offsets = (const uint64_t *)(const void *)table;
    const onnxcc_tensor *out = &call->outputs[0];
    onnxcc_string *strings = out->data;
    int64_t count = 1;
    for (int64_t i = 0; i < out->rank; i++) count *= out->dims[i];
    for (int64_t i = 0; i < count; i++) {
        strings[i].data = table + offsets[i];
        strings[i].length = (size_t)(offsets[i + 1] - offsets[i]);
    }
    return ONNXCC_OK;
}
