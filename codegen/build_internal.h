/* build_internal.h: what build.c and build_analysis.c share; nobody else includes it. */
#ifndef ONNXCC_CODEGEN_BUILD_INTERNAL_H
#define ONNXCC_CODEGEN_BUILD_INTERNAL_H

#include "codegen/build.h"

#define NO_BUFFER UINT32_MAX

/* Steps between which a buffer holds something; first is UINT32_MAX while untouched. */
typedef struct {
    uint32_t first, last;
} lifetime;

typedef struct {
    dim flops, bytes;
} build_cost;

/* A value that lies in another one's memory: see build_parts.c. */
typedef struct {
    value_id whole; /* 0: it does not */
    dim offset;     /* bytes */
} value_part;

typedef struct {
    graph *g;
    arena *a;
    program *p;
    const build_options *options;
    int64_t *nominal;
    uint32_t *buffer_of; /* of every value; NO_BUFFER while it has none */
    LIST(lifetime) life; /* of every buffer */
    const uint32_t
        *last_use; /* of every value, views included: position of the last node that reads it */
    uint32_t *position; /* of every node, in order of execution */
    uint32_t now;       /* number of the next step */
    bool *from_caller;  /* symbols that the caller passes */
    bool *defined;      /* symbols that have their values at the point reached */
    program_step **tail;
    LIST(const char *) kernel_texts;
    LIST(uint32_t) kept; /* buffers that strings point into: they live to the end */
    value_part *parts;   /* of every value; NULL: none lies in another */
    bool *joined;        /* of every node: a concatenation that its operands' kernels do */
} builder;

uint32_t build_buffer(builder *b, value_id v);
uint32_t build_add_buffer(builder *b, program_buffer made);
/* Steps that make the arrays of constant strings, at the start of the program. */
void build_string_constants(builder *b);
/* A weight that holds strings as offsets and bytes (see build_strings.c), for runtime functions. */
uint32_t build_string_table(builder *b, const char *name, const blob_string *strings, size_t count);
/* The type of a buffer that no value of the graph names: bytes. */
type build_bytes_type(builder *b, uint32_t buffer);
/* A call of a runtime function: `types` of the args; what is left out has TYPE_NONE and the arg
 * PROGRAM_NO_BUFFER. The lists are copied. */
void build_runtime_step(builder *b, const char *callee, const char *label, const uint32_t *args,
                        const type *types, uint32_t input_count, uint32_t arg_count,
                        const int64_t *words, uint32_t word_count);
/* Appends the call of the runtime function of the node's row. */
bool build_runtime(builder *b, node_id n);
program_step *build_step(builder *b, program_step_kind kind, const char *label,
                         const uint32_t *args, uint32_t arg_count);
bool build_region(builder *b, region_id r);
/* The steps that read what the data of a value tell (value.binds). False and a diagnostic if that
 * needs a bound and there is none. */
bool build_bound(builder *b, value_id v);
/* Whether all symbols in the dimensions of a node's result have values by now; a diagnostic if not.
 */
bool build_check_size(builder *b, node_id n, value_id v);
/* The most that a size can be, over the symbols that the caller passes. */
dim build_upper(builder *b, dim d);
/* Sets how large an output can be. */
void build_largest(builder *b, program_io *io);
/* Schedules a kernel whose parameters are values of the graph and appends its call. */
void build_call(builder *b, loop_kernel *k, const char *label);
/* Appends the steps of a Loop node. */
bool build_loop(builder *b, node_id n);

/* Joins calls that need no barrier between them; after all steps are there. */
void build_chains(builder *b);
/* Finds the values that are made in the memory of a concatenation; after build_last_uses. */
void build_find_parts(builder *b);
/* Whether the node's result is its first input under another shape: no kernel is made. */
bool build_is_view(const graph *g, node_id n);
/* Fills b->position and returns the position of every value's last reader; UINT32_MAX for outputs
 * of the graph. */
const uint32_t *build_last_uses(builder *b);
/* Lets an output take the memory of an input that dies in this node `n`, where the kernel reads
 * each element before it writes it. */
void build_reuse_inputs(builder *b, node_id n, loop_kernel *k, const value_id *inner,
                        const value_id *outer, size_t count);
/* Floating-point operations and bytes of its buffers for one call of an unscheduled kernel. */
build_cost build_kernel_cost(const loop_kernel *k);
/* An extent, back as a dimension; what loop variables and loaded numbers say in it counts as 0. */
dim build_dim_of(dim_table *t, const loop_kernel *k, loop_expr e);

#endif
