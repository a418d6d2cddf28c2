/* calls.c: what the generated header makes of sequences, optionals and strings, for a C caller. The
 * models are those of calls.py. */
#include "lists.h"
#include "words.h"

#include <stdio.h>
#include <string.h>

static int failed, passed;

static void check(int ok, const char *what) {
    ok ? passed++ : failed++;
    if (!ok) printf("FAILED %s\n", what);
}

/* Y = the items of X with B added, and how many there are. */
static void call_lists(void) {
    static _Alignas(LISTS_ARENA_ALIGN) unsigned char arena[LISTS_ARENA_BYTES];
    float x0[2] = {1, 2}, x1[3] = {3, 4, 5}, b[1] = {10}, y0[2], y1[3];
    int64_t n = 0;
    lists_inputs in = {.x = {x0, x1}, .b = b, .dims = {.N_0 = 2, .N_1 = 3}};
    lists_outputs out = {.y = {y0, y1}, .n = &n};
    _Static_assert(LISTS_X_COUNT == 2 && LISTS_Y_COUNT == 2 && LISTS_B_PRESENT == 1,
                   "counts stand in the header");
    check(lists_run(&in, &out, arena, NULL) == ONNXCC_OK, "a call with sequences");
    check(n == 2 && y0[1] == 12 && y1[0] == 13 && y1[2] == 15, "its results");
    in.x[1] = NULL;
    check(lists_run(&in, &out, arena, NULL) == ONNXCC_ERROR_NULL_POINTER, "an item that is NULL");
}

/* Y = the words behind the constant "and". */
static void call_words(void) {
    static _Alignas(WORDS_ARENA_ALIGN) unsigned char arena[WORDS_ARENA_BYTES];
    onnxcc_string x[2] = {{"this", 4}, {"that", 4}}, y[3];
    words_inputs in = {.x = x};
    words_outputs out = {.y = y};
    check(words_run(&in, &out, arena, NULL) == ONNXCC_OK, "a call with strings");
    check(y[0].length == 3 && memcmp(y[0].data, "and", 3) == 0, "a constant string");
    check(y[1].data == x[0].data && y[2].length == 4, "strings of the caller's");
}

int main(void) {
    call_lists();
    call_words();
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
