/* test_mutants.c: run as test_mutants COUNT FILE...: COUNT seeded mutants of the models, each taken
 * through import, passes and lowering in a process of its own, under the sanitizers. A mutant may
 * compile or be refused with a diagnostic; a signal, a sanitizer's report or a hang is a failure,
 * and its file is kept. What mutates is the structure; weights are left alone, for nothing depends
 * on them. */
#include "codegen/driver.h"
#include "frontend/load.h"
#include "ir/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS_A_MUTANT = 60, KEPT_OF_A_TENSOR = 48, MAX_EDIT = 24 };

/* Read by the sanitizers' runtime. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "detect_leaks=0:hard_rss_limit_mb=4096:exitcode=99";
}
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) {
    return "exitcode=99:print_stacktrace=1";
}

/* ---- randomness: the same mutants on every machine ---- */

static uint64_t next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static size_t below(uint64_t *state, size_t limit) {
    return limit ? (size_t)(next(state) % limit) : 0;
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

/* ---- mutation ---- */

typedef struct {
    uint8_t *data;
    size_t size;
} mutant;

static void cut(mutant *m, size_t at, size_t n) {
    if (n > m->size - at) n = m->size - at;
    memmove(m->data + at, m->data + at + n, m->size - at - n);
    m->size -= n;
}

static void duplicate(mutant *m, size_t at, size_t n) {
    if (n > m->size - at) n = m->size - at;
    memmove(m->data + at + n, m->data + at, m->size - at);
    m->size += n;
}

static void mutate(mutant *m, const subject *s, uint64_t *state) {
    static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe, 0x10, 0x20};
    size_t at = s->places[below(state, s->place_count)];
    size_t other = s->places[below(state, s->place_count)];
    size_t n = 1 + below(state, MAX_EDIT);
    if (at + MAX_EDIT >= m->size || other + MAX_EDIT >= m->size) return;
    switch (below(state, 16)) {
    case 0: m->size = at; break;
    case 1: cut(m, at, n); break;
    case 2: duplicate(m, at, n); break;
    case 3: memmove(m->data + at, m->data + other, n); break;
    case 4:
    case 5:
    case 6: m->data[at] = edges[below(state, sizeof edges)]; break;
    case 7:
    case 8: m->data[at] = (uint8_t)next(state); break;
    case 9: m->data[at] = m->data[other]; break;
    default: m->data[at] ^= (uint8_t)(1u << below(state, 8)); break;
    }
}

static mutant make_mutant(const subject *s, uint64_t *state) {
    size_t edits = below(state, 4) ? 1 : 2 + below(state, 3);
    mutant m = {malloc(s->size + edits * MAX_EDIT), s->size};
    if (!m.data) abort();
    memcpy(m.data, s->data, s->size);
    for (size_t i = 0; i < edits; i++) mutate(&m, s, state);
    return m;
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
        mutant m = make_mutant(&subjects[(size_t)i % models], &state);
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
