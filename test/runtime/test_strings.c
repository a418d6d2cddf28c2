/* test_strings.c: the runtime's functions on strings, under the address and undefined-behaviour
 * sanitizers: numbers against the C library, patterns and cutting on arbitrary bytes, each string
 * in memory of its own size. */
#include "ir/ops/regex.h"
#include "runtime/onnxcc_runtime.h"
#include "test/unit.h"

#include <math.h>
#include <stdlib.h>

int onnxcc_rt_string_cast(const onnxcc_call *call);
int onnxcc_rt_regex(const onnxcc_call *call);
int onnxcc_rt_string_split(const onnxcc_call *call);
int onnxcc_rt_string_normalize(const onnxcc_call *call);

enum { F32 = 1, U8 = 2, I32 = 6, I64 = 7, STRING = 8, BOOL = 9, F64 = 11 };

static uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

static onnxcc_tensor vector(void *data, int64_t type, int64_t count) {
    return (onnxcc_tensor){.data = data, .element_type = type, .rank = 1, .dims = {count}};
}

/* One string in, one number out; the status. */
static int read_number(const char *text, size_t length, void *to, int64_t type) {
    onnxcc_string s = {text, length};
    onnxcc_tensor in = vector(&s, STRING, 1), out = vector(to, type, 1);
    return onnxcc_rt_string_cast(&(onnxcc_call){.inputs = &in, .outputs = &out});
}

static const char *print_number(void *x, int64_t type, char *bytes) {
    onnxcc_string s;
    onnxcc_tensor in = vector(x, type, 1), out[] = {vector(&s, STRING, 1), vector(bytes, U8, 32)};
    onnxcc_rt_string_cast(&(onnxcc_call){.inputs = &in, .outputs = out});
    bytes[s.length] = '\0';
    return bytes;
}

/* A number of any size, or one of the least and the largest. */
static double some_number(uint64_t r, int i) {
    double d;
    uint64_t bits = i < 300    ? (uint64_t)i
                    : i < 600  ? 0x7fefffffffffffffu - (uint64_t)i
                    : i < 2647 ? (uint64_t)(i - 600) << 52
                               : r;
    memcpy(&d, &bits, sizeof d);
    if (i % 3 == 0 && i >= 2647) d = (double)(r % 1000000) / (double)(1 << (r >> 40 & 15));
    return d;
}

static void test_numbers_against_libc(void) {
    uint64_t state = 1;
    for (int i = 0; i < 30000 && !unit_errors; i++) {
        double d = some_number(next_random(&state), i), back;
        float f = (float)d, single;
        char bytes[40], other[800];
        print_number(&d, F64, bytes);
        CHECK(isnan(d) ? strcmp(bytes, "nan") == 0 : strtod(bytes, NULL) == d);
        CHECK(strlen(bytes) <= 32);
        CHECK(!read_number(bytes, strlen(bytes), &back, F64) && (isnan(d) || back == d));
        print_number(&f, F32, bytes);
        CHECK(isnan(f) || strtof(bytes, NULL) == f);
        snprintf(other, sizeof other, i % 2 ? "%.60e" : "%.17e", d);
        CHECK(!read_number(other, strlen(other), &single, F32));
        CHECK(isnan(d) || single == strtof(other, NULL));
        CHECK(!read_number(other, strlen(other), &back, F64));
        CHECK(isnan(d) || back == strtod(other, NULL));
    }
}

/* No shorter text is read back as the same number. */
static void test_numbers_are_short(void) {
    uint64_t state = 2;
    for (int i = 2647; i < 6000 && !unit_errors; i++) {
        double d = some_number(next_random(&state), i);
        char bytes[40], other[40];
        int needed = 1, digits = 0;
        if (!isfinite(d)) continue;
        for (; needed < 17; needed++) {
            snprintf(other, sizeof other, "%.*e", needed - 1, d);
            if (strtod(other, NULL) == d) break;
        }
        size_t from = strspn(print_number(&d, F64, bytes), "-0."), end = strcspn(bytes, "e");
        for (size_t j = from; j < end; j++) digits += bytes[j] != '.';
        for (size_t j = end; j > from && (bytes[j - 1] == '0' || bytes[j - 1] == '.'); j--)
            digits -= bytes[j - 1] == '0';
        CHECK(digits <= needed);
    }
}

