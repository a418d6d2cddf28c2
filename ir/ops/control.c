/* control.c: types of If, Loop and Scan, from their regions. Regions run as steps of the program,
 * so there are no loops here. A dimension that differs between branches or iterations becomes a
 * symbol.
 */
#include "ir/ops/kit.h"

#include <string.h>

/* Attribute of a loop whose stacked results have room for more iterations than there may be. */
#define HAS_ROOM "has_room"

/* ---- types ---- */

static const type *region_input_type(graph *g, region_id r, size_t i) {
    return graph_type(g, graph_region(g, r)->inputs.data[i]);
}

static const type *region_output_type(graph *g, region_id r, size_t i) {
    return graph_type(g, graph_region(g, r)->outputs.data[i]);
}

static void set_region_input(graph *g, region_id r, size_t i, type t) {
    graph_value(g, graph_region(g, r)->inputs.data[i])->type = t;
}

/* Forgets what earlier inference said about the values of a region. */
static void forget_types(graph *g, region_id r) {
    for (size_t i = 0; i < graph_region(g, r)->nodes.count; i++) {
        const node n = *graph_node(g, graph_region(g, r)->nodes.data[i]);
        for (uint32_t j = 0; j < n.output_count; j++) {
            if (!n.outputs[j]) continue;
            graph_value(g, n.outputs[j])->type = (type){0};
            graph_value(g, n.outputs[j])->elements = NULL;
            graph_value(g, n.outputs[j])->list = NULL;
        }
        for (uint32_t j = 0; j < n.attr_count; j++)
            if (n.attrs[j].kind == ATTR_REGION) forget_types(g, (region_id)n.attrs[j].i);
    }
}

/* ---- If ---- */

static bool infer_if(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const type *condition = kit_input(g, n, 0);
    if (!condition || condition->kind != TYPE_TENSOR || condition->dtype != DTYPE_BOOL)
        return op_error(g, n, NULL, "the condition must be a bool");
    region_id branches[] = {node_attr_region(&nd, "then_branch"),
                            node_attr_region(&nd, "else_branch")};
    for (int b = 0; b < 2; b++) {
        if (!branches[b]) return op_error(g, n, NULL, "a branch is missing");
        size_t results = graph_region(g, branches[b])->outputs.count;
        if (results != nd.output_count)
            return op_error(g, n, NULL, "a branch has %zu results, the node has %u", results,
                            nd.output_count);
    }
    for (uint32_t i = 0; i < nd.output_count; i++) {
        if (!nd.outputs[i]) continue;
        const type *a = region_output_type(g, branches[0], i);
        const type *b = region_output_type(g, branches[1], i);
        bool known = type_is_known(a) && type_is_known(b);
        if (!known && g->pending) continue;
        if (!known)
            return op_error(g, n, NULL, "the type of result %u of a branch is not known", i);
        type t;
        if (!kit_cover(g, a, b, graph_type(g, nd.outputs[i]), &t))
            return op_error(g, n, NULL,
                            "result %u has element type %s and %d axes in one branch, %s and %d in "
                            "the other",
                            i, dtype_name(a->dtype), a->rank, dtype_name(b->dtype), b->rank);
        op_set_type(g, n, i, t);
    }
    return true;
}

/* ---- If whose branches differ in size ---- */

/* How large a result of both branches can be, where that is constant; false if it need not be
 * asked: the branches agree, or nothing bounds them. */
