/* test_mutants.c: run as test_mutants COUNT FILE...: COUNT seeded mutants of the models, each taken
 * through import, passes and lowering in a process of its own, under the sanitizers. A mutant may
 * compile or be refused with a diagnostic; a signal, a sanitizer's report or a hang is a failure,
 * and its file is kept. What mutates is the structure; weights are left alone, for nothing depends
 * on them. */
#include "codegen/driver.h"
#include "frontend/load.h"
#include "ir/file.h"
#include "test/mutate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS_A_MUTANT = 60, KEPT_OF_A_TENSOR = 48 };

/* Read by the sanitizers' runtime. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "detect_leaks=0:hard_rss_limit_mb=4096:exitcode=99";
}
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) {
    return "exitcode=99:print_stacktrace=1";
}

/* ---- where a mutation may strike ---- */

typedef struct {
    const char *path;
    const uint8_t *data;
    size_t size;
    size_t *places; /* offsets of bytes that are structure */
    size_t place_count;
} subject;

static void mark_tensor(const subject *s, bool *weights, const Onnx__TensorProto *t) {
    wire_span bytes = wire_tensor(t);
    size_t from = (size_t)(bytes.data - s->data);
    for (size_t i = KEPT_OF_A_TENSOR; i < bytes.size; i++) weights[from + i] = true;
}

static void find_places(subject *s, arena *a) {
    diag d;
    diag_init(&d, a, s->path);
    bool *weights = ARENA_ARRAY(a, bool, s->size);
    load_model_result *m = load_model_bytes((wire_span){s->data, s->size}, NULL, a, &d);
    const Onnx__GraphProto *g = m ? m->proto->graph : NULL;
    for (size_t i = 0; g && i < g->n_initializer; i++) mark_tensor(s, weights, g->initializer[i]);
    for (size_t i = 0; g && i < g->n_node; i++)
        for (size_t j = 0; j < g->node[i]->n_attribute; j++)
            if (g->node[i]->attribute[j]->t) mark_tensor(s, weights, g->node[i]->attribute[j]->t);
    s->places = ARENA_ARRAY(a, size_t, s->size);
    for (size_t i = 0; i < s->size; i++)
        if (!weights[i]) s->places[s->place_count++] = i;
}

/* ---- trial ---- */

/* In the child: the whole way to a program. 0: compiled, 1: refused. */
static int compile(const char *path) {
    driver d;
    driver_options o = {.target = "native", .optimize = 3, .report = {.verify = true}};
    alarm(SECONDS_A_MUTANT);
    bool ok = driver_compile(&d, path, &o);
    if (!ok && !d.diag.error_count) {
        fprintf(stderr, "refused without a diagnostic\n");
        return 98;
    }
    for (size_t i = 0; i < d.diag.items.count; i++)
        if (!*diag_text(&d.diag, &d.diag.items.data[i])) return 97;
    driver_close(&d);
    return !ok;
}

/* 0: compiled, 1: refused, -1: crashed or hung. */
static int try_file(const char *path) {
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) _exit(compile(path));
    if (child < 0 || waitpid(child, &status, 0) != child) return -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) <= 1) return WEXITSTATUS(status);
    printf("FAILED %s: %s %d\n", path, WIFSIGNALED(status) ? "signal" : "exit status",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return -1;
}

int main(int argc, char **argv) {
    arena *a = arena_create();
    diag d;
    long count = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
    int outcomes[3] = {0}; /* crashed, compiled, refused */
    size_t models = (size_t)(argc > 2 ? argc - 2 : 0);
    subject *subjects = ARENA_ARRAY(a, subject, models);
    for (size_t i = 0; i < models; i++) {
        file_view file;
        const char *error;
        subjects[i].path = argv[i + 2];
        if (!file_map(subjects[i].path, &file, &error)) {
            printf("%s: %s\n0 passed, 1 failed\n", subjects[i].path, error);
            return 1;
        }
        subjects[i].data = file.data;
        subjects[i].size = file.size;
        find_places(&subjects[i], a);
    }
    diag_init(&d, a, NULL);
    for (long i = 0; i < count && models; i++) {
        uint64_t state = (uint64_t)i;
        const subject *s = &subjects[(size_t)i % models];
        mutant m = mutate_copy(s->data, s->size, s->places, s->place_count, &state);
        const char *path = arena_printf(a, "mutant-%ld.onnx", i);
        int outcome = file_write(path, m.data, m.size, a, &d) ? try_file(path) : -1;
        if (outcome >= 0) unlink(path);
        outcomes[outcome + 1]++;
        free(m.data);
    }
    printf("%d mutants compiled, %d were refused\n", outcomes[1], outcomes[2]);
    printf("%d passed, %d failed\n", outcomes[1] + outcomes[2], outcomes[0]);
    arena_destroy(a);
    return outcomes[0] != 0;
}