static void test_what_is_no_number(void) {
    static const char *const texts[] = {"",   " ",   "-",    ".",   "e5",
                                        "1e", "1e+", "0x10", "1 2", "infinit"};
    int64_t n;
    double d;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        CHECK(read_number(texts[i], strlen(texts[i]), &d, F64) == ONNXCC_ERROR_UNSUPPORTED_VALUE);
    CHECK(read_number("9223372036854775808", 19, &n, I64) == ONNXCC_ERROR_UNSUPPORTED_VALUE);
    CHECK(read_number("1e19", 4, &n, I64) == ONNXCC_ERROR_UNSUPPORTED_VALUE);
    CHECK(read_number("nan", 3, &n, I64) == ONNXCC_ERROR_UNSUPPORTED_VALUE);
    CHECK(read_number(NULL, 0, &n, I64) == ONNXCC_ERROR_UNSUPPORTED_VALUE);
}

/* ---- arbitrary bytes ---- */

/* A string of few kinds of bytes, in memory that ends where it ends. */
static onnxcc_string some_string(uint64_t *state, size_t most) {
    static const char kinds[] = "aab,  1e+-.*?()[]{}|\\^$:<>\xc3\xa9\xe6\x97\xa5\xff\x80\t";
    size_t length = next_random(state) % (most + 1);
    char *data = malloc(length + !length);
    for (size_t i = 0; i < length; i++) {
        uint64_t r = next_random(state);
        data[i] = r % 16 ? kinds[(r >> 8) % (sizeof kinds - 1)] : (char)(r >> 16);
    }
    return (onnxcc_string){data, length};
}

static void release(onnxcc_string s) {
    free((char *)(uintptr_t)s.data);
}

static void test_numbers_of_any_bytes(void) {
    uint64_t state = 3;
    double d;
    int64_t n;
    unsigned char b;
    for (int i = 0; i < 20000; i++) {
        onnxcc_string s = some_string(&state, 24);
        read_number(s.data, s.length, &d, F64);
        read_number(s.data, s.length, &n, I64);
        read_number(s.data, s.length, &b, BOOL);
        release(s);
    }
}

enum { WHOLE, SEPARATORS, TOKENS, CHARACTERS };

/* What the patterns find in a text, by attributes {mode, shortest, mark}; false if one is refused.
 */
static bool run_regex(const onnxcc_string *patterns, size_t count, const int64_t *attributes,
                      onnxcc_string text, onnxcc_tensor result) {
    static const uint64_t marks[] = {32, 35, 36, 37, 0x3e3c646170};
    arena *a = arena_create();
    size_t words = 1 + count, at = 1 + count;
    bool ok = true;
    regex_program *p = ARENA_ARRAY(a, regex_program, count);
    for (size_t i = 0; i < count; i++) {
        p[i] = regex_compile(a, patterns[i].data, patterns[i].length);
        ok &= !p[i].error;
        words += p[i].count * 3;
    }
    if (ok) {
        int32_t *programs = malloc(words * sizeof *programs);
        void *scratch = malloc(words / 3 * 13);
        programs[0] = (int32_t)count;
        for (size_t i = 0; i < count; i++, at += p[i - 1].count * 3) {
            programs[1 + i] = (int32_t)p[i].count;
            memcpy(programs + at, p[i].words, p[i].count * 3 * sizeof *programs);
        }
        onnxcc_tensor in[] = {vector(&text, STRING, 1), vector(programs, I32, (int64_t)words),
                              vector((void *)(uintptr_t)marks, U8, sizeof marks)};
        onnxcc_tensor out[] = {result, vector(scratch, U8, (int64_t)(words / 3 * 13))};
        const onnxcc_call call = {.inputs = in, .outputs = out, .attributes = attributes};
        CHECK(onnxcc_rt_regex(&call) == ONNXCC_OK);
        free(programs);
        free(scratch);
    }
    arena_destroy(a);
    return ok;
}