static bool room_of_branches(graph *g, const type *a, const type *b, int64_t *room) {
    size_t symbols = dim_symbol_count(g->dims);
    bool *kept = ARENA_ARRAY(g->memory, bool, symbols + 1), differ = false;
    for (dim_symbol s = 0; s < symbols; s++) kept[s] = graph_is_from_caller(g, s);
    if (a->kind != TYPE_TENSOR || b->kind != TYPE_TENSOR || a->rank != b->rank || a->rank < 1 ||
        a->dtype == DTYPE_STRING)
        return false;
    for (int i = 0; i < a->rank; i++) {
        dim open, size[] = {a->dims[i], b->dims[i]};
        int64_t most[2];
        differ |= size[0] != size[1];
        for (int j = 0; j < 2; j++)
            if (!dim_has_upper(g->dims, size[j], kept, &open) ||
                !dim_is_const(g->dims, dim_upper(g->dims, size[j], kept), &most[j]))
                return false;
        room[i] = most[0] > most[1] ? most[0] : most[1];
    }
    return differ;
}

/* Result i of a branch becomes one of the size `room`, the rest of it zeros; its own sizes become a
 * result behind all others. */
static bool give_room(graph *g, node_id n, region_id branch, uint32_t i, const int64_t *room) {
    value_id v = graph_region(g, branch)->outputs.data[i];
    const type t = *graph_type(g, v);
    const int64_t rank = t.rank, zeros[TENSOR_MAX_RANK] = {0};
    value_id shape = graph_build(g, branch, 0, "", "Shape", 1, &v, 0, NULL);
    value_id all = graph_add_constant_ints(g, "room", DTYPE_I64, 1, &rank, room);
    value_id made;
    if (dim_equals_const(g->dims, type_elements(g->dims, &t), 0)) {
        double zero = 0;
        value_id number = graph_add_constant_floats(g, "none", DTYPE_F32, 0, NULL, &zero);
        number = kit_build_cast(g, n, number, t.dtype);
        made = graph_build(g, branch, 0, "", "Expand", 2, (value_id[]){number, all}, 0, NULL);
    } else {
        attr axis = attr_int("axis", 0);
        value_id more = graph_build(g, branch, 0, "", "Sub", 2, (value_id[]){all, shape}, 0, NULL);
        value_id none = graph_add_constant_ints(g, NULL, DTYPE_I64, 1, &rank, zeros);
        value_id pads[] = {
            v, more ? graph_build(g, branch, 0, "", "Concat", 2, (value_id[]){none, more}, 1, &axis)
                    : 0};
        made = pads[1] ? graph_build(g, branch, 0, "", "Pad", 2, pads, 0, NULL) : 0;
    }
    if (!shape || !made) return false;
    region *r = graph_region(g, branch);
    r->outputs.data[i] = made;
    list_push(g->memory, &r->outputs, shape);
    return true;
}

/* The result of its true size, for output i of node n. */
static bool take_size(graph *g, node_id n, uint32_t i, value_id made, value_id sizes,
                      const int64_t *room) {
    const int64_t zeros[TENSOR_MAX_RANK] = {0};
    value_id old = graph_output(g, n, i);
    const type t = *graph_type(g, old);
    for (int j = 0; j < t.rank; j++) {
        dim_symbol s =
            dim_op_of(g->dims, t.dims[j]) == DIM_SYMBOL ? dim_symbol_of(g->dims, t.dims[j]) : 0;
        if (dim_op_of(g->dims, t.dims[j]) == DIM_SYMBOL && !dim_symbol_limit(g->dims, s))
            dim_set_limit(g->dims, s, kit_dim(g, room[j]));
    }
    value_id slice[] = {made, kit_ints(g, zeros, t.rank), sizes};
    value_id out = kit_build(g, n, "Slice", 3, slice, 0, NULL);
    if (!out) return false;
    kit_replace_told(g, old, out);
    return true;
}

/* Results whose branches differ in size get room for the larger one, and are cut to the sizes that
 * the branch which ran tells. */
