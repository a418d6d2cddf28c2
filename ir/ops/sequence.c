/* sequence.c: types of sequences and optionals, and their items where they follow. Nothing of this
 * is ever run: the pass `sequences` puts the items in the place of what is read from lists. */
#include "ir/ops/kit.h"

#include <string.h>

static const value_list *list_of(graph *g, value_id v) {
    return v ? graph_value(g, v)->list : NULL;
}

static void set_list(graph *g, node_id n, const value_id *items, size_t count) {
    value_id v = graph_output(g, n, 0);
    value_list *made = ARENA_NEW(g->memory, value_list);
    if (!v) return;
    *made = (value_list){arena_alloc(g->memory, (count + 1) * sizeof *items), count};
    if (count) memcpy((value_id *)(uintptr_t)made->items, items, count * sizeof *items);
    graph_value(g, v)->list = made;
}

/* A sequence or optional of `element`. */
static type type_of_list(graph *g, type_kind kind, type element) {
    type *kept = ARENA_NEW(g->memory, type);
    *kept = element;
    return (type){.kind = kind, .element = kept};
}

static bool need_sequence(graph *g, node_id n, uint32_t i) {
    const type *t = kit_input(g, n, i);
    return (t && t->kind == TYPE_SEQUENCE) || op_error(g, n, NULL, "input %u is no sequence", i);
}

/* The type of items that an earlier inference found for the result, or NULL. */
static const type *old_element(graph *g, node_id n) {
    return graph_type(g, graph_output(g, n, 0))->element;
}

/* The type that covers all of some values. */
static bool cover_all(graph *g, node_id n, const value_id *items, size_t count, type *out) {
    const type *old = old_element(g, n);
    for (size_t i = 0; i < count; i++) {
        const type *t = graph_type(g, items[i]);
        if (i == 0)
            *out = *t;
        else if (!kit_cover_items(g, out, t, old, out))
            return op_error(g, n, NULL, "items %zu and %zu of the sequence have different types",
                            i - 1, i);
    }
    return true;
}

/* A result whose items are known. `like` gives the type of an empty one. */
static bool set_items(graph *g, node_id n, const value_id *items, size_t count, type like) {
    if (count && !cover_all(g, n, items, count, &like)) return false;
    op_set_type(g, n, 0, type_of_list(g, TYPE_SEQUENCE, like));
    set_list(g, n, items, count);
    return true;
}

/* ---- making ---- */

static bool infer_construct(graph *g, node_id n) {
    const node *nd = graph_node(g, n);
    return set_items(g, n, nd->inputs, nd->input_count, (type){0});
}

static bool infer_empty(graph *g, node_id n) {
    int64_t t = node_attr_int(graph_node(g, n), "dtype", DTYPE_F32);
    if (t <= DTYPE_NONE || t >= DTYPE_COUNT)
        return op_error(g, n, NULL, "attribute dtype is %lld", (long long)t);
    return set_items(g, n, NULL, 0, (type){.kind = TYPE_TENSOR, .dtype = (dtype)t, .rank = -1});
}

/* A position in a list of `count`, or behind its end if `end`, where it is known: false if it is
 * not, or after a diagnostic if it is outside. */
static bool known_position(graph *g, node_id n, value_id v, size_t count, bool end, size_t *at) {
    size_t elements;
    int64_t position, limit = (int64_t)count;
    const dim *known = graph_elements(g, v, &elements);
    if (!known || elements != 1 || !dim_is_const(g->dims, known[0], &position)) return false;
    if (position < -limit || position >= limit + end)
        return op_error(g, n, NULL, "position %lld is outside of a sequence of %zu",
                        (long long)position, count);
    *at = (size_t)(position < 0 ? position + limit : position);
    return true;
}

static bool infer_insert(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    if (!need_sequence(g, n, 0)) return false;
    const type all = *kit_input(g, n, 0);
    const value_list *list = list_of(g, nd.inputs[0]);
    size_t at, errors = g->diag->error_count;
    type element;
    if (!kit_cover_items(g, all.element, kit_input(g, n, 1), old_element(g, n), &element))
        return op_error(g, n, NULL, "a tensor of %s does not go into a sequence of %s",
                        dtype_name(kit_input(g, n, 1)->dtype), dtype_name(all.element->dtype));
    op_set_type(g, n, 0, type_of_list(g, TYPE_SEQUENCE, element));
    if (!list) return true;
    at = list->count;
    if (graph_input(g, n, 2) && !known_position(g, n, nd.inputs[2], list->count, true, &at))
        return g->diag->error_count == errors;
    value_id *items = ARENA_ARRAY(g->memory, value_id, list->count + 1);
    for (size_t i = 0; i <= list->count; i++)
        items[i] = i < at ? list->items[i] : i == at ? nd.inputs[1] : list->items[i - 1];
    return set_items(g, n, items, list->count + 1, element);
}

