/* build_runtime.c: nodes whose rows name a function of the runtime. What the function is called
 * with, and in which order, is described at op_def.call and in runtime/README.md. */
#include "codegen/build_internal.h"
#include "ir/op.h"
#include "ir/schema.h"

#include <assert.h>
#include <string.h>

typedef struct {
    LIST(uint32_t) args;
    LIST(type) types;
    LIST(int64_t) words;
} call_parts;

static void add_operand(builder *b, call_parts *c, uint32_t buffer, type t) {
    list_push(b->a, &c->args, buffer);
    list_push(b->a, &c->types, t);
}

static void add_value(builder *b, call_parts *c, value_id v) {
    if (v)
        add_operand(b, c, build_buffer(b, v), *graph_type(b->g, v));
    else
        add_operand(b, c, PROGRAM_NO_BUFFER, (type){.kind = TYPE_NONE});
}

type build_bytes_type(builder *b, uint32_t buffer) {
    dim *dims = ARENA_ARRAY(b->a, dim, 1);
    *dims = b->p->buffers.data[buffer].bytes;
    return type_tensor(DTYPE_U8, 1, dims);
}

void build_runtime_step(builder *b, const char *callee, const char *label, const uint32_t *args,
                        const type *types, uint32_t input_count, uint32_t arg_count,
                        const int64_t *words, uint32_t word_count) {
    program_step *s = build_step(b, STEP_RUNTIME, label, args, arg_count);
    type *kept = ARENA_ARRAY(b->a, type, arg_count);
    int64_t *constants = ARENA_ARRAY(b->a, int64_t, word_count);
    if (arg_count) memcpy(kept, types, arg_count * sizeof *kept);
    if (word_count) memcpy(constants, words, word_count * sizeof *words);
    s->callee = callee;
    s->types = kept;
    s->input_count = input_count;
    s->constants = constants;
    s->constant_count = word_count;
}

/* ---- attributes ---- */

static int64_t bits_of(double f) {
    int64_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static void add_table(builder *b, call_parts *c, const attr *a) {
    const blob_string one = {a->string, a->count};
    const blob_string *strings = a->kind == ATTR_STRING ? &one : a->strings;
    size_t count = a->kind == ATTR_STRING ? 1 : a->count;
    uint32_t table = build_string_table(b, a->name, strings, count);
    add_operand(b, c, table, build_bytes_type(b, table));
}

static void add_attribute(builder *b, call_parts *c, const attr *a) {
    switch (a->kind) {
    case ATTR_INT: list_push(b->a, &c->words, a->i); break;
    case ATTR_FLOAT: list_push(b->a, &c->words, bits_of(a->f)); break;
    case ATTR_INTS:
    case ATTR_FLOATS:
        list_push(b->a, &c->words, (int64_t)a->count);
        for (size_t i = 0; i < a->count; i++)
            list_push(b->a, &c->words, a->kind == ATTR_INTS ? a->ints[i] : bits_of(a->floats[i]));
        break;
    case ATTR_STRING:
    case ATTR_STRINGS: add_table(b, c, a); break;
    case ATTR_TENSOR: add_value(b, c, a->tensors[0]); break;
    default: assert(!"attributes of this kind are not for runtime functions");
    }
}

/* An attribute that the node lacks: a number is 0, a list is empty, an operand is left out. */
static void add_missing(builder *b, call_parts *c, const node *n, const char *name) {
    const schema_op *s = schema_find(n->op->domain, n->op->name);
    const schema_attribute *a =
        s ? schema_find_attribute(&s->versions[s->version_count - 1], name) : NULL;
    assert(a && "an operator without a schema has all attributes that its function takes");
    if (a->kind == SCHEMA_STRING || a->kind == SCHEMA_STRINGS || a->kind == SCHEMA_TENSOR)
        add_value(b, c, 0);
    else
        list_push(b->a, &c->words, 0);
}

/* Attributes in the row's order. */
static void add_attributes(builder *b, call_parts *c, const node *n) {
    const char *at = n->op->call_attributes ? n->op->call_attributes : "";
    while (*at) {
        size_t length = strcspn(at, " ");
        const char *name = arena_strndup(b->a, at, length);
        const attr *a = node_attr(n, name);
        at += length + (at[length] == ' ');
        if (a)
            add_attribute(b, c, a);
        else
            add_missing(b, c, n, name);
    }
}

/* ---- the call ---- */

/* Whether the node runs more than once in a call. */
static bool is_repeated(const graph *g, node_id n) {
    for (region_id r = graph_node(g, n)->region; r != GRAPH_MAIN; r = graph_region(g, r)->parent)
        if (graph_region(g, r)->inputs.count) return true;
    return false;
}

/* As many inputs as the schema has; those that the node does not give count as left out, and what
 * the compiler put behind them is not for the function. */
static uint32_t operand_count(const node *n) {
    const schema_op *s = schema_find(n->op->domain, n->op->name);
    uint32_t most = s ? s->versions[s->version_count - 1].max_input : UINT16_MAX;
    return most < UINT16_MAX ? most : n->input_count;
}

bool build_runtime(builder *b, node_id id) {
    const node n = *graph_node(b->g, id);
    call_parts c = {0};
    for (uint32_t i = 0; i < operand_count(&n); i++) add_value(b, &c, graph_input(b->g, id, i));
    add_attributes(b, &c, &n);
    uint32_t input_count = (uint32_t)c.args.count;
    for (uint32_t i = 0; i < n.output_count; i++) add_value(b, &c, n.outputs[i]);
    if (n.op->flags & OP_POINTS && n.output_count > 1) {
        if (is_repeated(b->g, id))
            return op_error(b->g, id, NULL, "strings that are made in a loop are not supported");
        list_push(b->a, &b->kept, c.args.data[c.args.count - 1]);
    }
    if (n.op->scratch) {
        dim bytes = n.op->scratch(b->g, id);
        program_buffer made = {
            .name = "scratch", .place = PLACE_ARENA, .bytes = bytes, .element_bytes = 1};
        uint32_t scratch = build_add_buffer(b, made);
        add_operand(b, &c, scratch, build_bytes_type(b, scratch));
    }
    const char *callee = arena_printf(b->a, "onnxcc_rt_%s", n.op->call);
    build_runtime_step(b, callee, *n.name ? n.name : n.op->name, c.args.data, c.types.data,
                       input_count, (uint32_t)c.args.count, c.words.data, (uint32_t)c.words.count);
    return true;
}