/* Whether text matches; -1 if the pattern is refused. */
static int match(onnxcc_string pattern, onnxcc_string text) {
    const int64_t attributes[] = {WHOLE, 0, 0};
    unsigned char yes = 0;
    return run_regex(&pattern, 1, attributes, text, vector(&yes, BOOL, 1)) ? yes : -1;
}

static onnxcc_string string_of(const char *text) {
    return (onnxcc_string){text, strlen(text)};
}

static int match_text(const char *pattern, const char *text) {
    return match(string_of(pattern), string_of(text));
}

/* The tokens of a text, each with a stroke in front; "<pad>" is the padding's own text. */
static const char *tokens_of(const int64_t *attributes, const onnxcc_string *patterns, size_t count,
                             onnxcc_string text, int64_t extra, char *joined) {
    onnxcc_string row[40];
    int64_t width = -1;
    size_t at = 0;
    joined[0] = 0;
    if (!run_regex(patterns, count, attributes, text, vector(&width, I64, 1))) return "refused";
    width += extra;
    CHECK(width >= 0 && width <= 40);
    run_regex(patterns, count, attributes, text, vector(row, STRING, width));
    for (int64_t i = 0; i < width; i++) {
        joined[at++] = '|';
        memcpy(joined + at, row[i].data, row[i].length);
        at += row[i].length;
    }
    joined[at] = 0;
    return joined;
}

