/* tuning.c: records of measured schedules. See tuning.h. */
#include "codegen/tuning.h"

#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

const char *tuning_key(loop_kernel *k, const target_machine *m, arena *a) {
    const char *name = k->name;
    k->name = "k";
    const char *text =
        arena_printf(a, "%s %d %s %s", ONNXCC_VERSION, TARGET_RANKING, m->name, loop_text(k, a));
    k->name = name;
    XXH128_hash_t h = XXH3_128bits(text, strlen(text));
    return arena_printf(a, "%016llx%016llx", (unsigned long long)h.high64,
                        (unsigned long long)h.low64);
}

const tuning_record *tuning_find(const tuning *t, const char *key) {
    for (size_t i = 0; i < t->records.count; i++)
        if (strcmp(t->records.data[i].key, key) == 0) return &t->records.data[i];
    return NULL;
}

void tuning_set(tuning *t, const char *key, int rank) {
    for (size_t i = 0; i < t->records.count; i++)
        if (strcmp(t->records.data[i].key, key) == 0) {
            t->records.data[i].rank = rank;
            return;
        }
    list_push(t->memory, &t->records, ((tuning_record){arena_strdup(t->memory, key), rank}));
}
