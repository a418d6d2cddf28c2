/* options.c: reading the command line, and the options that several subcommands share. */
#include "tools/tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int tool_usage(const tool *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "onnxcc %s: ", t->name);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nTry `onnxcc %s --help`.\n", t->name);
    va_end(args);
    return EXIT_USAGE;
}

/* The option that `word` names, and its value if that is part of the word. */
static const tool_option *find_option(const tool_option *options, size_t count, const char *word,
                                      const char **value) {
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(options[i].name);
        if (strncmp(word, options[i].name, n) != 0) continue;
        bool glued = options[i].name[1] != '-' && word[n] && !options[i].flag;
        if (word[n] != '\0' && word[n] != '=' && !glued) continue;
        *value = word[n] == '=' ? word + n + 1 : glued ? word + n : NULL;
        return &options[i];
    }
    return NULL;
}

static bool set_option(const tool_option *o, const char *value) {
    if (o->value)
        *o->value = value;
    else if (o->list->count < sizeof o->list->items / sizeof *o->list->items)
        o->list->items[o->list->count++] = value;
    else
        return false;
    return true;
}

int tool_parse(const tool *t, int argc, char **argv, const tool_option *options, size_t count,
               tool_list *rest) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value = NULL;
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            fputs(t->help, stdout);
            return -1;
        }
        tool_list here = {.count = 0};
        if (word[0] != '-' || !word[1]) {
            if (rest->count == sizeof here.items / sizeof *here.items)
                return tool_usage(t, "too many arguments");
            rest->items[rest->count++] = word;
            continue;
        }
        const tool_option *o = find_option(options, count, word, &value);
        if (!o) return tool_usage(t, "there is no option %s", word);
        if (o->flag) {
            if (value && !o->value) return tool_usage(t, "%s takes no value", o->name);
            if (value) *o->value = value;
            *o->flag = true;
            continue;
        }
        if (!value && i + 1 < argc) value = argv[++i];
        if (!value) return tool_usage(t, "%s needs a value", o->name);
        if (!set_option(o, value)) return tool_usage(t, "%s is given too often", o->name);
    }
    return EXIT_DONE;
}

size_t tool_compile_table(tool_compile_options *o, tool_option *out) {
    const tool_option table[] = {{"--target", &o->target, NULL, NULL},
                                 {"--name", &o->name, NULL, NULL},
                                 {"-O", &o->optimize, NULL, NULL},
                                 {"--dim", NULL, &o->dims, NULL},
                                 {"--weights", &o->weights, NULL, NULL},
                                 {"--passes", &o->passes, NULL, NULL},
                                 {"--print-before", &o->print_before, NULL, NULL},
                                 {"--print-after", &o->print_after, NULL, NULL},
                                 {"--dump-dir", &o->dump_dir, NULL, NULL},
                                 {"--verify", NULL, NULL, &o->verify},
                                 {"--time-passes", NULL, NULL, &o->time_passes}};
    memcpy(out, table, sizeof table);
    return sizeof table / sizeof *table;
}

static void write_stderr(void *user, const char *text, size_t n) {
    (void)user;
    fwrite(text, 1, n, stderr);
}

int tool_compile_finish(const tool *t, tool_compile_options *o) {
    long level = 3;
    target_machine machine;
    if (o->optimize && !tool_number(o->optimize, 0, 3, &level))
        return tool_usage(t, "-O takes 0, 1, 2 or 3, not %s", o->optimize);
    if (o->target && !target_find(o->target, &machine))
        return tool_usage(t, "there is no target %s", o->target);
    if (o->weights && strcmp(o->weights, "embed") != 0 && strcmp(o->weights, "file") != 0)
        return tool_usage(t, "--weights takes embed or file, not %s", o->weights);
    for (size_t i = 0; i < o->dims.count; i++)
        if (!strchr(o->dims.items[i], '='))
            return tool_usage(t, "--dim takes SYMBOL=SIZE, not %s", o->dims.items[i]);
    o->driver = (driver_options){.target = o->target ? o->target : "native",
                                 .name = o->name,
                                 .dims = o->dims.items,
                                 .dim_count = o->dims.count,
                                 .optimize = (int)level,
                                 .passes = o->passes,
                                 .weights_in_file = o->weights && strcmp(o->weights, "file") == 0,
                                 .report = {.print_before = o->print_before,
                                            .print_after = o->print_after,
                                            .dump_dir = o->dump_dir,
                                            .verify = o->verify,
                                            .time_passes = o->time_passes,
                                            .write = write_stderr}};
    return EXIT_DONE;
}

bool tool_number(const char *text, long low, long high, long *out) {
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < low || n > high) return false;
    *out = n;
    return true;
}

void tool_print_diagnostics(diag *d) {
    tool_progress("%s", "");
    for (size_t i = 0; i < d->items.count; i++)
        if (d->items.data[i].severity != DIAG_NOTE)
            fprintf(stderr, "%s\n", diag_text(d, &d->items.data[i]));
}

void tool_progress(const char *format, ...) {
    if (!isatty(STDERR_FILENO)) return;
    va_list args;
    va_start(args, format);
    fputs("\r\033[K", stderr);
    vfprintf(stderr, format, args);
    fflush(stderr);
    va_end(args);
}

void tool_write_stdout(void *user, const char *text, size_t n) {
    (void)user;
    fwrite(text, 1, n, stdout);
}
