/* loop.c: kernels, their hash-consed expressions, buffers, variables and statements. Simplification
 * is in loop_simplify.c and loop_linear.c; here an expression is only made once and known by its
 * id. Every traversal visits a shared expression once. */
#include "ir/loop_internal.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

const loop_op_info loop_ops[LOOP_OP_COUNT] = {
    [LOOP_NONE] = {"none", 0},
    [LOOP_CONST] = {"const", 0},
    [LOOP_DIM] = {"dim", 0},
    [LOOP_VAR] = {"var", 0},
    [LOOP_LOAD] = {"load", -1},
    [LOOP_ADD] = {"add", 2},
    [LOOP_SUB] = {"sub", 2},
    [LOOP_MUL] = {"mul", 2},
    [LOOP_DIV] = {"div", 2},
    [LOOP_REM] = {"rem", 2},
    [LOOP_FLOORDIV] = {"floordiv", 2},
    [LOOP_MOD] = {"mod", 2},
    [LOOP_MIN] = {"min", 2},
    [LOOP_MAX] = {"max", 2},
    [LOOP_NEG] = {"neg", 1},
    [LOOP_ABS] = {"abs", 1},
    [LOOP_FMA] = {"fma", 3},
    [LOOP_SQRT] = {"sqrt", 1},
    [LOOP_FLOOR] = {"floor", 1},
    [LOOP_CEIL] = {"ceil", 1},
    [LOOP_TRUNC] = {"trunc", 1},
    [LOOP_ROUND] = {"round", 1},
    [LOOP_AND] = {"and", 2},
    [LOOP_OR] = {"or", 2},
    [LOOP_XOR] = {"xor", 2},
    [LOOP_NOT] = {"not", 1},
    [LOOP_SHL] = {"shl", 2},
    [LOOP_SHR] = {"shr", 2},
    [LOOP_DOT4] = {"dot4", 2},
    [LOOP_EQ] = {"eq", 2},
    [LOOP_NE] = {"ne", 2},
    [LOOP_LT] = {"lt", 2},
    [LOOP_LE] = {"le", 2},
    [LOOP_SELECT] = {"select", 3},
    [LOOP_CAST] = {"cast", 1},
    [LOOP_BITCAST] = {"bitcast", 1},
    [LOOP_EXP] = {"exp", 1},
    [LOOP_EXP2] = {"exp2", 1},
    [LOOP_EXPM1] = {"expm1", 1},
    [LOOP_LOG] = {"log", 1},
    [LOOP_LOG1P] = {"log1p", 1},
    [LOOP_SIN] = {"sin", 1},
    [LOOP_COS] = {"cos", 1},
    [LOOP_TAN] = {"tan", 1},
    [LOOP_ASIN] = {"asin", 1},
    [LOOP_ACOS] = {"acos", 1},
    [LOOP_ATAN] = {"atan", 1},
    [LOOP_SINH] = {"sinh", 1},
    [LOOP_COSH] = {"cosh", 1},
    [LOOP_TANH] = {"tanh", 1},
    [LOOP_ASINH] = {"asinh", 1},
    [LOOP_ACOSH] = {"acosh", 1},
    [LOOP_ATANH] = {"atanh", 1},
    [LOOP_ERF] = {"erf", 1},
    [LOOP_GELU] = {"gelu", 1},
    [LOOP_SIGMOID] = {"sigmoid", 1},
    [LOOP_POW] = {"pow", 2},
};

const char *const loop_kind_names[LOOP_KIND_COUNT] = {
    [LOOP_SERIAL] = "serial",         [LOOP_INDEPENDENT] = "independent",
    [LOOP_REDUCE] = "reduce",         [LOOP_PARALLEL] = "parallel",
    [LOOP_VECTOR] = "vector",         [LOOP_UNROLL] = "unroll",
    [LOOP_GPU_BLOCK_X] = "block_x",   [LOOP_GPU_BLOCK_Y] = "block_y",
    [LOOP_GPU_BLOCK_Z] = "block_z",   [LOOP_GPU_THREAD_X] = "thread_x",
    [LOOP_GPU_THREAD_Y] = "thread_y", [LOOP_GPU_THREAD_Z] = "thread_z",
    [LOOP_HLS_PIPELINE] = "pipeline", [LOOP_HLS_UNROLL] = "replicate",
};

