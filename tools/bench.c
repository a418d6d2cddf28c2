/* bench.c: `onnxcc bench`: times the compiled model on real or random inputs and says how much
 * memory it takes. What is timed is the call that an application makes: NAME_run with bound inputs,
 * nothing skipped. */
#include "tools/tool.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char help[] =
    "usage: onnxcc bench MODEL [options]\n\n"
    "Times NAME_run and reports median and 95th percentile, memory, code size and compile time.\n"
    "Symbolic dimensions are fixed to the sizes of the test data (--dynamic leaves them).\n\n"
    "  --test-data FOLDER   inputs from an ONNX test folder; default: seeded random numbers\n"
    "  --threads N          default 1\n"
    "  --seconds S          how long to measure; default 1\n"
    "  --via jit|library    time the code in memory (default) or the linked library\n"
    "  --layers             also per kernel: time, GFLOP/s, GB/s\n"
    "  --dynamic            do not fix symbolic dimensions\n"
    "  --json               for machines\n"
    "  --target, --dim, -O, --passes and the dump options: as in `onnxcc compile`\n\n"
    "example:\n"
    "  onnxcc bench resnet50.onnx --threads 2 --layers\n";

typedef struct {
    tool_compile_options compile;
    const char *folder, *via;
    long threads;
    double seconds;
    bool layers, dynamic, json;
} bench_options;

/* Times of single runs, in nanoseconds. */
typedef struct {
    double *ns;
    size_t count;
} samples;

/* Per step: total time over the profiled runs. */
typedef struct {
    uint64_t *ns;
    size_t count, runs;
} layer_times;

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare_doubles(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

static double quantile(const samples *s, double q) {
    return s->ns[(size_t)(q * (double)(s->count - 1))];
}

static bool measure(driver *d, instance_call *call, const onnxcc_context *context, double seconds,
                    samples *out) {
    enum { MAX_SAMPLES = 1 << 20, LEAST = 3 };
    int status = instance_run(call, context);
    if (status != ONNXCC_OK)
        return diag_error(&d->diag, NULL, NULL, NULL, "the model returned %s",
                          onnxcc_status_name(status));
    instance_run(call, context);
    out->ns = ARENA_ARRAY(d->memory, double, MAX_SAMPLES);
    double begin = now_ns(), at = begin;
    while (out->count < MAX_SAMPLES && (at - begin < seconds * 1e9 || out->count < LEAST)) {
        instance_run(call, context);
        double end = now_ns();
        out->ns[out->count++] = end - at;
        at = end;
    }
    qsort(out->ns, out->count, sizeof *out->ns, compare_doubles);
    return true;
}

static void record_layer(void *user, int step, uint64_t begin_ns, uint64_t end_ns) {
    layer_times *l = user;
    if (step >= 0 && (size_t)step < l->count) l->ns[step] += end_ns - begin_ns;
}

static layer_times measure_layers(driver *d, instance_call *call, onnxcc_context context,
                                  double seconds) {
    layer_times l = {.count = d->program->profile_count};
    l.ns = ARENA_ARRAY(d->memory, uint64_t, l.count + 1);
    context.profile = record_layer;
    context.profile_user = &l;
    double begin = now_ns();
    do {
        instance_run(call, &context);
        l.runs++;
    } while (now_ns() - begin < seconds * 1e9 || l.runs < 3);
    return l;
}

static int64_t total_flops(const program *p, const program_step *s) {
    int64_t flops = 0;
    for (; s; s = s->next) {
        if (s->kind == STEP_CALL) flops += p->kernels.data[s->kernel].flops;
        flops += total_flops(p, s->body);
    }
    return flops;
}

static json_t *layer_rows(const program *p, const program_step *s, const layer_times *l,
                          json_t *rows) {
    for (; s; s = s->next) {
        if (s->kind == STEP_CALL) {
            const program_kernel *k = &p->kernels.data[s->kernel];
            double us = (double)l->ns[s->profile] / (double)l->runs / 1e3;
            json_array_append_new(rows,
                                  json_pack("{s:s, s:s, s:f, s:f, s:f}", "kernel", k->loops->name,
                                            "node", s->label ? s->label : "", "us", us, "gflops",
                                            us > 0 ? (double)k->flops / us / 1e3 : 0, "gbytes_s",
                                            us > 0 ? (double)k->bytes / us / 1e3 : 0));
        }
        layer_rows(p, s->body, l, rows);
        layer_rows(p, s->otherwise, l, rows);
    }
    return rows;
}

static json_t *make_report(const driver *d, const instance_call *call, const samples *s,
                           const layer_times *l) {
    const program *p = d->program;
    double median = quantile(s, 0.5) / 1e6;
    json_t *r = json_pack(
        "{s:s, s:f, s:f, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:I}", "model", d->name, "median_ms",
        median, "p95_ms", quantile(s, 0.95) / 1e6, "arena_bytes", (json_int_t)call->arena_bytes,
        "arena_bound_bytes", (json_int_t)program_arena_bound(p, call->symbols), "weights_bytes",
        (json_int_t)p->weight_bytes, "code_bytes", (json_int_t)d->code_bytes, "compile_s",
        d->seconds, "gflops", (double)total_flops(p, p->steps) / (median * 1e6), "runs",
        (json_int_t)s->count, "kernels", (json_int_t)p->kernels.count);
    if (l->count) json_object_set_new(r, "layers", layer_rows(p, p->steps, l, json_array()));
    return r;
}

static void print_report(const json_t *r) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)r, key, value) {
        if (json_is_string(value))
            printf("%-18s %s\n", key, json_string_value(value));
        else if (json_is_integer(value))
            printf("%-18s %lld\n", key, (long long)json_integer_value(value));
        else if (json_is_real(value))
            printf("%-18s %.4f\n", key, json_real_value(value));
    }
    size_t i;
    json_t *row;
    json_t *layers = json_object_get(r, "layers");
    if (layers) printf("\n%10s %9s %8s  kernel, node\n", "us", "GFLOP/s", "GB/s");
    json_array_foreach(layers, i, row) {
        const char *kernel, *node;
        double us, gflops, gbytes;
        json_unpack(row, "{s:s, s:s, s:F, s:F, s:F}", "kernel", &kernel, "node", &node, "us", &us,
                    "gflops", &gflops, "gbytes_s", &gbytes);
        printf("%10.1f %9.1f %8.1f  %s, %s\n", us, gflops, gbytes, kernel, node);
    }
}

