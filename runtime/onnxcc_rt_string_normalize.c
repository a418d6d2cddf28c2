/* onnxcc_rt_string_normalize.c: drops stop words and changes the case of the others: of Latin,
 * Greek, Cyrillic, Armenian and full-width letters whose other case is one letter as long in UTF-8.
 */
#include "onnxcc_runtime.h"

#include <string.h>

int onnxcc_rt_string_normalize(const onnxcc_call *call);

/* Capitals from `low` to `high`; `distance` to the small letter, or 1 where every second is one. */
static const struct {
    int32_t low, high, distance;
} string_normalize_cases[] = {
    {'A', 'Z', 32},     {0xc0, 0xd6, 32},    {0xd8, 0xde, 32},    {0x100, 0x12e, 1},
    {0x132, 0x136, 1},  {0x139, 0x147, 1},   {0x14a, 0x176, 1},   {0x178, 0x178, -121},
    {0x179, 0x17d, 1},  {0x386, 0x386, 38},  {0x388, 0x38a, 37},  {0x38c, 0x38c, 64},
    {0x38e, 0x38f, 63}, {0x391, 0x3a1, 32},  {0x3a3, 0x3ab, 32},  {0x400, 0x40f, 80},
    {0x410, 0x42f, 32}, {0x460, 0x480, 1},   {0x48a, 0x4be, 1},   {0x4d0, 0x52e, 1},
    {0x531, 0x556, 48}, {0x1e00, 0x1e94, 1}, {0x1ea0, 0x1efe, 1}, {0xff21, 0xff3a, 32},
};

static int32_t string_normalize_change(int32_t c, int upper) {
    for (size_t i = 0; i < sizeof string_normalize_cases / sizeof *string_normalize_cases; i++) {
        int32_t low = string_normalize_cases[i].low, high = string_normalize_cases[i].high;
        int32_t distance = string_normalize_cases[i].distance;
        int32_t capital = upper ? c - distance : c;
        if (capital < low || capital > high) continue;
        if (distance == 1 && (capital - low) % 2) continue;
        return upper ? capital : c + distance;
    }
    return c;
}

/* The letter at `at` and its length; a byte that begins none stands for itself, as a negative. */
static int32_t string_normalize_letter(const char *at, const char *end, int *length) {
    int c = (unsigned char)*at;
    int rest = c < 0x80 ? 0 : c < 0xc2 ? -1 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : -1;
    int32_t letter = rest > 0 ? c & (0x3f >> rest) : c;
    *length = 1;
    if (rest > end - at - 1) rest = -1;
    for (int i = 1; i <= rest; i++) {
        if ((at[i] & 0xc0) != 0x80) return -c;
        letter = letter << 6 | (at[i] & 0x3f);
    }
    if (rest > 0) *length = rest + 1;
    return rest < 0 ? -c : letter;
}

/* One letter, in the same number of bytes. */
static void string_normalize_put(char *to, int32_t letter, int length) {
    static const int marks[] = {0, 0, 0xc0, 0xe0};
    for (int i = length - 1; i > 0; i--, letter >>= 6) to[i] = (char)(0x80 | (letter & 0x3f));
    to[0] = (char)(marks[length] | letter);
}

static void string_normalize_copy(char *to, const onnxcc_string *s, int upper) {
    const char *at = s->data, *end = s->length ? at + s->length : at;
    int length;
    for (; at < end; at += length, to += length) {
        int32_t letter = string_normalize_letter(at, end, &length);
        if (letter < 0)
            *to = *at;
        else
            string_normalize_put(to, string_normalize_change(letter, upper), length);
    }
}

static int string_normalize_same(const onnxcc_string *s, const char *word, size_t size,
                                 int sensitive) {
    const char *at = s->data, *end = word + size;
    int n, m;
    if (s->length != size) return 0; /* a letter is as long in both cases */
    for (size_t i = 0; i < size; i += (size_t)n) {
        int32_t a = string_normalize_letter(at + i, at + size, &n);
        int32_t b = string_normalize_letter(word + i, end, &m);
        if (n != m) return 0;
        if (a != b && (sensitive || string_normalize_change(a, 0) != string_normalize_change(b, 0)))
            return 0;
    }
    return 1;
}

static int string_normalize_is_stop(const onnxcc_string *s, const uint64_t *table, int sensitive) {
    for (uint64_t i = 0; i + 1 < table[0] / sizeof *table; i++)
        if (string_normalize_same(s, (const char *)table + table[i],
                                  (size_t)(table[i + 1] - table[i]), sensitive))
            return 1;
    return 0;
}

/* Inputs: strings, stop words as a table. Attributes: 0 leaves the case, 1 makes letters small, 2
 * makes them capitals; whether stop words must have the same case. Outputs: the strings that are
 * left, or one that is empty; their number; bytes for what was changed. */
int onnxcc_rt_string_normalize(const onnxcc_call *call) {
    const onnxcc_tensor *x = &call->inputs[0];
    const onnxcc_string *strings = x->data;
    const uint64_t *table = call->inputs[1].data;
    onnxcc_string *y = call->outputs[0].data;
    char *to = call->outputs[2].data;
    size_t left = (size_t)call->outputs[2].dims[0];
    int64_t count = 1, kept = 0, action = call->attributes[0];
    for (int64_t i = 0; i < x->rank; i++) count *= x->dims[i];
    for (int64_t i = 0; i < count; i++) {
        const onnxcc_string *s = &strings[i];
        if (string_normalize_is_stop(s, table, call->attributes[1] != 0)) continue;
        y[kept] = *s;
        if (action && s->length) {
            if (s->length > left) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
            string_normalize_copy(to, s, action == 2);
            y[kept].data = to;
            to += s->length;
            left -= s->length;
        }
        kept++;
    }
    if (!kept) memset(&y[kept++], 0, sizeof *y);
    *(int64_t *)call->outputs[1].data = kept;
    return ONNXCC_OK;
}