const char *const loop_space_names[LOOP_SPACE_COUNT] = {
    [LOOP_SPACE_INPUT] = "input", [LOOP_SPACE_OUTPUT] = "output", [LOOP_SPACE_STACK] = "stack",
    [LOOP_SPACE_TILE] = "tile",   [LOOP_SPACE_SHARED] = "shared",
};

/* ---- hash-consing ---- */

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

static uint64_t mix_name(uint64_t h, const char *s) {
    while (*s) h = mix(h, (unsigned char)*s++);
    return h;
}

/* The number at the end of a name plus one; 0 if it has none. */
static uint32_t name_number(const char *name) {
    size_t end = strlen(name), at = end;
    while (at > 0 && isdigit((unsigned char)name[at - 1]) && end - at < 8) at--;
    uint32_t n = 0;
    for (size_t i = at; i < end; i++) n = n * 10 + (uint32_t)(name[i] - '0');
    return n + 1;
}

static void fill_info(const loop_kernel *k, const loop_node *n, expr_info *info) {
    uint64_t h = mix(mix(n->op, n->type), n->arg_count);
    *info = (expr_info){.low = INT64_MIN, .high = INT64_MAX};
    switch (n->op) {
    case LOOP_DIM: h = mix_name(h, dim_symbol_name(k->dims, (dim_symbol)n->i)); break;
    case LOOP_VAR:
        h = mix_name(h, k->vars.data[n->i].name);
        info->vars = (uint64_t)1 << (n->i % 64);
        info->depth = name_number(k->vars.data[n->i].name);
        break;
    case LOOP_LOAD: h = mix_name(h, k->buffers.data[n->i].name); break;
    default: {
        uint64_t bits;
        memcpy(&bits, &n->f, sizeof bits);
        h = mix(mix(h, (uint64_t)n->i), bits);
    }
    }
    for (uint32_t i = 0; i < n->arg_count; i++) {
        const expr_info *x = loop_info(k, n->args[i]);
        h = mix(h, x->hash);
        info->vars |= x->vars;
        if (x->depth > info->depth) info->depth = x->depth;
    }
    info->hash = h;
    loop_find_range(k, n, info);
}

static uint64_t slot_hash(const loop_node *n) {
    uint64_t bits, h = mix(mix(n->op, n->type), (uint64_t)n->i);
    memcpy(&bits, &n->f, sizeof bits);
    h = mix(h, bits);
    for (uint32_t i = 0; i < n->arg_count; i++) h = mix(h, n->args[i]);
    return h;
}

static bool same_node(const loop_node *a, const loop_node *b) {
    return a->op == b->op && a->type == b->type && a->i == b->i &&
           memcmp(&a->f, &b->f, sizeof a->f) == 0 && a->arg_count == b->arg_count &&
           (!a->arg_count || memcmp(a->args, b->args, a->arg_count * sizeof *a->args) == 0);
}

static void grow_slots(loop_kernel *k) {
    expr_table *t = loop_table(k);
    t->slot_count = t->slot_count ? t->slot_count * 2 : 256;
    t->slots = ARENA_ARRAY(k->memory, uint32_t, t->slot_count);
    for (uint32_t e = 1; e < k->nodes.count; e++) {
        size_t at = slot_hash(&k->nodes.data[e]) & (t->slot_count - 1);
        while (t->slots[at]) at = (at + 1) & (t->slot_count - 1);
        t->slots[at] = e;
    }
}

