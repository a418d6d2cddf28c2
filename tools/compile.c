/* compile.c: `onnxcc compile`: a model to a library and a header. */
#include "tools/tool.h"

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
    "  --print-before PASS, --print-after PASS|all, --dump-dir FOLDER, --verify, --time-passes\n"
    "                       see what the passes do\n\n"
    "examples:\n"
    "  onnxcc compile resnet50.onnx -o out\n"
    "  onnxcc compile bert.onnx -o out --dim batch=1 --dim seq=1..512 --target x86-64-v3\n";

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

static int run(int argc, char **argv) {
    tool_compile_options o = {0};
    const char *folder = NULL;
    tool_list rest = {.count = 0};
    tool_option options[17] = {{"-o", &folder, NULL, NULL}};
    size_t count = 1 + tool_compile_table(&o, options + 1);
    int status = tool_parse(&tool_compile, argc, argv, options, count, &rest);
    if (status) return status < 0 ? EXIT_DONE : status;
    if (rest.count != 1) return tool_usage(&tool_compile, "one model is needed");
    if (!folder) return tool_usage(&tool_compile, "-o FOLDER is needed");
    if ((status = tool_compile_finish(&tool_compile, &o))) return status;
    driver d;
    tool_progress("compiling %s", rest.items[0]);
    bool ok = driver_compile(&d, rest.items[0], &o.driver) && driver_write(&d, folder);
    tool_print_diagnostics(&d.diag);
    if (ok) report(&d, folder);
    driver_close(&d);
    return ok ? EXIT_DONE : EXIT_INPUT;
}

const tool tool_compile = {"compile", "a model to a static library and a header", help, run};
