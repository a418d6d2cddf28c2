/* emit_kernel.c: one scheduled kernel becomes one function, statement by statement. Loops that are
 * unrolled are unrolled here, so that every index of a register tile is a constant when its access
 * is emitted; vector loops are entered once, for all lanes. */
#include "codegen/llvm/emit.h"
#include "runtime/onnxcc_runtime.h"

#include <assert.h>
#include <string.h>

/* ---- modules and functions ---- */

void emit_module_begin(emit_module *m, arena *scratch, const target_machine *machine,
                       const char *name) {
    LLVMContextRef c = LLVMContextCreate();
    *m = (emit_module){.context = c,
                       .module = LLVMModuleCreateWithNameInContext(name, c),
                       .builder = LLVMCreateBuilderInContext(c),
                       .machine = machine,
                       .scratch = scratch,
                       .i1 = LLVMInt1TypeInContext(c),
                       .i8 = LLVMInt8TypeInContext(c),
                       .i32 = LLVMInt32TypeInContext(c),
                       .i64 = LLVMInt64TypeInContext(c),
                       .f32 = LLVMFloatTypeInContext(c),
                       .f64 = LLVMDoubleTypeInContext(c),
                       .pointer = LLVMPointerTypeInContext(c, 0),
                       .none = LLVMVoidTypeInContext(c)};
}

static void add_attribute(emit_module *m, LLVMValueRef fn, const char *name, const char *value) {
    LLVMAttributeRef a;
    if (value) {
        a = LLVMCreateStringAttribute(m->context, name, (unsigned)strlen(name), value,
                                      (unsigned)strlen(value));
    } else {
        unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
        a = LLVMCreateEnumAttribute(m->context, kind, 0);
    }
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, a);
}

void emit_function_attributes(emit_module *m, LLVMValueRef fn) {
    add_attribute(m, fn, "nounwind", NULL);
    add_attribute(m, fn, "noinline", NULL);
    add_attribute(m, fn, "target-cpu", m->machine->cpu);
    if (*m->machine->features) add_attribute(m, fn, "target-features", m->machine->features);
    /* Vectors as wide as the schedule made them, also where LLVM's tuning prefers narrower ones. */
    if (m->machine->vector_bytes > 16) {
        const char *bits = m->machine->vector_bytes > 32 ? "512" : "256";
        add_attribute(m, fn, "prefer-vector-width", bits);
    }
}

/* ---- statements ---- */

static void emit_block(kernel_emitter *e, const loop_stmt *s);

static void branch(kernel_emitter *e, LLVMBasicBlockRef to) {
    LLVMBuildBr(e->m->builder, to);
}

/* The body for var from `begin` to `end` - 1. */
static void emit_counted(kernel_emitter *e, const loop_stmt *s, LLVMValueRef begin,
                         LLVMValueRef end, bool runs) {
    LLVMBuilderRef b = e->m->builder;
    LLVMBasicBlockRef before = e->block, prologue = emit_new_block(e, "loop");
    LLVMBasicBlockRef body = emit_new_block(e, "body"), after = emit_new_block(e, "after");
    if (runs)
        branch(e, prologue);
    else
        LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, begin, end, ""), prologue, after);
    assert(e->depth + 1 < EMIT_MAX_DEPTH);
    e->levels[++e->depth] = (emit_level){prologue, ++e->serials};
    emit_set_block(e, prologue);
    LLVMValueRef var = LLVMBuildPhi(b, e->m->i64, e->k->vars.data[s->var].name);
    branch(e, body);
    emit_set_block(e, body);
    emit_var saved = e->vars[s->var];
    e->vars[s->var] = (emit_var){VAR_VALUE, {var, false, e->depth}, 0};
    emit_streams(e, s);
    emit_block(e, s->body);
    e->vars[s->var] = saved;
    LLVMValueRef next = LLVMBuildNSWAdd(b, var, LLVMConstInt(e->m->i64, 1, false), "");
    LLVMSetNUW(next, true);
    LLVMValueRef values[] = {begin, next};
    LLVMBasicBlockRef blocks[] = {before, e->block};
    LLVMBuildCondBr(b, LLVMBuildICmp(b, LLVMIntSLT, next, end, ""), prologue, after);
    LLVMAddIncoming(var, values, blocks, 2);
    e->depth--;
    emit_set_block(e, after);
}

