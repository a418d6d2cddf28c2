/* plan.c: greedy placement of buffers in one arena. See plan.h for the contract. The search works
 * on nominal sizes; the result is turned into expressions that hold for every size. */
#include "codegen/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The state of one attempt: sizes, and the order in which buffers are placed. */
typedef struct {
    const plan_buffer *buffers;
    size_t count;
    int64_t *size;   /* nominal, rounded up to the alignment */
    int64_t *offset; /* nominal; -1 while not placed */
    uint32_t *order;
    uint32_t *placed; /* of those placed already, by ascending offset */
    uint64_t *weight; /* sort key of the order at hand, larger first */
    int64_t *best;    /* the offsets of the lowest plan so far, and its height */
    int64_t best_top;
} attempt;

static bool overlap_in_time(const plan_buffer *x, const plan_buffer *y) {
    return x->first <= y->last && y->first <= x->last;
}

static dim rounded(dim_table *t, dim bytes) {
    dim align = dim_const(t, PLAN_ALIGN);
    return dim_mul(t, dim_ceildiv(t, bytes, align), align);
}

/* ---- orders ---- */

static void sort_by_weight(attempt *p) {
    /* Insertion by binary search keeps equal weights in buffer order: the plan is the same on every
     * machine. */
    for (size_t i = 0; i < p->count; i++) {
        size_t low = 0, high = i;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (p->weight[p->order[middle]] >= p->weight[i])
                low = middle + 1;
            else
                high = middle;
        }
        memmove(&p->order[low + 1], &p->order[low], (i - low) * sizeof *p->order);
        p->order[low] = (uint32_t)i;
    }
}

enum { ORDER_SIZE, ORDER_AREA, ORDER_START, ORDER_BREADTH, ORDER_END, ORDER_COUNT };

/* Largest sum of sizes live at one step within the life of each buffer: buffers of crowded steps go
 * first. */
static uint64_t breadth_of(const attempt *p, size_t i, const uint64_t *live) {
    uint64_t most = 0;
    for (uint32_t s = p->buffers[i].first; s <= p->buffers[i].last; s++)
        if (live[s] > most) most = live[s];
    return most;
}

static void weigh(attempt *p, int order, const uint64_t *live) {
    for (size_t i = 0; i < p->count; i++) {
        const plan_buffer *b = &p->buffers[i];
        uint64_t size = (uint64_t)p->size[i], span = b->last - b->first + 1;
        switch (order) {
        case ORDER_SIZE: p->weight[i] = size; break;
        case ORDER_AREA: p->weight[i] = size * span; break;
        case ORDER_START: p->weight[i] = UINT32_MAX - b->first; break;
        case ORDER_BREADTH: p->weight[i] = breadth_of(p, i, live); break;
        default: p->weight[i] = b->last; break;
        }
    }
    sort_by_weight(p);
}

/* ---- placement ---- */

/* The lowest gap between placed buffers that live at the same time, smallest that fits first. */
static int64_t find_offset(const attempt *p, size_t placed, uint32_t i, bool best_fit) {
    int64_t end = 0, best = -1, best_gap = INT64_MAX;
    for (size_t j = 0; j < placed; j++) {
        uint32_t other = p->placed[j];
        if (!overlap_in_time(&p->buffers[i], &p->buffers[other])) continue;
        int64_t gap = p->offset[other] - end;
        if (gap >= p->size[i] && gap < best_gap) {
            if (!best_fit) return end;
            best = end;
            best_gap = gap;
        }
        int64_t other_end = p->offset[other] + p->size[other];
        if (other_end > end) end = other_end;
    }
    return best >= 0 ? best : end;
}

/* Places all buffers in the order at hand, and keeps the plan if it is the lowest. */
static void place_all(attempt *p, bool best_fit) {
    int64_t top = 0;
    for (size_t n = 0; n < p->count; n++) {
        uint32_t i = p->order[n];
        p->offset[i] = find_offset(p, n, i, best_fit);
        size_t at = n;
        while (at > 0 && p->offset[p->placed[at - 1]] > p->offset[i]) {
            p->placed[at] = p->placed[at - 1];
            at--;
        }
        p->placed[at] = i;
        if (p->offset[i] + p->size[i] > top) top = p->offset[i] + p->size[i];
    }
    if (top >= p->best_top) return;
    p->best_top = top;
    memcpy(p->best, p->offset, p->count * sizeof *p->best);
}

