/* graph_text.c: prints the graph IR (docs/graph-ir.md describes the form). Values are named as in
 * the graph; what needs no quotes has none. Constants are printed whole, as one element if they are
 * splats, or elided to their size and digest. */
#include "ir/graph.h"
#include "ir/op.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const graph *g;
    graph_print_options options;
    void (*write)(void *user, const char *text, size_t n);
    void *user;
    arena *scratch;
} printer;

static void put(printer *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(printer *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const char *text = arena_vprintf(p->scratch, format, args);
    va_end(args);
    p->write(p->user, text, strlen(text));
}

static void put_quoted(printer *p, const char *s, size_t n) {
    put(p, "\"");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            put(p, "\\%c", c);
        else if (c < 32 || c > 126)
            put(p, "\\x%02x", c);
        else
            put(p, "%c", c);
    }
    put(p, "\"");
}

static void put_name(printer *p, const char *s) {
    bool plain = *s != '\0';
    for (const char *c = s; *c; c++)
        plain = plain && (isalnum((unsigned char)*c) || strchr("_.$-/", *c) ||
                          (*c == ':' && c[1])); /* the last would run into what follows */
    if (plain)
        put(p, "%s", s);
    else
        put_quoted(p, s, strlen(s));
}

static void put_value(printer *p, value_id v) {
    if (!v) {
        put(p, "_");
        return;
    }
    put(p, "%%");
    put_name(p, graph_value(p->g, v)->name);
}

static void put_layout(printer *p, const type *t) {
    const tensor_layout *y = t->layout;
    if (!y) return;
    put(p, " {");
    const char *gap = "";
    if (y->block_axis >= 0) {
        put(p, "block %d:%d", y->block_axis, y->block);
        gap = ", ";
    }
    for (int i = 0; i < t->rank; i++)
        if (y->halo_before[i] || y->halo_after[i]) {
            put(p, "%shalo %d:%d:%d", gap, i, (int)y->halo_before[i], (int)y->halo_after[i]);
            gap = ", ";
        }
    put(p, "}");
}

static void put_type(printer *p, const type *t) {
    static const char *const containers[] = {
        [TYPE_SEQUENCE] = "seq", [TYPE_OPTIONAL] = "optional", [TYPE_MAP] = "map"};
    if (t->kind == TYPE_NONE) {
        put(p, "none");
    } else if (t->kind == TYPE_TENSOR) {
        put(p, "%s[", dtype_name(t->dtype));
        if (t->rank < 0) put(p, "*");
        for (int i = 0; i < t->rank; i++)
            put(p, "%s%s", i ? ", " : "", dim_text(p->g->dims, p->scratch, t->dims[i]));
        put(p, "]");
        put_layout(p, t);
    } else {
        put(p, "%s(", containers[t->kind]);
        if (t->kind == TYPE_MAP) put(p, "%s, ", dtype_name(t->dtype));
        if (t->element) put_type(p, t->element);
        put(p, ")");
    }
}

/* ---- constants ---- */

static uint64_t digest(const blob *b) {
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < b->bytes; i++)
        h = (h ^ ((const unsigned char *)b->data)[i]) * 1099511628211u;
    return h;
}

/* The shortest text that reads back as the same number. */
static void put_float(printer *p, double x, bool single) {
    char text[40];
    if (x == floor(x) && fabs(x) < 1e7) {
        put(p, "%.0f", x);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (single ? strtof(text, NULL) == (float)x : strtod(text, NULL) == x) break;
    }
    put(p, "%s", text);
}

static void put_number(printer *p, const value *v, size_t i) {
    if (dtype_is_float(v->type.dtype))
        put_float(p, value_float(v, p->g->dims, i), v->type.dtype == DTYPE_F32);
    else
        put(p, "%" PRId64, value_int(v, p->g->dims, i));
}

/* Whether decimal numbers say exactly what the data holds. */
static bool is_decimal(const printer *p, const value *v, size_t count) {
    dtype t = v->type.dtype;
    if (t == DTYPE_U64 || t == DTYPE_C64 || t == DTYPE_C128) return false;
    if (!dtype_is_float(t)) return true;
    for (size_t i = 0; i < count; i++)
        if (!isfinite(value_float(v, p->g->dims, i))) return false;
    return t == DTYPE_F32 || t == DTYPE_F64;
}

