/* driver.c: the steps from a file to code, and what they need from each other. See driver.h. */
#include "codegen/driver.h"
#include "codegen/build.h"
#include "codegen/c/c.h"
#include "codegen/llvm/compile.h"
#include "codegen/package/package.h"
#include "frontend/import.h"
#include "ir/file.h"
#include "ir/op.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void driver_begin(driver *d) {
    *d = (driver){.memory = arena_create()};
    diag_init(&d->diag, d->memory, NULL);
}

void driver_close(driver *d) {
    if (d->files) import_close(d->files);
    arena_destroy(d->memory);
    *d = (driver){.memory = NULL};
}

/* ---- reading ---- */

/* The model's name as a C identifier: the file's name without its ending, or its folder's where the
 * file is just "model". */
static const char *name_from_path(arena *a, const char *path) {
    const char *base = strrchr(path, '/');
    const char *begin = base ? base + 1 : path, *end = strrchr(begin, '.');
    size_t n = end && end != begin ? (size_t)(end - begin) : strlen(begin);
    if (n == 5 && strncmp(begin, "model", 5) == 0 && base && base != path) {
        end = base;
        begin = base;
        while (begin > path && begin[-1] != '/') begin--;
        n = (size_t)(end - begin);
    }
    char *name = arena_strndup(a, begin, n);
    for (char *p = name; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", *p))
            *p = '_';
    return !*name || (*name >= '0' && *name <= '9') ? arena_printf(a, "m%s", name) : name;
}

static bool is_text(const char *path) {
    size_t n = strlen(path);
    return n > 3 && strcmp(path + n - 3, ".ir") == 0;
}

static bool read_text(driver *d, const char *path) {
    file_view v;
    const char *error;
    if (!file_map(path, &v, &error)) return diag_error(&d->diag, NULL, NULL, NULL, "%s", error);
    d->graph = graph_parse(d->memory, &d->diag, (const char *)v.data, v.size);
    file_unmap(v);
    return d->graph && graph_verify(d->graph, &d->diag, "parse");
}

bool driver_open(driver *d, const char *path, const driver_options *options) {
    double begin = now();
    d->options = options;
    d->diag.file = arena_strdup(d->memory, path);
    d->name = options->name ? options->name : name_from_path(d->memory, path);
    const char *target = options->target ? options->target : "native";
    if (!target_find(target, &d->machine))
        return diag_error(&d->diag, NULL, NULL, NULL, "there is no target %s", target);
    if (is_text(path)) {
        if (!read_text(d, path)) return false;
    } else {
        import_options o = {.dims = options->dims,
                            .dim_count = options->dim_count,
                            .pin_folder = options->pin_folder,
                            .pin_values = options->pin_values};
        d->graph = import_model(path, &o, d->memory, &d->diag, &d->files);
    }
    d->seconds += now() - begin;
    return d->graph && !d->diag.error_count;
}

/* ---- passes ---- */

static bool evaluate(void *user, graph *g, const value_id *values, size_t count, blob *data) {
    driver *d = user;
    target_machine here = d->machine;
    if (!here.cpu || !target_runs_here(&here)) target_find("native", &here);
    build_options o = {.name = "fold", .machine = &here, .optimize = 1};
    program *p = program_build_values(g, d->memory, &o, values, count);
    instance *i =
        p ? llvm_jit_instance(p, &here, (llvm_options){.optimize = 1}, d->memory, &d->diag) : NULL;
    instance_call call;
    if (!i || !instance_bind(i, NULL, 0, d->memory, &d->diag, &call)) return false;
    int status = instance_run(&call, NULL);
    instance_close(i);
    for (size_t j = 0; j < count; j++) data[j] = call.results[j].data;
    return status == ONNXCC_OK ||
           diag_error(&d->diag, NULL, NULL, NULL, "folding constants returned %s",
                      onnxcc_status_name(status));
}

bool driver_optimize(driver *d) {
    double begin = now();
    pass_options o = {.optimize = d->options->optimize,
                      .vector_block = d->machine.vector_bytes ? 16 : 0,
                      .evaluate = evaluate,
                      .user = d};
    const char *pipeline =
        d->options->passes ? d->options->passes : pass_default_pipeline(o.optimize);
    bool ok = pass_run_pipeline(d->graph, pipeline, &o, &d->options->report);
    d->seconds += now() - begin;
    return ok;
}

/* ---- code ---- */

/* Whether the target is C text instead of machine code. */
static bool is_c(const driver *d) {
    return !d->machine.cpu;
}

bool driver_build(driver *d) {
    double begin = now();
    build_options o = {.name = d->name,
                       .machine = &d->machine,
                       .optimize = d->options->optimize,
                       .tuning = d->options->tuning,
                       .inspect = d->options->inspect,
                       .user = d->options->inspect_user};
    d->program = program_build(d->graph, d->memory, &o);
    d->seconds += now() - begin;
    return d->program != NULL && !d->diag.error_count;
}

bool driver_compile(driver *d, const char *path, const driver_options *options) {
    driver_begin(d);
    return driver_open(d, path, options) && driver_optimize(d) && driver_build(d);
}

/* Code for other processors is compiled, but not run. */
static bool can_run(driver *d) {
    return target_runs_here(&d->machine) ||
           diag_error(&d->diag, NULL, NULL, "run it with --target native",
                      "this processor lacks instructions of %s", d->machine.name);
}

instance *driver_jit(driver *d) {
    if (is_c(d)) return driver_library(d);
    if (!can_run(d)) return NULL;
    double begin = now();
    instance *i =
        llvm_jit_instance(d->program, &d->machine, (llvm_options){.optimize = d->options->optimize},
                          d->memory, &d->diag);
    d->seconds += now() - begin;
    if (i) d->code_bytes = llvm_jit_code_bytes(i);
    return i;
}

/* ---- packages ---- */

/* The program for each machine of the target. They differ in schedules alone: weights, inputs,
 * outputs and arena are laid out the same. */
static size_t build_levels(driver *d, llvm_level *levels, target_machine *machines) {
    size_t count = target_levels(d->options->target, machines);
    if (count == 1) levels[0] = (llvm_level){d->program, &d->machine};
    for (size_t i = 0; count > 1 && i < count; i++) {
        build_options o = {.name = d->name,
                           .machine = &machines[i],
                           .optimize = d->options->optimize,
                           .tuning = d->options->tuning};
        program *p = program_build(d->graph, d->memory, &o);
        if (!p) return 0;
        levels[i] = (llvm_level){p, &machines[i]};
    }
    return count;
}

static bool write_objects(driver *d, const char *folder) {
    llvm_output out;
    llvm_level levels[TARGET_MAX_LEVELS];
    target_machine machines[TARGET_MAX_LEVELS];
    size_t count = build_levels(d, levels, machines);
    llvm_options o = {.optimize = d->options->optimize,
                      .weights_in_file = d->options->weights_in_file};
    if (!count || !llvm_compile(levels, count, o, d->memory, &d->diag, &out)) return false;
    d->code_bytes = out.code_bytes;
    package_content p = {.program = d->program,
                         .target = count > 1 ? d->options->target : d->machine.name,
                         .objects = out.objects,
                         .object_count = out.object_count,
                         .weights_in_file = d->options->weights_in_file,
                         .stack_bytes = out.stack_bytes};
    return package_write(&p, folder, d->memory, &d->diag);
}

static bool write_c(driver *d, const char *folder) {
    c_source source = c_write(d->program, d->options->weights_in_file, d->memory);
    package_content p = {.program = d->program,
                         .target = d->machine.name,
                         .c_source = source.text,
                         .c_source_bytes = source.bytes,
                         .weights_in_file = d->options->weights_in_file,
                         .stack_bytes = source.stack_bytes};
    return package_write(&p, folder, d->memory, &d->diag);
}

bool driver_write(driver *d, const char *folder) {
    double begin = now();
    bool ok = is_c(d) ? write_c(d, folder) : write_objects(d, folder);
    d->seconds += now() - begin;
    return ok;
}

/* ---- libraries in this process ---- */

typedef struct {
    void *handle;
    const char *folder;
} loaded;

static void remove_folder(const char *folder) {
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) unlinkat(dirfd(dir), e->d_name, 0);
    if (dir) closedir(dir);
    rmdir(folder);
}

