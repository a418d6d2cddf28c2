/* test.c: `onnxcc test`: ONNX test folders (model.onnx, test_data_set_N/input_K.pb and output_K.pb)
 * compiled, run and compared. A folder passes if all of its data sets do. */
#include "tools/compare.h"
#include "tools/tune.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: onnxcc test FOLDER... [options]\n\n"
    "Compiles FOLDER/model.onnx, runs it on every FOLDER/test_data_set_N and compares with the\n"
    "expected outputs. The last line is `N passed, N failed, N skipped`; what this processor "
    "cannot\n"
    "run is skipped.\n\n"
    "  --via jit|library    run in memory (default), or link the written library and load it\n"
    "  --pin                fix every symbolic dimension to the size in the test data, and where "
    "shapes\n"
    "                       depend on the values of inputs (axes, a shape) these values too\n"
    "  --open               fix nothing; default: what --pin fixes, if the model is refused "
    "without,\n"
    "                       and the verdict says so\n"
    "  --rtol R             relative tolerance; default 1e-3, that of the ONNX backend tests\n"
    "  --atol A             absolute tolerance; default a millionth of the largest expected "
    "element,\n"
    "                       at least 2^-22 (what is given is taken as it is: 1e-7 for operators)\n"
    "  --threads N          default 1\n"
    "  --tune-cache FILE    records of `onnxcc compile --tune` to go by\n"
    "  --quiet              print failures and totals only\n"
    "  --target, --dim, -O, --passes and the dump options: as in `onnxcc compile`\n\n"
    "example:\n"
    "  onnxcc test build/models/* --via library --pin\n";

typedef struct {
    tool_compile_options compile;
    const char *via, *tune_cache;
    double rtol, atol;
    long threads;
    bool pin, open, quiet;
} test_options;

static bool compare_set(driver *d, const char *set, const instance_call *call,
                        const test_options *o) {
    bool ok = true;
    const load_tensor_result *got = call->results;
    for (size_t i = 0; i < d->program->output_ports.count; i++) {
        const graph_port *port = &d->program->output_ports.data[i];
        const char *path = arena_printf(d->memory, "%s/output_%zu.pb", set, i);
        bool there = access(path, R_OK) == 0;
        const load_value *v = there ? tool_load_port(d, path, port) : NULL;
        if (there && !v) return false;
        for (uint32_t j = 0; j < port->count; j++, got++) {
            const char *wrong =
                v ? compare_tensors(&v->items[j].tensor, got, o->rtol, o->atol, d->memory) : NULL;
            if (wrong) ok = diag_error(&d->diag, got->name, NULL, NULL, "%s: %s", set, wrong);
        }
    }
    return ok;
}

static bool has_inputs(driver *d, const char *set) {
    for (size_t i = 0; i < d->program->input_ports.count; i++)
        if (access(arena_printf(d->memory, "%s/input_%zu.pb", set, i), R_OK) != 0)
            return diag_error(&d->diag, d->program->input_ports.data[i].name, NULL, NULL,
                              "%s has no input_%zu.pb", set, i);
    return true;
}

static bool run_set(driver *d, instance *i, const char *set, const test_options *o) {
    const tool_list none = {.count = 0};
    size_t count = d->program->inputs.count;
    load_tensor_result *x = ARENA_ARRAY(d->memory, load_tensor_result, count + 1);
    instance_call call;
    if (!has_inputs(d, set) || !tool_load_inputs(d, set, &none, x) ||
        !instance_bind(i, x, count, d->memory, &d->diag, &call))
        return false;
    onnxcc_context context = {.arena_bytes = call.arena_bytes};
    tool_threads *pool = tool_threads_start(d->memory, o->threads, &context);
    int status = instance_run(&call, &context);
    tool_threads_stop(pool);
    if (status != ONNXCC_OK)
        return diag_error(&d->diag, NULL, NULL, NULL, "%s: the model returned %s", set,
                          onnxcc_status_name(status));
    return compare_set(d, set, &call, o);
}

static const char *data_set(driver *d, const char *folder, int n) {
    const char *set = arena_printf(d->memory, "%s/test_data_set_%d", folder, n);
    return access(set, R_OK) == 0 ? set : NULL;
}