static void emit_serial(kernel_emitter *e, const loop_stmt *s) {
    int64_t low, high;
    e->stamp = ++e->stamps;
    emit_value end = emit_expr(e, s->extent), zero = emit_int(e, e->m->i64, 0);
    loop_range(e->k, s->extent, &low, &high);
    if (s->active) {
        emit_value none = {0};
        end = emit_intrinsic(e, "llvm.smin", end, emit_expr(e, s->active), none, 2);
        low = 0;
    }
    emit_counted(e, s, zero.v, end.v, low > 0);
}

static void emit_unrolled(kernel_emitter *e, const loop_stmt *s, int64_t count) {
    emit_var saved = e->vars[s->var];
    for (int64_t i = 0; i < count; i++) {
        e->vars[s->var] = (emit_var){.kind = VAR_CONSTANT, .constant = i};
        emit_block(e, s->body);
    }
    e->vars[s->var] = saved;
}

/* Opens "if (condition)"; the block behind it is returned. */
static LLVMBasicBlockRef begin_if(kernel_emitter *e, LLVMValueRef condition) {
    LLVMBasicBlockRef then = emit_new_block(e, "then"), after = emit_new_block(e, "after");
    LLVMBuildCondBr(e->m->builder, condition, then, after);
    emit_set_block(e, then);
    return after;
}

static void end_if(kernel_emitter *e, LLVMBasicBlockRef after) {
    branch(e, after);
    emit_set_block(e, after);
}

/* Sets up the mask for `active` lanes; false if none can be active. *guard is the block behind a
 * branch around the loop where there may be none. */
static bool open_mask(kernel_emitter *e, const loop_stmt *s, int64_t lanes,
                      LLVMBasicBlockRef *guard) {
    int64_t number, low, high;
    if (!s->active) return true;
    e->stamp = ++e->stamps;
    emit_value active = emit_expr(e, s->active), none = {0};
    if (emit_is_int(active, &number) && (number <= 0 || number >= lanes)) return number > 0;
    loop_range(e->k, s->active, &low, &high);
    if (low <= 0 && !emit_is_int(active, &number)) {
        emit_value some = emit_compare(e, LLVMIntSGT, active, emit_int(e, e->m->i64, 0));
        *guard = begin_if(e, some.v);
    }
    emit_value limit = emit_int(e, e->m->i64, lanes);
    if (high > lanes) active = emit_intrinsic(e, "llvm.smin", active, limit, none, 2);
    e->active = active;
    emit_value narrow = emit_cast(e, LLVMTrunc, e->m->i32, active);
    e->lanes = (int)lanes;
    e->mask = emit_compare(e, LLVMIntSLT, emit_iota(e, e->m->i32, 0, 1), narrow).v;
    return true;
}

static void emit_vector(kernel_emitter *e, const loop_stmt *s, int64_t lanes) {
    LLVMBasicBlockRef guard = NULL;
    bool any = open_mask(e, s, lanes, &guard);
    if (any) {
        emit_var saved = e->vars[s->var];
        e->lanes = (int)lanes;
        e->lane_var = s->var;
        e->vars[s->var] = (emit_var){.kind = VAR_LANE};
        emit_block(e, s->body);
        e->vars[s->var] = saved;
    }
    e->lanes = 0;
    e->mask = NULL;
    if (guard) end_if(e, guard);
}

static void emit_for(kernel_emitter *e, const loop_stmt *s) {
    int64_t count;
    if (emit_runs_as_vector(e, s, &count)) {
        emit_vector(e, s, count);
    } else if (emit_is_unrolled(e, s, &count) && !s->active) {
        emit_unrolled(e, s, count);
    } else {
        emit_serial(e, s);
    }
}

static void emit_condition(kernel_emitter *e, const loop_stmt *s) {
    LLVMBuilderRef b = e->m->builder;
    int64_t known;
    e->stamp = ++e->stamps;
    emit_value c = emit_expr(e, s->condition);
    if (emit_is_int(c, &known)) {
        emit_block(e, known ? s->body : s->otherwise);
        return;
    }
    LLVMBasicBlockRef then = emit_new_block(e, "then"), after = emit_new_block(e, "after");
    LLVMBasicBlockRef otherwise = s->otherwise ? emit_new_block(e, "else") : after;
    LLVMBuildCondBr(b, c.v, then, otherwise);
    emit_set_block(e, then);
    emit_block(e, s->body);
    branch(e, after);
    if (s->otherwise) {
        emit_set_block(e, otherwise);
        emit_block(e, s->otherwise);
        branch(e, after);
    }
    emit_set_block(e, after);
}