loop_expr loop_intern(loop_kernel *k, const loop_node *n) {
    expr_table *t = loop_table(k);
    if (k->nodes.count * 2 >= t->slot_count) grow_slots(k);
    size_t at = slot_hash(n) & (t->slot_count - 1);
    for (; t->slots[at]; at = (at + 1) & (t->slot_count - 1))
        if (same_node(&k->nodes.data[t->slots[at]], n)) return t->slots[at];
    loop_node made = *n;
    loop_expr *args = NULL;
    if (n->arg_count) {
        args = ARENA_ARRAY(k->memory, loop_expr, n->arg_count);
        memcpy(args, n->args, n->arg_count * sizeof *args);
    }
    made.args = args;
    expr_info info;
    fill_info(k, &made, &info);
    list_push(k->memory, &k->nodes, made);
    list_push(k->memory, &t->info, info);
    return t->slots[at] = (loop_expr)(k->nodes.count - 1);
}

loop_expr loop_intern_op(loop_kernel *k, loop_op op, dtype t, loop_expr a, loop_expr b,
                         loop_expr c) {
    loop_expr args[] = {a, b, c};
    return loop_intern(
        k,
        &(loop_node){.op = op, .type = t, .arg_count = (uint32_t)loop_ops[op].arity, .args = args});
}

loop_kernel *loop_kernel_create(arena *a, dim_table *dims, const char *name) {
    loop_kernel *k = ARENA_NEW(a, loop_kernel);
    expr_table *t = ARENA_NEW(a, expr_table);
    *k = (loop_kernel){.memory = a, .dims = dims, .name = arena_strdup(a, name), .table = t};
    list_push(a, &k->nodes, ((loop_node){.op = LOOP_NONE}));
    list_push(a, &t->info, ((expr_info){.low = 0}));
    return k;
}

/* ---- leaves ---- */

loop_expr loop_const_int(loop_kernel *k, dtype t, int64_t v) {
    if (dtype_is_float(t)) return loop_const(k, t, (double)v);
    return loop_intern(k, &(loop_node){.op = LOOP_CONST, .type = t, .i = loop_wrap_int(t, v)});
}

loop_expr loop_const(loop_kernel *k, dtype t, double v) {
    if (!dtype_is_float(t))
        return loop_const_int(k, t, loop_convert(t, DTYPE_F64, (loop_number){.f = v}).i);
    double f = loop_round_float(t, v);
    if (f != f) f = __builtin_nan(""); /* one NaN, so that equal constants are one expression */
    return loop_intern(k, &(loop_node){.op = LOOP_CONST, .type = t, .f = f});
}

loop_expr loop_int(loop_kernel *k, int64_t v) {
    return loop_const_int(k, DTYPE_I64, v);
}

loop_expr loop_var_expr(loop_kernel *k, loop_var v) {
    assert(v < k->vars.count);
    return loop_intern(k, &(loop_node){.op = LOOP_VAR, .type = DTYPE_I64, .i = v});
}

loop_expr loop_intern_load(loop_kernel *k, loop_buf b, const loop_expr *indices) {
    const loop_buffer *buffer = loop_buffer_of(k, b);
    return loop_intern(k, &(loop_node){.op = LOOP_LOAD,
                                       .type = buffer->type,
                                       .i = b,
                                       .arg_count = (uint32_t)buffer->rank,
                                       .args = indices});
}

loop_expr loop_load(loop_kernel *k, loop_buf b, const loop_expr *indices) {
    return loop_intern_load(k, b, indices);
}

static loop_expr dim_expr(loop_kernel *k, dim d) {
    static const loop_op ops[] = {
        [DIM_ADD] = LOOP_ADD, [DIM_MUL] = LOOP_MUL, [DIM_FLOORDIV] = LOOP_FLOORDIV,
        [DIM_MOD] = LOOP_MOD, [DIM_MIN] = LOOP_MIN, [DIM_MAXIMUM] = LOOP_MAX};
    dim_op op = dim_op_of(k->dims, d);
    if (op == DIM_CONST) return loop_int(k, dim_value(k->dims, d));
    if (op == DIM_SYMBOL)
        return loop_intern(
            k, &(loop_node){.op = LOOP_DIM, .type = DTYPE_I64, .i = dim_symbol_of(k->dims, d)});
    loop_expr x = loop_dim(k, dim_operand(k->dims, d, 0));
    loop_expr y = loop_dim(k, dim_operand(k->dims, d, 1));
    loop_expr e = loop_make(k, ops[op], x, y, 0);
    expr_info *info = &loop_table(k)->info.data[e];
    if (dim_low(k->dims, d) > info->low && dim_low(k->dims, d) > -DIM_MAX)
        info->low = dim_low(k->dims, d);
    if (dim_high(k->dims, d) < info->high && dim_high(k->dims, d) < DIM_MAX)
        info->high = dim_high(k->dims, d);
    return e;
}