static bool run_folder(driver *d, const char *folder, const test_options *o, tool_pinning *pinned) {
    driver_options options = o->compile.driver;
    arena *names = arena_create();
    const char *model = arena_printf(names, "%s/model.onnx", folder);
    const char *first = arena_printf(names, "%s/test_data_set_0", folder);
    bool has_data = access(first, R_OK) == 0;
    bool compiled = tool_compile_for_data(d, model, &options, has_data ? first : NULL,
                                          o->pin ? PIN_SIZES : PIN_NOTHING,
                                          o->open ? PIN_NOTHING : PIN_VALUES, pinned);
    arena_destroy(names);
    if (!compiled) return false;
    instance *i = strcmp(o->via, "library") == 0 ? driver_library(d) : driver_jit(d);
    bool ok = i != NULL;
    const char *set;
    for (int n = 0; i && (set = data_set(d, folder, n)); n++) ok &= run_set(d, i, set, o);
    instance_close(i);
    return ok;
}

/* What was fixed although nobody asked for it. */
static const char *pinning_note(const test_options *o, tool_pinning pinned) {
    if (o->pin || pinned == PIN_NOTHING) return "";
    return pinned == PIN_SIZES
               ? ": compiled for the sizes of its data"
               : ": compiled for the sizes of its data and the values that they depend on";
}

static bool runs_here(const test_options *o) {
    target_machine machine;
    return target_find(o->compile.driver.target, &machine) && target_runs_here(&machine);
}

static int skip_all(const tool_list *folders, const char *target) {
    for (size_t i = 0; i < folders->count; i++)
        printf("SKIP %s: this processor lacks instructions of %s\n", folders->items[i], target);
    printf("0 passed, 0 failed, %zu skipped\n", folders->count);
    return EXIT_DONE;
}

static int run(int argc, char **argv) {
    test_options o = {.via = "jit"};
    const char *rtol = "1e-3", *atol = "-1", *threads = "1";
    tool_list folders = {.count = 0};
    tool_option options[24] = {
        {"--via", &o.via, NULL, NULL},       {"--pin", NULL, NULL, &o.pin},
        {"--rtol", &rtol, NULL, NULL},       {"--atol", &atol, NULL, NULL},
        {"--threads", &threads, NULL, NULL}, {"--quiet", NULL, NULL, &o.quiet},
        {"--open", NULL, NULL, &o.open},     {"--tune-cache", &o.tune_cache, NULL, NULL}};
    size_t count = 8 + tool_compile_table(&o.compile, options + 8);
    int status = tool_parse(&tool_test, argc, argv, options, count, &folders);
    if (status) return status < 0 ? EXIT_DONE : status;
    if (!folders.count) return tool_usage(&tool_test, "a test folder is needed");
    if (strcmp(o.via, "jit") != 0 && strcmp(o.via, "library") != 0)
        return tool_usage(&tool_test, "--via takes jit or library, not %s", o.via);
    if (o.pin && o.open) return tool_usage(&tool_test, "--pin and --open exclude each other");
    if (!tool_number(threads, 1, 256, &o.threads))
        return tool_usage(&tool_test, "--threads takes a number");
    if ((status = tool_compile_finish(&tool_test, &o.compile))) return status;
    o.rtol = strtod(rtol, NULL);
    o.atol = strtod(atol, NULL);
    if (!runs_here(&o)) return skip_all(&folders, o.compile.driver.target);
    tuning records;
    if (!tune_open(&records, o.tune_cache)) return EXIT_INPUT;
    if (o.tune_cache) o.compile.driver.tuning = &records;
    int passed = 0, failed = 0;
    for (size_t i = 0; i < folders.count; i++) {
        driver d = {0};
        tool_progress("[%zu/%zu] %s", i + 1, folders.count, folders.items[i]);
        driver_begin(&d);
        tool_pinning pinned = PIN_NOTHING;
        bool ok = run_folder(&d, folders.items[i], &o, &pinned);
        tool_progress("%s", "");
        if (!ok || !o.quiet)
            printf("%s %s%s\n", ok ? "PASS" : "FAIL", folders.items[i],
                   ok ? pinning_note(&o, pinned) : "");
        fflush(stdout);
        if (!ok) tool_print_diagnostics(&d.diag);
        driver_close(&d);
        ok ? passed++ : failed++;
    }
    tune_close(&records);
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed ? EXIT_INPUT : EXIT_DONE;
}

const tool tool_test = {"test", "run ONNX test folders and compare", help, run};