static void put_strings(printer *p, const blob *b) {
    const blob_string *s = b->data;
    put(p, "[");
    for (size_t i = 0; i < b->bytes / sizeof *s; i++) {
        if (i) put(p, ", ");
        put_quoted(p, s[i].data, s[i].length);
    }
    put(p, "]");
}

static void put_hex(printer *p, const blob *b) {
    static const char digits[] = "0123456789abcdef";
    char line[128];
    size_t n = 0;
    put(p, "hex \"");
    for (size_t i = 0; i < b->bytes; i++) {
        unsigned char c = ((const unsigned char *)b->data)[i];
        line[n++] = digits[c >> 4];
        line[n++] = digits[c & 15];
        if (n == sizeof line || i + 1 == b->bytes) {
            p->write(p->user, line, n);
            n = 0;
        }
    }
    put(p, "\"");
}

static void put_constant(printer *p, const value *v) {
    enum { SHORT = 16 };
    const blob *b = v->constant;
    size_t width = dtype_bytes(v->type.dtype), count = b->bytes / width;
    if (b->splat) put(p, "splat ");
    if (v->type.dtype == DTYPE_STRING) {
        put_strings(p, b);
    } else if (count <= SHORT && is_decimal(p, v, count)) {
        put(p, "[");
        for (size_t i = 0; i < count; i++) {
            if (i) put(p, ", ");
            put_number(p, v, i);
        }
        put(p, "]");
    } else if (count > p->options.elide_above) {
        put(p, "elided %zu bytes %016" PRIx64, b->bytes, digest(b));
    } else {
        put_hex(p, b);
    }
}

/* ---- nodes ---- */

static void put_region(printer *p, region_id r, int depth);

static void indent(printer *p, int depth) {
    put(p, "%*s", depth * 2, "");
}

static void put_attr(printer *p, const attr *a, int depth) {
    put_name(p, a->name);
    put(p, " = ");
    switch (a->kind) {
    case ATTR_INT: put(p, "%" PRId64, a->i); break;
    case ATTR_FLOAT:
        put(p, "f ");
        put_float(p, a->f, false);
        break;
    case ATTR_STRING: put_quoted(p, a->string, a->count); break;
    case ATTR_INTS:
        put(p, "[");
        for (size_t i = 0; i < a->count; i++) put(p, "%s%" PRId64, i ? ", " : "", a->ints[i]);
        put(p, "]");
        break;
    case ATTR_FLOATS:
        put(p, "f [");
        for (size_t i = 0; i < a->count; i++) {
            if (i) put(p, ", ");
            put_float(p, a->floats[i], false);
        }
        put(p, "]");
        break;
    case ATTR_STRINGS:
        put(p, "s [");
        for (size_t i = 0; i < a->count; i++) {
            if (i) put(p, ", ");
            put_quoted(p, a->strings[i].data, a->strings[i].length);
        }
        put(p, "]");
        break;
    case ATTR_TENSOR:
        put(p, "t ");
        put_value(p, a->tensors[0]);
        break;
    case ATTR_TENSORS:
        put(p, "t [");
        for (size_t i = 0; i < a->count; i++) {
            if (i) put(p, ", ");
            put_value(p, a->tensors[i]);
        }
        put(p, "]");
        break;
    case ATTR_TYPE:
        put(p, "type ");
        put_type(p, a->type);
        break;
    case ATTR_REGION: put_region(p, (region_id)a->i, depth + 1); break;
    case ATTR_REGIONS: assert(!"no operator has a list of regions");
    }
}

/* A value where it is made: its type and, where they are known, its elements. */
static void put_definition(printer *p, value_id v) {
    size_t count;
    put_value(p, v);
    if (!v) return;
    put(p, ": ");
    put_type(p, graph_type(p->g, v));
    if (!graph_value(p->g, v)->elements) return;
    const dim *e = graph_elements((graph *)p->g, v, &count);
    if (!e) return;
    put(p, graph_value(p->g, v)->binds ? " binds [" : " of [");
    for (size_t i = 0; i < count; i++)
        put(p, "%s%s", i ? ", " : "", dim_text(p->g->dims, p->scratch, e[i]));
    put(p, "]");
}

