/* graph.h: the graph IR. SSA values of tensor, sequence, optional or map type; nodes with typed
 * attributes; regions for If, Loop, Scan and fusion groups. Nodes and values are ids into arrays
 * that one arena owns. A node holds no state of any pass: passes keep side tables indexed by id. A
 * dimension is never -1: what is unknown is a symbol. */
#ifndef ONNXCC_IR_GRAPH_H
#define ONNXCC_IR_GRAPH_H

#include "ir/arena.h"
#include "ir/diag.h"
#include "ir/dim.h"
#include "ir/dtype.h"

typedef uint32_t value_id;  /* 0 is none: an optional input left out */
typedef uint32_t node_id;   /* 0 is none */
typedef uint32_t region_id; /* 0 is none, GRAPH_MAIN the graph itself */

enum { GRAPH_MAIN = 1, TENSOR_MAX_RANK = 12, GRAPH_MOST_ITEMS = 4096 };

typedef struct op_def op_def; /* ir/op.h */

/* How a tensor lies in memory; NULL stands for dense row-major. Logical indices never change: a
 * layout only says where an element is. With `block` the axis `block_axis` is split into
 * ceil(dim/block) blocks, which stay in its place, and lanes, which go innermost
 * ([N][C/16][H][W][16]); the lanes past the dimension hold unspecified numbers. `halo_before` and
 * `halo_after` are extra elements around an axis (never the blocked one), which hold zero: a
 * convolution that pads reads them. */
typedef struct {
    int block_axis; /* -1: not blocked */
    int block;
    int32_t halo_before[TENSOR_MAX_RANK];
    int32_t halo_after[TENSOR_MAX_RANK];
} tensor_layout;

typedef enum { TYPE_NONE, TYPE_TENSOR, TYPE_SEQUENCE, TYPE_OPTIONAL, TYPE_MAP } type_kind;

typedef struct type {
    type_kind kind;
    dtype dtype;                 /* tensor: element; map: key */
    int rank;                    /* tensor; -1 while unknown (only before inference is done) */
    const dim *dims;             /* tensor: rank of them */
    const tensor_layout *layout; /* tensor: NULL for row-major */
    const struct type *element;  /* sequence, optional: element; map: value */
} type;

/* Constant data, row-major unless the type says otherwise. `data` may lie in the mapped model file
 * and then has no alignment to speak of. Strings are an array of {pointer, length} pairs
 * (blob_string). */
typedef struct {
    const void *data;
    size_t bytes;
    bool splat; /* data is one element, repeated over the whole tensor; never expanded in memory */
} blob;

typedef struct {
    const char *data;
    size_t length;
} blob_string;

typedef enum {
    ATTR_INT,
    ATTR_FLOAT,
    ATTR_STRING,
    ATTR_INTS,
    ATTR_FLOATS,
    ATTR_STRINGS,
    ATTR_TENSOR,
    ATTR_REGION,
    ATTR_TYPE,
    ATTR_TENSORS,
    ATTR_REGIONS
} attr_kind;

typedef struct {
    const char *name;
    attr_kind kind;
    int64_t i;            /* INT; REGION: the region_id */
    double f;             /* FLOAT */
    size_t count;         /* of ints, floats, strings, tensors; STRING: its length */
    const int64_t *ints;  /* INTS, REGIONS */
    const double *floats; /* FLOATS */
    const char *string;   /* STRING: NUL-terminated, may hold NULs within its length */
    const blob_string *strings;
    const value_id
        *tensors;     /* TENSOR, TENSORS: constant values of the graph that no region lists */
    const type *type; /* TYPE */
} attr;

typedef struct {
    const op_def *op;
    const char *name;   /* of the model's node, for messages; "" if it has none */
    const char *source; /* operator and opset as the file has it ("Conv-11"); NULL for made nodes */
    value_id *inputs;
    value_id *outputs;
    attr *attrs;
    uint32_t input_count, output_count, attr_count;
    region_id region; /* the region that it stands in; 0 once removed */
} node;

/* The items of a sequence, or of an optional: none or one. */
typedef struct {
    const value_id *items;
    size_t count;
} value_list;

