/* graph_parse_type.c: types and the data of constants in the graph's text form. */
#include "ir/graph_parse.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { MAX_TYPE_DEPTH = 16, MAX_HALO = 1 << 16, MAX_BLOCK = 1 << 16 };

bool graph_parse_dim(graph_parser *p, dim *out) {
    text_skip(&p->lex);
    if (p->lex.failed) return false;
    *out = dim_parse(p->g->dims, &p->lex.at);
    return *out || text_fail(&p->lex, "a dimension is missing");
}

static bool small_int(graph_parser *p, int64_t low, int64_t high, int *out) {
    int64_t v;
    if (!text_int(&p->lex, &v)) return false;
    if (v < low || v > high)
        return text_fail(&p->lex, "a number from %lld to %lld is due", (long long)low,
                         (long long)high);
    *out = (int)v;
    return true;
}

/* {block AXIS:SIZE, halo AXIS:BEFORE:AFTER, ...} */
static bool parse_layout(graph_parser *p, type *t) {
    text_lexer *x = &p->lex;
    tensor_layout *y = ARENA_NEW(x->memory, tensor_layout);
    y->block_axis = -1;
    t->layout = y;
    for (bool first = true; !text_accept(x, "}"); first = false) {
        int axis = 0, before = 0, after = 0;
        if (!first && !text_expect(x, ",")) return false;
        bool block = text_accept(x, "block");
        if (!block && !text_expect(x, "halo")) return false;
        if (!small_int(p, 0, t->rank - 1, &axis) || !text_expect(x, ":")) return false;
        if (block) {
            y->block_axis = axis;
            if (!small_int(p, 1, MAX_BLOCK, &y->block)) return false;
            continue;
        }
        if (!small_int(p, 0, MAX_HALO, &before) || !text_expect(x, ":") ||
            !small_int(p, 0, MAX_HALO, &after))
            return false;
        y->halo_before[axis] = before;
        y->halo_after[axis] = after;
    }
    if (y->block_axis >= 0 && (y->halo_before[y->block_axis] || y->halo_after[y->block_axis]))
        return text_fail(x, "a blocked axis has no halo");
    return true;
}

static bool parse_tensor(graph_parser *p, type *t) {
    text_lexer *x = &p->lex;
    dim *dims = ARENA_ARRAY(x->memory, dim, TENSOR_MAX_RANK);
    t->kind = TYPE_TENSOR;
    t->dims = dims;
    if (p->type_depth > 1 && text_accept(x, "*")) { /* items may differ in rank */
        t->rank = -1;
        return true;
    }
    if (!text_expect(x, "[")) return false;
    for (t->rank = 0; !text_accept(x, "]"); t->rank++) {
        int64_t c;
        dim *d = &dims[t->rank];
        if (t->rank == TENSOR_MAX_RANK) return text_fail(x, "a tensor has too many axes");
        if (t->rank && !text_expect(x, ",")) return false;
        if (!graph_parse_dim(p, d)) return false;
        if (dim_is_const(p->g->dims, *d, &c) && c < 0)
            return text_fail(x, "a dimension is negative");
    }
    return !text_accept(x, "{") || parse_layout(p, t);
}

static bool parse_container(graph_parser *p, type *t) {
    text_lexer *x = &p->lex;
    if (!text_expect(x, "(")) return false;
    if (t->kind == TYPE_MAP) {
        const char *key = text_name(x);
        if (!key) return false;
        t->dtype = dtype_from_name(key, strlen(key));
        if (t->dtype == DTYPE_NONE || !text_expect(x, ","))
            return text_fail(x, "the type of a map's keys is missing");
    }
    if (text_accept(x, ")")) return true;
    type *inner = ARENA_NEW(x->memory, type);
    t->element = inner;
    return graph_parse_type(p, inner) && text_expect(x, ")");
}

bool graph_parse_type(graph_parser *p, type *t) {
    *t = (type){.kind = TYPE_NONE};
    const char *name = text_name(&p->lex);
    if (!name) return false;
    if (++p->type_depth > MAX_TYPE_DEPTH) return text_fail(&p->lex, "types are nested too deep");
    bool ok;
    t->kind = strcmp(name, "seq") == 0        ? TYPE_SEQUENCE
              : strcmp(name, "optional") == 0 ? TYPE_OPTIONAL
              : strcmp(name, "map") == 0      ? TYPE_MAP
                                              : TYPE_NONE;
    if (t->kind != TYPE_NONE) {
        ok = parse_container(p, t);
    } else {
        t->dtype = dtype_from_name(name, strlen(name));
        ok = t->dtype == DTYPE_NONE ? text_fail(&p->lex, "there is no type %s", name)
                                    : parse_tensor(p, t);
    }
    p->type_depth--;
    return ok;
}

