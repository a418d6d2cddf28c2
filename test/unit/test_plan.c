/* test_plan.c: the memory plan against brute force: for random lifetimes and sizes, constant and
 * symbolic, no two buffers that live at once may share a byte, whatever the symbols are; and no
 * plan may be below the bound. */
#include "codegen/plan.h"
#include "test/unit.h"

static uint64_t state = 0x2545f4914f6cdd1du;

static int64_t random_in(int64_t low, int64_t high) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return low + (int64_t)(state % (uint64_t)(high - low + 1));
}

enum { SYMBOLS = 3, MOST = 40 };

static dim random_size(dim_table *t, bool symbolic) {
    dim n = dim_const(t, random_in(1, 5000));
    if (!symbolic) return n;
    dim s = dim_from_symbol(t, (dim_symbol)random_in(0, SYMBOLS - 1));
    if (random_in(0, 2) == 0)
        s = dim_mul(t, s, dim_from_symbol(t, (dim_symbol)random_in(0, SYMBOLS - 1)));
    return random_in(0, 3) ? dim_mul(t, s, dim_const(t, random_in(1, 64))) : dim_add(t, s, n);
}

static int64_t rounded(int64_t bytes) {
    return (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

/* Every pair, at one assignment of the symbols. */
static void check_at(dim_table *t, const plan_buffer *b, size_t count, const plan_result *r,
                     const int64_t *values) {
    int64_t arena_bytes = dim_eval(t, r->arena_bytes, values), bound = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t begin = dim_eval(t, b[i].offset, values),
                end = begin + dim_eval(t, b[i].bytes, values);
        CHECK(begin >= 0 && begin % PLAN_ALIGN == 0 && end <= arena_bytes);
        for (size_t j = 0; j < i; j++) {
            bool together = b[i].first <= b[j].last && b[j].first <= b[i].last;
            int64_t other = dim_eval(t, b[j].offset, values),
                    other_end = other + dim_eval(t, b[j].bytes, values);
            CHECK(!together || end <= other || other_end <= begin);
        }
    }
    for (uint32_t step = 0; step < 2 * MOST; step++) {
        int64_t live = 0;
        for (size_t i = 0; i < count; i++)
            if (b[i].first <= step && step <= b[i].last)
                live += rounded(dim_eval(t, b[i].bytes, values));
        bound = live > bound ? live : bound;
    }
    int64_t claimed = 0;
    for (size_t i = 0; i < r->live_count; i++) {
        int64_t live = dim_eval(t, r->live[i], values);
        claimed = live > claimed ? live : claimed;
    }
    CHECK(claimed == bound && arena_bytes >= bound);
}

static void random_plan(bool symbolic) {
    arena *a = arena_create();
    dim_table *t = dim_table_create(a);
    int64_t nominal[SYMBOLS], values[SYMBOLS];
    for (int i = 0; i < SYMBOLS; i++) {
        dim_make_symbol(t, (const char *[]){"A", "B", "C"}[i], 1, 4096);
        nominal[i] = random_in(1, 300);
    }
    plan_buffer b[MOST];
    size_t count = (size_t)random_in(1, MOST);
    for (size_t i = 0; i < count; i++) {
        uint32_t first = (uint32_t)random_in(0, MOST), span = (uint32_t)random_in(0, 12);
        b[i] =
            (plan_buffer){.bytes = random_size(t, symbolic), .first = first, .last = first + span};
    }
    plan_result r = plan_make(a, t, b, count, nominal);
    check_at(t, b, count, &r, nominal);
    for (int round = 0; symbolic && round < 8; round++) {
        for (int i = 0; i < SYMBOLS; i++) values[i] = random_in(1, round < 4 ? 64 : 4096);
        check_at(t, b, count, &r, values);
    }
    arena_destroy(a);
}

static void test_constant_sizes(void) {
    for (int i = 0; i < 300; i++) random_plan(false);
}

static void test_symbolic_sizes(void) {
    for (int i = 0; i < 200; i++) random_plan(true);
}

/* A chain in which each value dies as the next but one is made needs two places, and gets no more.
 */
static void test_chain_reaches_the_bound(void) {
    arena *a = arena_create();
    dim_table *t = dim_table_create(a);
    plan_buffer b[20];
    for (uint32_t i = 0; i < 20; i++)
        b[i] = (plan_buffer){.bytes = dim_const(t, 1024), .first = i, .last = i + 1};
    plan_result r = plan_make(a, t, b, 20, NULL);
    CHECK(dim_value(t, r.arena_bytes) == 2048);
    arena_destroy(a);
}

/* Lives as in networks, sizes of any kind: nearly all plans are as low as the bound, and none is
 * over 3 % above it. */
static void test_search_comes_to_the_bound(void) {
    enum { PLANS = 200, BUFFERS = 40, STEPS = 48 };
    int reached = 0;
    for (int i = 0; i < PLANS; i++) {
        arena *a = arena_create();
        dim_table *t = dim_table_create(a);
        plan_buffer b[BUFFERS];
        int64_t live[STEPS] = {0}, bound = 0;
        for (size_t j = 0; j < BUFFERS; j++) {
            int64_t first = random_in(0, 39), last = first + random_in(1, 6);
            int64_t bytes = PLAN_ALIGN * random_in(1, 64);
            b[j] = (plan_buffer){
                .bytes = dim_const(t, bytes), .first = (uint32_t)first, .last = (uint32_t)last};
            for (int64_t s = first; s <= last; s++) live[s] += bytes;
        }
        for (int s = 0; s < STEPS; s++) bound = live[s] > bound ? live[s] : bound;
        plan_result r = plan_make(a, t, b, BUFFERS, NULL);
        int64_t got = dim_value(t, r.arena_bytes);
        CHECK(got >= bound && got * 100 <= bound * 103);
        reached += got == bound;
        arena_destroy(a);
    }
    CHECK(reached >= PLANS * 9 / 10);
}

int main(void) {
    RUN(test_constant_sizes);
    RUN(test_symbolic_sizes);
    RUN(test_chain_reaches_the_bound);
    RUN(test_search_comes_to_the_bound);
    return unit_finish();
}