static bool expand_if(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    region_id branches[] = {node_attr_region(&nd, "then_branch"),
                            node_attr_region(&nd, "else_branch")};
    int64_t(*room)[TENSOR_MAX_RANK] = arena_alloc(g->memory, sizeof *room * (nd.output_count + 1));
    bool *differs = ARENA_ARRAY(g->memory, bool, nd.output_count + 1), some = false;
    for (uint32_t i = 0; i < nd.output_count; i++) {
        differs[i] =
            nd.outputs[i] && room_of_branches(g, region_output_type(g, branches[0], i),
                                              region_output_type(g, branches[1], i), room[i]);
        some |= differs[i];
    }
    if (!some) return false;
    value_id *made = ARENA_ARRAY(g->memory, value_id, 2 * (size_t)nd.output_count);
    uint32_t count = nd.output_count;
    for (uint32_t i = 0; i < nd.output_count; i++) {
        if (nd.outputs[i]) made[i] = graph_add_value(g, NULL, (type){0});
        if (!differs[i]) continue;
        made[count++] = graph_add_value(g, "sizes", (type){0});
        for (int b = 0; b < 2; b++)
            if (!give_room(g, n, branches[b], i, room[i])) return false;
    }
    node_id whole = graph_add_node(g, nd.region, n, nd.op, nd.name, nd.input_count, nd.inputs,
                                   count, made, nd.attr_count, nd.attrs);
    graph_node(g, whole)->source = nd.source;
    for (int b = 0; b < 2; b++) graph_region(g, branches[b])->owner = whole;
    if (!op_infer(g, whole)) return false;
    for (uint32_t i = 0, at = nd.output_count; i < nd.output_count; i++) {
        if (!differs[i]) {
            if (nd.outputs[i]) kit_replace(g, nd.outputs[i], made[i]);
        } else if (!take_size(g, n, i, made[i], made[at++], room[i])) {
            return false;
        }
    }
    graph_node(g, n)->attr_count = 0; /* the branches have another owner */
    graph_remove_node(g, n);
    return true;
}

/* ---- state that goes round ---- */

/* Infers a body whose inputs from `first` on are `count` states; state i begins as input
 * `initial + i` of the node and is result `result + i` of the body. Dimensions that an iteration
 * changes become symbols; those that an earlier inference found stay. */
static bool infer_states(graph *g, node_id n, region_id body, size_t first, size_t count,
                         uint32_t initial, size_t result) {
    enum { ROUNDS = 3 };
    const node nd = *graph_node(g, n);
    type *earlier = ARENA_ARRAY(g->memory, type, count);
    bool known = true;
    for (size_t i = 0; i < count; i++) {
        value_id v = nd.inputs[initial + i];
        if (!v) return op_error(g, n, NULL, "the initial value of state %zu is missing", i);
        earlier[i] = *region_input_type(g, body, first + i);
        type t;
        known &= type_is_known(&earlier[i]) &&
                 kit_cover(g, &earlier[i], graph_type(g, v), &earlier[i], &t) &&
                 type_equal(&t, &earlier[i]);
    }
    for (size_t i = 0; !known && i < count; i++)
        set_region_input(g, body, first + i, *graph_type(g, nd.inputs[initial + i]));
    for (int round = 0; round < ROUNDS; round++) {
        if (round || !known) forget_types(g, body);
        if (!op_infer_region(g, body)) return false;
        bool stable = true;
        for (size_t i = 0; i < count; i++) {
            type before = *region_input_type(g, body, first + i), t;
            const type *after = region_output_type(g, body, result + i);
            if (!type_is_known(after) && g->pending) continue;
            if (!type_is_known(after) || !kit_cover(g, &before, after, &earlier[i], &t))
                return op_error(g, n, NULL, "state %zu changes its element type or number of axes",
                                i);
            if (type_equal(&before, &t)) continue;
            set_region_input(g, body, first + i, t);
            stable = false;
        }
        if (stable) return true;
    }
    return op_error(g, n, NULL, "the dimensions of the states do not settle");
}

/* ---- Loop ---- */