static bool infer_erase(graph *g, node_id n) {
    if (!need_sequence(g, n, 0)) return false;
    const value_list *list = list_of(g, graph_input(g, n, 0));
    const type all = *kit_input(g, n, 0);
    value_id position = graph_input(g, n, 1);
    size_t at, errors = g->diag->error_count;
    op_set_type(g, n, 0, all);
    if (!list) return true;
    if (!list->count) return op_error(g, n, NULL, "the sequence is empty");
    at = list->count - 1;
    if (position && !known_position(g, n, position, list->count, false, &at))
        return g->diag->error_count == errors;
    value_id *items = ARENA_ARRAY(g->memory, value_id, list->count);
    for (size_t i = 0; i + 1 < list->count; i++) items[i] = list->items[i < at ? i : i + 1];
    return set_items(g, n, items, list->count - 1, *all.element);
}

/* ---- reading ---- */

static bool infer_at(graph *g, node_id n) {
    if (!need_sequence(g, n, 0)) return false;
    const value_list *list = list_of(g, graph_input(g, n, 0));
    size_t at, errors = g->diag->error_count;
    op_set_type(g, n, 0, *kit_input(g, n, 0)->element);
    if (!list || !known_position(g, n, graph_input(g, n, 1), list->count, false, &at))
        return g->diag->error_count == errors;
    const value item = *graph_value(g, list->items[at]);
    op_set_type(g, n, 0, item.type);
    graph_value(g, graph_output(g, n, 0))->elements = item.elements;
    return true;
}

static bool infer_length(graph *g, node_id n) {
    if (!need_sequence(g, n, 0)) return false;
    const value_list *list = list_of(g, graph_input(g, n, 0));
    dim count = list ? kit_dim(g, (int64_t)list->count) : DIM_NONE;
    op_set_type(g, n, 0, type_tensor(DTYPE_I64, 0, NULL));
    if (list) op_set_elements(g, n, 0, &count, 1);
    return true;
}

static bool infer_concat(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    if (!need_sequence(g, n, 0)) return false;
    const value_list *list = list_of(g, nd.inputs[0]);
    const type item = *kit_input(g, n, 0)->element;
    bool stack = node_attr_int(&nd, "new_axis", 0) != 0;
    int axis;
    if (item.kind != TYPE_TENSOR) return op_error(g, n, NULL, "the items are no tensors");
    if (list && !list->count) return op_error(g, n, NULL, "an empty sequence has no concatenation");
    if (item.rank < 0) return true;
    if (item.rank + stack > TENSOR_MAX_RANK) return op_error(g, n, NULL, "it has too many axes");
    if (!op_axis(g, n, node_attr_int(&nd, "axis", 0), item.rank + stack, &axis)) return false;
    dim dims[TENSOR_MAX_RANK], along = DIM_NONE;
    for (size_t i = 0; list && i < list->count; i++) {
        dim one = stack ? kit_dim(g, 1) : graph_type(g, list->items[i])->dims[axis];
        along = along ? dim_add(g->dims, along, one) : one;
    }
    for (int i = 0, from = 0; i < item.rank + stack; i++)
        if (i != axis || !stack) dims[i] = item.dims[from++];
    int rank = item.rank + stack;
    dims[axis] = along ? along : kit_told_dim(g, n, 0, rank, axis, DIM_NONE);
    op_set_type(g, n, 0, type_tensor(item.dtype, rank, dims));
    return true;
}

/* The operator in others: each item with the axis that is new, one behind the other. */
static bool expand_concat(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const value_list *list = list_of(g, nd.inputs[0]);
    int64_t axis = node_attr_int(&nd, "axis", 0);
    if (!list || !list->count) return false;
    value_id *items = ARENA_ARRAY(g->memory, value_id, list->count), axes = kit_ints(g, &axis, 1);
    for (size_t i = 0; i < list->count; i++) {
        items[i] = list->items[i];
        if (node_attr_int(&nd, "new_axis", 0))
            items[i] = kit_build2(g, n, "Unsqueeze", items[i], axes);
        if (!items[i]) return false;
    }
    attr along = attr_int("axis", axis);
    value_id made = kit_build(g, n, "Concat", (uint32_t)list->count, items, 1, &along);
    if (!made) return false;
    kit_replace(g, nd.outputs[0], made);
    graph_remove_node(g, n);
    return true;
}

