/* inspect.c: `onnxcc inspect`: what a model or a generated library holds. */
#include "ir/file.h"
#include "ir/op.h"
#include "tools/tool.h"

#include <ar.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

static const char help[] = "usage: onnxcc inspect MODEL.onnx|libNAME.a\n\n"
                           "Of a model: inputs, outputs, symbols, operators. Of a library: "
                           "members, their sections in bytes,\n"
                           "and the symbols that it leaves undefined.\n\n"
                           "example:\n"
                           "  onnxcc inspect out/libresnet50.a\n";

/* ---- models ---- */

static void print_values(const driver *d, const char *what, const value_id *v, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const value *val = graph_value(d->graph, v[i]);
        printf("%s %s: %s[", what, val->name, dtype_name(val->type.dtype));
        for (int j = 0; j < val->type.rank; j++)
            printf("%s%s", j ? ", " : "", dim_text(d->graph->dims, d->memory, val->type.dims[j]));
        printf("]\n");
    }
}

static void print_operators(const driver *d) {
    for (size_t i = 0; i < op_count(); i++) {
        size_t n = 0;
        for (size_t j = 1; j < d->graph->nodes.count; j++)
            n += d->graph->nodes.data[j].region && d->graph->nodes.data[j].op == op_at(i);
        if (n) printf("%6zu %s\n", n, op_at(i)->name);
    }
}

static bool inspect_model(driver *d, const char *path) {
    driver_options o = {.target = "native", .optimize = 3};
    if (!driver_open(d, path, &o)) return false;
    const region *main = graph_region(d->graph, GRAPH_MAIN);
    print_values(d, "input ", main->inputs.data, main->inputs.count);
    print_values(d, "output", main->outputs.data, main->outputs.count);
    for (dim_symbol s = 0; s < dim_symbol_count(d->graph->dims); s++)
        printf("symbol %s\n", dim_symbol_name(d->graph->dims, s));
    print_operators(d);
    return true;
}

/* ---- libraries ---- */

static bool inside(size_t size, uint64_t offset, uint64_t bytes) {
    return offset <= size && bytes <= size - offset;
}

static void print_object(const unsigned char *p, size_t size) {
    Elf64_Ehdr e;
    if (size < sizeof e) return;
    memcpy(&e, p, sizeof e);
    if (memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 ||
        !inside(size, e.e_shoff, (uint64_t)e.e_shnum * sizeof(Elf64_Shdr)))
        return;
    uint64_t code = 0, data = 0;
    for (int i = 0; i < e.e_shnum; i++) {
        Elf64_Shdr s, names;
        memcpy(&s, p + e.e_shoff + (size_t)i * sizeof s, sizeof s);
        if (s.sh_flags & SHF_EXECINSTR)
            code += s.sh_size;
        else if (s.sh_flags & SHF_ALLOC)
            data += s.sh_size;
        if (s.sh_type != SHT_SYMTAB || s.sh_link >= e.e_shnum ||
            !inside(size, s.sh_offset, s.sh_size))
            continue;
        memcpy(&names, p + e.e_shoff + s.sh_link * sizeof names, sizeof names);
        if (!inside(size, names.sh_offset, names.sh_size)) continue;
        for (uint64_t at = sizeof(Elf64_Sym); at + sizeof(Elf64_Sym) <= s.sh_size;
             at += sizeof(Elf64_Sym)) {
            Elf64_Sym y;
            memcpy(&y, p + s.sh_offset + at, sizeof y);
            if (y.st_shndx == SHN_UNDEF && y.st_name && y.st_name < names.sh_size)
                printf("    undefined %.*s\n", (int)(names.sh_size - y.st_name),
                       (const char *)p + names.sh_offset + y.st_name);
        }
    }
    printf("    code %llu bytes, data %llu bytes\n", (unsigned long long)code,
           (unsigned long long)data);
}

static bool inspect_library(driver *d, const char *path) {
    file_view v;
    const char *error;
    if (!file_map(path, &v, &error)) return diag_error(&d->diag, path, NULL, NULL, "%s", error);
    size_t at = SARMAG;
    bool ok = v.size >= SARMAG && memcmp(v.data, ARMAG, SARMAG) == 0;
    if (!ok) diag_error(&d->diag, path, NULL, NULL, "the file is no archive");
    while (ok && at + sizeof(struct ar_hdr) <= v.size) {
        struct ar_hdr h;
        char digits[sizeof h.ar_size + 1] = {0};
        memcpy(&h, v.data + at, sizeof h);
        memcpy(digits, h.ar_size, sizeof h.ar_size);
        unsigned long long bytes = strtoull(digits, NULL, 10);
        at += sizeof h;
        if (!inside(v.size, at, bytes))
            return diag_error(&d->diag, path, NULL, NULL, "the archive is truncated");
        printf("%.16s %llu bytes\n", h.ar_name, bytes);
        print_object(v.data + at, (size_t)bytes);
        at += (size_t)(bytes + bytes % 2);
    }
    file_unmap(v);
    return ok;
}

static int run(int argc, char **argv) {
    tool_list rest = {.count = 0};
    int status = tool_parse(&tool_inspect, argc, argv, NULL, 0, &rest);
    if (status) return status < 0 ? EXIT_DONE : status;
    if (rest.count != 1) return tool_usage(&tool_inspect, "one file is needed");
    const char *path = rest.items[0];
    size_t n = strlen(path);
    driver d = {0};
    driver_begin(&d);
    bool library = n > 2 && strcmp(path + n - 2, ".a") == 0;
    bool ok = library ? inspect_library(&d, path) : inspect_model(&d, path);
    tool_print_diagnostics(&d.diag);
    driver_close(&d);
    return ok ? EXIT_DONE : EXIT_INPUT;
}

const tool tool_inspect = {"inspect", "what a model or a generated library holds", help, run};
