/* compile.c: `onnxcc compile`: a model to a library and a header. */
#include "tools/tune.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char help[] =
    "usage: onnxcc compile MODEL -o FOLDER [options]\n\n"
    "Writes libNAME.a and NAME.h (target c: NAME.c and NAME.h) into FOLDER, with a CMake package\n"
    "and a pkg-config file. MODEL is an .onnx file, or an .ir file that a dump wrote.\n\n"
    "  -o FOLDER            where to write; made if it does not exist\n"
    "  --name NAME          prefix of the interface; default: the file's name\n"
    "  --target TARGET      native (default), x86-64-v2, x86-64-v3, x86-64-v4, multi, c\n"
    "  --dim SYM=8          fix a symbolic dimension; SYM=1..512 bounds it, SYM=1,8 lists its "
    "values\n"
    "  --weights embed|file inside the library (default), or in NAME.weights beside it\n"
    "  -O0 .. -O3           effort; default -O3\n"
    "  --passes A,B,C       this pipeline instead of the level's own\n"
    "  --tune[=SECONDS]     measure schedules of every kernel on this machine for about so long "
    "(60)\n"
    "                       and take the fastest; what was measured once is not measured again\n"
    "  --tune-cache FILE    where that is kept (default tuning.json in the cache folder of the "
    "user);\n"
    "                       without --tune, records to go by\n"
    "  --print-before PASS, --print-after PASS|all, --dump-dir FOLDER, --verify, --time-passes\n"
    "                       see what the passes do\n\n"
    "examples:\n"
    "  onnxcc compile resnet50.onnx -o out\n"
    "  onnxcc compile bert.onnx -o out --dim batch=1 --dim seq=1..512 --target x86-64-v3\n"
    "  onnxcc compile resnet50.onnx -o out --tune=30 --tune-cache resnet50.tuning.json\n";

static void report(const driver *d, const char *folder) {
    char text[64];
    int64_t arena_bytes;
    if (dim_is_const(d->program->dims, d->program->arena_bytes, &arena_bytes))
        snprintf(text, sizeof text, "%lld bytes", (long long)arena_bytes);
    else
        snprintf(text, sizeof text, "by dimensions");
    printf("%s/%s.h: %zu kernels, arena %s, weights %lld bytes, %.2f s\n", folder, d->name,
           d->program->kernels.count, text, (long long)d->program->weight_bytes, d->seconds);
}

typedef struct {
    tool_compile_options compile;
    const char *folder, *tune_seconds, *tune_cache;
    bool tune;
} compile_options;

/* Measures what has no record yet. */
static bool tune(const char *model, const compile_options *o, tuning *t) {
    diag d;
    tune_result r;
    double seconds = o->tune_seconds ? strtod(o->tune_seconds, NULL) : 60;
    if (!tune_model(model, &o->compile.driver, seconds, t, &r)) return false;
    diag_init(&d, t->memory, NULL);
    bool ok = !r.kernels || tune_write(o->tune_cache, t, t->memory, &d);
    tool_print_diagnostics(&d);
    if (ok)
        printf("%s: %zu kernels measured, %zu found something faster: %.4f ms, %.4f before\n",
               o->tune_cache, r.kernels, r.faster, r.best_ns / 1e6, r.first_ns / 1e6);
    return ok;
}

static bool compile(const char *model, compile_options *o) {
    driver d;
    tuning records;
    arena *names = arena_create();
    if (o->tune && !o->tune_cache) o->tune_cache = tune_default_path(names);
    bool ok = tune_open(&records, o->tune_cache);
    if (ok && o->tune) ok = tune(model, o, &records);
    if (ok) {
        if (o->tune_cache) o->compile.driver.tuning = &records;
        tool_progress("compiling %s", model);
        ok = driver_compile(&d, model, &o->compile.driver) && driver_write(&d, o->folder);
        tool_print_diagnostics(&d.diag);
        if (ok) report(&d, o->folder);
        driver_close(&d);
        tune_close(&records);
    }
    arena_destroy(names);
    return ok;
}

static int run(int argc, char **argv) {
    compile_options o = {.folder = NULL};
    tool_list rest = {.count = 0};
    tool_option options[19] = {{"-o", &o.folder, NULL, NULL},
                               {"--tune-cache", &o.tune_cache, NULL, NULL},
                               {"--tune", &o.tune_seconds, NULL, &o.tune}};
    size_t count = 3 + tool_compile_table(&o.compile, options + 3);
    int status = tool_parse(&tool_compile, argc, argv, options, count, &rest);
    if (status) return status < 0 ? EXIT_DONE : status;
    if (rest.count != 1) return tool_usage(&tool_compile, "one model is needed");
    if (!o.folder) return tool_usage(&tool_compile, "-o FOLDER is needed");
    if (o.tune_seconds && !(strtod(o.tune_seconds, NULL) > 0))
        return tool_usage(&tool_compile, "--tune takes seconds, not %s", o.tune_seconds);
    if ((status = tool_compile_finish(&tool_compile, &o.compile))) return status;
    target_machine machines[TARGET_MAX_LEVELS];
    size_t levels = target_levels(o.compile.driver.target, machines);
    if (o.tune && (levels != 1 || !machines[0].cpu))
        return tool_usage(&tool_compile, "--tune measures machine code for one processor, not %s",
                          o.compile.driver.target);
    return compile(rest.items[0], &o) ? EXIT_DONE : EXIT_INPUT;
}

const tool tool_compile = {"compile", "a model to a static library and a header", help, run};
