/* onnxcc_rt_string_lookup.c: the places of strings in a sorted table. */
#include "onnxcc_runtime.h"

int onnxcc_rt_string_lookup(const onnxcc_call *call);

/* Below zero, zero, above zero: x sorts before, as, behind the key. Bytes are compared without a
 * sign, a prefix sorts first. */
static int string_lookup_compare(const onnxcc_string *x, const unsigned char *key, size_t length) {
    const unsigned char *data = (const unsigned char *)x->data;
    for (size_t i = 0; i < x->length && i < length; i++)
        if (data[i] != key[i]) return data[i] < key[i] ? -1 : 1;
    return x->length < length ? -1 : x->length > length;
}

/* Inputs: strings, a table (n + 1 offsets from its beginning as u64, then the bytes) of different
 * strings in ascending order. Outputs: their places as i64, n for those that are not in it. */
int onnxcc_rt_string_lookup(const onnxcc_call *call) {
    const onnxcc_tensor *x = &call->inputs[0];
    const unsigned char *table = call->inputs[1].data;
    const uint64_t *offsets = (const uint64_t *)(const void *)table;
    const onnxcc_string *strings = x->data;
    int64_t *places = call->outputs[0].data;
    int64_t count = 1, keys = (int64_t)(offsets[0] / sizeof *offsets) - 1;
    for (int64_t i = 0; i < x->rank; i++) count *= x->dims[i];
    for (int64_t i = 0; i < count; i++) {
        int64_t low = 0, high = keys;
        places[i] = keys;
        while (low < high) {
            int64_t middle = low + (high - low) / 2;
            int order = string_lookup_compare(&strings[i], table + offsets[middle],
                                              (size_t)(offsets[middle + 1] - offsets[middle]));
            if (!order) places[i] = middle;
            if (!order) break;
            if (order < 0)
                high = middle;
            else
                low = middle + 1;
        }
    }
    return ONNXCC_OK;
}
