/* emit_entry_call.c: calls of the runtime's functions in NAME_run. Their operands are described by
 * an array of onnxcc_tensor on the stack, which every such step fills anew. */
#include "codegen/llvm/emit_entry.h"
#include "runtime/onnxcc_runtime.h"

#include <assert.h>
#include <stddef.h>

_Static_assert(sizeof((onnxcc_tensor){0}.dims) == TENSOR_MAX_RANK * sizeof(int64_t),
               "a tensor of the runtime has room for every rank");

void entry_make_call(entry_emitter *e) {
    emit_module *m = e->m;
    if (!e->operand_count) return;
    LLVMTypeRef tensors = LLVMArrayType2(m->i8, e->operand_count * sizeof(onnxcc_tensor));
    e->operands = LLVMBuildAlloca(m->builder, tensors, "operands");
    e->call = LLVMBuildAlloca(m->builder, LLVMArrayType2(m->i8, sizeof(onnxcc_call)), "call");
    LLVMSetAlignment(e->operands, 16);
    LLVMSetAlignment(e->call, 16);
}

static void put(entry_emitter *e, LLVMValueRef base, size_t offset, LLVMValueRef v) {
    LLVMBuildStore(e->m->builder, v, entry_at(e, base, entry_number(e, (int64_t)offset)));
}

static void put_operand(entry_emitter *e, uint32_t number, uint32_t buffer, const type *t) {
    size_t at = number * sizeof(onnxcc_tensor);
    if (t->kind == TYPE_NONE) {
        put(e, e->operands, at + offsetof(onnxcc_tensor, data), LLVMConstNull(e->m->pointer));
        return;
    }
    put(e, e->operands, at + offsetof(onnxcc_tensor, data), entry_address(e, buffer));
    put(e, e->operands, at + offsetof(onnxcc_tensor, element_type), entry_number(e, t->dtype));
    put(e, e->operands, at + offsetof(onnxcc_tensor, rank), entry_number(e, t->rank));
    for (int i = 0; i < t->rank; i++)
        put(e, e->operands, at + offsetof(onnxcc_tensor, dims) + (size_t)i * sizeof(int64_t),
            entry_dim(e, t->dims[i]));
}

static LLVMValueRef make_attributes(entry_emitter *e, const program_step *s) {
    emit_module *m = e->m;
    if (!s->constant_count) return LLVMConstNull(m->pointer);
    LLVMValueRef *words = ARENA_ARRAY(m->scratch, LLVMValueRef, s->constant_count);
    for (uint32_t i = 0; i < s->constant_count; i++) words[i] = entry_number(e, s->constants[i]);
    LLVMValueRef data = LLVMConstArray2(m->i64, words, s->constant_count);
    LLVMValueRef global = LLVMAddGlobal(m->module, LLVMTypeOf(data), "attributes");
    LLVMSetInitializer(global, data);
    LLVMSetGlobalConstant(global, true);
    LLVMSetLinkage(global, LLVMInternalLinkage);
    return global;
}

void entry_runtime(entry_emitter *e, const program_step *s) {
    emit_module *m = e->m;
    assert(s->arg_count <= e->operand_count);
    for (uint32_t i = 0; i < s->arg_count; i++) put_operand(e, i, s->args[i], &s->types[i]);
    LLVMValueRef outputs =
        entry_at(e, e->operands, entry_number(e, s->input_count * (int64_t)sizeof(onnxcc_tensor)));
    put(e, e->call, offsetof(onnxcc_call, inputs), e->operands);
    put(e, e->call, offsetof(onnxcc_call, outputs), outputs);
    put(e, e->call, offsetof(onnxcc_call, attributes), make_attributes(e, s));
    put(e, e->call, offsetof(onnxcc_call, context), e->context);
    put(e, e->call, offsetof(onnxcc_call, state), e->state);
    LLVMTypeRef type = LLVMFunctionType(m->i32, &m->pointer, 1, false);
    LLVMValueRef fn = LLVMGetNamedFunction(m->module, s->callee);
    if (!fn) {
        fn = LLVMAddFunction(m->module, s->callee, type);
        LLVMSetVisibility(fn, LLVMHiddenVisibility);
    }
    LLVMValueRef status = LLVMBuildCall2(m->builder, type, fn, &e->call, 1, "");
    LLVMValueRef ok = LLVMConstInt(m->i32, ONNXCC_OK, false);
    entry_fail_if(e, LLVMBuildICmp(m->builder, LLVMIntNE, status, ok, ""), status);
}