/* A check that fails puts its code into the state. Threads may do so at once: the store is atomic,
 * and any code will do. */
static void emit_check(kernel_emitter *e, const loop_stmt *s) {
    LLVMBuilderRef b = e->m->builder;
    e->stamp = ++e->stamps;
    emit_value c = emit_expr(e, s->condition), frame = {e->frame, false, 0};
    emit_value state = emit_make(e, PRIM_LOAD, 0, e->m->pointer, &frame, 1);
    LLVMBasicBlockRef after = begin_if(e, LLVMBuildNot(b, c.v, ""));
    _Static_assert(offsetof(onnxcc_state, status) == 0, "the status is at the state's address");
    LLVMValueRef store =
        LLVMBuildStore(b, LLVMConstInt(e->m->i32, (unsigned)s->code, true), state.v);
    LLVMSetOrdering(store, LLVMAtomicOrderingMonotonic);
    LLVMSetAlignment(store, 4);
    end_if(e, after);
}

static void emit_block(kernel_emitter *e, const loop_stmt *s) {
    for (; s; s = s->next) {
        switch (s->kind) {
        case LOOP_STMT_FOR: emit_for(e, s); break;
        case LOOP_STMT_STORE:
            e->stamp = ++e->stamps;
            emit_store(e, s);
            break;
        case LOOP_STMT_IF: emit_condition(e, s); break;
        case LOOP_STMT_CHECK: emit_check(e, s); break;
        }
    }
}

/* ---- kernels ---- */

static void place_symbols(kernel_emitter *e) {
    size_t count;
    const dim_symbol *symbols = loop_symbols(e->k, &count);
    int64_t word = 1;
    for (size_t b = 0; b < e->k->buffers.count; b++)
        word += e->k->buffers.data[b].space <= LOOP_SPACE_OUTPUT;
    e->dim_slot = ARENA_ARRAY(e->m->scratch, int64_t, dim_symbol_count(e->k->dims) + 1);
    for (size_t i = 0; i < count; i++) e->dim_slot[symbols[i]] = word++;
}

static LLVMValueRef declare_kernel(emit_module *m, const char *name) {
    LLVMTypeRef params[] = {m->pointer, m->i64, m->i64};
    LLVMTypeRef type = LLVMFunctionType(m->none, params, 3, false);
    LLVMValueRef fn = LLVMAddFunction(m->module, name, type);
    LLVMSetVisibility(fn, LLVMHiddenVisibility);
    LLVMSetUnnamedAddress(fn, LLVMGlobalUnnamedAddr);
    emit_function_attributes(m, fn);
    unsigned readonly = LLVMGetEnumAttributeKindForName("readonly", 8);
    unsigned noalias = LLVMGetEnumAttributeKindForName("noalias", 7);
    LLVMAddAttributeAtIndex(fn, 1, LLVMCreateEnumAttribute(m->context, readonly, 0));
    LLVMAddAttributeAtIndex(fn, 1, LLVMCreateEnumAttribute(m->context, noalias, 0));
    return fn;
}

int64_t emit_kernel(emit_module *m, loop_kernel *k, const char *name) {
    kernel_emitter e = {.m = m, .k = k, .fn = declare_kernel(m, name)};
    e.frame = LLVMGetParam(e.fn, 0);
    e.begin = LLVMGetParam(e.fn, 1);
    e.end = LLVMGetParam(e.fn, 2);
    e.vars = ARENA_ARRAY(m->scratch, emit_var, k->vars.count + 1);
    e.buffers = ARENA_ARRAY(m->scratch, emit_buffer, k->buffers.count + 1);
    LLVMBasicBlockRef entry = emit_new_block(&e, "entry"), body = emit_new_block(&e, "body");
    emit_set_block(&e, entry);
    branch(&e, body);
    e.levels[0] = (emit_level){entry, ++e.serials};
    emit_set_block(&e, body);
    place_symbols(&e);
    emit_place_buffers(&e);
    emit_find_streams(&e);
    const loop_stmt *s = k->body;
    if (s && !s->next && s->kind == LOOP_STMT_FOR && s->loop == LOOP_PARALLEL)
        emit_counted(&e, s, e.begin, e.end, false);
    else
        emit_block(&e, s);
    LLVMBuildRetVoid(m->builder);
    return e.stack_bytes;
}
