/* archive_write.c: the format is that of ar(5): a magic line, then members with 60-byte headers at
 * even offsets. The first member, "/" (or
 * "/SYM64/" beyond 4 GB), lists every global symbol with the offset of its member; "//" holds names
 * of over 15 characters. */
#include "codegen/package/archive_write.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    const char *name;
    size_t member;
} archive_symbol;

typedef struct {
    arena *memory;
    LIST(archive_symbol) symbols;
    LIST(char) names;    /* contents of "//" */
    size_t *name_offset; /* of a long member name; SIZE_MAX: short */
    uint64_t *offset;    /* of every member */
    bool wide;           /* 64-bit symbol table */
} archive;

/* ---- symbols ---- */

static bool in_file(const archive_member *m, uint64_t offset, uint64_t size) {
    return offset <= m->bytes && size <= m->bytes - offset;
}

/* Defined global symbols of an ELF64 object. */
static bool read_symbols(archive *ar, const archive_member *m, size_t index) {
    Elf64_Ehdr e;
    if (m->bytes < sizeof e) return false;
    memcpy(&e, m->data, sizeof e);
    if (memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 ||
        !in_file(m, e.e_shoff, (uint64_t)e.e_shnum * sizeof(Elf64_Shdr)))
        return false;
    const unsigned char *base = m->data;
    for (int i = 0; i < e.e_shnum; i++) {
        Elf64_Shdr s, strings;
        memcpy(&s, base + e.e_shoff + (size_t)i * sizeof s, sizeof s);
        if (s.sh_type != SHT_SYMTAB) continue;
        if (s.sh_link >= e.e_shnum) return false;
        memcpy(&strings, base + e.e_shoff + s.sh_link * sizeof strings, sizeof strings);
        if (!in_file(m, s.sh_offset, s.sh_size) || !in_file(m, strings.sh_offset, strings.sh_size))
            return false;
        for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= s.sh_size; at += sizeof(Elf64_Sym)) {
            Elf64_Sym y;
            memcpy(&y, base + s.sh_offset + at, sizeof y);
            if (ELF64_ST_BIND(y.st_info) == STB_LOCAL || y.st_shndx == SHN_UNDEF ||
                y.st_name >= strings.sh_size)
                continue;
            archive_symbol found = {(const char *)base + strings.sh_offset + y.st_name, index};
            list_push(ar->memory, &ar->symbols, found);
        }
    }
    return true;
}

/* ---- layout ---- */

enum { HEADER_BYTES = 60, MAGIC_BYTES = 8, SHORT_NAME = 15 };
/* A member's size has ten decimal digits. */
static const uint64_t largest_member = 9999999999;

static uint64_t padded(uint64_t n) {
    return n + n % 2;
}

static uint64_t table_bytes(const archive *ar) {
    uint64_t n = (ar->symbols.count + 1) * (ar->wide ? 8u : 4u);
    for (size_t i = 0; i < ar->symbols.count; i++) n += strlen(ar->symbols.data[i].name) + 1;
    return padded(n);
}

static void place_names(archive *ar, const archive_member *members, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ar->name_offset[i] = SIZE_MAX;
        if (strlen(members[i].name) <= SHORT_NAME) continue;
        ar->name_offset[i] = ar->names.count;
        for (const char *c = members[i].name; *c; c++) list_push(ar->memory, &ar->names, *c);
        list_push(ar->memory, &ar->names, '/');
        list_push(ar->memory, &ar->names, '\n');
    }
}

static void place_members(archive *ar, const archive_member *members, size_t count) {
    uint64_t at = MAGIC_BYTES + HEADER_BYTES + table_bytes(ar);
    if (ar->names.count) at += HEADER_BYTES + padded(ar->names.count);
    for (size_t i = 0; i < count; i++) {
        ar->offset[i] = at;
        at += HEADER_BYTES + padded(members[i].bytes);
    }
    if (at > UINT32_MAX && !ar->wide) {
        ar->wide = true;
        place_members(ar, members, count);
    }
}

/* ---- writing ---- */

static bool put_header(FILE *f, const char *name, uint64_t bytes, bool file) {
    return fprintf(f, "%-16s%-12s%-6s%-6s%-8s%-10" PRIu64 "`\n", name, "0", "0", "0",
                   file ? "644" : "0", bytes) == HEADER_BYTES;
}

static bool put_big_endian(FILE *f, uint64_t v, int width) {
    for (int i = width; i-- > 0;)
        if (putc((int)(v >> (8 * i) & 255), f) == EOF) return false;
    return true;
}

static bool put_table(FILE *f, const archive *ar) {
    int width = ar->wide ? 8 : 4;
    uint64_t written = (ar->symbols.count + 1) * (uint64_t)width, total = table_bytes(ar);
    bool ok = put_header(f, ar->wide ? "/SYM64/" : "/", total, false) &&
              put_big_endian(f, ar->symbols.count, width);
    for (size_t i = 0; ok && i < ar->symbols.count; i++)
        ok = put_big_endian(f, ar->offset[ar->symbols.data[i].member], width);
    for (size_t i = 0; ok && i < ar->symbols.count; i++) {
        size_t n = strlen(ar->symbols.data[i].name) + 1;
        ok = fwrite(ar->symbols.data[i].name, 1, n, f) == n;
        written += n;
    }
    return ok && (written == total || putc(0, f) != EOF);
}

static bool put_padded(FILE *f, const void *data, size_t n) {
    return fwrite(data, 1, n, f) == n && (n % 2 == 0 || putc('\n', f) != EOF);
}

static bool put_members(FILE *f, const archive *ar, const archive_member *members, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *name = ar->name_offset[i] == SIZE_MAX
                               ? arena_printf(ar->memory, "%s/", members[i].name)
                               : arena_printf(ar->memory, "/%zu", ar->name_offset[i]);
        if (!put_header(f, name, members[i].bytes, true) ||
            !put_padded(f, members[i].data, members[i].bytes))
            return false;
    }
    return true;
}

bool archive_write(const char *path, const archive_member *members, size_t count, arena *a,
                   diag *d) {
    archive ar = {.memory = a,
                  .name_offset = ARENA_ARRAY(a, size_t, count),
                  .offset = ARENA_ARRAY(a, uint64_t, count)};
    for (size_t i = 0; i < count; i++)
        if (!read_symbols(&ar, &members[i], i))
            return diag_error(d, members[i].name, NULL, NULL, "the member is no ELF object");
    for (size_t i = 0; i < count; i++)
        if (members[i].bytes > largest_member)
            return diag_error(d, members[i].name, NULL, NULL,
                              "%zu bytes are more than an archive can hold; keep the weights in a "
                              "file (--weights file)",
                              members[i].bytes);
    place_names(&ar, members, count);
    place_members(&ar, members, count);
    FILE *f = fopen(path, "wb");
    bool ok = f && fputs("!<arch>\n", f) != EOF && put_table(f, &ar);
    if (ok && ar.names.count)
        ok = put_header(f, "//", ar.names.count, false) &&
             put_padded(f, ar.names.data, ar.names.count);
    ok = ok && put_members(f, &ar, members, count);
    if (f && fclose(f) != 0) ok = false;
    return ok || diag_error(d, path, NULL, NULL, "cannot write: %s", strerror(errno));
}