static void test_tokens(void) {
    static const struct {
        int64_t attributes[3];
        const char *patterns[3], *text;
        int64_t extra; /* columns more than the row needs */
        const char *wanted;
    } cases[] = {
        {{SEPARATORS, 1, 0}, {" "}, "I love  you", 0, "|I|love|you"},
        {{SEPARATORS, 2, 0}, {" "}, "I love you", 1, "|love|you|pad"},
        {{SEPARATORS, 1, 1}, {"[ ,]+", "e"}, "a, bed,e", 0, "|<|a|b|d|>"},
        {{SEPARATORS, 1, 1}, {"x*"}, "", 0, ""},
        {{SEPARATORS, 1, 0}, {"x*"}, "axxb", 0, "|a|b"},
        {{TOKENS, 1, 0}, {"[a-z]+|[0-9]"}, "ab 12-c", 0, "|ab|1|2|c"},
        {{TOKENS, 2, 0}, {"\\w+"}, "a bc \xc3\xa9 d", 0, "|bc"},
        {{TOKENS, 1, 0}, {"\\bb"}, "b ab b", 0, "|b|b"},
        {{CHARACTERS, 1, 0}, {""}, "a\xc3\xa9z", 0, "|a|\xc3\xa9|z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        onnxcc_string patterns[3];
        size_t count = 0;
        char joined[200];
        for (; count < 3 && cases[i].patterns[count]; count++)
            patterns[count] = string_of(cases[i].patterns[count]);
        const char *got = tokens_of(cases[i].attributes, patterns, count, string_of(cases[i].text),
                                    cases[i].extra, joined);
        CHECK(strcmp(got, cases[i].wanted) == 0);
        if (strcmp(got, cases[i].wanted) != 0) printf("%s: %s\n", cases[i].text, got);
    }
}

static void test_patterns_of_any_bytes(void) {
    uint64_t state = 4;
    int refused = 0, matched = 0;
    for (int i = 0; i < 20000; i++) {
        onnxcc_string pattern = some_string(&state, 12), text = some_string(&state, 12);
        const int64_t attributes[] = {SEPARATORS + i % 2, 1 + i % 3, i % 5 == 0};
        char joined[200];
        int m = match(pattern, text);
        if (m >= 0) tokens_of(attributes, &pattern, 1, text, i % 4, joined);
        refused += m < 0;
        matched += m > 0;
        release(pattern);
        release(text);
    }
    CHECK(refused > 1000 && refused < 19000 && matched > 10);
}

/* Patterns that grow, and texts that other machines take exponential time for. */
static void test_patterns_stay_small(void) {
    char text[20001];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    CHECK(match_text("(((a{1000}){1000}){1000})", "a") == -1);
    CHECK(match_text("((((()){1000}){1000}){1000})", "") == -1);
    CHECK(match_text("(a*)*(a*)*(a*)*b", text) == 0);
    CHECK(match_text("(a?){20}a{20}", "aaaaaaaaaaaaaaaaaaaa") == 1);
    CHECK(match_text("[^\\x{0}-\\x{10ffff}]", "a") == 0);
    CHECK(match_text("\\xff", "\xc3\xbf") == 1 && match_text(".", "\xff") == 0);
    CHECK(match_text("\\C", "\xff") == 1);
}

static void test_cuts_of_any_bytes(void) {
    uint64_t state = 5;
    for (int i = 0; i < 20000; i++) {
        onnxcc_string s = some_string(&state, 12), by = some_string(&state, i % 3);
        uint64_t table[4] = {16, 16 + by.length};
        int64_t cuts = (int64_t)(next_random(&state) % 4) - 1, counts, most = 0;
        memcpy(table + 2, by.data, by.length);
        onnxcc_tensor in[] = {vector(&s, STRING, 1), vector(table, U8, 32)};
        onnxcc_tensor out[] = {vector(&counts, I64, 1), vector(&most, I64, 1)};
        onnxcc_call call = {.inputs = in, .outputs = out, .attributes = &cuts};
        CHECK(onnxcc_rt_string_split(&call) == ONNXCC_OK && counts == most);
        CHECK(cuts < 0 || counts <= cuts + 1);
        onnxcc_string *parts = malloc((size_t)most * sizeof *parts + 1);
        onnxcc_tensor result = {
            .data = parts, .element_type = STRING, .rank = 2, .dims = {1, most}};
        call.outputs = &result;
        CHECK(onnxcc_rt_string_split(&call) == ONNXCC_OK);
        for (int64_t j = 0; j < most; j++)
            CHECK(!parts[j].length || (parts[j].data >= s.data &&
                                       parts[j].data + parts[j].length <= s.data + s.length));
        free(parts);
        release(s);
        release(by);
    }
}

static void test_words_of_any_bytes(void) {
    uint64_t state = 6;
    for (int i = 0; i < 20000; i++) {
        onnxcc_string s[] = {some_string(&state, 8), some_string(&state, 2)}, y[2];
        uint64_t table[4] = {16, 16 + s[1].length};
        int64_t how[] = {i % 3, i & 1}, count = 0;
        size_t room = s[0].length + s[1].length - (i % 7 == 0);
        char *bytes = malloc(room < 64 ? room + 1 : 1);
        if (room > 64) room = 0;
        memcpy(table + 2, s[1].data, s[1].length);
        onnxcc_tensor in[] = {vector(s, STRING, 2), vector(table, U8, 32)};
        onnxcc_tensor out[] = {vector(y, STRING, 2), vector(&count, I64, 1),
                               vector(bytes, U8, (int64_t)room)};
        int status = onnxcc_rt_string_normalize(
            &(onnxcc_call){.inputs = in, .outputs = out, .attributes = how});
        CHECK(status != ONNXCC_OK || count == 1); /* the second is a stop word */
        CHECK(status == ONNXCC_OK || how[0]);
        free(bytes);
        release(s[0]);
        release(s[1]);
    }
}

int main(void) {
    RUN(test_numbers_against_libc);
    RUN(test_numbers_are_short);
    RUN(test_what_is_no_number);
    RUN(test_numbers_of_any_bytes);
    RUN(test_tokens);
    RUN(test_patterns_of_any_bytes);
    RUN(test_patterns_stay_small);
    RUN(test_cuts_of_any_bytes);
    RUN(test_words_of_any_bytes);
    return unit_finish();
}
