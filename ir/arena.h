/* arena.h: bump allocation. Everything of one compilation lives in one arena and is released with
 * it; nothing is freed one by one. Memory comes zeroed. Running out of memory ends the process:
 * there is no sensible way on. */
#ifndef ONNXCC_IR_ARENA_H
#define ONNXCC_IR_ARENA_H

#include <stdarg.h>
#include <stddef.h>

typedef struct arena arena;

arena *arena_create(void);
void arena_destroy(arena *a);

/* `size` zeroed bytes, aligned for any type; also for size 0 a valid pointer. */
void *arena_alloc(arena *a, size_t size);

/* `count` zeroed elements of `size` bytes. The multiplication is checked. */
void *arena_alloc_array(arena *a, size_t count, size_t size);

char *arena_strdup(arena *a, const char *s);
char *arena_strndup(arena *a, const char *s, size_t n);
char *arena_printf(arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(arena *a, const char *format, va_list args);

/* Makes room for one more element in a growing array: returns `data`, or a copy of twice the size
 * in the arena. */
void *arena_grow(arena *a, void *data, size_t count, size_t *capacity, size_t element_size);

#define ARENA_NEW(a, T)      ((T *)arena_alloc((a), sizeof(T)))
#define ARENA_ARRAY(a, T, n) ((T *)arena_alloc_array((a), (n), sizeof(T)))

/* A growing array of T: LIST(T) items; list_push(a, &items, value). Zero-initialised is empty. */
#define LIST(T)                                                                                    \
    struct {                                                                                       \
        T *data;                                                                                   \
        size_t count, capacity;                                                                    \
    }
#define list_push(a, list, value)                                                                  \
    ((list)->data =                                                                                \
         arena_grow((a), (list)->data, (list)->count, &(list)->capacity, sizeof *(list)->data),    \
     (list)->data[(list)->count++] = (value))

#endif