static bool constant_true(graph *g, value_id v) {
    size_t count;
    int64_t known;
    const dim *elements = graph_elements(g, v, &count);
    return elements && count == 1 && graph_type(g, v)->dtype == DTYPE_BOOL &&
           dim_is_const(g->dims, elements[0], &known) && known;
}

/* Whether the body never ends the loop before its trip count. */
static bool runs_out(graph *g, node_id n, region_id body) {
    value_id start = graph_input(g, n, 1), go_on = graph_region(g, body)->outputs.data[0];
    if (start && !constant_true(g, start)) return false;
    while (graph_value(g, go_on)->producer) {
        node_id p = graph_value(g, go_on)->producer;
        if (strcmp(graph_node(g, p)->op->name, "Identity") != 0) break;
        go_on = graph_input(g, p, 0);
    }
    return constant_true(g, go_on) || go_on == graph_region(g, body)->inputs.data[1];
}

/* The greatest number of iterations as a dimension, where shapes and constants tell it. */
static dim most_trips(graph *g, node_id n) {
    size_t count = 0;
    value_id limit = graph_input(g, n, 0);
    const dim *elements = limit ? graph_elements(g, limit, &count) : NULL;
    return elements && count ? dim_max(g->dims, elements[0], kit_dim(g, 0)) : DIM_NONE;
}

/* The number of iterations as a dimension; where only the run tells it, it is the first one of
 * `output` (expand_loop). */
static dim trip_count(graph *g, node_id n, region_id body, uint32_t output, int rank) {
    const type *old = graph_type(g, graph_output(g, n, output));
    if (node_attr(graph_node(g, n), HAS_ROOM) && old->kind == TYPE_TENSOR && old->rank == rank)
        return old->dims[0];
    dim most = most_trips(g, n);
    if (most && runs_out(g, n, body)) return most;
    return kit_told_dim(g, n, output, rank, 0, most);
}

/* A tensor type with an axis of `size` put in at `axis`. */
static type with_axis(graph *g, const type *t, int axis, dim size) {
    dim *dims = ARENA_ARRAY(g->memory, dim, (size_t)t->rank + 1);
    for (int i = 0; i <= t->rank; i++) dims[i] = i == axis ? size : t->dims[i < axis ? i : i - 1];
    return type_tensor(t->dtype, t->rank + 1, dims);
}

static bool stackable(graph *g, node_id n, const type *t, size_t i) {
    if (!type_is_known(t) && g->pending) return true;
    if (t->kind == TYPE_TENSOR && t->rank >= 0 && t->rank < TENSOR_MAX_RANK) return true;
    return op_error(g, n, NULL, "result %zu of the body is no tensor that could be stacked", i);
}

static bool carries_list(graph *g, node_id n, size_t states) {
    bool carries = false;
    for (uint32_t i = 0; i < states; i++) {
        const type *t = kit_input(g, n, i + 2);
        carries |= t && t->kind != TYPE_TENSOR && t->kind != TYPE_NONE;
    }
    return carries;
}

/* Whether the number of iterations is a constant. */
static bool constant_trips(graph *g, node_id n, region_id body) {
    int64_t trips;
    dim most = most_trips(g, n);
    return most && dim_is_const(g->dims, most, &trips) && runs_out(g, n, body);
}

/* A loop that carries a sequence will be written out, and so will one whose states have shapes of
 * their own in each of a constant number of iterations: what a body cannot do for all iterations at
 * once it may well do in each. Its results then are of unknown shape for now. */
static bool infer_body(graph *g, node_id n, region_id body, size_t states) {
    const size_t items = g->diag->items.count, errors = g->diag->error_count;
    if (infer_states(g, n, body, 2, states, 2, 1)) return true;
    bool lists = g->pending && carries_list(g, n, states);
    if (!lists && !constant_trips(g, n, body)) return false;
    g->pending = true;
    g->diag->items.count = items;
    g->diag->error_count = errors;
    forget_types(g, body);
    for (size_t i = 0; i < states; i++) {
        type t = *graph_type(g, graph_input(g, n, (uint32_t)i + 2));
        type *open = ARENA_NEW(g->memory, type);
        *open = t.kind == TYPE_TENSOR ? t : *t.element;
        open->rank = -1;
        if (t.kind == TYPE_TENSOR)
            t = *open;
        else
            t.element = open;
        set_region_input(g, body, i + 2, t);
    }
    return true;
}