loop_expr loop_dim(loop_kernel *k, dim d) {
    expr_table *t = loop_table(k);
    if (d < t->dim_capacity && t->dims[d]) return t->dims[d];
    loop_expr e = dim_expr(k, d);
    if (d >= t->dim_capacity) {
        size_t capacity = (size_t)d * 2 + 16;
        uint32_t *grown = ARENA_ARRAY(k->memory, uint32_t, capacity);
        if (t->dim_capacity) memcpy(grown, t->dims, t->dim_capacity * sizeof *grown);
        t->dims = grown;
        t->dim_capacity = capacity;
    }
    return t->dims[d] = e;
}

/* ---- looking at expressions ---- */

const loop_node *loop_get(const loop_kernel *k, loop_expr e) {
    assert(e && e < k->nodes.count);
    return &k->nodes.data[e];
}

dtype loop_type(const loop_kernel *k, loop_expr e) {
    return loop_get(k, e)->type;
}

bool loop_is_int(const loop_kernel *k, loop_expr e, int64_t *value) {
    const loop_node *n = loop_get(k, e);
    if (n->op != LOOP_CONST || dtype_is_float(n->type)) return false;
    *value = n->i;
    return true;
}

void loop_range(const loop_kernel *k, loop_expr e, int64_t *low, int64_t *high) {
    *low = loop_info(k, e)->low;
    *high = loop_info(k, e)->high;
}

uint32_t loop_begin_traversal(const loop_kernel *k, uint32_t **stamp, uint32_t **memo) {
    expr_table *t = loop_table(k);
    if (t->scratch_count < k->nodes.count) {
        t->scratch_count = k->nodes.count * 2;
        t->stamp = ARENA_ARRAY(k->memory, uint32_t, t->scratch_count);
        t->memo = ARENA_ARRAY(k->memory, uint32_t, t->scratch_count);
        t->traversal = 0;
    }
    *stamp = t->stamp;
    *memo = t->memo;
    return ++t->traversal;
}

static bool uses_var(const loop_kernel *k, loop_expr e, loop_var v, uint32_t *stamp,
                     uint32_t traversal) {
    if (stamp[e] == traversal || !(loop_info(k, e)->vars >> (v % 64) & 1)) return false;
    stamp[e] = traversal;
    const loop_node *n = loop_get(k, e);
    if (n->op == LOOP_VAR) return n->i == v;
    for (uint32_t i = 0; i < n->arg_count; i++)
        if (uses_var(k, n->args[i], v, stamp, traversal)) return true;
    return false;
}

bool loop_uses_var(const loop_kernel *k, loop_expr e, loop_var v) {
    if (!e || !(loop_info(k, e)->vars >> (v % 64) & 1)) return false;
    uint32_t *stamp, *memo, traversal = loop_begin_traversal(k, &stamp, &memo);
    return uses_var(k, e, v, stamp, traversal);
}

bool loop_linear_in(loop_kernel *k, loop_expr e, loop_var v, int64_t *coefficient,
                    loop_expr *rest) {
    if (!loop_uses_var(k, e, v)) {
        *coefficient = 0;
        *rest = e;
        return true;
    }
    return loop_type(k, e) == DTYPE_I64 && linear_split(k, e, v, coefficient, rest);
}

loop_expr loop_stride(loop_kernel *k, loop_buf b, int axis) {
    loop_buffer buffer = *loop_buffer_of(k, b);
    assert(axis >= 0 && axis < buffer.rank);
    if (buffer.strides) return buffer.strides[axis];
    loop_expr stride = loop_int(k, 1);
    for (int i = buffer.rank - 1; i > axis; i--) stride = loop_mul(k, stride, buffer.extents[i]);
    return stride;
}

