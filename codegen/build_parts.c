/* build_parts.c: operands of a concatenation that lie in its result from the start, so that nothing
 * is copied. That holds where they are one stretch of memory behind the other: all axes before the
 * joined one have one element, layouts are the same, and blocks of channels meet. An operand is a
 * part of one result alone; a concatenation of neighbours in a larger one (dense blocks make many)
 * is itself a part of that. Parts and wholes are never computed in place. */
#include "codegen/build_internal.h"
#include "codegen/plan.h"
#include "ir/op.h"

#include <string.h>

/* ---- layouts ---- */

/* Whether slices of a tensor along this axis are stretches of its memory. */
static bool is_sliced(const graph *g, const type *y, int axis) {
    for (int i = 0; i < axis; i++)
        if (!dim_equals_const(g->dims, y->dims[i], 1)) return false;
    return !y->layout || (y->layout->block_axis == axis && !y->layout->halo_before[axis] &&
                          !y->layout->halo_after[axis]);
}

/* Whether x, an operand of result y, fills whole blocks. */
static bool is_slice(const graph *g, const type *x, const type *y, int axis) {
    int64_t n;
    if (x->kind != TYPE_TENSOR || x->dtype != y->dtype ||
        !layout_equal(x->layout, y->layout, y->rank))
        return false;
    return !x->layout ||
           (dim_is_const(g->dims, x->dims[axis], &n) && n > 0 && n % x->layout->block == 0);
}

/* ---- values ---- */

/* Whether a kernel or a runtime function of the main region makes v in memory of its own, which no
 * caller sees. */
static bool has_own_memory(const builder *b, value_id v) {
    node_id p = graph_value(b->g, v)->producer;
    if (!p || b->last_use[v] == UINT32_MAX) return false;
    const node *nd = graph_node(b->g, p);
    bool branches =
        !*nd->op->domain && (strcmp(nd->op->name, "If") == 0 || strcmp(nd->op->name, "Loop") == 0);
    return nd->region == GRAPH_MAIN && !branches && !(nd->op->flags & OP_EFFECT) &&
           !build_is_view(b->g, p);
}

static dim bytes_of(const builder *b, value_id v) {
    return type_bytes(b->g->dims, graph_type(b->g, v));
}

static bool is_aligned(const builder *b, dim offset) {
    dim_table *t = b->g->dims;
    return dim_equals_const(t, dim_mod(t, offset, dim_const(t, PLAN_ALIGN)), 0);
}

/* ---- concatenations ---- */

/* Whether the node is a concatenation whose operands are slices of its result, each once. */
static bool joins_slices(const builder *b, node_id n) {
    const graph *g = b->g;
    const node *nd = graph_node(g, n);
    if (strcmp(nd->op->name, "Concat") != 0 || *nd->op->domain || !nd->outputs[0]) return false;
    const type *y = graph_type(g, nd->outputs[0]);
    int axis = (int)node_attr_int(nd, "axis", 0);
    if (axis < 0) axis += y->rank;
    if (y->dtype == DTYPE_STRING || dtype_bits(y->dtype) < 8 || !is_sliced(g, y, axis))
        return false;
    dim offset = dim_const(g->dims, 0);
    for (uint32_t i = 0; i < nd->input_count; i++) {
        if (!is_slice(g, graph_type(g, nd->inputs[i]), y, axis) || !is_aligned(b, offset))
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (nd->inputs[j] == nd->inputs[i]) return false;
        offset = dim_add(g->dims, offset, bytes_of(b, nd->inputs[i]));
    }
    return true;
}

/* The operands become parts of the result, unless some belong elsewhere. */
static bool claim(builder *b, const node *nd) {
    dim offset = dim_const(b->g->dims, 0);
    for (uint32_t i = 0; i < nd->input_count; i++)
        if (b->parts[nd->inputs[i]].whole || !has_own_memory(b, nd->inputs[i])) return false;
    for (uint32_t i = 0; i < nd->input_count; i++) {
        b->parts[nd->inputs[i]] = (value_part){nd->outputs[0], offset};
        offset = dim_add(b->g->dims, offset, bytes_of(b, nd->inputs[i]));
    }
    return true;
}

/* The result is a part of the whole whose neighbouring parts its operands are, if they are. */
static bool lies_within(builder *b, const node *nd) {
    dim_table *t = b->g->dims;
    const value_part first = b->parts[nd->inputs[0]];
    dim offset = first.offset;
    for (uint32_t i = 0; i < nd->input_count; i++) {
        const value_part *p = &b->parts[nd->inputs[i]];
        if (!p->whole || p->whole != first.whole || p->offset != offset) return false;
        offset = dim_add(t, offset, bytes_of(b, nd->inputs[i]));
    }
    b->parts[nd->outputs[0]] = first;
    return true;
}

void build_find_parts(builder *b) {
    const region *main = graph_region(b->g, GRAPH_MAIN);
    b->parts = ARENA_ARRAY(b->a, value_part, b->g->values.count);
    b->joined = ARENA_ARRAY(b->a, bool, b->g->nodes.count);
    /* The last one of a dense block is the largest: it comes first. */
    for (size_t i = main->nodes.count; i-- > 0;) {
        node_id n = main->nodes.data[i];
        const node *nd = graph_node(b->g, n);
        if (!joins_slices(b, n) || b->last_use[nd->outputs[0]] == UINT32_MAX) continue;
        bool own = b->parts[nd->outputs[0]].whole;
        b->joined[n] = (!own && lies_within(b, nd)) || claim(b, nd);
    }
}
