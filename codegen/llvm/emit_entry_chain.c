/* emit_entry_chain.c: calls that need no barrier between them. With threads, one function runs a
 * slice through all of the chain's kernels, whose frames lie one behind the other; without, or
 * where a profile asks for the time of each, they run step by step. */
#include "codegen/llvm/emit_entry.h"
#include "runtime/onnxcc_runtime.h"

#include <stddef.h>

size_t entry_chain_words(const program *p, const program_step *s) {
    size_t words = 0;
    for (const program_step *call = s->body; call; call = call->next)
        words += entry_call_words(p, call);
    return words;
}

/* kernel(frames + base, slice * each, slice * each + each) for every call. */
static void call_slices(entry_emitter *e, const program_step *s, LLVMValueRef frames,
                        LLVMValueRef slice) {
    LLVMBuilderRef b = e->m->builder;
    int64_t slices = dim_value(e->p->dims, s->iterations);
    size_t base = 0;
    for (const program_step *call = s->body; call; call = call->next) {
        int64_t each = dim_value(e->p->dims, call->iterations) / slices;
        LLVMValueRef begin = LLVMBuildMul(b, slice, entry_number(e, each), "");
        LLVMValueRef end = LLVMBuildAdd(b, begin, entry_number(e, each), "");
        LLVMValueRef args[] = {entry_at(e, frames, entry_number(e, (int64_t)base * 8)), begin, end};
        LLVMBuildCall2(b, entry_task_type(e->m), entry_task(e, call->kernel), args, 3, "");
        base += entry_call_words(e->p, call);
    }
}

/* void chain(frames, begin, end): slices from begin to end - 1. */
static LLVMValueRef make_chain(entry_emitter *e, const program_step *s) {
    emit_module *m = e->m;
    LLVMBuilderRef b = m->builder;
    LLVMBasicBlockRef caller = LLVMGetInsertBlock(b);
    LLVMValueRef saved = e->fn, fn = e->fn = entry_helper(e, "chain", entry_task_type(m));
    LLVMBasicBlockRef entry = entry_new_block(e, "entry"), body = entry_new_block(e, "slice");
    LLVMBasicBlockRef after = entry_new_block(e, "after");
    entry_move_to(e, entry);
    LLVMValueRef some = LLVMBuildICmp(b, LLVMIntSLT, LLVMGetParam(fn, 1), LLVMGetParam(fn, 2), "");
    LLVMBuildCondBr(b, some, body, after);
    entry_move_to(e, body);
    LLVMValueRef slice = LLVMBuildPhi(b, m->i64, "slice");
    call_slices(e, s, LLVMGetParam(fn, 0), slice);
    LLVMValueRef next = LLVMBuildAdd(b, slice, entry_number(e, 1), "");
    LLVMValueRef values[] = {LLVMGetParam(fn, 1), next};
    LLVMBasicBlockRef blocks[] = {entry, body};
    LLVMAddIncoming(slice, values, blocks, 2);
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, next, LLVMGetParam(fn, 2), ""), body, after);
    entry_move_to(e, after);
    LLVMBuildRetVoid(b);
    e->fn = saved;
    entry_move_to(e, caller);
    return fn;
}

void entry_chain(entry_emitter *e, const program_step *s) {
    emit_module *m = e->m;
    LLVMValueRef fn = make_chain(e, s);
    LLVMBasicBlockRef together = entry_new_block(e, "chain");
    LLVMBasicBlockRef apart = entry_new_block(e, "apart"), after = entry_new_block(e, "after");
    LLVMValueRef parallel = entry_ask_threads(e, apart);
    LLVMValueRef profile =
        entry_field(e, m->pointer, e->context, offsetof(onnxcc_context, profile));
    LLVMBuildCondBr(m->builder, entry_is_null(e, profile), together, apart);
    entry_move_to(e, together);
    e->serial++;
    size_t base = 0;
    for (const program_step *call = s->body; call; call = call->next) {
        entry_put_frame(e, call, base);
        base += entry_call_words(e->p, call);
    }
    entry_launch(e, parallel, fn, entry_number(e, dim_value(e->p->dims, s->iterations)));
    entry_report(e, s->body, entry_number(e, 0));
    LLVMBuildBr(m->builder, after);
    entry_move_to(e, apart);
    e->serial++;
    entry_steps(e, s->body);
    LLVMBuildBr(m->builder, after);
    entry_move_to(e, after);
    e->serial++;
}
