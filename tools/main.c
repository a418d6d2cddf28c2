/* main.c: the onnxcc command: the table of subcommands, and help. */
#include "tools/tool.h"

#include <string.h>

static const tool *const tools[] = {&tool_compile, &tool_run,   &tool_test,   &tool_bench,
                                    &tool_opt,     &tool_check, &tool_inspect};
enum { TOOL_COUNT = sizeof tools / sizeof *tools };

static int print_help(FILE *to, int status) {
    fputs("usage: onnxcc SUBCOMMAND [options]\n\n"
          "Compiles ONNX models into static libraries that need nothing else.\n\n",
          to);
    for (int i = 0; i < TOOL_COUNT; i++)
        fprintf(to, "  %-9s %s\n", tools[i]->name, tools[i]->summary);
    fputs("\n`onnxcc SUBCOMMAND --help` has the options and examples.\n"
          "A first run:  onnxcc compile model.onnx -o out\n",
          to);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 2) return print_help(stderr, EXIT_USAGE);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return print_help(stdout, EXIT_DONE);
    if (strcmp(argv[1], "--version") == 0) {
        puts("onnxcc " ONNXCC_VERSION);
        return EXIT_DONE;
    }
    for (int i = 0; i < TOOL_COUNT; i++)
        if (strcmp(argv[1], tools[i]->name) == 0) return tools[i]->run(argc - 1, argv + 1);
    fprintf(stderr, "onnxcc: there is no subcommand %s\n\n", argv[1]);
    return print_help(stderr, EXIT_USAGE);
}