static bool infer_loop(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    region_id body = node_attr_region(&nd, "body");
    if (!body) return op_error(g, n, NULL, "the body is missing");
    size_t states = nd.input_count > 2 ? nd.input_count - 2 : 0;
    size_t results = graph_region(g, body)->outputs.count;
    if (graph_region(g, body)->inputs.count != states + 2 || results < states + 1 ||
        results != (size_t)nd.output_count + 1)
        return op_error(g, n, NULL, "the body's inputs and results do not fit the node's");
    set_region_input(g, body, 0, type_tensor(DTYPE_I64, 0, NULL));
    set_region_input(g, body, 1, type_tensor(DTYPE_BOOL, 0, NULL));
    if (!infer_body(g, n, body, states)) return false;
    for (uint32_t i = 0; i < nd.output_count; i++) {
        if (i < states) {
            op_set_type(g, n, i, *region_input_type(g, body, i + 2));
            continue;
        }
        const type t = *region_output_type(g, body, i + 1);
        if (!nd.outputs[i]) continue;
        if (!stackable(g, n, &t, i + 1)) return false;
        if (!type_is_known(&t)) continue;
        op_set_type(g, n, i, with_axis(g, &t, 0, trip_count(g, n, body, i, t.rank + 1)));
    }
    return true;
}

/* ---- Loop whose number of iterations only the run tells ---- */

/* The largest that a dimension can be, as one to plan memory with; DIM_NONE if nothing bounds it.
 */
static dim room_for(graph *g, dim size) {
    if (dim_op_of(g->dims, size) != DIM_SYMBOL) return size;
    dim limit = dim_symbol_limit(g->dims, dim_symbol_of(g->dims, size));
    int64_t high = dim_high(g->dims, size);
    if (high < DIM_MAX) return kit_dim(g, high);
    return limit ? limit : graph_is_from_caller(g, dim_symbol_of(g->dims, size)) ? size : DIM_NONE;
}

/* The body counts its iterations in a state behind the others. */
static value_id count_iterations(graph *g, region_id body, size_t states) {
    const int64_t one = 1;
    value_id step = graph_add_constant_ints(g, NULL, DTYPE_I64, 0, NULL, &one);
    value_id both[] = {graph_region(g, body)->inputs.data[0], step};
    value_id next = graph_build(g, body, 0, "", "Add", 2, both, 0, NULL);
    value_id before = graph_add_value(g, "count", type_tensor(DTYPE_I64, 0, NULL));
    if (!next) return 0;
    region *r = graph_region(g, body);
    list_push(g->memory, &r->inputs, before);
    list_push(g->memory, &r->outputs, 0);
    for (size_t i = r->outputs.count; i-- > states + 2;)
        r->outputs.data[i] = r->outputs.data[i - 1];
    r->outputs.data[states + 1] = next;
    return next;
}

/* Stacks into results with room for the most iterations, and takes as many of them as there were.
 */