loop_expr loop_flat_index(loop_kernel *k, loop_buf b, const loop_expr *indices) {
    loop_buffer buffer = *loop_buffer_of(k, b);
    loop_expr sum = loop_int(k, 0), stride = loop_int(k, 1);
    for (int i = buffer.rank - 1; i >= 0; i--) {
        loop_expr step = buffer.strides ? buffer.strides[i] : stride;
        sum = loop_add(k, sum, loop_mul(k, indices[i], step));
        if (!buffer.strides) stride = loop_mul(k, stride, buffer.extents[i]);
    }
    return sum;
}

/* ---- substitution ---- */

typedef struct {
    loop_kernel *k;
    const loop_expr *with;
    uint64_t vars; /* those replaced, as in expr_info */
    size_t room;   /* length of `with` */
    uint32_t *stamp, *memo, traversal;
} substitution;

static substitution begin_substitution(loop_kernel *k, const loop_expr *with, size_t room) {
    substitution s = {.k = k, .with = with, .room = room};
    for (loop_var v = 0; v < room; v++)
        if (with && with[v]) s.vars |= (uint64_t)1 << (v % 64);
    s.traversal = loop_begin_traversal(k, &s.stamp, &s.memo);
    return s;
}

static loop_expr substitute(substitution *s, loop_expr e) {
    if (!e || !(loop_info(s->k, e)->vars & s->vars)) return e;
    if (s->stamp[e] == s->traversal) return s->memo[e];
    loop_node n = *loop_get(s->k, e);
    loop_expr args[LOOP_MAX_RANK + 3] = {0}, result;
    bool changed = false;
    for (uint32_t i = 0; i < n.arg_count; i++) {
        args[i] = substitute(s, n.args[i]);
        changed |= args[i] != n.args[i];
    }
    if (n.op == LOOP_VAR)
        result = (size_t)n.i < s->room && s->with[n.i] ? s->with[n.i] : e;
    else if (!changed)
        result = e;
    else if (n.op == LOOP_LOAD)
        result = loop_load(s->k, (loop_buf)n.i, args);
    else if (n.op == LOOP_CAST)
        result = loop_cast(s->k, n.type, args[0]);
    else if (n.op == LOOP_BITCAST)
        result = loop_bitcast(s->k, n.type, args[0]);
    else
        result = loop_make(s->k, n.op, args[0], args[1], args[2]);
    s->stamp[e] = s->traversal;
    return s->memo[e] = result;
}

loop_expr loop_substitute(loop_kernel *k, loop_expr e, const loop_expr *with) {
    substitution s = begin_substitution(k, with, k->vars.count);
    return substitute(&s, e);
}

/* ---- buffers and variables ---- */

static bool buffer_name_taken(const loop_kernel *k, const char *name) {
    for (size_t i = 0; i < k->buffers.count; i++)
        if (strcmp(k->buffers.data[i].name, name) == 0) return true;
    return false;
}

static const loop_expr *copy_exprs(loop_kernel *k, const loop_expr *e, size_t n) {
    if (!e) return NULL;
    loop_expr *copy = ARENA_ARRAY(k->memory, loop_expr, n);
    if (n) memcpy(copy, e, n * sizeof *e);
    return copy;
}

loop_buf loop_add_buffer(loop_kernel *k, loop_buffer b) {
    assert(b.rank >= 0 && b.rank <= LOOP_MAX_RANK);
    const char *stem = b.name && *b.name ? b.name : "b";
    b.name = arena_strdup(k->memory, stem);
    for (size_t i = k->buffers.count; buffer_name_taken(k, b.name); i++)
        b.name = arena_printf(k->memory, "%s%zu", stem, i);
    b.extents = copy_exprs(k, b.extents, (size_t)b.rank);
    b.strides = copy_exprs(k, b.strides, (size_t)b.rank);
    list_push(k->memory, &k->buffers, b);
    return (loop_buf)(k->buffers.count - 1);
}

