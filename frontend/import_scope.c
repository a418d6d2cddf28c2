/* import_scope.c: names of values, by open hashing, one table a graph. */
#include "frontend/import_internal.h"

#include <string.h>

static size_t hash(const char *s) {
    size_t h = 14695981039346656037u;
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
    return h;
}

static import_name *slot_of(const import_scope *s, const char *name) {
    size_t at = hash(name) & (s->slot_count - 1);
    while (s->slots[at].name && strcmp(s->slots[at].name, name) != 0)
        at = (at + 1) & (s->slot_count - 1);
    return &s->slots[at];
}

value_id import_find_name(const import_scope *s, const char *name) {
    for (; s; s = s->outer)
        if (s->slot_count && slot_of(s, name)->name) return slot_of(s, name)->value;
    return 0;
}

bool import_add_name(arena *a, import_scope *s, const char *name, value_id v) {
    if (s->count * 2 >= s->slot_count) {
        import_scope old = *s;
        s->slot_count = old.slot_count ? old.slot_count * 2 : 64;
        s->slots = ARENA_ARRAY(a, import_name, s->slot_count);
        for (size_t i = 0; i < old.slot_count; i++)
            if (old.slots[i].name) *slot_of(s, old.slots[i].name) = old.slots[i];
    }
    import_name *slot = slot_of(s, name);
    if (slot->name) return false;
    *slot = (import_name){name, v};
    s->count++;
    return true;
}
