/* emit_dispatch.c: NAME_run of a library that holds several instruction sets. The runtime knows
 * what the processor has; a call costs a load and a few comparisons more. */
#include "codegen/llvm/emit.h"
#include "runtime/onnxcc_runtime.h"

void emit_dispatch(emit_module *m, const char *run_name, const char *const *entries,
                   const int *vector_bytes, size_t count) {
    LLVMBuilderRef b = m->builder;
    LLVMTypeRef params[] = {m->pointer, m->pointer, m->pointer, m->pointer};
    LLVMTypeRef type = LLVMFunctionType(m->i32, params, 4, false);
    LLVMTypeRef level_type = LLVMFunctionType(m->i32, NULL, 0, false);
    LLVMValueRef fn = LLVMAddFunction(m->module, run_name, type);
    LLVMValueRef level = LLVMAddFunction(m->module, "onnxcc_cpu_vector_bytes", level_type);
    emit_function_attributes(m, fn);
    LLVMValueRef args[4];
    for (unsigned i = 0; i < 4; i++) args[i] = LLVMGetParam(fn, i);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(m->context, fn, "entry"));
    LLVMValueRef has = LLVMBuildCall2(b, level_type, level, NULL, 0, "");
    for (size_t i = count; i-- > 0;) {
        LLVMBasicBlockRef use = LLVMAppendBasicBlockInContext(m->context, fn, "use");
        LLVMBasicBlockRef next = LLVMAppendBasicBlockInContext(m->context, fn, "next");
        LLVMValueRef needs = LLVMConstInt(m->i32, (unsigned)vector_bytes[i], false);
        LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSGE, has, needs, ""), use, next);
        LLVMPositionBuilderAtEnd(b, use);
        LLVMValueRef entry = LLVMAddFunction(m->module, entries[i], type);
        LLVMSetVisibility(entry, LLVMHiddenVisibility);
        LLVMValueRef status = LLVMBuildCall2(b, type, entry, args, 4, "");
        LLVMSetTailCall(status, true);
        LLVMBuildRet(b, status);
        LLVMPositionBuilderAtEnd(b, next);
    }
    LLVMBuildRet(b, LLVMConstInt(m->i32, ONNXCC_ERROR_UNSUPPORTED_CPU, false));
}