loop_buffer *loop_buffer_of(const loop_kernel *k, loop_buf b) {
    assert(b < k->buffers.count);
    return &k->buffers.data[b];
}

double loop_buffer_bytes(const loop_kernel *k, loop_buf b) {
    const loop_buffer *x = loop_buffer_of(k, b);
    double bytes = (double)dtype_bytes(x->type);
    int64_t extent;
    for (int i = 0; i < x->rank; i++) {
        if (!loop_is_int(k, x->extents[i], &extent)) return 0;
        bytes *= (double)extent;
    }
    return bytes;
}

static bool var_name_taken(const loop_kernel *k, const char *name) {
    for (size_t i = 0; i < k->vars.count; i++)
        if (strcmp(k->vars.data[i].name, name) == 0) return true;
    return false;
}

loop_var loop_add_named_var(loop_kernel *k, const char *name, loop_expr extent) {
    if (name_number(name) != k->vars.count + 1) loop_table(k)->foreign_names = true;
    list_push(k->memory, &k->vars, ((loop_variable){arena_strdup(k->memory, name), extent}));
    return (loop_var)(k->vars.count - 1);
}

/* The name is the stem and the variable's number, so that names say the order of making. */
loop_var loop_add_var(loop_kernel *k, const char *stem, loop_expr extent) {
    size_t n = strlen(stem), number = k->vars.count;
    while (n > 1 && isdigit((unsigned char)stem[n - 1])) n--;
    const char *name;
    do name = arena_printf(k->memory, "%.*s%zu", (int)n, stem, number++);
    while (loop_table(k)->foreign_names && var_name_taken(k, name));
    return loop_add_named_var(k, name, extent);
}

loop_expr loop_greater(loop_kernel *k, loop_expr a, loop_expr b) {
    return loop_select(k, loop_make(k, LOOP_LT, a, b, 0), b, a);
}

loop_expr loop_lesser(loop_kernel *k, loop_expr a, loop_expr b) {
    return loop_select(k, loop_make(k, LOOP_LT, b, a, 0), b, a);
}

/* ---- statements ---- */

static loop_stmt *new_stmt(loop_kernel *k, loop_stmt s) {
    loop_stmt *made = ARENA_NEW(k->memory, loop_stmt);
    *made = s;
    return made;
}

loop_stmt *loop_for(loop_kernel *k, loop_kind kind, loop_var v, loop_expr extent, loop_stmt *body) {
    return new_stmt(
        k,
        (loop_stmt){.kind = LOOP_STMT_FOR, .loop = kind, .var = v, .extent = extent, .body = body});
}

loop_stmt *loop_store(loop_kernel *k, loop_buf b, const loop_expr *indices, loop_expr value) {
    uint32_t rank = (uint32_t)loop_buffer_of(k, b)->rank;
    return new_stmt(k, (loop_stmt){.kind = LOOP_STMT_STORE,
                                   .buf = b,
                                   .index_count = rank,
                                   .indices = copy_exprs(k, indices, rank),
                                   .value = value});
}

loop_stmt *loop_if(loop_kernel *k, loop_expr condition, loop_stmt *then, loop_stmt *otherwise) {
    return new_stmt(
        k, (loop_stmt){
               .kind = LOOP_STMT_IF, .condition = condition, .body = then, .otherwise = otherwise});
}

loop_stmt *loop_check(loop_kernel *k, loop_expr condition, int code) {
    return new_stmt(k, (loop_stmt){.kind = LOOP_STMT_CHECK, .condition = condition, .code = code});
}

loop_stmt *loop_join(loop_stmt *first, loop_stmt *second) {
    if (!first) return second;
    loop_stmt *last = first;
    while (last->next) last = last->next;
    last->next = second;
    return first;
}

typedef struct {
    loop_kernel *k;
    loop_expr *with;
    size_t room;
    bool rename;
    substitution now;
} copier;

