/* build_symbols.c: values whose data tell dimensions (value.binds): a step reads each new symbol
 * when the value is made, and a kernel checks what is known already. Memory is planned for the
 * largest sizes that limits and bounds allow. */
#include "codegen/build_internal.h"
#include "ir/op.h"

dim build_upper(builder *b, dim d) {
    return dim_upper(b->g->dims, d, b->from_caller);
}

void build_largest(builder *b, program_io *io) {
    dim *dims = ARENA_ARRAY(b->a, dim, (size_t)(io->type.rank > 0 ? io->type.rank : 0));
    for (int i = 0; i < io->type.rank; i++) {
        dims[i] = build_upper(b, io->type.dims[i]);
        io->open |= dims[i] != io->type.dims[i];
    }
    io->largest = dims;
    io->largest_bytes = build_upper(b, b->p->buffers.data[io->buffer].bytes);
}

/* The diagnostic for a symbol that nothing bounds. */
static bool check_bounded(builder *b, value_id v, dim_symbol s) {
    const graph *g = b->g;
    dim_symbol open;
    if (dim_has_upper(g->dims, dim_from_symbol(g->dims, s), b->from_caller, &open)) return true;
    const char *name = dim_symbol_name(g->dims, s);
    return diag_error(g->diag, graph_value(g, v)->name, NULL,
                      arena_printf(b->a, "give it one: --dim %s=1..1000", name),
                      "a size, %s, comes from the data of this value and has no bound", name);
}

static bool read_symbol(builder *b, value_id v, size_t element, dim_symbol s) {
    if (!check_bounded(b, v, s)) return false;
    uint32_t buffer = build_buffer(b, v);
    program_step *step = build_step(b, STEP_SYMBOL, NULL, &buffer, 1);
    step->symbol = s;
    step->element = (uint32_t)element;
    b->defined[s] = true;
    return true;
}

/* A kernel that checks elements which are known from elsewhere. */
static void check_elements(builder *b, value_id v, const dim *wanted, size_t count) {
    const type t = *graph_type(b->g, v);
    const char *name = arena_printf(b->a, "%s_%u_sizes", b->p->name, b->p->profile_count);
    loop_kernel *k = loop_kernel_create(b->a, b->g->dims, name);
    loop_expr extent = loop_int(k, (int64_t)count);
    loop_buf x = loop_add_buffer(k, (loop_buffer){.name = "x",
                                                  .type = t.dtype,
                                                  .space = LOOP_SPACE_INPUT,
                                                  .rank = t.rank,
                                                  .extents = &extent,
                                                  .value = v});
    for (size_t i = 0; i < count; i++) {
        if (!wanted[i]) continue;
        loop_expr at = loop_int(k, (int64_t)i);
        loop_expr is = loop_cast(k, DTYPE_I64, loop_load(k, x, &at));
        loop_expr same = loop_make(k, LOOP_EQ, is, loop_dim(k, wanted[i]), 0);
        k->body = loop_join(k->body, loop_check(k, same, LOOP_STATUS_BAD_SHAPE));
    }
    build_call(b, k, "sizes");
}

bool build_check_size(builder *b, node_id n, value_id v) {
    const graph *g = b->g;
    const type *t = graph_type(g, v);
    int64_t low, high;
    bool *used = ARENA_ARRAY(b->a, bool, dim_symbol_count(g->dims) + 1);
    for (int i = 0; t->kind == TYPE_TENSOR && i < t->rank; i++)
        dim_mark_symbols(g->dims, t->dims[i], used);
    for (dim_symbol s = 0; s < dim_symbol_count(g->dims); s++) {
        dim_symbol_bounds(g->dims, s, &low, &high);
        if (!used[s] || b->defined[s] || low == high) continue;
        const char *name = dim_symbol_name(g->dims, s);
        return op_error(b->g, n, arena_printf(b->a, "fix it: --dim %s=8", name),
                        "the size of %s depends on %s, which only the run could tell",
                        graph_value(g, v)->name, name);
    }
    return true;
}

bool build_bound(builder *b, value_id v) {
    graph *g = b->g;
    size_t count, known = 0;
    const dim *elements = graph_value(g, v)->binds ? graph_elements(g, v, &count) : NULL;
    if (!elements) return true;
    dim *wanted = ARENA_ARRAY(b->a, dim, count);
    for (size_t i = 0; i < count; i++) {
        if (dim_op_of(g->dims, elements[i]) == DIM_SYMBOL) {
            dim_symbol s = dim_symbol_of(g->dims, elements[i]);
            if (!b->defined[s]) {
                if (!read_symbol(b, v, i, s)) return false;
                continue;
            }
        }
        wanted[i] = elements[i];
        known++;
    }
    if (known) check_elements(b, v, wanted, count);
    return true;
}