/* ---- parts of a tensor ---- */

/* Sizes of the parts along `axis`; false if their number is not known. */
static bool part_sizes(graph *g, node_id n, dim along, const dim **sizes, size_t *count) {
    value_id split = graph_input(g, n, 1);
    dim one = kit_dim(g, 1);
    size_t given = 1;
    const dim *known = split ? graph_elements(g, split, &given) : &one;
    int64_t total, size;
    if (!known) return false;
    if (split && graph_type(g, split)->rank == 1) {
        *sizes = known;
        *count = given;
        return true;
    }
    if (!dim_is_const(g->dims, along, &total) || !dim_is_const(g->dims, known[0], &size))
        return false;
    if (size < 1) return op_error(g, n, NULL, "parts of %lld are asked for", (long long)size);
    *count = (size_t)((total + size - 1) / size);
    if (*count > GRAPH_MOST_ITEMS)
        return op_error(g, n, NULL, "%zu parts; at most %d are supported", *count,
                        GRAPH_MOST_ITEMS);
    dim *made = ARENA_ARRAY(g->memory, dim, *count);
    for (size_t i = 0; i < *count; i++)
        made[i] = kit_dim(g, (int64_t)i + 1 < (int64_t)*count ? size : total - size * (int64_t)i);
    *sizes = made;
    return true;
}

static bool drops_axis(graph *g, node_id n) {
    return !graph_input(g, n, 1) && !node_attr_int(graph_node(g, n), "keepdims", 1);
}

static bool infer_split(graph *g, node_id n) {
    if (!kit_need(g, n, 0, 1, TENSOR_MAX_RANK)) return false;
    const type x = *kit_input(g, n, 0), *old = graph_type(g, graph_output(g, n, 0));
    const dim *sizes = NULL;
    size_t count = 0, errors = g->diag->error_count;
    int axis, rank = 0;
    if (!op_axis(g, n, node_attr_int(graph_node(g, n), "axis", 0), x.rank, &axis)) return false;
    bool same = part_sizes(g, n, x.dims[axis], &sizes, &count) && count;
    if (g->diag->error_count > errors) return false;
    for (size_t i = 1; i < count; i++) same &= sizes[i] == sizes[0];
    dim *dims = ARENA_ARRAY(g->memory, dim, (size_t)x.rank);
    bool had = old->kind == TYPE_SEQUENCE && old->element->rank == x.rank;
    for (int i = 0; i < x.rank; i++) {
        if (i == axis && drops_axis(g, n)) continue;
        dims[rank++] = i != axis ? x.dims[i]
                       : same    ? sizes[0]
                       : had     ? old->element->dims[axis]
                                 : dim_fresh_symbol(g->dims, "part", 0, DIM_MAX);
    }
    op_set_type(g, n, 0, type_of_list(g, TYPE_SEQUENCE, type_tensor(x.dtype, rank, dims)));
    return true;
}

/* Slices, put together as a sequence. */
static bool expand_split(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    const type x = *kit_input(g, n, 0);
    const dim *sizes;
    size_t count;
    int axis;
    int64_t from = 0, size;
    if (!op_axis(g, n, node_attr_int(&nd, "axis", 0), x.rank, &axis) ||
        !part_sizes(g, n, x.dims[axis], &sizes, &count))
        return false;
    value_id *parts = ARENA_ARRAY(g->memory, value_id, count);
    int64_t along = axis;
    for (size_t i = 0; i < count; i++) {
        if (!dim_is_const(g->dims, sizes[i], &size)) return false;
        if (size < 0) return op_error(g, n, NULL, "part %zu has a negative size", i);
        parts[i] = kit_build_slice(g, n, nd.inputs[0], axis, from, from + size);
        if (drops_axis(g, n))
            parts[i] = kit_build2(g, n, "Squeeze", parts[i], kit_ints(g, &along, 1));
        if (!parts[i]) return false;
        from += size;
    }
    if (dim_is_const(g->dims, x.dims[axis], &size) && size != from)
        return op_error(g, n, NULL, "the parts have %lld elements along axis %d, the tensor %lld",
                        (long long)from, axis, (long long)size);
    value_id made = kit_build(g, n, "SequenceConstruct", (uint32_t)count, parts, 0, NULL);
    if (!made) return false;
    kit_replace(g, nd.outputs[0], made);
    graph_remove_node(g, n);
    return true;
}