typedef struct {
    const char *name; /* unique among the values */
    type type;
    node_id producer;       /* 0: a constant, an input of a region, or nothing yet */
    const blob *constant;   /* data, for a constant */
    const dim *elements;    /* small integer tensors (rank 0 or 1) whose elements are known as
                               expressions; else NULL */
    const value_list *list; /* sequences and optionals whose items are known; else NULL */
    bool binds; /* the elements are not derived: each is read when the value is made. One that is a
                   symbol of its own gives the symbol its value there; the others are checked */
} value;

typedef struct {
    LIST(value_id) inputs;
    LIST(value_id)
    outputs; /* may repeat, may be inputs or constants, may be captured from an outer region */
    LIST(node_id) nodes; /* in order of execution: a value is made before it is used */
    region_id parent;
    node_id owner; /* the node that has this region as an attribute; 0 for the main one */
} region;

/* An input or output of the model as its file has it. Sequences and optionals are taken apart: the
 * tensors of each stand one after the other among the inputs or outputs of the main region. */
typedef struct {
    const char *name;
    type_kind kind; /* TENSOR, SEQUENCE, OPTIONAL; MAP: vectors of keys and of values */
    bool list;      /* OPTIONAL: of a sequence */
    bool present;   /* OPTIONAL: whether there is something; true for others */
    uint32_t count; /* of tensors */
} graph_port;

/* The names that values have, hashed; graph.c alone looks inside. */
typedef struct {
    const char **slots;
    size_t slot_count, count, serial;
} graph_names;

typedef struct graph {
    arena *memory;
    diag *diag;
    dim_table *dims;
    const char *name;
    LIST(value) values; /* element 0 is unused in these three */
    LIST(node) nodes;
    LIST(region) regions;
    graph_names names;
    /* One for every input and output of the model; no ports: each is a tensor. */
    LIST(graph_port) input_ports;
    LIST(graph_port) output_ports;
    /* Sequences are not resolved yet: types that only their items would tell may be missing. */
    bool pending;
} graph;

graph *graph_create(arena *a, diag *d, const char *name);

/* ---- access. Pointers stay valid until the next value, node or region is added. ---- */
value *graph_value(const graph *g, value_id v);
node *graph_node(const graph *g, node_id n);
region *graph_region(const graph *g, region_id r);
const type *graph_type(const graph *g, value_id v);
/* Input or output `i` of a node; 0 where it has fewer. */
value_id graph_input(const graph *g, node_id n, uint32_t i);
value_id graph_output(const graph *g, node_id n, uint32_t i);

/* ---- building ---- */
region_id graph_add_region(graph *g, region_id parent);
/* `name` NULL or taken: a fresh one is made from it. The type is copied. */
value_id graph_add_value(graph *g, const char *name, type t);
value_id graph_add_constant(graph *g, const char *name, type t, blob data);
/* A constant tensor from native numbers; the data is copied. */
value_id graph_add_constant_ints(graph *g, const char *name, dtype t, int rank, const int64_t *dims,
                                 const int64_t *data);
value_id graph_add_constant_floats(graph *g, const char *name, dtype t, int rank,
                                   const int64_t *dims, const double *data);
/* Appends a node to a region, or puts it before the node `before` if that is not 0. Inputs, outputs
 * and attributes are copied. Output ids that are 0 stay left out. */
node_id graph_add_node(graph *g, region_id r, node_id before, const op_def *op, const char *name,
                       uint32_t input_count, const value_id *inputs, uint32_t output_count,
                       const value_id *outputs, uint32_t attr_count, const attr *attrs);
/* Makes a node of a named operator with one fresh output, infers its type, returns the output (0
 * and a diagnostic on failure). */
value_id graph_build(graph *g, region_id r, node_id before, const char *domain, const char *op,
                     uint32_t input_count, const value_id *inputs, uint32_t attr_count,
                     const attr *attrs);
void graph_set_attr(graph *g, node_id n, attr a);
attr attr_int(const char *name, int64_t v);
attr attr_float(const char *name, double v);
attr attr_ints(const char *name, const int64_t *v, size_t n);
attr attr_string(const char *name, const char *v);

