/* inputs.c: tensors for a model's inputs: from test data, from files the user names, or random. */
#include "frontend/npy.h"
#include "tools/tool.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static const char *port_text(const graph_port *port, arena *a) {
    if (port->kind == TYPE_OPTIONAL && !port->present) return "nothing";
    if (port->kind == TYPE_MAP) return "a map";
    return port->kind == TYPE_SEQUENCE || port->list
               ? arena_printf(a, "a sequence of %u", port->count)
               : "a tensor";
}

const load_value *tool_load_port(driver *d, const char *path, const graph_port *port) {
    load_value *v = ARENA_NEW(d->memory, load_value);
    if (!load_value_file(path, port->kind, d->memory, &d->diag, v)) return NULL;
    bool present = v->kind != TYPE_OPTIONAL || v->count;
    const load_value *inner = v->kind == TYPE_OPTIONAL && present ? v->items : v;
    size_t count = !present ? 0 : inner->kind != TYPE_TENSOR ? inner->count : 1;
    bool tensors = true;
    if (inner->kind == TYPE_TENSOR) {
        load_value *one = ARENA_NEW(d->memory, load_value);
        *one = (load_value){.kind = TYPE_SEQUENCE, .count = present, .items = inner};
        inner = one;
    }
    for (size_t i = 0; present && i < count; i++) tensors &= inner->items[i].kind == TYPE_TENSOR;
    if (present == port->present && count == port->count && tensors) return inner;
    diag_error(&d->diag, port->name, NULL, NULL, "%s holds %zu tensors, the compiled model has %s",
               path, count, port_text(port, d->memory));
    return NULL;
}

/* The tensors of a port, from a file. */
static bool load_file(driver *d, const char *path, const graph_port *port, const program_io *io,
                      load_tensor_result *out) {
    if (ends_with(path, ".npy")) {
        if (port->kind == TYPE_TENSOR)
            return npy_read(path, io->type.dtype, d->memory, &d->diag, out);
        return diag_error(&d->diag, port->name, NULL, "use a .pb file",
                          "a .npy file holds a tensor, the model takes %s",
                          port_text(port, d->memory));
    }
    const load_value *v = tool_load_port(d, path, port);
    for (uint32_t i = 0; v && i < port->count; i++) out[i] = v->items[i].tensor;
    return v != NULL;
}

/* The file that "NAME=FILE" gives for an input. */
static const char *setting_for(const tool_list *settings, const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i < settings->count; i++)
        if (strncmp(settings->items[i], name, n) == 0 && settings->items[i][n] == '=')
            return settings->items[i] + n + 1;
    return NULL;
}

static bool check_settings(driver *d, const tool_list *settings) {
    bool ok = true;
    for (size_t i = 0; i < settings->count; i++) {
        const char *end = strchr(settings->items[i], '=');
        bool known = false;
        for (size_t j = 0; end && j < d->program->input_ports.count; j++) {
            const char *name = d->program->input_ports.data[j].name;
            known |= strlen(name) == (size_t)(end - settings->items[i]) &&
                     strncmp(name, settings->items[i], strlen(name)) == 0;
        }
        if (!known)
            ok = diag_error(&d->diag, settings->items[i], NULL,
                            "`onnxcc inspect MODEL` lists the inputs",
                            "the model has no such input");
    }
    return ok;
}

/* xorshift64*: small, seeded, the same on every machine. */
static uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

static void fill_random(dtype t, void *data, size_t count, uint64_t *state) {
    for (size_t i = 0; i < count; i++) {
        uint64_t r = next_random(state) >> 40;
        double unit = (double)r / (double)(1 << 24);
        if (t == DTYPE_STRING)
            ((blob_string *)data)[i] = (blob_string){r & 1 ? "one" : "zero", r & 1 ? 3 : 4};
        else if (t == DTYPE_F32)
            ((float *)data)[i] = (float)unit;
        else if (t == DTYPE_F64)
            ((double *)data)[i] = unit;
        else if (t == DTYPE_F16)
            ((uint16_t *)data)[i] = (uint16_t)(0x3800 | (r & 0x3ff));
        else if (t == DTYPE_BF16)
            ((uint16_t *)data)[i] = (uint16_t)(0x3f00 | (r & 0x7f));
        else
            ((unsigned char *)data)[i * dtype_bytes(t)] = (unsigned char)(r & 1);
    }
}

static load_tensor_result random_tensor(driver *d, const program_io *io, uint64_t *state) {
    dim_table *t = d->program->dims;
    int64_t *symbols = ARENA_ARRAY(d->memory, int64_t, dim_symbol_count(t) + 1);
    for (dim_symbol s = 0; s < dim_symbol_count(t); s++) {
        int64_t low, high;
        dim_symbol_bounds(t, s, &low, &high);
        symbols[s] = low > 1 ? low : high < 1 ? high : 1;
    }
    int64_t *dims = ARENA_ARRAY(d->memory, int64_t, (size_t)io->type.rank);
    size_t count = 1;
    for (int i = 0; i < io->type.rank; i++) {
        dims[i] = dim_eval(t, io->type.dims[i], symbols);
        count *= (size_t)dims[i];
    }
    size_t bytes = count * dtype_bytes(io->type.dtype);
    void *data = arena_alloc(d->memory, bytes);
    fill_random(io->type.dtype, data, count, state);
    return (load_tensor_result){.name = io->name,
                                .dtype = io->type.dtype,
                                .rank = io->type.rank,
                                .dims = dims,
                                .data = {.data = data, .bytes = bytes}};
}

bool tool_load_inputs(driver *d, const char *folder, const tool_list *settings,
                      load_tensor_result *out) {
    uint64_t state = 0x9e3779b97f4a7c15u;
    const program_io *io = d->program->inputs.data;
    bool ok = check_settings(d, settings);
    for (size_t i = 0; ok && i < d->program->input_ports.count; i++) {
        const graph_port *port = &d->program->input_ports.data[i];
        const char *path = setting_for(settings, port->name);
        if (!path && folder) {
            path = arena_printf(d->memory, "%s/input_%zu.pb", folder, i);
            if (access(path, R_OK) != 0) path = NULL;
        }
        if (path) ok &= load_file(d, path, port, io, out);
        for (uint32_t j = 0; j < port->count; j++, io++, out++)
            if (!path) *out = random_tensor(d, io, &state);
    }
    return ok;
}

const char *tool_data_folder(driver *d, const char *folder) {
    const char *first = arena_printf(d->memory, "%s/test_data_set_0", folder);
    if (access(first, R_OK) == 0) return first;
    if (access(folder, R_OK) == 0) return folder;
    diag_error(&d->diag, folder, NULL, NULL, "cannot be read: %s", strerror(errno));
    return NULL;
}

bool tool_compile_for_data(driver *d, const char *model, driver_options *options,
                           const char *folder, tool_pinning first, tool_pinning last,
                           tool_pinning *out) {
    arena *names = arena_create();
    const char *path = folder ? arena_strdup(names, folder) : NULL;
    if (!path) first = last = PIN_NOTHING;
    bool ok = false;
    for (tool_pinning p = first; !ok && p <= last; p++) {
        driver_close(d);
        driver_begin(d);
        options->pin_folder = p >= PIN_SIZES ? path : NULL;
        options->pin_values = p >= PIN_VALUES;
        *out = p;
        ok = driver_open(d, model, options) && driver_optimize(d) && driver_build(d);
    }
    options->pin_folder = NULL;
    arena_destroy(names);
    return ok;
}
