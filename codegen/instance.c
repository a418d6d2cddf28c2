/* instance.c: binds tensors to a compiled model and calls it. See instance.h. */
#include "codegen/instance.h"

#include <stdint.h>
#include <string.h>

enum { ARENA_ALIGN = 64 };

void instance_close(instance *i) {
    if (i && i->release) i->release(i);
}

static const char *shape_text(const load_tensor_result *t, arena *a) {
    const char *text = "";
    for (int i = 0; i < t->rank; i++)
        text = arena_printf(a, "%s%s%lld", text, i ? "," : "", (long long)t->dims[i]);
    return arena_printf(a, "[%s]", text);
}

/* Symbols that stand alone as a dimension take the tensor's. */
static void bind_symbols(const program *p, const load_tensor_result *inputs, int64_t *symbols) {
    for (size_t s = 0; s < dim_symbol_count(p->dims); s++) symbols[s] = -1;
    for (size_t i = 0; i < p->inputs.count; i++) {
        const type *t = &p->inputs.data[i].type;
        for (int j = 0; j < t->rank && t->rank == inputs[i].rank; j++) {
            if (dim_op_of(p->dims, t->dims[j]) != DIM_SYMBOL) continue;
            dim_symbol s = dim_symbol_of(p->dims, t->dims[j]);
            if (symbols[s] < 0) symbols[s] = inputs[i].dims[j];
        }
    }
    for (dim_symbol s = 0; s < dim_symbol_count(p->dims); s++) {
        int64_t low, high;
        dim_symbol_bounds(p->dims, s, &low, &high);
        if (symbols[s] < 0) symbols[s] = low;
    }
}

static bool check_input(const program *p, size_t i, const load_tensor_result *got,
                        const int64_t *symbols, arena *a, diag *d) {
    const program_io *io = &p->inputs.data[i];
    bool fits = io->type.rank == got->rank && io->type.dtype == got->dtype;
    const char *wanted = "";
    for (int j = 0; j < io->type.rank; j++) {
        fits = fits && dim_eval(p->dims, io->type.dims[j], symbols) == got->dims[j];
        wanted =
            arena_printf(a, "%s%s%s", wanted, j ? "," : "", dim_text(p->dims, a, io->type.dims[j]));
    }
    if (fits) return true;
    return diag_error(d, io->name, NULL, NULL, "input is %s%s, but the model takes %s[%s]",
                      dtype_name(got->dtype), shape_text(got, a), dtype_name(io->type.dtype),
                      wanted);
}

static void *aligned(arena *a, size_t bytes) {
    uintptr_t p = (uintptr_t)arena_alloc(a, bytes + ARENA_ALIGN);
    return (void *)((p + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN);
}

/* An output, at its largest. */
static load_tensor_result make_result(const program *p, size_t i, const int64_t *symbols,
                                      arena *a) {
    const program_io *io = &p->outputs.data[i];
    int64_t *dims = ARENA_ARRAY(a, int64_t, (size_t)io->type.rank);
    for (int j = 0; j < io->type.rank; j++) dims[j] = dim_eval(p->dims, io->largest[j], symbols);
    size_t bytes = (size_t)dim_eval(p->dims, io->largest_bytes, symbols);
    return (load_tensor_result){.name = io->name,
                                .dtype = io->type.dtype,
                                .rank = io->type.rank,
                                .dims = dims,
                                .data = {.data = aligned(a, bytes), .bytes = bytes}};
}

/* The outputs struct: data, then where dimensions go that only the run tells. */
static void make_outputs(const program *p, const int64_t *symbols, arena *a, instance_call *out) {
    size_t count = p->outputs.count, at = count;
    out->results = ARENA_ARRAY(a, load_tensor_result, count);
    void **pointers = ARENA_ARRAY(a, void *, 2 * count + 1);
    for (size_t i = 0; i < count; i++) {
        out->results[i] = make_result(p, i, symbols, a);
        pointers[i] = (void *)(uintptr_t)out->results[i].data.data;
        if (p->outputs.data[i].open) pointers[at++] = (void *)(uintptr_t)out->results[i].dims;
    }
    out->outputs = pointers;
}

bool instance_bind(const instance *i, const load_tensor_result *inputs, size_t count, arena *a,
                   diag *d, instance_call *out) {
    const program *p = i->program;
    if (count != p->inputs.count)
        return diag_error(d, NULL, NULL, NULL, "the model takes %zu inputs, %zu are given",
                          p->inputs.count, count);
    int64_t *symbols = ARENA_ARRAY(a, int64_t, dim_symbol_count(p->dims) + 1);
    bind_symbols(p, inputs, symbols);
    bool ok = true;
    for (size_t j = 0; j < count; j++) ok &= check_input(p, j, &inputs[j], symbols, a, d);
    if (!ok) return false;
    int64_t *words = ARENA_ARRAY(a, int64_t, count + p->symbols.count + 1);
    for (size_t j = 0; j < count; j++) {
        void *copy = aligned(a, inputs[j].data.bytes);
        if (inputs[j].data.bytes) memcpy(copy, inputs[j].data.data, inputs[j].data.bytes);
        words[j] = (int64_t)(intptr_t)copy;
    }
    for (size_t j = 0; j < p->symbols.count; j++) words[count + j] = symbols[p->symbols.data[j]];
    *out = (instance_call){.instance = i, .symbols = symbols, .inputs = words};
    out->arena_bytes = (size_t)dim_eval(p->dims, p->arena_bytes, symbols);
    out->arena = aligned(a, out->arena_bytes);
    make_outputs(p, symbols, a, out);
    return true;
}

int instance_run(instance_call *c, const onnxcc_context *context) {
    const program *p = c->instance->program;
    int status = c->instance->run(c->inputs, c->outputs, c->arena, context);
    for (size_t i = 0; i < p->outputs.count && status == ONNXCC_OK; i++) {
        load_tensor_result *r = &c->results[i];
        size_t bytes = dtype_bytes(r->dtype);
        for (int j = 0; j < r->rank; j++) bytes *= (size_t)r->dims[j];
        if (p->outputs.data[i].open) r->data.bytes = bytes;
    }
    return status;
}