/* ---- data ---- */

bool graph_parse_strings(graph_parser *p, const blob_string **out, size_t *count) {
    LIST(blob_string) list = {0};
    if (!text_expect(&p->lex, "[")) return false;
    while (!text_accept(&p->lex, "]")) {
        blob_string s;
        if (list.count && !text_expect(&p->lex, ",")) return false;
        if (!text_string(&p->lex, &s.data, &s.length)) return false;
        list_push(p->lex.memory, &list, s);
    }
    *out = list.data ? list.data : ARENA_NEW(p->lex.memory, blob_string);
    *count = list.count;
    return true;
}

static bool put_number(graph_parser *p, dtype t, unsigned char *to) {
    double f;
    int64_t i;
    size_t width = dtype_bytes(t);
    if (t == DTYPE_F32 || t == DTYPE_F64) {
        if (!text_float(&p->lex, &f)) return false;
        float single = (float)f;
        memcpy(to, t == DTYPE_F32 ? (const void *)&single : &f, width);
        return true;
    }
    if (dtype_is_float(t) || t == DTYPE_C64 || t == DTYPE_C128 || t == DTYPE_U64)
        return text_fail(&p->lex, "data of type %s is written as hex", dtype_name(t));
    if (!text_int(&p->lex, &i)) return false;
    memcpy(to, &i, width); /* the low bytes are the narrow form */
    return true;
}

static bool parse_numbers(graph_parser *p, dtype t, blob *out) {
    LIST(unsigned char) bytes = {0};
    size_t width = dtype_bytes(t);
    while (!text_accept(&p->lex, "]")) {
        unsigned char one[16];
        if (bytes.count && !text_expect(&p->lex, ",")) return false;
        if (!put_number(p, t, one)) return false;
        for (size_t i = 0; i < width; i++) list_push(p->lex.memory, &bytes, one[i]);
    }
    out->data = bytes.data ? bytes.data : ARENA_NEW(p->lex.memory, unsigned char);
    out->bytes = bytes.count;
    return true;
}

/* elided N bytes DIGEST: what was not printed. One small number, repeated, stands for it. */
static bool parse_elided(graph_parser *p, dtype t, blob *out) {
    static const float single = 1.0f / 128;
    static const double twice = 1.0 / 128;
    int64_t bytes;
    size_t width = dtype_bytes(t);
    if (!text_int(&p->lex, &bytes) || !text_expect(&p->lex, "bytes") || !text_name(&p->lex))
        return false;
    unsigned char *one = arena_alloc(p->lex.memory, width);
    if (t == DTYPE_F32) memcpy(one, &single, width);
    if (t == DTYPE_F64) memcpy(one, &twice, width);
    *out = (blob){one, width, true};
    p->elided++;
    return true;
}

bool graph_parse_data(graph_parser *p, const type *t, blob *out) {
    text_lexer *x = &p->lex;
    int64_t dims[TENSOR_MAX_RANK], bytes;
    if (t->kind != TYPE_TENSOR || !type_static_dims(p->g->dims, t, dims) ||
        !dim_is_const(p->g->dims, type_bytes(p->g->dims, t), &bytes))
        return text_fail(x, "a constant is a tensor of fixed dimensions");
    bool splat = text_accept(x, "splat");
    if (text_accept(x, "elided")) return parse_elided(p, t->dtype, out);
    if (t->dtype == DTYPE_STRING) {
        const blob_string *strings;
        size_t count;
        if (!graph_parse_strings(p, &strings, &count)) return false;
        *out = (blob){strings, count * sizeof *strings, false};
    } else if (text_accept(x, "hex")) {
        unsigned char *data;
        if (!text_hex(x, &data, &out->bytes)) return false;
        out->data = data;
    } else if (!text_expect(x, "[") || !parse_numbers(p, t->dtype, out)) {
        return false;
    }
    out->splat = splat;
    int64_t wanted = splat ? (int64_t)dtype_bytes(t->dtype) : bytes;
    return out->bytes == (size_t)wanted ||
           text_fail(x, "the constant has %zu bytes, its type asks for %lld", out->bytes,
                     (long long)wanted);
}