/* ---- search ---- */

/* What ended above the bound is placed earlier the next time. */
static void raise_blamed(attempt *p, int64_t bound) {
    for (size_t n = 1; n < p->count; n++) {
        uint32_t i = p->order[n];
        if (p->offset[i] + p->size[i] <= bound) continue;
        size_t to = n / 2;
        memmove(&p->order[to + 1], &p->order[to], (n - to) * sizeof *p->order);
        p->order[to] = i;
    }
}

/* Tries every order, then improves on each by blame (Joslin and Clements, "Squeaky wheel
 * optimization", 1999), until a plan is as low as the bound or the work is done. */
static void search(attempt *p, const uint64_t *live, int64_t bound) {
    enum { PAIRS = 1 << 27, MOST_ROUNDS = 64 };
    size_t rounds = PAIRS / (p->count * p->count + 1) / (2 * ORDER_COUNT);
    if (rounds > MOST_ROUNDS) rounds = MOST_ROUNDS;
    for (int order = 0; order < 2 * ORDER_COUNT && p->best_top > bound; order++) {
        weigh(p, order / 2, live);
        place_all(p, order % 2);
    }
    for (int order = 0; order < 2 * ORDER_COUNT; order++) {
        weigh(p, order / 2, live);
        for (size_t i = 0; i < rounds && p->best_top > bound; i++) {
            place_all(p, order % 2);
            raise_blamed(p, bound);
        }
    }
}

/* ---- bound ---- */

static uint32_t last_step(const plan_buffer *buffers, size_t count) {
    uint32_t last = 0;
    for (size_t i = 0; i < count; i++)
        if (buffers[i].last > last) last = buffers[i].last;
    return last;
}

/* live[s]: nominal bytes live at step s. */
static uint64_t *live_bytes(arena *a, const attempt *p) {
    uint32_t last = last_step(p->buffers, p->count);
    uint64_t *live = ARENA_ARRAY(a, uint64_t, (size_t)last + 1);
    for (size_t i = 0; i < p->count; i++)
        for (uint32_t s = p->buffers[i].first; s <= p->buffers[i].last; s++)
            live[s] += (uint64_t)p->size[i];
    return live;
}

static dim live_sum(dim_table *t, const plan_buffer *buffers, size_t count, uint32_t step) {
    dim sum = dim_const(t, 0);
    for (size_t i = 0; i < count; i++)
        if (buffers[i].first <= step && step <= buffers[i].last)
            sum = dim_add(t, sum, rounded(t, buffers[i].bytes));
    return sum;
}

/* Sums at steps where something begins and before the next end: no other step can have more live.
 */
static void live_sums(arena *a, dim_table *t, const plan_buffer *buffers, size_t count,
                      plan_result *out) {
    uint32_t last = last_step(buffers, count);
    bool *begins = ARENA_ARRAY(a, bool, (size_t)last + 2);
    bool *ends = ARENA_ARRAY(a, bool, (size_t)last + 2);
    LIST(dim) sums = {0};
    for (size_t i = 0; i < count; i++) {
        begins[buffers[i].first] = true;
        ends[buffers[i].last] = true;
    }
    bool grown = false;
    for (uint32_t s = 0; s <= last; s++) {
        grown |= begins[s];
        if (!grown || !(ends[s] || s == last)) continue;
        list_push(a, &sums, live_sum(t, buffers, count, s));
        grown = false;
    }
    out->live = sums.data;
    out->live_count = sums.count;
}

/* ---- constant sizes: offsets as placed ---- */

static dim write_offsets(dim_table *t, const attempt *p, plan_buffer *buffers) {
    for (size_t i = 0; i < p->count; i++) buffers[i].offset = dim_const(t, p->best[i]);
    return dim_const(t, p->count ? p->best_top : 0);
}

/* ---- symbolic sizes: slots. A slot holds buffers that never live at once; its size is the largest
 * of theirs, whatever the symbols are, and the arena is the sum of the slots. ---- */

typedef struct {
    dim size;
    LIST(uint32_t) members;
} slot;

