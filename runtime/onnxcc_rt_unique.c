/* onnxcc_rt_unique.c: Unique: the places of a tensor's elements, or of its slices along an axis,
 * are sorted; equal ones stand beside each other then, the first place of each foremost. */
#include "onnxcc_runtime.h"

#include <string.h>

/* Slices of [outer, count, inner] elements. */
typedef struct {
    const char *data;
    int64_t outer, count, inner, type, bytes;
} unique_slices;

static int64_t unique_bytes(int64_t type) {
    switch (type) {
    case 1:
    case 6:
    case 12: return 4;
    case 4:
    case 5:
    case 10:
    case 16: return 2;
    case 7:
    case 11:
    case 13: return 8;
    case 8: return (int64_t)sizeof(onnxcc_string);
    default: return 1;
    }
}

/* A 16-bit float as an integer of the same order; `infinity` is its bits. NaNs are above all. */
static int32_t unique_half(uint16_t bits, uint16_t infinity) {
    int32_t magnitude = bits & 0x7fff;
    if (magnitude > infinity) return 0x10000;
    return bits & 0x8000 ? -magnitude : magnitude;
}

static int unique_compare_strings(const onnxcc_string *x, const onnxcc_string *y) {
    for (size_t i = 0; i < x->length && i < y->length; i++) {
        unsigned char a = (unsigned char)x->data[i], b = (unsigned char)y->data[i];
        if (a != b) return a < b ? -1 : 1;
    }
    return (x->length > y->length) - (x->length < y->length);
}

static int unique_compare_floats(double x, double y) {
    int x_is_nan = x != x, y_is_nan = y != y;
    if (x_is_nan || y_is_nan) return x_is_nan - y_is_nan;
    return (x > y) - (x < y);
}

#define UNIQUE_READ(kind)                                                                          \
    kind x, y;                                                                                     \
    memcpy(&x, a, sizeof x);                                                                       \
    memcpy(&y, b, sizeof y)
#define UNIQUE_CASE(number, kind)                                                                  \
    case number: {                                                                                 \
        UNIQUE_READ(kind);                                                                         \
        return (x > y) - (x < y);                                                                  \
    }

/* Below, at or above zero as a is below, at or above b. */
static int unique_compare(int64_t type, const char *a, const char *b) {
    switch (type) {
        UNIQUE_CASE(3, int8_t)
        UNIQUE_CASE(4, uint16_t)
        UNIQUE_CASE(5, int16_t)
        UNIQUE_CASE(6, int32_t)
        UNIQUE_CASE(7, int64_t)
        UNIQUE_CASE(12, uint32_t)
        UNIQUE_CASE(13, uint64_t)
    case 1: {
        UNIQUE_READ(float);
        return unique_compare_floats((double)x, (double)y);
    }
    case 11: {
        UNIQUE_READ(double);
        return unique_compare_floats(x, y);
    }
    case 8:
        return unique_compare_strings((const onnxcc_string *)(const void *)a,
                                      (const onnxcc_string *)(const void *)b);
    case 10:
    case 16: {
        UNIQUE_READ(uint16_t);
        uint16_t infinity = type == 10 ? 0x7c00 : 0x7f80;
        int32_t p = unique_half(x, infinity), q = unique_half(y, infinity);
        return (p > q) - (p < q);
    }
    default: {
        UNIQUE_READ(uint8_t);
        return (x > y) - (x < y);
    }
    }
}

static const char *unique_element(const unique_slices *s, int64_t o, int64_t at, int64_t i) {
    return s->data + ((o * s->count + at) * s->inner + i) * s->bytes;
}

static int unique_compare_slices(const unique_slices *s, int64_t x, int64_t y) {
    for (int64_t o = 0; o < s->outer; o++)
        for (int64_t i = 0; i < s->inner; i++) {
            int c = unique_compare(s->type, unique_element(s, o, x, i), unique_element(s, o, y, i));
            if (c) return c;
        }
    return 0;
}

/* Places in order, equal ones as they come: runs of doubling length are merged. Returns which of
 * the two lists holds the result. */
static int64_t *unique_sort(const unique_slices *s, int64_t *from, int64_t *to) {
    for (int64_t i = 0; i < s->count; i++) from[i] = i;
    for (int64_t run = 1; run < s->count; run *= 2) {
        for (int64_t first = 0; first < s->count; first += 2 * run) {
            int64_t middle = first + run < s->count ? first + run : s->count;
            int64_t end = middle + run < s->count ? middle + run : s->count;
            int64_t a = first, b = middle;
            for (int64_t k = first; k < end; k++) {
                int left =
                    b == end || (a < middle && unique_compare_slices(s, from[a], from[b]) <= 0);
                to[k] = left ? from[a++] : from[b++];
            }
        }
        int64_t *other = from;
        from = to;
        to = other;
    }
    return from;
}

/* Fills the number of each place's value, in the order of the values, and the first place of each
 * value; returns how many values there are. */
static int64_t unique_number(const unique_slices *s, const int64_t *order, int64_t *number,
                             int64_t *first) {
    int64_t values = 0;
    for (int64_t i = 0; i < s->count; i++) {
        if (!i || unique_compare_slices(s, order[i - 1], order[i])) first[values++] = order[i];
        number[order[i]] = values - 1;
    }
    return values;
}

/* Numbers the values anew, in the order in which they come. */
static void unique_renumber(int64_t count, int64_t *number, int64_t *first, int64_t *renamed) {
    int64_t values = 0;
    for (int64_t i = 0; i < count; i++)
        if (first[number[i]] == i) renamed[number[i]] = values++;
    values = 0;
    for (int64_t i = 0; i < count; i++) {
        number[i] = renamed[number[i]];
        if (number[i] == values) first[values++] = i;
    }
}

int onnxcc_rt_unique(const onnxcc_call *call);

/* Inputs: x. Attributes: the axis, -1 for all elements as one list; sorted. Outputs, each with room
 * for the most: values, first places, number of each place's value, counts; how many values;
 * scratch for three lists. */
int onnxcc_rt_unique(const onnxcc_call *call) {
    const onnxcc_tensor *x = &call->inputs[0];
    unique_slices s = {.data = x->data, .outer = 1, .inner = 1, .type = x->element_type};
    int64_t axis = call->attributes[0], *scratch = call->outputs[5].data;
    int64_t *first = call->outputs[1].data, *number = call->outputs[2].data;
    int64_t *counts = call->outputs[3].data;
    char *y = call->outputs[0].data;
    s.bytes = unique_bytes(s.type);
    s.count = axis < 0 ? 1 : x->dims[axis];
    for (int64_t i = 0; i < x->rank; i++) {
        if (axis < 0) s.count *= x->dims[i];
        if (axis >= 0 && i < axis) s.outer *= x->dims[i];
        if (axis >= 0 && i > axis) s.inner *= x->dims[i];
    }
    const int64_t *order = unique_sort(&s, scratch, scratch + s.count);
    int64_t values = unique_number(&s, order, number, first);
    if (!call->attributes[1]) unique_renumber(s.count, number, first, scratch + 2 * s.count);
    for (int64_t i = 0; i < values; i++) counts[i] = 0;
    for (int64_t i = 0; i < s.count; i++) counts[number[i]]++;
    size_t block = (size_t)(s.inner * s.bytes);
    for (int64_t o = 0; block && o < s.outer; o++)
        for (int64_t i = 0; i < values; i++)
            memcpy(y + (size_t)(o * values + i) * block, unique_element(&s, o, first[i], 0), block);
    *(int64_t *)call->outputs[4].data = values;
    return ONNXCC_OK;
}
