/* onnxcc_rt_string_pair.c: what is done with two tensors of strings, element by element: whether
 * they are equal, or the one behind the other. */
#include "onnxcc_runtime.h"

#include <string.h>

int onnxcc_rt_string_pair(const onnxcc_call *call);

/* The place in x of element `at` of y, by numpy's rule of broadcasting. */
static int64_t string_pair_place(const onnxcc_tensor *x, const onnxcc_tensor *y, int64_t at) {
    int64_t place = 0, stride = 1;
    for (int64_t i = y->rank - 1, j = x->rank - 1; j >= 0; i--, j--) {
        if (x->dims[j] != 1) place += at % y->dims[i] * stride;
        at /= y->dims[i];
        stride *= x->dims[j];
    }
    return place;
}

static int string_pair_equal(const onnxcc_string *a, const onnxcc_string *b) {
    size_t i = 0;
    if (a->length != b->length) return 0;
    while (i < a->length && a->data[i] == b->data[i]) i++;
    return i == a->length;
}

static void string_pair_append(char **to, const onnxcc_string *s) {
    if (s->length) memcpy(*to, s->data, s->length);
    *to += s->length;
}

/* Inputs: a, b. Outputs: bools; or strings and the bytes that they point to. */
int onnxcc_rt_string_pair(const onnxcc_call *call) {
    const onnxcc_tensor *a = &call->inputs[0], *b = &call->inputs[1], *y = &call->outputs[0];
    const onnxcc_string *x = a->data, *z = b->data;
    int equal = y->element_type != 8;
    char *to = equal ? NULL : call->outputs[1].data;
    size_t left = equal ? 0 : (size_t)call->outputs[1].dims[0];
    int64_t count = 1;
    for (int64_t i = 0; i < y->rank; i++) count *= y->dims[i];
    for (int64_t i = 0; i < count; i++) {
        const onnxcc_string *p = &x[string_pair_place(a, y, i)];
        const onnxcc_string *q = &z[string_pair_place(b, y, i)];
        if (equal) {
            ((unsigned char *)y->data)[i] = (unsigned char)string_pair_equal(p, q);
            continue;
        }
        if (p->length > left || q->length > left - p->length) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
        left -= p->length + q->length;
        ((onnxcc_string *)y->data)[i].data = to;
        ((onnxcc_string *)y->data)[i].length = p->length + q->length;
        string_pair_append(&to, p);
        string_pair_append(&to, q);
    }
    return ONNXCC_OK;
}
