/* mutate.h: seeded edits of bytes for tests that feed files gone wrong: the same edits on every
 * machine. Where an edit may strike is the caller's choice. */
#ifndef ONNXCC_TEST_MUTATE_H
#define ONNXCC_TEST_MUTATE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MUTATE_MAX_EDIT = 24 }; /* bytes that one edit may add */

typedef struct {
    uint8_t *data;
    size_t size;
} mutant;

static inline uint64_t mutate_next(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline size_t mutate_below(uint64_t *state, size_t limit) {
    return limit ? (size_t)(mutate_next(state) % limit) : 0;
}

static inline void mutate_cut(mutant *m, size_t at, size_t n) {
    memmove(m->data + at, m->data + at + n, m->size - at - n);
    m->size -= n;
}

static inline void mutate_duplicate(mutant *m, size_t at, size_t n) {
    memmove(m->data + at + n, m->data + at, m->size - at);
    m->size += n;
}

/* One edit at `at`, or of what lies at `other` to there. */
static inline void mutate_once(mutant *m, size_t at, size_t other, uint64_t *state) {
    static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe, 0x10, 0x20};
    size_t n = 1 + mutate_below(state, MUTATE_MAX_EDIT);
    if (at + MUTATE_MAX_EDIT >= m->size || other + MUTATE_MAX_EDIT >= m->size) return;
    switch (mutate_below(state, 16)) {
    case 0: m->size = at; break;
    case 1: mutate_cut(m, at, n); break;
    case 2: mutate_duplicate(m, at, n); break;
    case 3: memmove(m->data + at, m->data + other, n); break;
    case 4:
    case 5:
    case 6: m->data[at] = edges[mutate_below(state, sizeof edges)]; break;
    case 7:
    case 8: m->data[at] = (uint8_t)mutate_next(state); break;
    case 9: m->data[at] = m->data[other]; break;
    default: m->data[at] ^= (uint8_t)(1u << mutate_below(state, 8)); break;
    }
}

/* A copy of `size` bytes with one edit as a rule, up to four else, at `places` (NULL: anywhere). */
static inline mutant mutate_copy(const uint8_t *data, size_t size, const size_t *places,
                                 size_t place_count, uint64_t *state) {
    size_t edits = mutate_below(state, 4) ? 1 : 2 + mutate_below(state, 3);
    mutant m = {malloc(size + edits * MUTATE_MAX_EDIT), size};
    if (!m.data) abort();
    memcpy(m.data, data, size);
    for (size_t i = 0; i < edits; i++) {
        size_t at = mutate_below(state, place_count), other = mutate_below(state, place_count);
        mutate_once(&m, places ? places[at] : at, places ? places[other] : other, state);
    }
    return m;
}

#endif
