/* elf_write.h: constant data as a relocatable object, straight from memory: a read-only section
 * with one symbol. */
#ifndef ONNXCC_CODEGEN_PACKAGE_ELF_WRITE_H
#define ONNXCC_CODEGEN_PACKAGE_ELF_WRITE_H

#include "ir/diag.h"

#include <stddef.h>
#include <stdint.h>

/* A run of bytes at an offset of the section; gaps are zero. */
typedef struct {
    uint64_t offset;
    const void *data;
    size_t bytes;
} elf_span;

/* Writes an x86-64 object whose .rodata, aligned to 64, is `size` bytes with the spans (ascending,
 * disjoint) in place, under a global hidden symbol. The same input gives the same bytes. */
bool elf_write_constants(const char *path, const char *symbol, const elf_span *spans, size_t count,
                         uint64_t size, diag *d);

#endif