static bool expand_loop(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    region_id body = node_attr_region(&nd, "body");
    size_t states = nd.input_count > 2 ? nd.input_count - 2 : 0;
    if (node_attr(&nd, HAS_ROOM) || nd.output_count == states) return false;
    if (most_trips(g, n) && runs_out(g, n, body)) return false;
    value_id *made = ARENA_ARRAY(g->memory, value_id, nd.output_count + 1);
    value_id *inputs = ARENA_ARRAY(g->memory, value_id, states + 3);
    const int64_t zero = 0;
    for (uint32_t i = 0; i < nd.output_count; i++) {
        type t = nd.outputs[i] ? *graph_type(g, nd.outputs[i]) : (type){0};
        if (i >= states && nd.outputs[i]) {
            dim room = room_for(g, t.dims[0]);
            if (!room) return false;
            const type item = type_tensor(t.dtype, t.rank - 1, t.dims + 1);
            t = with_axis(g, &item, 0, room);
        }
        if (nd.outputs[i]) made[i + (i >= states)] = graph_add_value(g, NULL, t);
    }
    made[states] = graph_add_value(g, "iterations", type_tensor(DTYPE_I64, 0, NULL));
    memcpy(inputs, nd.inputs, nd.input_count * sizeof *inputs);
    inputs[states + 2] = graph_add_constant_ints(g, NULL, DTYPE_I64, 0, NULL, &zero);
    if (!count_iterations(g, body, states)) return false;
    attr attrs[] = {{.name = "body", .kind = ATTR_REGION, .i = body}, attr_int(HAS_ROOM, 1)};
    node_id loop = graph_add_node(g, nd.region, n, nd.op, nd.name, (uint32_t)states + 3, inputs,
                                  nd.output_count + 1, made, 2, attrs);
    graph_node(g, loop)->source = nd.source;
    graph_region(g, body)->owner = loop;
    if (!op_infer(g, loop)) return false;
    value_id count = kit_build_reshape(g, n, made[states], (const int64_t[]){1}, 1);
    for (uint32_t i = 0; i < nd.output_count; i++) {
        if (!nd.outputs[i]) continue;
        value_id slice[] = {made[i + 1], kit_ints(g, &zero, 1), count, kit_ints(g, &zero, 1)};
        value_id out = i < states ? made[i] : kit_build(g, n, "Slice", 4, slice, 0, NULL);
        if (!out) return false;
        kit_replace_told(g, nd.outputs[i], out);
    }
    graph_node(g, n)->attr_count = 0; /* the body has another owner */
    graph_remove_node(g, n);
    return true;
}

/* ---- Scan ---- */

/* Element i of an axis list of Scan: 0 where the attribute is absent. */
static bool scan_axis(graph *g, node_id n, const char *name, size_t i, int rank, int *axis) {
    size_t count;
    const int64_t *axes = node_attr_ints(graph_node(g, n), name, &count);
    if (axes && count && i >= count)
        return op_error(g, n, NULL, "attribute %s has too few elements", name);
    return op_axis(g, n, axes && count ? axes[i] : 0, rank, axis);
}

/* Sets the type of the body's input for scan input `i`; `length` becomes the number of steps. */
static bool slice_input(graph *g, node_id n, region_id body, size_t i, size_t states, dim *length) {
    const type *t = kit_input(g, n, (uint32_t)(states + i));
    int axis;
    if (!t || t->kind != TYPE_TENSOR || t->rank < 1)
        return op_error(g, n, NULL, "scan input %zu is no tensor with an axis", i);
    if (!scan_axis(g, n, "scan_input_axes", i, t->rank, &axis)) return false;
    if (*length && !kit_agree(g, n, *length, t->dims[axis], "lengths of scan inputs")) return false;
    if (!*length || dim_is_const(g->dims, t->dims[axis], NULL)) *length = t->dims[axis];
    dim *dims = ARENA_ARRAY(g->memory, dim, (size_t)t->rank);
    for (int a = 0, to = 0; a < t->rank; a++)
        if (a != axis) dims[to++] = t->dims[a];
    set_region_input(g, body, states + i, type_tensor(t->dtype, t->rank - 1, dims));
    return true;
}

