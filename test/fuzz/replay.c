/* replay.c: run as REPLAY COUNT FILE...: a fuzz target without libFuzzer. Gives it every file, then
 * COUNT seeded mutants of them, under the sanitizers. A crash or a hang ends the run and leaves its
 * input in the file replay.bytes. */
#include "ir/file.h"
#include "test/mutate.h"

#include <stdio.h>
#include <unistd.h>

enum { SECONDS_AN_INPUT = 60 };
static const char trace[] = "replay.bytes";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(const uint8_t *data, size_t size, arena *a, diag *d) {
    if (!file_write(trace, data, size, a, d)) abort();
    alarm(SECONDS_AN_INPUT);
    LLVMFuzzerTestOneInput(data, size);
    alarm(0);
}

int main(int argc, char **argv) {
    arena *a = arena_create();
    diag d;
    diag_init(&d, a, NULL);
    long count = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
    size_t files = (size_t)(argc > 2 ? argc - 2 : 0);
    file_view *views = ARENA_ARRAY(a, file_view, files);
    for (size_t i = 0; i < files; i++) {
        const char *error;
        if (!file_map(argv[i + 2], &views[i], &error)) {
            printf("%s: %s\n0 passed, 1 failed\n", argv[i + 2], error);
            return 1;
        }
        feed(views[i].data, views[i].size, a, &d);
    }
    for (long i = 0; i < count && files; i++) {
        uint64_t state = (uint64_t)i;
        const file_view *v = &views[(size_t)i % files];
        mutant m = mutate_copy(v->data, v->size, NULL, v->size, &state);
        feed(m.data, m.size, a, &d);
        free(m.data);
    }
    for (size_t i = 0; i < files; i++) file_unmap(views[i]);
    unlink(trace);
    arena_destroy(a);
    printf("%zu passed, 0 failed\n", files + (size_t)(files ? count : 0));
    return 0;
}
