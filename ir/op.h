/* op.h: the operator table. A row stands in its family file (ir/ops/FAMILY.c) and says how an
 * operator types its results and how it is computed: by a formula, an element function, a loop
 * nest, an expansion into other operators, or a runtime call. Arity, attributes and type
 * constraints come from the ONNX schema (ir/schema.h) and are not repeated here. */
#ifndef ONNXCC_IR_OP_H
#define ONNXCC_IR_OP_H

#include "ir/graph.h"
#include "ir/lower.h"

/* The domain of operators that only passes make: their attributes have no schema. */
#define OP_INTERNAL "onnxcc"

enum {
    OP_POINTWISE = 1, /* output element i depends on the inputs' elements i only (after
                         broadcasting): may be fused anywhere */
    OP_MOVEMENT = 2, /* outputs are elements of inputs, or constants, in another place: an `element`
                        without arithmetic */
    OP_COMMUTATIVE = 4, /* of its two inputs */
    OP_EFFECT = 8,      /* not to be folded, merged or moved: random numbers */
    OP_ANCHOR = 16,     /* has a `nest`; a fusion group holds at most one. A nest without it is a
                           kernel of its own: it reads back what it writes */
    OP_ONCE = 32,       /* a nest that reads each element of its first input once */
    OP_OPAQUE = 64,     /* copies elements, or none, without looking at them: they may be strings */
    OP_LISTS = 256,     /* of sequences or optionals: inputs may be of unknown rank */
    OP_POINTS = 512,    /* the first result points into the last, which lives to the end */
    OP_OPEN = 1024      /* how large its results are only the data say: their dimensions hold new
                           symbols, which get their values when the node is expanded */
};

struct op_def {
    const char *domain; /* "" for ai.onnx */
    const char *name;
    unsigned flags;
    /* Sets the type of every output (dimensions as expressions) and, for small integer tensors,
     * their elements where they follow. False and a diagnostic if the node is wrong. May be called
     * again when more is known. */
    bool (*infer)(graph *g, node_id n);
    /* Pointwise: the result as a formula over inputs a, b, c, ... and attribute names. Sets
     * `element`'s meaning. */
    const char *formula;
    /* The element of output `output` at a logical index (one i64 expression an axis): reads its
     * inputs with lower_read. */
    loop_expr (*element)(lower *l, node_id n, uint32_t output, const loop_expr *index);
    /* Builds the loops of the whole node; results go out through lower_write. */
    void (*nest)(lower *l, node_id n);
    /* Rewrites the node into others in place and removes it. False: not in this case (the other
     * hooks are used then). A row with neither `infer` nor a formula is spelt in others as soon as
     * its inputs have types, by op_infer: `expand` keeps the node's outputs (ir/ops/spell.h). */
    bool (*expand)(graph *g, node_id n);
    /* The size of output 0 along an axis, by the data: for nodes whose dimensions `infer` could
     * only name (kit_told_dim). What cannot be is negative. kit_expand_sizes has it computed. */
    loop_expr (*size)(lower *l, node_id n, int axis);
    /* Name of the C function in runtime/ that computes it: onnxcc_rt_NAME. Its inputs are those of
     * the node (as many as the schema has), then a table of strings for each attribute of
     * `call_attributes` that holds strings, then its tensors; its outputs are those of the node,
     * then `scratch`. */
    const char *call;
    /* Names of the attributes that the function is given, in this order, with spaces between: a
     * number is one word (floats as the bits of a double), a list its length and its elements. */
    const char *call_attributes;
    /* Bytes of memory that the call needs for itself; NULL: none. */
    dim (*scratch)(graph *g, node_id n);
};

/* The row of an operator; NULL if there is none. */
const op_def *op_find(const char *domain, const char *name);
/* All rows, for tables in docs and tests. */
size_t op_count(void);
const op_def *op_at(size_t i);

/* Adds the attributes that the schema gives a default and the node lacks: graph_add_node calls it.
 */
void op_add_defaults(graph *g, node *n);

/* Whether the node has the inputs, outputs and attributes that the newest schema asks for; a
 * diagnostic if not. Operators without a schema pass. */
bool op_check(graph *g, node_id n);

/* Whether the node's tensors have element types that its newest schema allows, the same where it
 * asks for the same; a diagnostic if not. */
bool op_check_types(graph *g, node_id n);

/* ---- for infer hooks ---- */
/* Infers the nodes of one region. Hooks of operators whose regions have inputs set the types of
 * these, then call it; regions without inputs are inferred before their node's hook runs. */
bool op_infer_region(graph *g, region_id r);
/* Infers one node by its row (formula rows broadcast and keep the type of input 0 unless they have
 * a hook). */
bool op_infer(graph *g, node_id n);
/* Sets `elements` of a node's result where those of its operands are known: the arithmetic that
 * exporters do on shapes. op_infer calls it behind the hook. */
void op_infer_elements(graph *g, node_id n);
/* Infers all nodes of all regions in order; all errors are reported, not only the first. */
bool op_infer_all(graph *g);
/* Sets the type of an output; if the value has a declared type, the new one refines it (the new one
 * wins where they differ). */
void op_set_type(graph *g, node_id n, uint32_t output, type t);
void op_set_elements(graph *g, node_id n, uint32_t output, const dim *elements, size_t count);
/* A diagnostic that names node, operator and opset; returns false. */
bool op_error(graph *g, node_id n, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Result dimensions of multidirectional broadcasting of `count` types; false if they cannot be
 * broadcast. A symbol against a constant above 1 takes the constant; two different symbols give
 * their maximum when neither can be shown to be 1. */
bool op_broadcast(graph *g, node_id n, uint32_t count, const type *const *types, int *rank,
                  dim *dims);
/* An axis attribute in [-rank, rank) as [0, rank); false and a diagnostic otherwise. */
bool op_axis(graph *g, node_id n, int64_t axis, int rank, int *out);
/* Integers of a constant input or, where the input is absent, of an attribute; false if they are
 * not known at compile time. */
bool op_const_ints(graph *g, node_id n, uint32_t input, const char *attribute, const int64_t **data,
                   size_t *count);

#endif
