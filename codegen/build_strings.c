/* build_strings.c: constant strings. What a library keeps of them is a table without addresses
 * (n + 1 offsets from its beginning as u64, then the bytes), so that it stays position-independent;
 * a step at the start of the call makes the array of pointers and lengths that kernels read, in the
 * arena. */
#include "codegen/build_internal.h"

#include <string.h>

uint32_t build_string_table(builder *b, const char *name, const blob_string *strings,
                            size_t count) {
    uint64_t at = (count + 1) * sizeof at, bytes = at;
    for (size_t i = 0; i < count; i++) bytes += strings[i].length;
    uint64_t *table = arena_alloc(b->a, (size_t)bytes);
    for (size_t i = 0; i < count; i++) {
        table[i] = at;
        if (strings[i].length) memcpy((char *)table + at, strings[i].data, strings[i].length);
        at += strings[i].length;
    }
    table[count] = at;
    program_buffer made = {.name = name,
                           .place = PLACE_WEIGHT,
                           .bytes = dim_const(b->g->dims, (int64_t)bytes),
                           .data = table,
                           .element_bytes = 1};
    return build_add_buffer(b, made);
}

static void build_constant(builder *b, value_id v) {
    const value c = *graph_value(b->g, v);
    size_t count = c.constant->bytes / sizeof(blob_string);
    if (!count) return;
    uint32_t args[] = {build_buffer(b, v), build_string_table(b, c.name, c.constant->data, count)};
    int64_t *words = ARENA_ARRAY(b->a, int64_t, 1);
    words[0] = (int64_t)count;
    program_step *s = build_step(b, STEP_RUNTIME, "strings", args, 2);
    s->callee = "onnxcc_rt_strings";
    s->constants = words;
    s->constant_count = 1;
}

void build_string_constants(builder *b) {
    const uint32_t *uses = graph_count_uses(b->g);
    for (value_id v = 1; v < b->g->values.count; v++) {
        const value *c = graph_value(b->g, v);
        if (uses[v] && c->constant && c->type.dtype == DTYPE_STRING) build_constant(b, v);
    }
}
