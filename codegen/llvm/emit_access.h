/* emit_access.h: what emit_access.c and emit_tile.c share; nobody else includes it. */
#ifndef ONNXCC_CODEGEN_LLVM_EMIT_ACCESS_H
#define ONNXCC_CODEGEN_LLVM_EMIT_ACCESS_H

#include "codegen/llvm/emit.h"

/* The position of a LOAD expression in its buffer, made once. */
loop_expr access_flat(kernel_emitter *e, loop_expr load);

/* The load with clamps taken off its indices that the assumed conditions make idle; itself if there
 * are none. */
loop_expr assume_load(kernel_emitter *e, loop_expr load);

/* Between enter and leave the vector loop is narrowed to one lane: expressions are scalars. Where
 * lanes are masked, an inactive lane becomes lane 0, which always is active. */
typedef struct {
    emit_var var;
    int lanes;
    LLVMValueRef mask;
    uint32_t stamp;
} lane_scope;
lane_scope access_enter_lane(kernel_emitter *e, int lane);
void access_leave_lane(kernel_emitter *e, lane_scope s);

/* `into` with a lane replaced; a vector of the loop's lanes. Its v may be NULL for a fresh one. */
emit_value access_insert(kernel_emitter *e, emit_value into, emit_value scalar, int lane);
emit_value access_extract(kernel_emitter *e, emit_value from, int lane);
/* Elements of a and b (b.v may be NULL) by number; -1 is any. */
emit_value access_shuffle(kernel_emitter *e, emit_value a, emit_value b, const int *lanes,
                          int count);
/* Elements of type t as they lie in memory, and as values. */
emit_value access_from_memory(kernel_emitter *e, dtype t, emit_value v);
emit_value access_to_memory(kernel_emitter *e, dtype t, emit_value v);

/* Tiles in slots, at a position that is constant but for the lane; values as in memory. */
emit_value tile_load(kernel_emitter *e, loop_buf b, const emit_affine *at);
emit_value tile_load_by_lane(kernel_emitter *e, loop_expr flat, loop_buf b);
void tile_store(kernel_emitter *e, loop_buf b, const emit_affine *at, emit_value v);
void tile_store_by_lane(kernel_emitter *e, loop_buf b, loop_expr flat, emit_value v);

#endif
