/* tool.h: the command. A subcommand is one row in main.c and one file; what it shares with others
 * is here. */
#ifndef ONNXCC_TOOLS_TOOL_H
#define ONNXCC_TOOLS_TOOL_H

#include "codegen/driver.h"

#include <stdio.h>

enum { EXIT_DONE = 0, EXIT_INPUT = 1, EXIT_USAGE = 2 };

typedef struct {
    const char *name;
    const char *summary; /* one line for the list of subcommands */
    const char *help;    /* usage, options, examples */
    int (*run)(int argc, char **argv);
} tool;

extern const tool tool_compile, tool_run, tool_test, tool_bench, tool_opt, tool_check, tool_inspect;

/* One option of a subcommand: "--name VALUE" or "--name=VALUE" sets *value (the last one wins); a
 * list collects every one; a flag takes none, or with a value as well, one behind "=". */
typedef struct {
    const char *name; /* with its dashes; "-O" takes its value without a space */
    const char **value;
    struct tool_list *list;
    bool *flag;
} tool_option;

typedef struct tool_list {
    const char *items[4096];
    size_t count;
} tool_list;

/* What the subcommands that compile have in common. */
typedef struct {
    const char *target, *name, *optimize, *passes, *print_before, *print_after, *dump_dir, *weights;
    tool_list dims;
    bool verify, time_passes;
    driver_options driver;
} tool_compile_options;

/* Parses argv[1..]; what is no option goes to `rest`. Returns EXIT_DONE, or EXIT_USAGE after a
 * message; --help prints `t->help` and returns -1. */
int tool_parse(const tool *t, int argc, char **argv, const tool_option *options, size_t count,
               tool_list *rest);
/* The options of tool_compile_options, for a table; `out` has room for 16. Returns how many there
 * are. */
size_t tool_compile_table(tool_compile_options *o, tool_option *out);
/* Fills in o->driver after parsing; EXIT_USAGE and a message if a value makes no sense. */
int tool_compile_finish(const tool *t, tool_compile_options *o);

int tool_usage(const tool *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A positive integer within limits; false if it is none. */
bool tool_number(const char *text, long low, long high, long *out);
void tool_print_diagnostics(diag *d);
/* A line of progress on standard error that replaces the last one; nothing unless that is a
 * terminal. Empty text clears it. */
void tool_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
void tool_write_stdout(void *user, const char *text, size_t n);

/* Inputs of a model for run and bench: from a test-data folder, from NAME=FILE settings (.pb,
 * .npy), else seeded random numbers of modest size; symbols without a tensor take their lower
 * bound, at least 1. False after a diagnostic. */
bool tool_load_inputs(driver *d, const char *folder, const tool_list *settings,
                      load_tensor_result *out);

/* What a file holds for an input or output of the model: `items` are its tensors. NULL and a
 * diagnostic if they are not as many as the compiled model has. */
const load_value *tool_load_port(driver *d, const char *path, const graph_port *port);
/* The folder of a data set: the one given, or the first data set of a test folder. NULL and a
 * diagnostic if there is none. */
const char *tool_data_folder(driver *d, const char *folder);

/* What a model is compiled for: any sizes, or those of test data, or also the values of the small
 * inputs that its shapes depend on. */
typedef enum { PIN_NOTHING, PIN_SIZES, PIN_VALUES } tool_pinning;
/* driver_open, optimize and build, with as little pinned to the data in `folder` (NULL: there is
 * none) as possible: `first`, and what pins more, up to `last`, while the model is refused. *out is
 * what was tried last. `options` must outlive `d`; what `d` allocated before is gone. */
bool tool_compile_for_data(driver *d, const char *model, driver_options *options,
                           const char *folder, tool_pinning first, tool_pinning last,
                           tool_pinning *out);

/* A pool of `threads` threads as a context; threads 1 gives one without a pool. */
typedef struct tool_threads tool_threads;
tool_threads *tool_threads_start(arena *a, long threads, onnxcc_context *context);
void tool_threads_stop(tool_threads *t);

#endif
