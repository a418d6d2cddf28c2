/* opt.c: `onnxcc opt`: runs passes on a model or a dump and prints what comes of it: the tool of
 * those who debug passes. */
#include "codegen/build.h"
#include "codegen/llvm/compile.h"
#include "tools/tool.h"

#include <string.h>

static const char help[] =
    "usage: onnxcc opt FILE [options]\n\n"
    "Reads an .onnx model or an .ir dump, runs passes and prints the result on standard output.\n\n"
    "  --passes A,B,C        these passes; (A,B)* repeats until nothing changes; default: those of "
    "-O3\n"
    "  --stop-after STAGE    import, a pass, loops (kernels before their schedule), schedule,\n"
    "                        llvm, optimized (LLVM IR before and behind LLVM's passes) or "
    "assembly\n"
    "  --print-before PASS   print the graph before a pass, --print-after PASS|all behind it\n"
    "  --dump-dir FOLDER     a numbered .ir file behind every pass that changed something\n"
    "  --verify              check all invariants behind every pass\n"
    "  --time-passes         time and number of changes of every pass\n"
    "  --full                print constants whole: the output can be read back\n"
    "  --list                list the passes\n"
    "  --dim, --target, -O   as in `onnxcc compile`\n\n"
    "examples:\n"
    "  onnxcc opt model.onnx --passes canonicalise,fold --print-after all\n"
    "  onnxcc opt model.onnx --dump-dir dumps && onnxcc opt dumps/03-fold.ir --passes fuse\n";

static void print_kernel(void *user, const loop_kernel *k) {
    (void)user;
    loop_print(k, tool_write_stdout, NULL);
}

static int list_passes(void) {
    for (size_t i = 0; i < pass_count(); i++)
        printf("%-16s %s\n", pass_at(i)->name, pass_at(i)->help);
    for (int level = 0; level <= 3; level += 3)
        printf("-O%d: %s\n", level, pass_default_pipeline(level));
    return EXIT_DONE;
}

static bool print_graph(driver *d, bool full) {
    graph_print(d->graph, (graph_print_options){.elide_above = full ? SIZE_MAX : 16},
                tool_write_stdout, NULL);
    return true;
}

static bool print_code(driver *d, llvm_text_kind kind) {
    if (!d->machine.cpu)
        return diag_error(&d->diag, NULL, NULL, "`onnxcc compile` writes its C",
                          "there is no LLVM code for target %s", d->machine.name);
    llvm_options o = {.optimize = d->options->optimize};
    const char *text = llvm_text(d->program, &d->machine, o, kind, d->memory, &d->diag);
    if (text) fputs(text, stdout);
    return text != NULL;
}

/* What is printed once the model has come as far as `stop`; all but the last need a program. */
static bool print_stage(driver *d, const char *stop, bool full) {
    static const struct {
        const char *name;
        llvm_text_kind kind;
    } codes[] = {{"llvm", LLVM_TEXT_EMITTED},
                 {"optimized", LLVM_TEXT_OPTIMIZED},
                 {"assembly", LLVM_TEXT_ASSEMBLY}};
    for (size_t i = 0; stop && i < sizeof codes / sizeof *codes; i++)
        if (strcmp(stop, codes[i].name) == 0)
            return driver_build(d) && print_code(d, codes[i].kind);
    if (stop && strcmp(stop, "loops") == 0) return driver_build(d); /* prints each as it is made */
    if (!stop || strcmp(stop, "schedule") != 0) return print_graph(d, full);
    if (!driver_build(d)) return false;
    program_print(d->program, tool_write_stdout, NULL);
    return true;
}

static bool run_stages(driver *d, const char *path, const char *stop, bool full,
                       const driver_options *o) {
    if (!driver_open(d, path, o)) return false;
    if (stop && strcmp(stop, "import") == 0) return print_graph(d, full);
    return driver_optimize(d) && print_stage(d, stop, full);
}

static int run(int argc, char **argv) {
    tool_compile_options o = {0};
    const char *stop = NULL;
    bool full = false, list = false;
    tool_list rest = {.count = 0};
    tool_option options[20] = {{"--stop-after", &stop, NULL, NULL},
                               {"--full", NULL, NULL, &full},
                               {"--list", NULL, NULL, &list}};
    size_t count = 3 + tool_compile_table(&o, options + 3);
    int status = tool_parse(&tool_opt, argc, argv, options, count, &rest);
    if (status) return status < 0 ? EXIT_DONE : status;
    if (list) return list_passes();
    if (rest.count != 1) return tool_usage(&tool_opt, "one file is needed");
    if ((status = tool_compile_finish(&tool_opt, &o))) return status;
    o.driver.report.stop_after = stop;
    o.driver.report.write = tool_write_stdout;
    if (stop && strcmp(stop, "loops") == 0) o.driver.inspect = print_kernel;
    driver d = {0};
    driver_begin(&d);
    bool ok = run_stages(&d, rest.items[0], stop, full, &o.driver);
    tool_print_diagnostics(&d.diag);
    driver_close(&d);
    return ok ? EXIT_DONE : EXIT_INPUT;
}

const tool tool_opt = {"opt", "run passes, print and dump the IR", help, run};