/* ---- a body for each item ---- */

static bool infer_map(graph *g, node_id n) {
    const node nd = *graph_node(g, n);
    region_id body = node_attr_region(&nd, "body");
    if (!body || graph_region(g, body)->inputs.count != nd.input_count ||
        graph_region(g, body)->outputs.count != nd.output_count)
        return op_error(g, n, NULL, "the body's inputs and results do not fit the node's");
    if (!need_sequence(g, n, 0)) return false;
    for (uint32_t i = 0; i < nd.input_count; i++) {
        const type *t = kit_input(g, n, i);
        if (!t) return op_error(g, n, NULL, "input %u is missing", i);
        graph_value(g, graph_region(g, body)->inputs.data[i])->type =
            t->kind == TYPE_SEQUENCE ? *t->element : *t;
    }
    if (!op_infer_region(g, body)) return false;
    for (uint32_t i = 0; i < nd.output_count; i++) {
        type item = *graph_type(g, graph_region(g, body)->outputs.data[i]);
        op_set_type(g, n, i, type_of_list(g, TYPE_SEQUENCE, item));
    }
    return true;
}

/* ---- optionals ---- */

static bool infer_optional(graph *g, node_id n) {
    const attr *a = node_attr(graph_node(g, n), "type");
    value_id x = graph_input(g, n, 0);
    if (!x && (!a || a->kind != ATTR_TYPE))
        return op_error(g, n, NULL, "it has neither an input nor a type");
    op_set_type(g, n, 0, type_of_list(g, TYPE_OPTIONAL, x ? *graph_type(g, x) : *a->type));
    set_list(g, n, &x, x != 0);
    return true;
}

static bool infer_has_element(graph *g, node_id n) {
    value_id x = graph_input(g, n, 0);
    const value_list *list = list_of(g, x);
    bool optional = x && graph_type(g, x)->kind == TYPE_OPTIONAL;
    op_set_type(g, n, 0, type_tensor(DTYPE_BOOL, 0, NULL));
    if (optional && !list) return true;
    dim known = kit_dim(g, x && (!optional || list->count));
    op_set_elements(g, n, 0, &known, 1);
    return true;
}

static bool infer_get_element(graph *g, node_id n) {
    value_id x = graph_input(g, n, 0), y = graph_output(g, n, 0);
    const value_list *list = list_of(g, x);
    const type *t = kit_input(g, n, 0);
    if (!t) return op_error(g, n, NULL, "its input is missing");
    if (t->kind == TYPE_OPTIONAL && !list) {
        op_set_type(g, n, 0, *t->element);
        return true;
    }
    if (t->kind == TYPE_OPTIONAL && !list->count)
        return op_error(g, n, NULL, "the optional holds nothing");
    value item = *graph_value(g, t->kind == TYPE_OPTIONAL ? list->items[0] : x);
    op_set_type(g, n, 0, item.type);
    graph_value(g, y)->elements = item.elements;
    graph_value(g, y)->list = item.list;
    return true;
}

#define LIST_OP(op, ...)                                                                           \
    { .domain = "", .name = op, .flags = OP_LISTS, __VA_ARGS__ }

const op_def ops_sequence[] = {
    LIST_OP("ConcatFromSequence", .infer = infer_concat, .expand = expand_concat),
    LIST_OP("Optional", .infer = infer_optional),
    LIST_OP("OptionalGetElement", .infer = infer_get_element),
    LIST_OP("OptionalHasElement", .infer = infer_has_element),
    LIST_OP("SequenceAt", .infer = infer_at),
    LIST_OP("SequenceConstruct", .infer = infer_construct),
    LIST_OP("SequenceEmpty", .infer = infer_empty),
    LIST_OP("SequenceErase", .infer = infer_erase),
    LIST_OP("SequenceInsert", .infer = infer_insert),
    LIST_OP("SequenceLength", .infer = infer_length),
    LIST_OP("SequenceMap", .infer = infer_map),
    LIST_OP("SplitToSequence", .infer = infer_split, .expand = expand_split),
};
const size_t ops_sequence_count = sizeof ops_sequence / sizeof *ops_sequence;
