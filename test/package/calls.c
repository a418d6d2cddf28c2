/* calls.c: a user's program that calls the library wrongly, then rightly. Built by package.py
 * against `fixed` (batch is 1) and `open` (batch is passed). Prints the name of each check that
 * does not hold. */
#include "fixed.h"
#include "open.h"

#include <stdio.h>
#include <string.h>

enum { BATCH = 3, PIXELS = 28 * 28, CLASSES = 10 };

static _Alignas(64) unsigned char arena[1 << 21];
static float image[BATCH * PIXELS], logits[BATCH * CLASSES], again[BATCH * CLASSES];
static int failed;

static void expect(const char *what, int got, int wanted) {
    if (got == wanted) return;
    printf("%s: got %s, wanted %s\n", what, onnxcc_status_name(got), onnxcc_status_name(wanted));
    failed = 1;
}

static void test_pointers(void) {
    fixed_inputs in = {.image = image}, no_in = {.image = NULL};
    fixed_outputs out = {.logits = logits}, no_out = {.logits = NULL};
    onnxcc_context small = {.arena_bytes = FIXED_ARENA_BYTES - 1};
    onnxcc_context exact = {.arena_bytes = FIXED_ARENA_BYTES};
    int stop = 1;
    onnxcc_context cancelled = {.cancel = &stop};
    expect("null inputs", fixed_run(NULL, &out, arena, NULL), ONNXCC_ERROR_NULL_POINTER);
    expect("null outputs", fixed_run(&in, NULL, arena, NULL), ONNXCC_ERROR_NULL_POINTER);
    expect("null input", fixed_run(&no_in, &out, arena, NULL), ONNXCC_ERROR_NULL_POINTER);
    expect("null output", fixed_run(&in, &no_out, arena, NULL), ONNXCC_ERROR_NULL_POINTER);
    expect("null arena", fixed_run(&in, &out, NULL, NULL), ONNXCC_ERROR_NULL_POINTER);
    expect("odd arena", fixed_run(&in, &out, arena + 4, NULL), ONNXCC_ERROR_ARENA_MISALIGNED);
    expect("small arena", fixed_run(&in, &out, arena, &small), ONNXCC_ERROR_ARENA_TOO_SMALL);
    expect("cancelled", fixed_run(&in, &out, arena, &cancelled), ONNXCC_ERROR_CANCELLED);
    expect("exact arena", fixed_run(&in, &out, arena, &exact), ONNXCC_OK);
}

static void test_dims(void) {
    open_inputs in = {.image = image, .dims = {.batch = -1}};
    open_outputs out = {.logits = logits};
    expect("negative batch", open_run(&in, &out, arena, NULL), ONNXCC_ERROR_BAD_SHAPE);
    in.dims.batch = INT64_MAX;
    expect("huge batch", open_run(&in, &out, arena, NULL), ONNXCC_ERROR_BAD_SHAPE);
    in.dims.batch = BATCH;
    size_t needed = open_arena_bytes(&in.dims);
    onnxcc_context small = {.arena_bytes = needed - 1}, exact = {.arena_bytes = needed};
    expect("small arena", open_run(&in, &out, arena, &small), ONNXCC_ERROR_ARENA_TOO_SMALL);
    expect("three pictures", open_run(&in, &out, arena, &exact), ONNXCC_OK);
}

/* Nothing of a call is left in the arena; nothing behind its end is touched. */
static void test_arena(void) {
    fixed_inputs in = {.image = image};
    memset(arena, 0xff, sizeof arena); /* NaNs, as floats */
    fixed_run(&in, &(fixed_outputs){.logits = logits}, arena, NULL);
    memset(arena, 0x11, FIXED_ARENA_BYTES);
    fixed_run(&in, &(fixed_outputs){.logits = again}, arena, NULL);
    if (memcmp(logits, again, CLASSES * sizeof *logits) != 0) {
        printf("the result depends on what was in the arena\n");
        failed = 1;
    }
    for (size_t i = FIXED_ARENA_BYTES; i < sizeof arena; i++)
        if (arena[i] != 0xff) {
            printf("byte %zu behind the arena was written\n", i - FIXED_ARENA_BYTES);
            failed = 1;
            break;
        }
}

/* One thread and a pool of three give the same bits. */
static void test_threads(void) {
    static onnxcc_pool pool;
    if (onnxcc_pool_create(&pool, 3) != 0) return; /* no threads to be had here */
    onnxcc_context context = {.parallel_for = onnxcc_pool_parallel_for, .parallel_user = &pool};
    open_inputs in = {.image = image, .dims = {.batch = BATCH}};
    expect("one thread", open_run(&in, &(open_outputs){.logits = logits}, arena, NULL), ONNXCC_OK);
    expect("three threads", open_run(&in, &(open_outputs){.logits = again}, arena, &context),
           ONNXCC_OK);
    onnxcc_pool_destroy(&pool);
    if (memcmp(logits, again, sizeof logits) != 0) {
        printf("three threads give other bits than one\n");
        failed = 1;
    }
}

int main(void) {
    for (int i = 0; i < BATCH * PIXELS; i++) image[i] = (float)(i * 37 % 256) / 255.0f;
    test_pointers();
    test_dims();
    test_arena();
    test_threads();
    return failed;
}
