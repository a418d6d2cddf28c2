/* arena.c: chunks of memory in a list, newest first; each request is carved off the newest chunk,
 * or gets a chunk of its own when it is large. See arena.h for the contract. */
#include "ir/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 16, ALIGN = 16 };

typedef struct chunk {
    struct chunk *next;
    size_t used, size;
    _Alignas(ALIGN) unsigned char bytes[];
} chunk;

struct arena {
    chunk *chunks;
};

static chunk *chunk_create(size_t size) {
    chunk *c = size > SIZE_MAX - sizeof(chunk) ? NULL : calloc(1, sizeof(chunk) + size);
    if (!c) {
        fputs("onnxcc: out of memory\n", stderr);
        abort();
    }
    c->size = size;
    return c;
}

arena *arena_create(void) {
    arena *a = calloc(1, sizeof *a);
    if (!a) abort();
    return a;
}

void arena_destroy(arena *a) {
    if (!a) return;
    for (chunk *c = a->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(a);
}

void *arena_alloc(arena *a, size_t size) {
    size = size > SIZE_MAX - ALIGN ? size : (size + ALIGN - 1) / ALIGN * ALIGN;
    if (size > CHUNK_BYTES / 4) {
        /* A chunk of its own, put second so that the newest small chunk stays in use. */
        chunk *c = chunk_create(size);
        c->used = size;
        chunk **at = a->chunks ? &a->chunks->next : &a->chunks;
        c->next = *at;
        *at = c;
        return c->bytes;
    }
    if (!a->chunks || a->chunks->size - a->chunks->used < size) {
        chunk *c = chunk_create(CHUNK_BYTES);
        c->next = a->chunks;
        a->chunks = c;
    }
    void *p = a->chunks->bytes + a->chunks->used;
    a->chunks->used += size;
    return p;
}

void *arena_alloc_array(arena *a, size_t count, size_t size) {
    if (size && count > SIZE_MAX / 2 / size) {
        fputs("onnxcc: allocation overflow\n", stderr);
        abort();
    }
    return arena_alloc(a, count * size);
}

char *arena_strndup(arena *a, const char *s, size_t n) {
    char *p = arena_alloc(a, n + 1);
    memcpy(p, s, n);
    return p;
}

char *arena_strdup(arena *a, const char *s) {
    return arena_strndup(a, s, strlen(s));
}

char *arena_vprintf(arena *a, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0) return arena_strdup(a, "");
    char *p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, format, args);
    return p;
}

char *arena_printf(arena *a, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *p = arena_vprintf(a, format, args);
    va_end(args);
    return p;
}

void *arena_grow(arena *a, void *data, size_t count, size_t *capacity, size_t element_size) {
    if (count < *capacity) return data;
    size_t wanted = *capacity ? *capacity * 2 : 8;
    void *grown = arena_alloc_array(a, wanted, element_size);
    if (count) memcpy(grown, data, count * element_size);
    *capacity = wanted;
    return grown;
}