static loop_var copy_var(copier *c, loop_var v, loop_expr extent) {
    if (c->rename) {
        loop_var fresh = loop_add_var(c->k, c->k->vars.data[v].name, extent);
        c->with[v] = loop_var_expr(c->k, fresh);
        c->now = begin_substitution(c->k, c->with, c->room);
        return fresh;
    }
    if (!c->with[v]) return v;
    /* A loop whose variable is replaced by another variable takes that one. */
    const loop_node *n = loop_get(c->k, c->with[v]);
    return n->op == LOOP_VAR ? (loop_var)n->i : v;
}

static loop_stmt *copy_block(copier *c, const loop_stmt *s) {
    loop_stmt *head = NULL, **at = &head;
    for (; s; s = s->next, at = &(*at)->next) {
        loop_stmt made = *s;
        made.next = NULL;
        made.extent = substitute(&c->now, s->extent);
        made.active = substitute(&c->now, s->active);
        made.condition = substitute(&c->now, s->condition);
        if (s->kind == LOOP_STMT_FOR) made.var = copy_var(c, s->var, made.extent);
        if (s->kind == LOOP_STMT_STORE) {
            loop_expr indices[LOOP_MAX_RANK];
            for (uint32_t i = 0; i < s->index_count; i++)
                indices[i] = substitute(&c->now, s->indices[i]);
            made.indices = copy_exprs(c->k, indices, s->index_count);
            made.value = substitute(&c->now, s->value);
        }
        made.body = copy_block(c, s->body);
        made.otherwise = copy_block(c, s->otherwise);
        *at = new_stmt(c->k, made);
    }
    return head;
}

loop_stmt *loop_copy(loop_kernel *k, const loop_stmt *s, const loop_expr *with, bool rename) {
    size_t room = k->vars.count; /* variables made by renaming are not in `s` */
    loop_expr *own = ARENA_ARRAY(k->memory, loop_expr, room);
    if (with && room) memcpy(own, with, room * sizeof *own);
    copier c = {.k = k, .with = own, .room = room, .rename = rename};
    c.now = begin_substitution(k, own, room);
    return copy_block(&c, s);
}

/* ---- symbols ---- */

static void mark_symbols(const loop_kernel *k, loop_expr e, bool *used, uint32_t *stamp,
                         uint32_t traversal) {
    if (!e || stamp[e] == traversal) return;
    stamp[e] = traversal;
    const loop_node *n = loop_get(k, e);
    if (n->op == LOOP_DIM) used[n->i] = true;
    for (uint32_t i = 0; i < n->arg_count; i++) mark_symbols(k, n->args[i], used, stamp, traversal);
}

static void mark_block(const loop_kernel *k, const loop_stmt *s, bool *used, uint32_t *stamp,
                       uint32_t traversal) {
    for (; s; s = s->next) {
        mark_symbols(k, s->extent, used, stamp, traversal);
        mark_symbols(k, s->active, used, stamp, traversal);
        mark_symbols(k, s->condition, used, stamp, traversal);
        mark_symbols(k, s->value, used, stamp, traversal);
        for (uint32_t i = 0; i < s->index_count; i++)
            mark_symbols(k, s->indices[i], used, stamp, traversal);
        mark_block(k, s->body, used, stamp, traversal);
        mark_block(k, s->otherwise, used, stamp, traversal);
    }
}

const dim_symbol *loop_symbols(const loop_kernel *k, size_t *count) {
    size_t all = dim_symbol_count(k->dims);
    bool *used = ARENA_ARRAY(k->memory, bool, all + 1);
    uint32_t *stamp, *memo, traversal = loop_begin_traversal(k, &stamp, &memo);
    mark_block(k, k->body, used, stamp, traversal);
    for (size_t i = 0; i < k->buffers.count; i++) {
        const loop_buffer *b = &k->buffers.data[i];
        for (int j = 0; j < b->rank; j++) {
            mark_symbols(k, b->extents[j], used, stamp, traversal);
            if (b->strides) mark_symbols(k, b->strides[j], used, stamp, traversal);
        }
    }
    dim_symbol *symbols = ARENA_ARRAY(k->memory, dim_symbol, all + 1);
    *count = 0;
    for (dim_symbol s = 0; s < all; s++)
        if (used[s]) symbols[(*count)++] = s;
    return symbols;
}
