/* tune_records.c: tuning records as a JSON file. It is read as a whole and replaced as a whole, so
 * that nobody sees half of one. */
#include "tools/tune.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const hint = "delete it, or name another one with --tune-cache";

const char *tune_default_path(arena *a) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache) return arena_printf(a, "%s/onnxcc/tuning.json", cache);
    return arena_printf(a, "%s/.cache/onnxcc/tuning.json", home ? home : ".");
}

bool tune_read(const char *path, tuning *t, diag *d) {
    json_error_t error;
    if (access(path, F_OK) != 0) return true;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error), *rank;
    const char *key;
    if (!root) return diag_error(d, path, NULL, hint, "no tuning records: %s", error.text);
    bool ok = json_is_object(root);
    json_object_foreach(root, key, rank) {
        json_int_t n = json_integer_value(rank);
        ok &= json_is_integer(rank) && n >= 0 && n < TARGET_RANKS;
        if (ok) tuning_set(t, key, (int)n);
    }
    json_decref(root);
    return ok || diag_error(d, path, NULL, hint, "no tuning records: keys with small numbers are");
}

bool tune_open(tuning *t, const char *path) {
    diag d;
    *t = (tuning){.memory = arena_create()};
    diag_init(&d, t->memory, NULL);
    bool ok = !path || tune_read(path, t, &d);
    tool_print_diagnostics(&d);
    if (!ok) tune_close(t);
    return ok;
}

void tune_close(tuning *t) {
    arena_destroy(t->memory);
}

/* All folders of a path but its last part. */
static void make_folders(const char *path, arena *a) {
    char *folder = arena_strdup(a, path);
    for (char *p = folder + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir(folder, 0777);
            *p = '/';
        }
}

bool tune_write(const char *path, const tuning *t, arena *a, diag *d) {
    const char *made = arena_printf(a, "%s.%ld", path, (long)getpid());
    json_t *root = json_object();
    for (size_t i = 0; i < t->records.count; i++)
        json_object_set_new(root, t->records.data[i].key, json_integer(t->records.data[i].rank));
    make_folders(path, a);
    bool ok =
        json_dump_file(root, made, JSON_INDENT(1) | JSON_SORT_KEYS) == 0 && rename(made, path) == 0;
    if (!ok) diag_error(d, path, NULL, NULL, "cannot write tuning records: %s", strerror(errno));
    if (!ok) unlink(made);
    json_decref(root);
    return ok;
}
