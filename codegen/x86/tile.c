/* tile.c: the cost model of register tiles. See tile.h. */
#include "codegen/x86/tile.h"

#include <math.h>
#include <string.h>

/* Vector operations, and bytes, from which on threads share a kernel (program_worth_threads). */
enum { SHARED_PRODUCTS = 16000, SHARED_BYTES = 200000 };

/* Loads of one reduction step that the tile's size multiplies. */
static double loads_of(const tile_search *t, const int64_t *size, int load) {
    double n = 1;
    for (int j = 0; j < t->count; j++)
        if (t->axes[j].moves >> load & 1) n *= (double)size[j];
    return n;
}

/* Registers that operands need if the sides run in this order, the first outermost: what moves with
 * the outer sides alone passes through one of them, the rest stays for the whole step. */
static int64_t held_operands(const tile_side *sides, int count, int loads) {
    int64_t held = 0;
    for (int i = 0; i < loads; i++) {
        int64_t n = 1;
        bool inside = false;
        for (int j = 0; j < count; j++) {
            if (!(sides[j].moves >> i & 1))
                inside = true;
            else if (inside)
                n *= sides[j].size;
        }
        if (n > 1) held += n;
    }
    return held + 1;
}

static void swap_sides(tile_side *a, tile_side *b) {
    tile_side t = *a;
    *a = *b;
    *b = t;
}

int64_t tile_order_sides(tile_side *sides, int first, int count, int loads) {
    if (first + 1 >= count) return held_operands(sides, count, loads);
    tile_side best[MAX_CUT_AXES], tried[MAX_CUT_AXES];
    int64_t least = INT64_MAX;
    for (int i = first; i < count; i++) {
        memcpy(tried, sides, (size_t)count * sizeof *sides);
        swap_sides(&tried[first], &tried[i]);
        int64_t held = tile_order_sides(tried, first + 1, count, loads);
        if (held >= least) continue;
        least = held;
        memcpy(best, tried, (size_t)count * sizeof *sides);
    }
    memcpy(sides, best, (size_t)count * sizeof *sides);
    return least;
}

static bool fits_registers(const tile_search *t, const int64_t *size) {
    tile_side sides[MAX_CUT_AXES];
    int count = 0;
    int64_t accumulators = 1;
    for (int j = 0; j < t->count; j++) {
        if (size[j] == 1) continue;
        accumulators *= size[j];
        sides[count++] = (tile_side){t->axes[j].moves, size[j], j};
    }
    return accumulators + tile_order_sides(sides, 0, count, t->loads) <=
           t->machine->vector_registers;
}

static int64_t vectors_beside(const tile_search *t, const int64_t *size) {
    for (int j = 0; j < t->count; j++)
        if (t->axes[j].vector_outer) return size[j];
    return 1;
}

/* Whether a tile takes its vectors from more panels than it needs to. */
static bool splits_panels(const tile_search *t, const int64_t *size) {
    int64_t vectors = vectors_beside(t, size);
    return t->beside && vectors % t->beside && t->beside % vectors;
}

/* How many tiles read the same panel. */
static double readings(const tile_search *t, const int64_t *size, int load) {
    double n = 1;
    for (int j = 0; j < t->count; j++)
        if (!(t->axes[j].moves >> load & 1))
            n *= t->axes[j].constant > 0 ? (double)tile_ceil_div(t->axes[j].constant, size[j]) : 8;
    return n;
}

/* Cycles of a load that a step does `times` times: two a cycle from L1, which is where what is read
 * again is found, the panel or, between whose readings all others lie, the whole operand. */
static double load_cycles(const tile_search *t, const int64_t *size, int load, double times) {
    const target_machine *m = t->machine;
    const double near = 0.5;
    if (!t->vector_load[load]) return near;
    double again = t->rows_outside ? t->operand[load] : times * t->panel;
    double far = t->operand[load] <= (double)m->l2_bytes / 2 ? 2 : 3;
    if (again > (double)m->l1_bytes / 2) return far;
    double n = readings(t, size, load);
    return (far + (n - 1) * near) / n;
}

/* Cycles of one reduction step of a tile: its multiply-adds, or what the loads and the latency of
 * the accumulators allow. Two multiply-adds a cycle are what most processors do; a tile that keeps
 * these busy also keeps those busy that do one. Loads that hide behind multiply-adds still cost a
 * little, those from afar more: they are in the way of what comes from memory meanwhile. Of two
 * tiles of one cost, one whose vectors are whole panels is better. */
static double step_cost(const tile_search *t, const int64_t *size) {
    enum { FMAS_A_CYCLE = 2, LATENCY = 4 };
    const double hidden = 0.05, split = 1.03;
    double fmas = 1, cycles = 0;
    for (int j = 0; j < t->count; j++) fmas *= (double)size[j];
    for (int i = 0; i < t->loads; i++) {
        double n = loads_of(t, size, i);
        cycles += n * load_cycles(t, size, i, n);
    }
    double cost = fmas / FMAS_A_CYCLE;
    if (cost < cycles) cost = cycles;
    if (cost < LATENCY) cost = LATENCY;
    return cost * (splits_panels(t, size) ? split : 1) + hidden * cycles;
}

