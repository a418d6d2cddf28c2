/* bench.c: `onnxcc bench`: times the compiled model on real or random inputs and says how much
 * memory it takes. What is timed is the call that an application makes: NAME_run with bound inputs,
 * nothing skipped. */
#include "tools/bench_report.h"
#include "tools/tune.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: onnxcc bench MODEL [options]\n\n"
    "Times NAME_run and reports median and 95th percentile, memory, code size and compile time.\n"
    "Symbolic dimensions are fixed to the sizes of the test data (--dynamic leaves them).\n\n"
    "  --test-data FOLDER   inputs from an ONNX test folder; default: seeded random numbers\n"
    "  --threads N          default 1\n"
    "  --seconds S          how long to measure; default 1\n"
    "  --via jit|library    time the code in memory (default) or the linked library\n"
    "  --layers             also per kernel: time, GFLOP/s, share of this processor's measured "
    "peak, "
    "GB/s\n"
    "  --html FILE          the layers as a page: roofline, time bar, arena (implies --layers)\n"
    "  --dynamic            do not fix symbolic dimensions\n"
    "  --json               for machines\n"
    "  --tune-cache FILE    records of `onnxcc compile --tune` to go by\n"
    "  --target, --dim, -O, --passes and the dump options: as in `onnxcc compile`\n\n"
    "example:\n"
    "  onnxcc bench resnet50.onnx --threads 2 --layers\n";

typedef struct {
    tool_compile_options compile;
    const char *folder, *via, *html, *tune_cache;
    long threads;
    double seconds;
    bool layers, dynamic, json;
} bench_options;

static int compare_doubles(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

static bool measure(driver *d, instance_call *call, const onnxcc_context *context, double seconds,
                    bench_samples *out) {
    enum { MAX_SAMPLES = 1 << 20, LEAST = 3 };
    int status = instance_run(call, context);
    if (status != ONNXCC_OK)
        return diag_error(&d->diag, NULL, NULL, NULL, "the model returned %s",
                          onnxcc_status_name(status));
    instance_run(call, context);
    out->ns = ARENA_ARRAY(d->memory, double, MAX_SAMPLES);
    double begin = layers_now_ns(), at = begin;
    while (out->count < MAX_SAMPLES && (at - begin < seconds * 1e9 || out->count < LEAST)) {
        instance_run(call, context);
        double end = layers_now_ns();
        out->ns[out->count++] = end - at;
        at = end;
    }
    qsort(out->ns, out->count, sizeof *out->ns, compare_doubles);
    return true;
}

static bool write_report(const bench_result *r, const bench_options *o, diag *d) {
    json_t *report = bench_report(r);
    bool ok = !o->html || bench_write_page(report, o->html, d);
    if (o->json)
        json_dumpf(report, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    else
        bench_print(report);
    if (o->json) putchar('\n');
    json_decref(report);
    return ok;
}

static bool bench(driver *d, const char *path, const bench_options *o) {
    tool_list none = {.count = 0};
    driver_options options = o->compile.driver;
    const char *folder = o->folder ? tool_data_folder(d, o->folder) : NULL;
    if (o->folder && !folder) return false;
    tool_pinning pinned;
    if (!tool_compile_for_data(d, path, &options, folder, o->dynamic ? PIN_NOTHING : PIN_SIZES,
                               o->dynamic ? PIN_NOTHING : PIN_VALUES, &pinned))
        return false;
    folder = o->folder ? tool_data_folder(d, o->folder) : NULL;
    size_t count = d->program->inputs.count;
    load_tensor_result *x = ARENA_ARRAY(d->memory, load_tensor_result, count + 1);
    instance *i = strcmp(o->via, "library") == 0 ? driver_library(d) : driver_jit(d);
    instance_call call;
    if (!i || !tool_load_inputs(d, folder, &none, x) ||
        !instance_bind(i, x, count, d->memory, &d->diag, &call))
        return false;
    onnxcc_context context = {.arena_bytes = call.arena_bytes};
    tool_threads *pool = tool_threads_start(d->memory, o->threads, &context);
    bench_samples samples = {0};
    layer_times layers = {0};
    peak_rates peak;
    bool ok = measure(d, &call, &context, o->seconds, &samples);
    if (ok && o->layers) layers = layers_measure(d, &call, context, o->seconds);
    tool_threads_stop(pool);
    bool peaked = ok && o->layers && d->machine.cpu;
    if (peaked) ok = peak_measure(&d->machine, d->memory, &d->diag, &peak);
    bench_result result = {.driver = d,
                           .call = &call,
                           .samples = &samples,
                           .layers = &layers,
                           .peak = peaked ? &peak : NULL,
                           .threads = o->threads};
    ok = ok && write_report(&result, o, &d->diag);
    instance_close(i);
    return ok;
}

static int run(int argc, char **argv) {
    bench_options o = {.via = "jit"};
    const char *threads = "1", *seconds = "1";
    tool_list rest = {.count = 0};
    tool_option options[25] = {{"--test-data", &o.folder, NULL, NULL},
                               {"--threads", &threads, NULL, NULL},
                               {"--seconds", &seconds, NULL, NULL},
                               {"--via", &o.via, NULL, NULL},
                               {"--layers", NULL, NULL, &o.layers},
                               {"--dynamic", NULL, NULL, &o.dynamic},
                               {"--json", NULL, NULL, &o.json},
                               {"--html", &o.html, NULL, NULL},
                               {"--tune-cache", &o.tune_cache, NULL, NULL}};
    size_t count = 9 + tool_compile_table(&o.compile, options + 9);
    int status = tool_parse(&tool_bench, argc, argv, options, count, &rest);
    if (status) return status < 0 ? EXIT_DONE : status;
    if (rest.count != 1) return tool_usage(&tool_bench, "one model is needed");
    if (!tool_number(threads, 1, 256, &o.threads))
        return tool_usage(&tool_bench, "--threads takes a number");
    if (strcmp(o.via, "jit") != 0 && strcmp(o.via, "library") != 0)
        return tool_usage(&tool_bench, "--via takes jit or library, not %s", o.via);
    if ((status = tool_compile_finish(&tool_bench, &o.compile))) return status;
    o.seconds = strtod(seconds, NULL);
    o.layers |= o.html != NULL;
    tuning records;
    if (!tune_open(&records, o.tune_cache)) return EXIT_INPUT;
    if (o.tune_cache) o.compile.driver.tuning = &records;
    driver d = {0};
    driver_begin(&d);
    bool ok = bench(&d, rest.items[0], &o);
    tool_print_diagnostics(&d.diag);
    driver_close(&d);
    tune_close(&records);
    return ok ? EXIT_DONE : EXIT_INPUT;
}

const tool tool_bench = {"bench", "time a model; memory, code size, per kernel with --layers", help,
                         run};
