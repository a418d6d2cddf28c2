/* pass.c: the table of passes and their manager: order, repetition, timing, dumps, verification. */
#include "passes/pass.h"
#include "passes/passes.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define ROW(name) &pass_##name,
static const pass_def *const passes[] = {PASS_LIST(ROW)};
#undef ROW

size_t pass_count(void) {
    return sizeof passes / sizeof *passes;
}

const pass_def *pass_at(size_t i) {
    return i < pass_count() ? passes[i] : NULL;
}

static const pass_def *find(const char *name, size_t length) {
    for (size_t i = 0; i < pass_count(); i++)
        if (strlen(passes[i]->name) == length && strncmp(passes[i]->name, name, length) == 0)
            return passes[i];
    return NULL;
}

const pass_def *pass_find(const char *name) {
    return find(name, strlen(name));
}

/* What every level does first: graphs as exporters mean them; and last: kernels. */
#define READ   "sequences,(canonicalise,inline_if,dce)*,"
#define EXPAND "expand,(canonicalise,fold,dce)*"
#define LAST   "fuse,dce"

const char *pass_default_pipeline(int optimize) {
    if (optimize == 0) return READ EXPAND;
    return READ "(narrow)*,dot," EXPAND
                ",(recognise,narrow,algebra,canonicalise,cse,dce)*,(fuse_batch_norm,"
                "convolution,canonicalise,fold,dce)*,channel_norm,canonicalise,winograd,pack,"
                "layout,fold,dce," LAST;
}

/* ---- one run ---- */

typedef struct {
    graph *g;
    const pass_options *options;
    const pass_report *report;
    int serial;   /* of the next dump */
    bool stopped; /* by stop_after */
} manager;

static bool wanted(const char *setting, const char *name) {
    return setting && (strcmp(setting, "all") == 0 || strcmp(setting, name) == 0);
}

static void say(const manager *m, const char *text) {
    if (m->report->write) m->report->write(m->report->user, text, strlen(text));
}

static void print_graph(const manager *m, const char *when, const char *name) {
    say(m, arena_printf(m->g->memory, "; %s %s\n", when, name));
    graph_print(m->g, (graph_print_options){.elide_above = 16}, m->report->write, m->report->user);
}

static void write_file(void *user, const char *text, size_t n) {
    fwrite(text, 1, n, user);
}

/* Dumps can be fed back to opt and compile, so their constants are whole. */
static bool dump_graph(manager *m, const char *name) {
    const char *folder = m->report->dump_dir;
    mkdir(folder, 0777);
    const char *path = arena_printf(m->g->memory, "%s/%02d-%s.ir", folder, m->serial++, name);
    FILE *f = fopen(path, "w");
    if (!f) return diag_error(m->g->diag, path, NULL, NULL, "cannot write the dump");
    graph_print(m->g, (graph_print_options){.elide_above = SIZE_MAX}, write_file, f);
    return fclose(f) == 0 || diag_error(m->g->diag, path, NULL, NULL, "cannot write the dump");
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The number of changes, or -1. */
static long run_pass(manager *m, const pass_def *p) {
    const pass_report *r = m->report;
    if (wanted(r->print_before, p->name)) print_graph(m, "before", p->name);
    double begin = seconds();
    long changes = p->run(m->g, m->options);
    if (r->time_passes)
        say(m, arena_printf(m->g->memory, "%8.3f ms  %6ld changes  %s\n", (seconds() - begin) * 1e3,
                            changes, p->name));
    if (changes < 0) {
        if (!m->g->diag->error_count)
            diag_error(m->g->diag, NULL, NULL, NULL, "pass %s failed", p->name);
        return -1;
    }
    if (wanted(r->print_after, p->name)) print_graph(m, "after", p->name);
    if (r->dump_dir && changes && !dump_graph(m, p->name)) return -1;
    if (r->verify && !graph_verify(m->g, m->g->diag, p->name)) return -1;
    m->stopped = r->stop_after && strcmp(r->stop_after, p->name) == 0;
    return changes;
}

/* ---- pipelines: NAME, (A,B)*, separated by commas ---- */

static long run_list(manager *m, const char **text, bool execute);

static long run_item(manager *m, const char **text, bool execute) {
    enum { MAX_ROUNDS = 10 };
    const char *p = *text;
    if (*p == '(') {
        p++;
        long total = 0;
        for (int round = 0; round < MAX_ROUNDS; round++) {
            const char *inside = p;
            long now = run_list(m, &inside, execute && !m->stopped);
            if (now < 0) return -1;
            if (*inside != ')')
                return diag_error(m->g->diag, NULL, NULL, NULL, "the pipeline lacks a )") - 1;
            total += now;
            *text = inside + 1;
            if (!now || **text != '*') break;
        }
        if (**text == '*') (*text)++;
        return total;
    }
    size_t n = 0;
    while (isalnum((unsigned char)p[n]) || p[n] == '_' || p[n] == '-') n++;
    const pass_def *pass = find(p, n);
    if (!pass)
        return diag_error(m->g->diag, NULL, NULL, "`onnxcc opt --help` lists the passes",
                          "there is no pass \"%.*s\"", n ? (int)n : 1, p) -
               1;
    *text = p + n;
    return execute && !m->stopped ? run_pass(m, pass) : 0;
}

static long run_list(manager *m, const char **text, bool execute) {
    long total = 0;
    while (**text) {
        long now = run_item(m, text, execute);
        if (now < 0) return -1;
        total += now;
        if (**text != ',') break;
        (*text)++;
    }
    return total;
}

bool pass_run_pipeline(graph *g, const char *pipeline, const pass_options *options,
                       const pass_report *report) {
    manager m = {.g = g, .options = options, .report = report};
    const char *at = pipeline;
    if (run_list(&m, &at, true) < 0) return false;
    return !*at || diag_error(g->diag, NULL, NULL, NULL, "the pipeline has \"%s\" left over", at);
}