/* Cost of the whole iteration space, even splits included. */
static double tiling_cost(const tile_search *t, int64_t *size, int axis, double trips) {
    enum { TILE_OVERHEAD = 12 };
    if (axis == t->count) return trips * (step_cost(t, size) * t->steps + TILE_OVERHEAD);
    const cut_axis *a = &t->axes[axis];
    int64_t tile = size[axis], extent = a->constant > 0 ? a->constant : 8 * tile;
    int64_t tiles = tile_ceil_div(extent, tile), base = extent / tiles, large = extent % tiles;
    double cost = 0;
    if (large) {
        size[axis] = base + 1;
        cost += tiling_cost(t, size, axis + 1, trips * (double)large);
    }
    size[axis] = base;
    cost += tiling_cost(t, size, axis + 1, trips * (double)(tiles - large));
    size[axis] = tile;
    return cost;
}

/* How much worse a tiling is where two threads share it: with an odd number of tiles one thread
 * waits for the other's last. It counts for little, since there may be one thread only. */
static double share_factor(const tile_search *t, const int64_t *size) {
    double tiles = 1, products = t->steps, operand = 0;
    for (int j = 0; j < t->count; j++) {
        if (t->axes[j].constant < 0) return 1;
        tiles *= (double)tile_ceil_div(t->axes[j].constant, size[j]);
        products *= (double)t->axes[j].constant;
    }
    for (int i = 0; i < t->loads; i++)
        if (t->operand[i] > operand) operand = t->operand[i];
    bool shared = products >= SHARED_PRODUCTS || operand >= SHARED_BYTES;
    return shared ? 1 + 0.15 * (ceil(tiles / 2) * 2 / tiles - 1) : 1;
}

/* How much worse a tile is that reaches over several slices: a thread then works on what others
 * made. It counts for little: with one thread it is none. */
static double slice_factor(const tile_search *t, const int64_t *size) {
    return t->slices && size[0] > 1 ? 1.01 : 1;
}

/* The best tiles so far, in ascending order of cost, each with another number of vectors side by
 * side: tiles that differ in other sizes alone are as good as the same. Of equal ones the first
 * found leads. */
typedef struct {
    double cost[TARGET_RANKS];
    int64_t size[TARGET_RANKS][MAX_CUT];
    int count, most;
} tile_ranking;

static void move_tiles(tile_ranking *r, int to, int from, int count) {
    memmove(&r->cost[to], &r->cost[from], (size_t)count * sizeof *r->cost);
    memmove(&r->size[to], &r->size[from], (size_t)count * sizeof *r->size);
}

static void rank_tile(const tile_search *t, tile_ranking *r, const int64_t *size, double cost) {
    int at = 0, same = 0;
    while (at < r->count && cost >= r->cost[at] * 0.999) at++;
    while (same < r->count && vectors_beside(t, r->size[same]) != vectors_beside(t, size)) same++;
    if (at == r->most || same < at) return;
    if (same == r->count && r->count < r->most) r->count++;
    if (same == r->count) same--;
    move_tiles(r, at + 1, at, same - at);
    r->cost[at] = cost;
    memcpy(r->size[at], size, (size_t)t->count * sizeof *size);
}

static void search_axis(const tile_search *t, int axis, int64_t *size, int64_t used,
                        tile_ranking *ranking, int cut) {
    if (axis == t->count) {
        if (!fits_registers(t, size)) return;
        double cost = tiling_cost(t, size, 0, 1) * share_factor(t, size) * slice_factor(t, size);
        rank_tile(t, ranking, size, cost);
        return;
    }
    int64_t most = t->axes[axis].constant > 0 ? t->axes[axis].constant : t->budget;
    if (t->axes[axis].single) most = 1;
    for (int64_t n = 1; n <= most && used * n <= t->budget; n++) {
        if (n > 1 && cut == MAX_CUT_AXES) break;
        size[axis] = n;
        search_axis(t, axis + 1, size, used * n, ranking, cut + (n > 1));
    }
    size[axis] = 1;
}

void tile_choose(tile_search *t, int rank) {
    tile_ranking ranking = {.most = rank < TARGET_RANKS ? rank + 1 : TARGET_RANKS};
    int64_t size[MAX_CUT];
    for (int j = 0; j < t->count; j++) size[j] = 1;
    search_axis(t, 0, size, 1, &ranking, 0);
    const int64_t *chosen = ranking.size[rank < ranking.count ? rank : 0];
    for (int j = 0; j < t->count; j++) t->axes[j].tile = ranking.count ? chosen[j] : 1;
}