static void put_node(printer *p, node_id id, int depth) {
    const node *n = graph_node(p->g, id);
    indent(p, depth);
    for (uint32_t i = 0; i < n->output_count; i++) {
        if (i) put(p, ", ");
        put_definition(p, n->outputs[i]);
    }
    put(p, n->output_count ? " = " : "");
    if (*n->op->domain) put(p, "%s::", n->op->domain);
    put(p, "%s(", n->op->name);
    for (uint32_t i = 0; i < n->input_count; i++) {
        if (i) put(p, ", ");
        put_value(p, n->inputs[i]);
    }
    put(p, ")");
    for (uint32_t i = 0; i < n->attr_count; i++) {
        put(p, i ? ", " : " {");
        put_attr(p, &n->attrs[i], depth);
    }
    put(p, n->attr_count ? "}" : "");
    if (*n->name) {
        put(p, " @");
        put_quoted(p, n->name, strlen(n->name));
    }
    put(p, "\n");
}

static void put_region(printer *p, region_id r, int depth) {
    const region *reg = graph_region(p->g, r);
    put(p, "(");
    for (size_t i = 0; i < reg->inputs.count; i++) {
        if (i) put(p, ", ");
        put_definition(p, reg->inputs.data[i]);
    }
    put(p, ") {\n");
    for (size_t i = 0; i < reg->nodes.count; i++) put_node(p, reg->nodes.data[i], depth + 1);
    indent(p, depth + 1);
    put(p, "return");
    for (size_t i = 0; i < reg->outputs.count; i++) {
        put(p, i ? ", " : " ");
        put_value(p, reg->outputs.data[i]);
    }
    put(p, "\n");
    indent(p, depth);
    put(p, "}");
}

static void put_symbols(printer *p) {
    for (dim_symbol s = 0; s < dim_symbol_count(p->g->dims); s++) {
        int64_t low, high;
        dim_symbol_bounds(p->g->dims, s, &low, &high);
        put(p, "dim %s", dim_text(p->g->dims, p->scratch, dim_from_symbol(p->g->dims, s)));
        put(p, " in %" PRId64 "..", low);
        if (high < DIM_MAX) put(p, "%" PRId64, high);
        dim limit = dim_symbol_limit(p->g->dims, s);
        if (limit) put(p, " up to %s", dim_text(p->g->dims, p->scratch, limit));
        put(p, "\n");
    }
}

static void put_ports(printer *p, const char *what, const graph_port *ports, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const graph_port *port = &ports[i];
        put(p, "%s ", what);
        put_quoted(p, port->name, strlen(port->name));
        put(p, " %s%s %" PRIu32 "\n",
            port->kind == TYPE_OPTIONAL ? (port->present ? "optional " : "absent ") : "",
            port->kind == TYPE_MAP                      ? "map"
            : port->kind == TYPE_SEQUENCE || port->list ? "sequence"
                                                        : "tensor",
            port->count);
    }
}

static bool has_list(const graph_port *ports, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (ports[i].kind != TYPE_TENSOR) return true;
    return false;
}

/* Constants that something uses, in the order of their ids. */
static void put_constants(printer *p) {
    const uint32_t *uses = graph_count_uses(p->g);
    bool *named = ARENA_ARRAY(p->scratch, bool, p->g->values.count);
    for (size_t i = 1; i < p->g->nodes.count; i++) {
        const node *n = &p->g->nodes.data[i];
        for (uint32_t j = 0; n->region && j < n->attr_count; j++)
            if (n->attrs[j].kind == ATTR_TENSOR || n->attrs[j].kind == ATTR_TENSORS)
                for (size_t k = 0; k < n->attrs[j].count; k++) named[n->attrs[j].tensors[k]] = true;
    }
    for (value_id v = 1; v < p->g->values.count; v++) {
        const value *val = graph_value(p->g, v);
        if (!val->constant || (!uses[v] && !named[v])) continue;
        put(p, "const ");
        put_value(p, v);
        put(p, ": ");
        put_type(p, &val->type);
        put(p, " = ");
        put_constant(p, val);
        put(p, "\n");
    }
}

void graph_print(const graph *g, graph_print_options options,
                 void (*write)(void *user, const char *text, size_t n), void *user) {
    printer p = {
        .g = g, .options = options, .write = write, .user = user, .scratch = arena_create()};
    put(&p, "graph ");
    put_name(&p, *g->name ? g->name : "main");
    put(&p, "\n");
    put_symbols(&p);
    if (has_list(g->input_ports.data, g->input_ports.count) ||
        has_list(g->output_ports.data, g->output_ports.count)) {
        put_ports(&p, "input", g->input_ports.data, g->input_ports.count);
        put_ports(&p, "output", g->output_ports.data, g->output_ports.count);
    }
    put_constants(&p);
    put_region(&p, GRAPH_MAIN, 0);
    put(&p, "\n");
    arena_destroy(p.scratch);
}
