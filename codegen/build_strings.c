/* build_strings.c: constant strings. What a library keeps of them is a table without addresses
 * (n + 1 offsets from its beginning as u64, then the bytes), so that it stays position-independent;
 * a step at the start of the call makes the array of pointers and lengths that kernels read, in the
 * arena. */
#include "codegen/build_internal.h"

#include <string.h>

uint32_t build_string_table(builder *b, const char *name, const blob_string *strings,
                            size_t count) {
    blob table = blob_string_table(b->a, strings, count);
    program_buffer made = {.name = name,
                           .place = PLACE_WEIGHT,
                           .bytes = dim_const(b->g->dims, (int64_t)table.bytes),
                           .data = table.data,
                           .element_bytes = 1};
    return build_add_buffer(b, made);
}

static void build_constant(builder *b, value_id v) {
    const value c = *graph_value(b->g, v);
    size_t count = c.constant->bytes / sizeof(blob_string);
    if (!count) return;
    uint32_t args[] = {build_string_table(b, c.name, c.constant->data, count), build_buffer(b, v)};
    const type types[] = {build_bytes_type(b, args[0]), c.type};
    build_runtime_step(b, "onnxcc_rt_strings", "strings", args, types, 1, 2, NULL, 0);
}

void build_string_constants(builder *b) {
    const uint32_t *uses = graph_count_uses(b->g);
    for (value_id v = 1; v < b->g->values.count; v++) {
        const value *c = graph_value(b->g, v);
        if (uses[v] && c->constant && c->type.dtype == DTYPE_STRING) build_constant(b, v);
    }
}