static bool infer_scan(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    region_id body = node_attr_region(&nd, "body");
    if (!body) return op_error(g, n, NULL, "the body is missing");
    int64_t scans = node_attr_int(&nd, "num_scan_inputs", 0);
    if (scans < 1 || scans > nd.input_count)
        return op_error(g, n, NULL, "attribute num_scan_inputs is %lld", (long long)scans);
    size_t states = nd.input_count - (size_t)scans;
    if (graph_region(g, body)->inputs.count != nd.input_count ||
        graph_region(g, body)->outputs.count != nd.output_count || nd.output_count < states)
        return op_error(g, n, NULL, "the body's inputs and results do not fit the node's");
    dim length = DIM_NONE;
    for (size_t i = 0; i < (size_t)scans; i++)
        if (!slice_input(g, n, body, i, states, &length)) return false;
    if (!infer_states(g, n, body, 0, states, 0, 0)) return false;
    for (uint32_t i = 0; i < nd.output_count; i++) {
        if (i < states) {
            op_set_type(g, n, i, *region_input_type(g, body, i));
            continue;
        }
        const type t = *region_output_type(g, body, i);
        int axis;
        if (!stackable(g, n, &t, i) ||
            !scan_axis(g, n, "scan_output_axes", i - states, t.rank + 1, &axis))
            return false;
        if (!type_is_known(&t)) continue;
        op_set_type(g, n, i, with_axis(g, &t, axis, length));
    }
    return true;
}

/* ---- Scan as Loop ---- */

/* The length of axis `axis` of v as a scalar, in front of node n. */
static value_id length_of(graph *g, node_id n, value_id v, int axis) {
    attr range[] = {attr_int("start", axis), attr_int("end", axis + 1)};
    value_id shape = kit_build(g, n, "Shape", 1, &v, 2, range);
    return kit_build_reshape(g, n, shape, NULL, 0);
}

/* The body's input for scan input `i` becomes an element of that, picked by the iteration. */
static bool pick_element(graph *g, node_id n, region_id body, size_t i, size_t states,
                         value_id iteration) {
    const node nd = *graph_node(g, n);
    value_id x = nd.inputs[states + i], element = graph_region(g, body)->inputs.data[states + i];
    node_id first = graph_region(g, body)->nodes.count ? graph_region(g, body)->nodes.data[0] : 0;
    size_t count;
    const int64_t *backwards = node_attr_ints(&nd, "scan_input_directions", &count);
    int axis;
    if (!scan_axis(g, n, "scan_input_axes", i, graph_type(g, x)->rank, &axis)) return false;
    if (backwards && i < count && backwards[i]) {
        int64_t one = 1;
        value_id length = length_of(g, n, x, axis);
        value_id last = kit_build2(g, n, "Sub", length,
                                   graph_add_constant_ints(g, NULL, DTYPE_I64, 0, NULL, &one));
        value_id both[] = {last, iteration};
        if (!last) return false;
        iteration = graph_build(g, body, first, "", "Sub", 2, both, 0, NULL);
        if (!iteration) return false;
    }
    value_id inputs[] = {x, iteration};
    attr along = attr_int("axis", axis);
    graph_add_node(g, body, first, op_find("", "Gather"), nd.name, 2, inputs, 1, &element, 1,
                   &along);
    return true;
}

/* A stacked result as Scan has it: along another axis, or from its end. */
static value_id restack(graph *g, node_id n, value_id v, size_t i) {
    const node nd = *graph_node(g, n);
    int rank = graph_type(g, v)->rank, axis;
    size_t count;
    const int64_t *backwards = node_attr_ints(&nd, "scan_output_directions", &count);
    if (!scan_axis(g, n, "scan_output_axes", i, rank, &axis)) return 0;
    if (backwards && i < count && backwards[i]) {
        int64_t start = -1, end = INT64_MIN, first = 0, step = -1;
        value_id inputs[] = {v, kit_ints(g, &start, 1), kit_ints(g, &end, 1),
                             kit_ints(g, &first, 1), kit_ints(g, &step, 1)};
        v = kit_build(g, n, "Slice", 5, inputs, 0, NULL);
    }
    int64_t perm[TENSOR_MAX_RANK];
    for (int a = 0; a < rank; a++) perm[a] = a < axis ? a + 1 : a == axis ? 0 : a;
    return axis && v ? kit_build_transpose(g, n, v, perm, (size_t)rank) : v;
}

