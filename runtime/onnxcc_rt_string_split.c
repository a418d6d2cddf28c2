/* onnxcc_rt_string_split.c: strings cut at a delimiter, or at runs of white space (of ASCII) if
 * that is empty. What results lies in the strings that were cut. */
#include "onnxcc_runtime.h"

#include <string.h>

int onnxcc_rt_string_split(const onnxcc_call *call);

typedef struct {
    const char *delimiter;
    size_t length;
    int64_t most; /* cuts; negative: all */
} string_split_rule;

static int string_split_is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The first delimiter from `at` on, or the end. */
static size_t string_split_find(const string_split_rule *rule, const onnxcc_string *s, size_t at) {
    for (; rule->length <= s->length - at; at++) {
        size_t i = 0;
        while (i < rule->length && s->data[at + i] == rule->delimiter[i]) i++;
        if (i == rule->length) return at;
    }
    return s->length;
}

/* The parts of one string: how many; the first `room` of them are written. */
static int64_t string_split_one(const string_split_rule *rule, const onnxcc_string *s,
                                onnxcc_string *parts, int64_t room) {
    int64_t count = 0;
    size_t at = 0, end;
    for (;;) {
        int last = rule->most >= 0 && count >= rule->most;
        while (!rule->length && at < s->length && string_split_is_space(s->data[at])) at++;
        if (!rule->length && at == s->length) return count;
        end = at;
        if (last)
            end = s->length;
        else if (rule->length)
            end = string_split_find(rule, s, at);
        else
            while (end < s->length && !string_split_is_space(s->data[end])) end++;
        if (count < room) {
            parts[count].data = s->length ? s->data + at : s->data;
            parts[count].length = end - at;
        }
        count++;
        if (end == s->length) return count;
        at = end + (rule->length ? rule->length : 1);
    }
}

/* Inputs: strings, the delimiter as a table. Attributes: the most cuts. Outputs: the number of
 * parts of each and the largest; or the parts, empty strings where there are fewer. */
int onnxcc_rt_string_split(const onnxcc_call *call) {
    const onnxcc_tensor *x = &call->inputs[0], *y = &call->outputs[0];
    const uint64_t *table = call->inputs[1].data;
    const string_split_rule rule = {(const char *)table + table[0], (size_t)(table[1] - table[0]),
                                    call->attributes[0]};
    const onnxcc_string *strings = x->data;
    int64_t count = 1, largest = 0;
    for (int64_t i = 0; i < x->rank; i++) count *= x->dims[i];
    if (y->element_type == 8) {
        int64_t room = y->dims[y->rank - 1];
        onnxcc_string *parts = y->data;
        for (int64_t i = 0; i < count; i++, parts += room) {
            int64_t filled = string_split_one(&rule, &strings[i], parts, room);
            if (filled < room) memset(parts + filled, 0, (size_t)(room - filled) * sizeof *parts);
        }
        return ONNXCC_OK;
    }
    for (int64_t i = 0; i < count; i++) {
        int64_t n = string_split_one(&rule, &strings[i], NULL, 0);
        ((int64_t *)y->data)[i] = n;
        if (n > largest) largest = n;
    }
    *(int64_t *)call->outputs[1].data = largest;
    return ONNXCC_OK;
}