static bool bench(driver *d, const char *path, const bench_options *o) {
    tool_list none = {.count = 0};
    driver_options options = o->compile.driver;
    load_tensor_result *x = NULL;
    size_t count = 0;
    if (o->folder && !tool_load_test_data(d, o->folder, &x, &count)) return false;
    if (!o->dynamic) {
        options.pins = x;
        options.pin_count = count;
    }
    if (!driver_open(d, path, &options) || !driver_optimize(d) || !driver_build(d)) return false;
    bool given = count == d->program->inputs.count;
    if (!given) {
        count = d->program->inputs.count;
        x = ARENA_ARRAY(d->memory, load_tensor_result, count + 1);
    }
    instance *i = strcmp(o->via, "library") == 0 ? driver_library(d) : driver_jit(d);
    instance_call call;
    if (!i || (!given && !tool_load_inputs(d, NULL, &none, x)) ||
        !instance_bind(i, x, count, d->memory, &d->diag, &call))
        return false;
    onnxcc_context context = {.arena_bytes = call.arena_bytes};
    tool_threads *pool = tool_threads_start(d->memory, o->threads, &context);
    samples s = {0};
    layer_times l = {0};
    bool ok = measure(d, &call, &context, o->seconds, &s);
    if (ok && o->layers) l = measure_layers(d, &call, context, o->seconds);
    tool_threads_stop(pool);
    if (ok) {
        json_t *r = make_report(d, &call, &s, &l);
        if (o->json)
            json_dumpf(r, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
        else
            print_report(r);
        if (o->json) putchar('\n');
        json_decref(r);
    }
    instance_close(i);
    return ok;
}

static int run(int argc, char **argv) {
    bench_options o = {.via = "jit"};
    const char *threads = "1", *seconds = "1";
    tool_list rest = {.count = 0};
    tool_option options[24] = {
        {"--test-data", &o.folder, NULL, NULL}, {"--threads", &threads, NULL, NULL},
        {"--seconds", &seconds, NULL, NULL},    {"--via", &o.via, NULL, NULL},
        {"--layers", NULL, NULL, &o.layers},    {"--dynamic", NULL, NULL, &o.dynamic},
        {"--json", NULL, NULL, &o.json}};
    size_t count = 7 + tool_compile_table(&o.compile, options + 7);
    int status = tool_parse(&tool_bench, argc, argv, options, count, &rest);
    if (status) return status < 0 ? EXIT_DONE : status;
    if (rest.count != 1) return tool_usage(&tool_bench, "one model is needed");
    if (!tool_number(threads, 1, 256, &o.threads))
        return tool_usage(&tool_bench, "--threads takes a number");
    if (strcmp(o.via, "jit") != 0 && strcmp(o.via, "library") != 0)
        return tool_usage(&tool_bench, "--via takes jit or library, not %s", o.via);
    if ((status = tool_compile_finish(&tool_bench, &o.compile))) return status;
    o.seconds = strtod(seconds, NULL);
    driver d = {0};
    driver_begin(&d);
    bool ok = bench(&d, rest.items[0], &o);
    tool_print_diagnostics(&d.diag);
    driver_close(&d);
    return ok ? EXIT_DONE : EXIT_INPUT;
}

const tool tool_bench = {"bench", "time a model; memory, code size, per kernel with --layers", help,
                         run};
