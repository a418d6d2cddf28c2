/* run.c: `onnxcc run`: compiles a model in memory, runs it once, writes its outputs. */
#include "frontend/npy.h"
#include "tools/tool.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const char help[] =
    "usage: onnxcc run MODEL [--input NAME=FILE]... [options]\n\n"
    "Compiles MODEL in memory, runs it once and writes every output as OUTPUT.npy.\n"
    "Inputs without a file get seeded random numbers.\n\n"
    "  --input NAME=FILE    a .npy or .pb file for an input\n"
    "  --test-data FOLDER   input_0.pb, input_1.pb, ... of an ONNX test folder\n"
    "  --output-dir FOLDER  where to write; default: nowhere, a summary is printed\n"
    "  --threads N          default 1\n"
    "  --target, --dim, -O, --passes and the dump options: as in `onnxcc compile`\n\n"
    "example:\n"
    "  onnxcc run mnist.onnx --input image=digit.npy --output-dir out\n";

/* A file name for an output: what is no letter, digit, dot or dash becomes an underscore. */
static const char *file_name(arena *a, const char *folder, const char *name) {
    char *clean = arena_strdup(a, *name ? name : "output");
    for (char *p = clean; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", *p))
            *p = '_';
    return arena_printf(a, "%s/%s.npy", folder, clean);
}

static void print_result(const load_tensor_result *t) {
    printf("%s: %s[", t->name, dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++) printf("%s%lld", i ? ", " : "", (long long)t->dims[i]);
    printf("]");
    const float *f = t->data.data;
    size_t count = t->data.bytes / sizeof *f;
    for (size_t i = 0; t->dtype == DTYPE_F32 && i < count && i < 8; i++)
        printf(" %g", (double)f[i]);
    printf(t->dtype == DTYPE_F32 && count > 8 ? " ...\n" : "\n");
}

static bool run_once(driver *d, const char *folder, const tool_list *inputs, const char *out,
                     long threads) {
    instance *i = driver_jit(d);
    load_tensor_result *x =
        ARENA_ARRAY(d->memory, load_tensor_result, d->program->inputs.count + 1);
    instance_call call;
    if (!i || !tool_load_inputs(d, folder, inputs, x) ||
        !instance_bind(i, x, d->program->inputs.count, d->memory, &d->diag, &call))
        return false;
    onnxcc_context context = {.arena_bytes = call.arena_bytes};
    tool_threads *pool = tool_threads_start(d->memory, threads, &context);
    int status = instance_run(&call, &context);
    tool_threads_stop(pool);
    bool ok = status == ONNXCC_OK || diag_error(&d->diag, NULL, NULL, NULL, "the model returned %s",
                                                onnxcc_status_name(status));
    if (ok && out && mkdir(out, 0777) != 0 && errno != EEXIST)
        ok = diag_error(&d->diag, out, NULL, NULL, "cannot make the folder: %s", strerror(errno));
    for (size_t j = 0; ok && j < d->program->outputs.count; j++) {
        print_result(&call.results[j]);
        if (out)
            ok = npy_write(file_name(d->memory, out, call.results[j].name), &call.results[j],
                           d->memory, &d->diag);
    }
    instance_close(i);
    return ok;
}

static int run(int argc, char **argv) {
    tool_compile_options o = {0};
    const char *folder = NULL, *out = NULL, *threads_text = "1";
    tool_list rest = {.count = 0}, inputs = {.count = 0};
    tool_option options[20] = {{"--input", NULL, &inputs, NULL},
                               {"--test-data", &folder, NULL, NULL},
                               {"--output-dir", &out, NULL, NULL},
                               {"--threads", &threads_text, NULL, NULL}};
    size_t count = 4 + tool_compile_table(&o, options + 4);
    int status = tool_parse(&tool_run, argc, argv, options, count, &rest);
    if (status) return status < 0 ? EXIT_DONE : status;
    long threads;
    if (rest.count != 1) return tool_usage(&tool_run, "one model is needed");
    if (!tool_number(threads_text, 1, 256, &threads))
        return tool_usage(&tool_run, "--threads takes a number");
    if ((status = tool_compile_finish(&tool_run, &o))) return status;
    driver d = {0};
    tool_pinning pinned;
    driver_begin(&d);
    bool ok = tool_compile_for_data(&d, rest.items[0], &o.driver, folder, PIN_NOTHING, PIN_VALUES,
                                    &pinned) &&
              run_once(&d, folder, &inputs, out, threads);
    tool_print_diagnostics(&d.diag);
    driver_close(&d);
    return ok ? EXIT_DONE : EXIT_INPUT;
}

const tool tool_run = {"run", "compile in memory, run once, write the outputs", help, run};
