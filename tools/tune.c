/* tune.c: finds the fastest schedule of each kernel. The whole model is compiled with every kernel
 * at the same rank of its cost model's candidates, and run with a profiler; so a handful of
 * compiles measures all kernels at once, each among its real neighbours in the cache. */
#include "tools/tune.h"

#include "tools/layers.h"

#include <string.h>

/* A kernel without a record, and its least time at each rank; 0: none yet. */
typedef struct {
    const char *key;
    double ns[TARGET_RANKS];
} candidate;

typedef struct {
    arena *memory;
    const char *model;
    driver_options options;
    LIST(candidate) kernels;
} tuner;

static candidate *find(tuner *t, const char *key) {
    for (size_t i = 0; i < t->kernels.count; i++)
        if (strcmp(t->kernels.data[i].key, key) == 0) return &t->kernels.data[i];
    list_push(t->memory, &t->kernels, ((candidate){.key = arena_strdup(t->memory, key)}));
    return &t->kernels.data[t->kernels.count - 1];
}

/* The fastest rank. The cost model's choice stays if another is as good as equal: times differ by
 * so much from run to run. */
static int best_rank(const candidate *c) {
    const double noise = 0.97;
    int best = 0;
    for (int i = 1; i < TARGET_RANKS; i++)
        if (c->ns[i] > 0 && c->ns[i] < c->ns[best]) best = i;
    return c->ns[best] < noise * c->ns[0] ? best : 0;
}

/* The least times of a program's kernels, over all calls of each. */
static void note_steps(tuner *t, const driver *d, const program_step *s, const layer_times *l,
                       int rank) {
    for (; s; s = s->next) {
        const char *key = s->kind == STEP_CALL ? d->program->kernels.data[s->kernel].key : NULL;
        if (key && !tuning_find(t->options.tuning, key)) {
            double *least = &find(t, key)->ns[rank], ns = (double)l->least[s->profile];
            if (*least == 0 || ns < *least) *least = ns;
        }
        note_steps(t, d, s->body, l, rank);
        note_steps(t, d, s->otherwise, l, rank);
    }
}

static size_t unknown_kernels(const driver *d, const tuning *known) {
    size_t count = 0;
    for (size_t i = 0; i < d->program->kernels.count; i++)
        count += !tuning_find(known, d->program->kernels.data[i].key);
    return count;
}

static bool has_open_sizes(const driver *d) {
    for (size_t i = 0; i < d->program->inputs.count; i++)
        for (int j = 0; j < d->program->inputs.data[i].type.rank; j++)
            if (!dim_is_const(d->program->dims, d->program->inputs.data[i].type.dims[j], NULL))
                return true;
    return false;
}

/* Compiles with all new kernels at a rank and times them; *any is false if none is new. */
static bool measure_rank(tuner *t, driver *d, int rank, double seconds, bool *any) {
    tuning at = *t->options.tuning;
    driver_options options = t->options;
    tool_list none = {.count = 0};
    at.rank = rank;
    options.tuning = &at;
    if (!driver_compile(d, t->model, &options)) return false;
    *any = unknown_kernels(d, t->options.tuning) > 0;
    if (!*any) return true;
    if (has_open_sizes(d))
        return diag_error(&d->diag, NULL, NULL, "fix them with --dim, for instance --dim batch=1",
                          "--tune measures, and the model's inputs have no fixed sizes");
    size_t count = d->program->inputs.count;
    load_tensor_result *x = ARENA_ARRAY(d->memory, load_tensor_result, count + 1);
    instance *i = driver_jit(d);
    instance_call call;
    if (!i || !tool_load_inputs(d, NULL, &none, x) ||
        !instance_bind(i, x, count, d->memory, &d->diag, &call))
        return false;
    onnxcc_context context = {.arena_bytes = call.arena_bytes};
    tool_threads *one = tool_threads_start(d->memory, 1, &context);
    int status = instance_run(&call, &context);
    if (status == ONNXCC_OK) {
        layer_times l = layers_measure(d, &call, context, seconds);
        note_steps(t, d, d->program->steps, &l, rank);
    }
    tool_threads_stop(one);
    instance_close(i);
    return status == ONNXCC_OK || diag_error(&d->diag, NULL, NULL, NULL, "the model returned %s",
                                             onnxcc_status_name(status));
}

bool tune_model(const char *model, const driver_options *options, double seconds, tuning *records,
                tune_result *out) {
    enum { ROUNDS = 2 }; /* so that no candidate has a busy moment of the machine to itself */
    tuner t = {.memory = arena_create(), .model = model, .options = *options};
    double begin = layers_now_ns(), end = begin + seconds * 1e9;
    bool ok = true, any = true;
    t.options.tuning = records;
    for (int turn = 0; ok && any && turn < ROUNDS * TARGET_RANKS; turn++) {
        double now = layers_now_ns(), left = (end - now) / 1e9;
        if (turn > 1 && left <= 0) break;
        driver d;
        tool_progress("tuning %s: candidate %d of %d, %.0f s left", model, turn % TARGET_RANKS + 1,
                      TARGET_RANKS, left > 0 ? left : 0);
        double share = left / (ROUNDS * TARGET_RANKS - turn) / 2;
        ok = measure_rank(&t, &d, turn % TARGET_RANKS, share > 0 ? share : 0, &any);
        tool_print_diagnostics(&d.diag);
        driver_close(&d);
    }
    *out = (tune_result){.kernels = t.kernels.count};
    for (size_t i = 0; ok && i < t.kernels.count; i++) {
        const candidate *c = &t.kernels.data[i];
        int rank = best_rank(c);
        tuning_set(records, c->key, rank);
        out->faster += rank != 0;
        out->first_ns += c->ns[0];
        out->best_ns += c->ns[rank];
    }
    arena_destroy(t.memory);
    return ok;
}
