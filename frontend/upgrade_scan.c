/* upgrade_scan.c: Scan of opset 8, which has a batch axis in front of everything. It becomes a Scan
 * of today over the batch, whose body is a Scan over the sequence with the body of the file;
 * results of both are stacked in front, where the old operator has its batch and its sequence. */
#include "frontend/upgrade.h"

#include <string.h>

/* The type of one element of the batch. */
static bool drop_batch(importer *im, const import_node *n, size_t i, type *out) {
    value_id v = n->inputs.data[i];
    const type *t = v ? graph_type(im->g, v) : NULL;
    if (!t || t->kind != TYPE_TENSOR || t->rank < 1)
        return import_error(im, n, NULL, "its input %zu is no tensor with a batch axis", i);
    *out = type_tensor(t->dtype, t->rank - 1, t->dims + 1);
    return true;
}

/* The Scan over the sequence, in a region of its own: inputs and results are those of `n` without
 * their batch axis. */
static bool scan_sequence(importer *im, const import_node *n, region_id outer, const attr *body,
                          const attr *count, const attr *directions) {
    graph *g = im->g;
    attr attrs[3] = {*body, *count};
    uint32_t attr_count = 2;
    if (directions) {
        attrs[attr_count] = *directions;
        attrs[attr_count++].name = "scan_input_directions";
    }
    for (uint32_t i = 0; i < n->inputs.count; i++) {
        type t;
        if (!drop_batch(im, n, i, &t)) return false;
        value_id element = graph_add_value(g, graph_value(g, n->inputs.data[i])->name, t);
        list_push(g->memory, &graph_region(g, outer)->inputs, element);
    }
    for (uint32_t i = 0; i < n->output_count; i++) {
        const type none = {.kind = TYPE_NONE, .rank = -1};
        value_id v = n->outputs[i];
        const char *name = v ? graph_value(g, v)->name : NULL;
        list_push(g->memory, &graph_region(g, outer)->outputs, graph_add_value(g, name, none));
    }
    const region r = *graph_region(g, outer);
    node_id scan =
        graph_add_node(g, outer, 0, op_find("", "Scan"), n->name, (uint32_t)r.inputs.count,
                       r.inputs.data, n->output_count, r.outputs.data, attr_count, attrs);
    graph_node(g, scan)->source = n->source;
    graph_region(g, (region_id)body->i)->parent = outer;
    graph_region(g, (region_id)body->i)->owner = scan;
    return true;
}

bool upgrade_scan(importer *im, import_node *n, bool *done) {
    (void)done;
    const attr *body = import_attr(n, "body"), *count = import_attr(n, "num_scan_inputs");
    if (!body || !count || !n->inputs.count)
        return import_error(im, n, NULL, "it has no body, or no input");
    if (n->inputs.data[0])
        return import_error(im, n, "pad the sequences, or export with a newer opset",
                            "its sequence_lens is not supported");
    n->inputs.count--;
    memmove(n->inputs.data, n->inputs.data + 1, n->inputs.count * sizeof *n->inputs.data);
    if (count->i < 1 || (uint64_t)count->i > n->inputs.count)
        return import_error(im, n, NULL, "attribute num_scan_inputs is %lld", (long long)count->i);
    region_id outer = graph_add_region(im->g, n->region);
    if (!scan_sequence(im, n, outer, body, count, import_attr(n, "directions"))) return false;
    attr all[] = {{.name = "body", .kind = ATTR_REGION, .i = outer},
                  attr_int("num_scan_inputs", (int64_t)n->inputs.count)};
    n->attrs.count = 0;
    for (size_t i = 0; i < 2; i++) list_push(im->g->memory, &n->attrs, all[i]);
    return true;
}
