/* emit_entry.h: what the files that emit NAME_run share; nobody else includes it. */
#ifndef ONNXCC_CODEGEN_LLVM_EMIT_ENTRY_H
#define ONNXCC_CODEGEN_LLVM_EMIT_ENTRY_H

#include "codegen/llvm/emit.h"

typedef struct {
    emit_module *m;
    const program *p;
    const char *const *kernels;
    LLVMValueRef fn, inputs, outputs, arena, context;
    LLVMValueRef weights;
    LLVMValueRef state, frame; /* on the stack */
    size_t frame_words;
    LLVMValueRef operands, call; /* on the stack: tensors and onnxcc_call of a runtime function */
    size_t operand_count;
    LLVMValueRef *symbols; /* a variable of each */
    bool *late;            /* symbols that a step sets */
    LLVMValueRef *dims;    /* values of dimensions that are known from the start; late ones in
                              late_dims while late_serial says so */
    LLVMValueRef *late_dims;
    uint32_t *late_serials, serial;
    size_t dim_count;
    LLVMBasicBlockRef early;     /* where values known from the start are put: ends with a branch */
    LLVMBasicBlockRef exit;      /* returns `result` */
    LLVMValueRef result;         /* a variable */
    LLVMValueRef before, behind; /* the functions around a watched step */
} entry_emitter;

LLVMBasicBlockRef entry_new_block(entry_emitter *e, const char *name);
void entry_move_to(entry_emitter *e, LLVMBasicBlockRef b);
/* A function of this module alone, without a body yet. */
LLVMValueRef entry_helper(entry_emitter *e, const char *name, LLVMTypeRef type);
/* A 64-bit constant. */
LLVMValueRef entry_number(const entry_emitter *e, int64_t v);
/* The value of a dimension: made in `early` if its symbols are known from the start, else here;
 * then it is good until `serial` changes. */
LLVMValueRef entry_dim(entry_emitter *e, dim d);
/* Where a buffer is. */
LLVMValueRef entry_address(entry_emitter *e, uint32_t buffer);
/* p + bytes. */
LLVMValueRef entry_at(entry_emitter *e, LLVMValueRef p, LLVMValueRef bytes);
/* The field at `offset` of what p points to. */
LLVMValueRef entry_field(entry_emitter *e, LLVMTypeRef type, LLVMValueRef p, size_t offset);
LLVMValueRef entry_is_null(entry_emitter *e, LLVMValueRef p);
/* Leaves with a status (i32) if the condition holds. */
void entry_fail_if(entry_emitter *e, LLVMValueRef condition, LLVMValueRef status);
/* The stack that calls of runtime functions need, for operand_count operands. */
void entry_make_call(entry_emitter *e);
/* Calls a function of the runtime; leaves with its status if that is not 0. */
void entry_runtime(entry_emitter *e, const program_step *s);
/* Tells the context, which is there, that a step is done; leaves if the call was cancelled. */
void entry_report(entry_emitter *e, const program_step *s, LLVMValueRef begin);
void entry_steps(entry_emitter *e, const program_step *s);

/* void (frame, begin, end): a kernel, or what parallel_for runs. */
LLVMTypeRef entry_task_type(const emit_module *m);
LLVMValueRef entry_task(entry_emitter *e, uint32_t kernel);
/* Words of the frame that a CALL's arguments take, and putting them there from word `base` on. */
size_t entry_call_words(const program *p, const program_step *s);
void entry_put_frame(entry_emitter *e, const program_step *s, size_t base);
/* Goes to `alone` unless the context has threads; context->parallel_for. */
LLVMValueRef entry_ask_threads(entry_emitter *e, LLVMBasicBlockRef alone);
/* parallel_for(user, fn, frame, count). */
void entry_launch(entry_emitter *e, LLVMValueRef parallel, LLVMValueRef fn, LLVMValueRef count);
/* A CHAIN, and the words of its frames. */
void entry_chain(entry_emitter *e, const program_step *s);
size_t entry_chain_words(const program *p, const program_step *s);
/* Whether a step sets one of its symbols. */
bool entry_is_late(entry_emitter *e, dim d);

#endif
