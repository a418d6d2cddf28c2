/* file.h: files, the same way for all: read by mapping, written whole or not at all (under a
 * temporary name beside the target, renamed at the end). */
#ifndef ONNXCC_IR_FILE_H
#define ONNXCC_IR_FILE_H

#include "ir/arena.h"
#include "ir/diag.h"

#include <stdint.h>

typedef struct {
    const uint8_t *data; /* never NULL */
    size_t size;
} file_view;

/* Maps a regular file. False and a sentence in *error. */
bool file_map(const char *path, file_view *out, const char **error);
void file_unmap(file_view view);

typedef struct file_writer file_writer;

/* Begins to write a file. Errors of this and of what follows are reported by file_commit. The
 * writer lives in the arena. */
file_writer *file_create(const char *path, arena *a);
void file_append(file_writer *w, const void *data, size_t size);
void file_printf(file_writer *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Bytes appended so far. */
size_t file_position(const file_writer *w);
/* Puts the file in its place. False and a diagnostic if anything went wrong; then nothing is left
 * behind. Ends the writer. */
bool file_commit(file_writer *w, diag *d);
/* Ends the writer and leaves nothing behind. */
void file_abandon(file_writer *w);

/* A whole file at once. */
bool file_write(const char *path, const void *data, size_t size, arena *a, diag *d);

#endif