/* The body as one of Loop: iteration and condition in front of the states. */
static void prepend_loop_values(graph *g, region_id body, size_t states, value_id iteration,
                                value_id go_on) {
    region *r = graph_region(g, body);
    size_t results = r->outputs.count;
    value_id *inputs = ARENA_ARRAY(g->memory, value_id, states + 2);
    value_id *outputs = ARENA_ARRAY(g->memory, value_id, results + 1);
    inputs[0] = iteration;
    inputs[1] = outputs[0] = go_on;
    if (states) memcpy(inputs + 2, r->inputs.data, states * sizeof *inputs);
    if (results) memcpy(outputs + 1, r->outputs.data, results * sizeof *outputs);
    r->inputs.data = inputs;
    r->inputs.count = r->inputs.capacity = states + 2;
    r->outputs.data = outputs;
    r->outputs.count = r->outputs.capacity = results + 1;
}

static bool expand_scan(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    region_id body = node_attr_region(&nd, "body");
    size_t scans = (size_t)node_attr_int(&nd, "num_scan_inputs", 1);
    size_t states = nd.input_count - scans;
    value_id iteration = graph_add_value(g, "iteration", type_tensor(DTYPE_I64, 0, NULL));
    value_id go_on = graph_add_value(g, "go_on", type_tensor(DTYPE_BOOL, 0, NULL));
    value_id first = nd.inputs[states];
    int axis;
    if (!scan_axis(g, n, "scan_input_axes", 0, graph_type(g, first)->rank, &axis)) return false;
    for (size_t i = 0; i < scans; i++)
        if (!pick_element(g, n, body, i, states, iteration)) return false;
    prepend_loop_values(g, body, states, iteration, go_on);
    value_id *inputs = ARENA_ARRAY(g->memory, value_id, states + 2);
    value_id *made = ARENA_ARRAY(g->memory, value_id, nd.output_count);
    inputs[0] = length_of(g, n, first, axis);
    if (!inputs[0]) return false;
    if (states) memcpy(inputs + 2, nd.inputs, states * sizeof *inputs);
    for (uint32_t i = 0; i < nd.output_count; i++) made[i] = graph_add_value(g, NULL, (type){0});
    attr region_attr = {.name = "body", .kind = ATTR_REGION, .i = body};
    node_id loop =
        graph_add_node(g, nd.region, n, op_find("", "Loop"), nd.name, (uint32_t)states + 2, inputs,
                       nd.output_count, made, 1, &region_attr);
    graph_node(g, loop)->source = nd.source;
    graph_region(g, body)->owner = loop;
    /* What the body's values were typed for is over. */
    for (size_t i = 0; i < states; i++)
        graph_value(g, graph_region(g, body)->inputs.data[i + 2])->type = (type){.rank = -1};
    if (!op_infer(g, loop)) return false;
    for (uint32_t i = 0; i < nd.output_count; i++) {
        if (!nd.outputs[i]) continue;
        value_id out = i < states ? made[i] : restack(g, n, made[i], i - states);
        if (!out) return false;
        kit_replace(g, nd.outputs[i], out);
    }
    graph_node(g, n)->attr_count = 0; /* the body has another owner */
    graph_remove_node(g, n);
    return true;
}

const op_def ops_control[] = {
    {.domain = "", .name = "If", .infer = infer_if, .expand = expand_if},
    {.domain = "", .name = "Loop", .infer = infer_loop, .expand = expand_loop},
    {.domain = "", .name = "Scan", .infer = infer_scan, .expand = expand_scan},
};
const size_t ops_control_count = sizeof ops_control / sizeof *ops_control;