static void release_library(instance *i) {
    loaded *l = i->owner;
    dlclose(l->handle);
}

/* Runs the system's C compiler: the archive, or the C file, as a shared object. */
static bool link_shared(driver *d, const char *folder, const char *out) {
    const char *archive = arena_printf(d->memory, "%s/lib%s.a", folder, d->name);
    const char *source = arena_printf(d->memory, "%s/%s.c", folder, d->name);
    const char *of_archive[] = {"cc",        "-shared",
                                "-nostdlib", "-o",
                                out,         "-Wl,--whole-archive",
                                archive,     "-Wl,--no-whole-archive",
                                "-lc",       NULL};
    const char *of_source[] = {"cc", "-std=c99", "-O2",  "-fPIC", "-shared",
                               "-o", out,        source, "-lm",   NULL};
    const char **arguments = is_c(d) ? of_source : of_archive;
    pid_t child;
    int status;
    extern char **environ;
    if (posix_spawnp(&child, "cc", NULL, NULL, (char **)(uintptr_t)arguments, environ) != 0)
        return diag_error(&d->diag, NULL, NULL, "install gcc or clang",
                          "there is no C compiler to link the library");
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
           diag_error(&d->diag, is_c(d) ? source : archive, NULL, NULL,
                      is_c(d) ? "compiling failed" : "linking the library failed");
}

instance *driver_library(driver *d) {
    if (!can_run(d)) return NULL;
    const char *temporary = getenv("TMPDIR");
    char *folder =
        arena_printf(d->memory, "%s/onnxcc.XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(folder)) {
        diag_error(&d->diag, folder, NULL, NULL, "cannot make a temporary folder: %s",
                   strerror(errno));
        return NULL;
    }
    const char *shared = arena_printf(d->memory, "%s/lib%s.so", folder, d->name);
    loaded *l = ARENA_NEW(d->memory, loaded);
    instance *i = ARENA_NEW(d->memory, instance);
    if (driver_write(d, folder) && link_shared(d, folder, shared)) {
        l->handle = dlopen(shared, RTLD_NOW | RTLD_LOCAL);
        if (!l->handle) diag_error(&d->diag, shared, NULL, NULL, "%s", dlerror());
    }
    remove_folder(folder);
    if (!l->handle) return NULL;
    void *symbol = dlsym(l->handle, arena_printf(d->memory, "%s_run", d->name));
    *i = (instance){.program = d->program, .release = release_library, .owner = l};
    memcpy(&i->run, &symbol, sizeof symbol);
    if (symbol) return i;
    diag_error(&d->diag, shared, NULL, NULL, "the library lacks its function");
    return NULL;
}