/* ---- types ---- */
type type_tensor(dtype t, int rank, const dim *dims);
type type_tensor_const(graph *g, dtype t, int rank, const int64_t *dims);
bool type_equal(const type *a, const type *b);
/* Whether tensors of `rank` axes lie in the same order; either may be NULL: row-major. */
bool layout_equal(const tensor_layout *x, const tensor_layout *y, int rank);
dim type_elements(dim_table *t, const type *ty); /* product of the dimensions */
dim type_bytes(dim_table *t, const type *ty);    /* in memory, with blocks and halo */
bool type_static_dims(const dim_table *t, const type *ty,
                      int64_t *dims); /* false if some dimension is no constant */

/* ---- attributes. A node has those that were given and the schema's defaults for the others. ----
 */
const attr *node_attr(const node *n, const char *name); /* NULL if absent */
int64_t node_attr_int(const node *n, const char *name, int64_t otherwise);
double node_attr_float(const node *n, const char *name, double otherwise);
const char *node_attr_string(const node *n, const char *name, const char *otherwise);
/* The region of a region attribute; 0 if absent. */
region_id node_attr_region(const node *n, const char *name);
/* NULL and count 0 if absent. */
const int64_t *node_attr_ints(const node *n, const char *name, size_t *count);

/* ---- constants ---- */
/* Reads element i of a constant number tensor (splat and every numeric type understood). */
double value_float(const value *v, const dim_table *t, size_t i);
int64_t value_int(const value *v, const dim_table *t, size_t i);
/* The elements of a small integer or bool tensor, row-major, as dimension expressions: from
 * `elements`, or from a constant. NULL if they are not known; *count is their number. */
const dim *graph_elements(graph *g, value_id v, size_t *count);

/* Whether the type is of a tensor, or of something made of them, that is known: not so before
 * inference, and where only the items of a sequence tell a rank. */
bool type_is_known(const type *t);
/* The elements of a small i64 tensor (rank 0 or 1), and where they are not known, new symbols that
 * its data give their values (value.binds), named after the value: from `low` on, at most `limit`
 * if that is not DIM_NONE. NULL if the tensor cannot have such elements. */
const dim *graph_bind_elements(graph *g, value_id v, int64_t low, dim limit, size_t *count);
/* Whether dimensions of the model's inputs hold a symbol: the caller passes it. */
bool graph_is_from_caller(const graph *g, dim_symbol s);
/* Makes `elements` what the data of v must hold (value.binds). */
void graph_bind(graph *g, value_id v, const dim *elements, size_t count);

/* Strings without addresses: count + 1 offsets from the beginning as u64, then the bytes. */
blob blob_string_table(arena *a, const blob_string *strings, size_t count);

/* ---- rewriting ---- */
/* Every use of `from` in nodes and region outputs becomes `to`; so does what the data of `from`
 * tell. */
void graph_replace_uses(graph *g, value_id from, value_id to);
/* Symbols become expressions (`with` as in dim_substitute) in all dimensions and elements. */
void graph_substitute(graph *g, const dim *with);
/* Takes a node out of its region. Its outputs must have no uses left. */
void graph_remove_node(graph *g, node_id n);
/* Moves a node to the end of another region, or in front of a node of it. */
void graph_move_node(graph *g, node_id n, region_id to);
void graph_move_node_before(graph *g, node_id n, region_id to, node_id before);
/* Removes nodes whose outputs nobody uses, until none is left; returns how many. */
size_t graph_remove_dead(graph *g);
/* Number of uses of every value: nodes of any region, and region outputs. Array of values.count, in
 * g->memory. */
uint32_t *graph_count_uses(const graph *g);
/* Sorts each region's nodes into an order of execution, stable. False and a diagnostic if there is
 * a cycle. */
bool graph_sort(graph *g);

/* ---- text and checking ---- */
typedef struct {
    size_t elide_above; /* constants of more elements are printed as a digest and size, without
                           data; SIZE_MAX: never */
} graph_print_options;
/* The text form (docs/graph-ir.md). Print, parse, print gives the same bytes when nothing is
 * elided. */
void graph_print(const graph *g, graph_print_options options,
                 void (*write)(void *user, const char *text, size_t n), void *user);
graph *graph_parse(arena *a, diag *d, const char *text, size_t length);
/* True if every invariant holds; otherwise a diagnostic per violation, naming `stage`. */
bool graph_verify(const graph *g, diag *d, const char *stage);

#endif