static bool slot_is_free(const plan_buffer *buffers, const slot *s, uint32_t i) {
    for (size_t m = 0; m < s->members.count; m++)
        if (overlap_in_time(&buffers[s->members.data[m]], &buffers[i])) return false;
    return true;
}

/* Whether a >= b for all values of the symbols, as far as can be shown. */
static bool always_holds(dim_table *t, dim a, dim b) {
    return a == b || dim_low(t, dim_sub(t, a, b)) >= 0;
}

/* The free slot that a buffer goes into: one that is large enough for certain, else one of about
 * its nominal size, else any. */
static slot *choose_slot(dim_table *t, const plan_buffer *buffers, slot *slots, size_t count,
                         uint32_t i, dim size, const int64_t *nominal) {
    slot *best = NULL;
    int64_t own = dim_eval(t, size, nominal), best_waste = INT64_MAX;
    for (size_t s = 0; s < count; s++) {
        if (!slot_is_free(buffers, &slots[s], i)) continue;
        int64_t have = dim_eval(t, slots[s].size, nominal);
        bool certain = always_holds(t, slots[s].size, size);
        int64_t waste = (have > own ? have - own : own - have) + (certain ? 0 : own / 2);
        if (waste >= best_waste) continue;
        best_waste = waste;
        best = &slots[s];
    }
    return best;
}

static dim write_slots(arena *a, dim_table *t, const attempt *p, plan_buffer *buffers,
                       const int64_t *nominal) {
    slot *slots = ARENA_ARRAY(a, slot, p->count);
    size_t count = 0;
    for (size_t n = 0; n < p->count; n++) {
        uint32_t i = p->order[n];
        dim size = rounded(t, buffers[i].bytes);
        slot *s = choose_slot(t, buffers, slots, count, i, size, nominal);
        if (!s) {
            s = &slots[count++];
            s->size = size;
        }
        if (!always_holds(t, s->size, size)) s->size = dim_max(t, s->size, size);
        list_push(a, &s->members, i);
    }
    dim top = dim_const(t, 0);
    for (size_t s = 0; s < count; s++) {
        for (size_t m = 0; m < slots[s].members.count; m++)
            buffers[slots[s].members.data[m]].offset = top;
        top = dim_add(t, top, slots[s].size);
    }
    return top;
}

static bool all_constant(const dim_table *t, const plan_buffer *buffers, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!dim_is_const(t, buffers[i].bytes, NULL)) return false;
    return true;
}

plan_result plan_make(arena *a, dim_table *dims, plan_buffer *buffers, size_t count,
                      const int64_t *nominal) {
    attempt p = {.buffers = buffers, .count = count};
    p.size = ARENA_ARRAY(a, int64_t, count);
    p.offset = ARENA_ARRAY(a, int64_t, count);
    p.order = ARENA_ARRAY(a, uint32_t, count);
    p.placed = ARENA_ARRAY(a, uint32_t, count);
    p.weight = ARENA_ARRAY(a, uint64_t, count);
    for (size_t i = 0; i < count; i++) {
        assert(buffers[i].first <= buffers[i].last);
        /* What is empty at the nominal sizes may not be at others: it has its place all the same.
         */
        p.size[i] = dim_eval(dims, rounded(dims, buffers[i].bytes), nominal);
        if (p.size[i] < PLAN_ALIGN && !dim_equals_const(dims, buffers[i].bytes, 0))
            p.size[i] = PLAN_ALIGN;
    }
    const uint64_t *live = live_bytes(a, &p);
    plan_result result = {.arena_bytes = DIM_NONE};
    live_sums(a, dims, buffers, count, &result);
    if (!all_constant(dims, buffers, count)) {
        weigh(&p, ORDER_SIZE, live);
        result.arena_bytes = write_slots(a, dims, &p, buffers, nominal);
        return result;
    }
    int64_t bound = 0;
    for (uint32_t step = 0; count && step <= last_step(buffers, count); step++)
        if ((int64_t)live[step] > bound) bound = (int64_t)live[step];
    p.best = ARENA_ARRAY(a, int64_t, count);
    p.best_top = INT64_MAX;
    search(&p, live, bound);
    result.arena_bytes = write_offsets(dims, &p, buffers);
    return result;
}
