/* elf_write.c: writes the object by hand: header, data, string and symbol tables, section headers,
 * in this order, so that the data streams through without being held twice. The structures are
 * those of <elf.h> (System V ABI, chapter 4). */
#include "codegen/package/elf_write.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    SECTION_NULL,
    SECTION_DATA,
    SECTION_SYMBOLS,
    SECTION_STRINGS,
    SECTION_NAMES,
    SECTION_STACK,
    SECTION_COUNT
};
enum { DATA_ALIGN = 64, TABLE_ALIGN = 8 };

static const char section_names[] = "\0.rodata\0.symtab\0.strtab\0.shstrtab\0.note.GNU-stack";

static uint32_t name_of(int section) {
    static const uint32_t offsets[] = {0, 1, 9, 17, 25, 35};
    return offsets[section];
}

static bool put(FILE *f, const void *data, size_t n) {
    return n == 0 || fwrite(data, 1, n, f) == n;
}

static bool put_zeros(FILE *f, uint64_t n) {
    static const char zeros[4096];
    while (n) {
        size_t now = n < sizeof zeros ? (size_t)n : sizeof zeros;
        if (!put(f, zeros, now)) return false;
        n -= now;
    }
    return true;
}

static bool put_spans(FILE *f, const elf_span *spans, size_t count, uint64_t size) {
    uint64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (!put_zeros(f, spans[i].offset - at) || !put(f, spans[i].data, spans[i].bytes))
            return false;
        at = spans[i].offset + spans[i].bytes;
    }
    return put_zeros(f, size - at);
}

static uint64_t aligned(uint64_t n, uint64_t to) {
    return (n + to - 1) / to * to;
}

static bool write_object(FILE *f, const char *symbol, const elf_span *spans, size_t count,
                         uint64_t size) {
    const uint64_t strings_size = strlen(symbol) + 2;
    Elf64_Shdr s[SECTION_COUNT] = {{0}};
    s[SECTION_DATA] = (Elf64_Shdr){.sh_type = SHT_PROGBITS,
                                   .sh_flags = SHF_ALLOC,
                                   .sh_size = size,
                                   .sh_addralign = DATA_ALIGN};
    s[SECTION_SYMBOLS] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
                                      .sh_size = 2 * sizeof(Elf64_Sym),
                                      .sh_link = SECTION_STRINGS,
                                      .sh_info = 1,
                                      .sh_entsize = sizeof(Elf64_Sym),
                                      .sh_addralign = TABLE_ALIGN};
    s[SECTION_STRINGS] =
        (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_size = strings_size, .sh_addralign = 1};
    s[SECTION_NAMES] =
        (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_size = sizeof section_names, .sh_addralign = 1};
    s[SECTION_STACK] = (Elf64_Shdr){.sh_type = SHT_PROGBITS, .sh_addralign = 1};
    uint64_t at = sizeof(Elf64_Ehdr);
    for (int i = SECTION_DATA; i < SECTION_COUNT; i++) {
        s[i].sh_name = name_of(i);
        s[i].sh_offset = at = aligned(at, s[i].sh_addralign);
        at += s[i].sh_size;
    }
    uint64_t headers = aligned(at, TABLE_ALIGN);
    Elf64_Ehdr e = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_REL,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_shoff = headers,
        .e_ehsize = sizeof e,
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shnum = SECTION_COUNT,
        .e_shstrndx = SECTION_NAMES};
    Elf64_Sym symbols[2] = {{0},
                            {.st_name = 1,
                             .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
                             .st_other = STV_HIDDEN,
                             .st_shndx = SECTION_DATA,
                             .st_size = size}};
    return put(f, &e, sizeof e) && put_zeros(f, s[SECTION_DATA].sh_offset - sizeof e) &&
           put_spans(f, spans, count, size) &&
           put_zeros(f, s[SECTION_SYMBOLS].sh_offset - s[SECTION_DATA].sh_offset - size) &&
           put(f, symbols, sizeof symbols) && put(f, "", 1) && put(f, symbol, strings_size - 1) &&
           put(f, section_names, sizeof section_names) && put_zeros(f, headers - at) &&
           put(f, s, sizeof s);
}

bool elf_write_constants(const char *path, const char *symbol, const elf_span *spans, size_t count,
                         uint64_t size, diag *d) {
    FILE *f = fopen(path, "wb");
    bool ok = f && write_object(f, symbol, spans, count, size);
    if (f && fclose(f) != 0) ok = false;
    return ok || diag_error(d, path, NULL, NULL, "cannot write: %s", strerror(errno));
}
