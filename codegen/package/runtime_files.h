/* runtime_files.h: the runtime as onnxcc carries it with itself: its header as text, its objects
 * for archives, its sources for the C target. Made from runtime/ when onnxcc is built
 * (cmake/embed.cmake). */
#ifndef ONNXCC_CODEGEN_PACKAGE_RUNTIME_FILES_H
#define ONNXCC_CODEGEN_PACKAGE_RUNTIME_FILES_H

#include <stdbool.h>
#include <stddef.h>

extern const char runtime_header[];

typedef struct {
    const char *name; /* "onnxcc_status.o" */
    const unsigned char *object;
    const unsigned char *object_end;
    const char *source; /* C text, its own parts put in, the runtime's header left out */
} runtime_file;

extern const runtime_file runtime_files[];
extern const size_t runtime_file_count;

/* Whether an object names what the file defines: functions begin with the name of their file. */
bool runtime_file_is_needed(const runtime_file *f, const void *object, size_t bytes);

#endif
