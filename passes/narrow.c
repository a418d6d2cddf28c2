/* narrow.c: bytes stay bytes. What only moves elements, or takes the greatest, does so in
 * front of DequantizeLinear and behind QuantizeLinear, on a quarter of the bytes; the two of one
 * scale in a row undo each other. One positive scale for all elements is what that needs. */
#include "passes/rewrite.h"

#include <string.h>

/* Scale and zero point of a DequantizeLinear or QuantizeLinear node. */
typedef struct {
    double scale, zero;
} linear;

/* False if they are no constants, one for all elements, of the sizes that undo each other: for a
 * scale that is a normal number, the quotient is within half of the integer that it came from. */
static bool read_linear(const graph *g, node_id n, linear *out) {
    const node *nd = graph_node(g, n);
    bool to_float = rewrite_is(g, n, "DequantizeLinear");
    value_id narrow = to_float ? nd->inputs[0] : nd->outputs[0];
    value_id wide = to_float ? nd->outputs[0] : nd->inputs[0], zero = graph_input(g, n, 2);
    dtype t = graph_type(g, narrow)->dtype;
    out->zero = 0;
    return (t == DTYPE_U8 || t == DTYPE_I8) && graph_type(g, wide)->dtype == DTYPE_F32 &&
           graph_type(g, nd->inputs[1])->dtype == DTYPE_F32 &&
           rewrite_scalar(g, nd->inputs[1], &out->scale) && out->scale > 0x1p-90 &&
           out->scale < 0x1p90 && (!zero || rewrite_scalar(g, zero, &out->zero));
}

/* QuantizeLinear of what DequantizeLinear makes with the same numbers is what there was. */
static bool undo(graph *g, node_id n) {
    linear back, forth;
    node_id made = rewrite_producer(g, graph_input(g, n, 0), "DequantizeLinear");
    if (!made || !read_linear(g, made, &back) || !read_linear(g, n, &forth)) return false;
    value_id x = graph_input(g, made, 0), y = graph_output(g, n, 0);
    if (back.scale != forth.scale || back.zero != forth.zero ||
        graph_type(g, x)->dtype != graph_type(g, y)->dtype || !rewrite_replace(g, y, x))
        return false;
    graph_remove_node(g, n);
    return true;
}

/* The operators that keep every element as it is, or the greatest of some. */
static bool keeps_elements(const graph *g, node_id n, bool as_many) {
    static const char *const all[] = {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten"};
    static const char *const some[] = {"MaxPool", "Slice", "Gather", "DepthToSpace"};
    const node *nd = graph_node(g, n);
    if (nd->output_count != 1) return false;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (rewrite_is(g, n, all[i])) return true;
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        if (!as_many && rewrite_is(g, n, some[i])) return true;
    return false;
}

/* The operator of `second` in front of that of `first`, which it reads; `between` has the
 * dimensions of what the one hands to the other. */
static bool exchange(graph *g, node_id first, node_id second, type between) {
    const node a = *graph_node(g, second), b = *graph_node(g, first);
    value_id y = a.outputs[0];
    value_id *inputs = ARENA_ARRAY(g->memory, value_id, a.input_count + b.input_count);
    memcpy(inputs, a.inputs, a.input_count * sizeof *inputs);
    inputs[0] = b.inputs[0];
    value_id middle = graph_build(g, a.region, second, a.op->domain, a.op->name, a.input_count,
                                  inputs, a.attr_count, a.attrs);
    if (!middle) return false;
    between.dtype = graph_type(g, middle)->dtype;
    graph_value(g, middle)->type = between;
    memcpy(inputs, b.inputs, b.input_count * sizeof *inputs);
    inputs[0] = middle;
    value_id made = graph_build(g, a.region, second, b.op->domain, b.op->name, b.input_count,
                                inputs, b.attr_count, b.attrs);
    if (!made) return false;
    graph_value(g, made)->type = *graph_type(g, y);
    rewrite_take_over(g, second, y, made);
    graph_remove_node(g, second);
    return true;
}

/* Moves of what DequantizeLinear makes move what it is made of. */
static bool move_before(graph *g, node_id n) {
    linear l;
    node_id made = rewrite_producer(g, graph_input(g, n, 0), "DequantizeLinear");
    return made && keeps_elements(g, n, false) && read_linear(g, made, &l) &&
           exchange(g, made, n, *graph_type(g, graph_output(g, n, 0)));
}

/* QuantizeLinear of what is moved is moved itself. */
static bool move_behind(graph *g, const uint32_t *uses, node_id n) {
    linear l;
    value_id x = graph_input(g, n, 0);
    node_id move = graph_value(g, x)->producer;
    return move && rewrite_used_once(uses, x) && keeps_elements(g, move, true) &&
           read_linear(g, n, &l) && exchange(g, move, n, *graph_type(g, graph_input(g, move, 0)));
}

static long visit(graph *g, const pass_options *options, const uint32_t *uses, node_id n) {
    (void)options;
    if (rewrite_is(g, n, "QuantizeLinear")) return undo(g, n) || move_behind(g, uses, n);
    return move_before(g, n);
}

static long run(graph *g, const pass_options *options) {
    if (rewrite_has_groups(g)) return 0;
    return rewrite_each(g, options, rewrite_count_uses(g), visit);
}

const pass_def pass_narrow = {"narrow", "moves on the integers that floats are made of", run};
