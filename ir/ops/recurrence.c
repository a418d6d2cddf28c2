/* recurrence.c: the time steps of RNN, GRU and LSTM, as one nest: directions and blocks of the
 * batch are independent and threads share them, time is in order, and a step is a product of the
 * block's states with the recurrent weights (gates are the lanes), which are read once for all of
 * them, and the cell's arithmetic. States and gates of one block lie on the stack. */
#include "ir/ops/recurrent.h"

#include <assert.h>

/* One direction of one block of the batch. */
typedef struct {
    node_id n;
    recurrent_settings s;
    value_id in[RECURRENCE_INPUTS], y, y_h, y_c;
    dtype sum;
    int64_t hidden;
    int direction;
    bool backwards;
    int64_t rows;    /* entries of the batch in the block */
    loop_expr first; /* the first of them */
    loop_expr d;
    loop_buf h, c, gates, reset; /* [rows, ...]: states, gates before activation, reset gate times h
                                  */
    loop_expr t, steps;          /* the step at hand, and how many there are; 0: around the steps */
    loop_buf places; /* [rows]: indices of the step, where lengths and order ask for it */
    /* the row at hand: */
    loop_expr row, batch;
    loop_expr place; /* index of the step in X and Y */
    loop_expr valid; /* whether the sequence is that long; 0: always */
} cell;

/* Rows that one block has at most: accumulators of a register tile. */
enum { MOST_ROWS = 8 };

/* ---- shapes ---- */

static bool infer_recurrence(graph *g, node_id n) {
    for (uint32_t i = RECURRENCE_X; i <= RECURRENCE_R; i++)
        if (!kit_need(g, n, i, 3, 3)) return false;
    const type x = *kit_input(g, n, RECURRENCE_X), r = *kit_input(g, n, RECURRENCE_R);
    dim hidden = dtype_is_float(r.dtype) ? r.dims[2] : r.dims[1];
    dim all[] = {x.dims[0], r.dims[0], x.dims[1], hidden};
    if (!dim_is_const(g->dims, hidden, NULL) || !dim_is_const(g->dims, r.dims[0], NULL))
        return op_error(g, n, NULL, "the hidden size must be a constant");
    op_set_type(g, n, 0, type_tensor(x.dtype, 4, all));
    for (uint32_t i = 1; i < 3; i++) op_set_type(g, n, i, type_tensor(x.dtype, 3, all + 1));
    return true;
}

/* ---- pieces ---- */

/* A loop, or just index 0 where the extent is one. */
static loop_expr begin(lower *l, loop_kind kind, const char *stem, loop_expr extent, int *opened) {
    int64_t one;
    if (loop_is_int(lower_kernel(l), extent, &one) && one == 1) return loop_int(lower_kernel(l), 0);
    ++*opened;
    return lower_begin(l, kind, stem, extent);
}

static loop_expr begin_lanes(lower *l, int64_t count) {
    return lower_begin(l, LOOP_INDEPENDENT, "j", loop_int(lower_kernel(l), count));
}

static loop_expr plus(lower *l, loop_expr a, int64_t offset) {
    return loop_add(lower_kernel(l), a, loop_int(lower_kernel(l), offset));
}

/* An element of the row at hand. */
static loop_expr get(lower *l, const cell *c, loop_buf b, loop_expr at) {
    return lower_value(l, b, (loop_expr[]){c->row, at});
}

static void put(lower *l, const cell *c, loop_buf b, loop_expr at, loop_expr value) {
    lower_assign(l, b, (loop_expr[]){c->row, at}, value);
}

/* Where the step of a row reads and writes. Backwards, a sequence shorter than the others runs from
 * its own end. */
static void place_row(lower *l, cell *c) {
    loop_kernel *k = lower_kernel(l);
    loop_expr end = c->steps;
    if (c->in[RECURRENCE_LENGTHS]) {
        end = kit_read(l, DTYPE_I64, c->in[RECURRENCE_LENGTHS], &c->batch);
        end = loop_max(k, loop_int(k, 0), loop_min(k, end, c->steps));
        c->valid = loop_lt(k, c->t, end);
    }
    c->place = c->backwards ? loop_sub(k, plus(l, end, -1), c->t) : c->t;
}

/* Opens a loop over the rows of the block, and gives the cell of one. */
static cell begin_rows(lower *l, const cell *c, int *opened) {
    loop_kernel *k = lower_kernel(l);
    cell at = *c;
    *opened = 0;
    at.row = begin(l, LOOP_INDEPENDENT, "b", loop_int(k, c->rows), opened);
    at.batch = loop_add(k, c->first, at.row);
    if (c->t) place_row(l, &at);
    if (c->places) at.place = lower_value(l, c->places, &at.row);
    return at;
}

static loop_expr activate(lower *l, const cell *c, int which, loop_expr x) {
    loop_kernel *k = lower_kernel(l);
    const recurrent_activation *a = &c->s.activations[c->direction * c->s.functions + which];
    if (c->s.clip > 0)
        x = loop_max(k, loop_min(k, x, loop_const(k, c->sum, c->s.clip)),
                     loop_const(k, c->sum, -c->s.clip));
    const loop_binding bindings[] = {{"x", x},
                                     {"alpha", loop_const(k, c->sum, a->alpha)},
                                     {"beta", loop_const(k, c->sum, a->beta)}};
    return loop_formula(k, a->formula, c->sum, bindings, 3);
}

/* A parameter of [directions, ...] at [this direction, at]; 0 where it is left out. */
static loop_expr parameter(lower *l, const cell *c, int input, loop_expr at) {
    if (!c->in[input]) return 0;
    loop_expr index[] = {c->d, at};
    return kit_read(l, c->sum, c->in[input], index);
}

/* The product of the input with its weights, for gate element `at`. */
static loop_expr from_input(lower *l, const cell *c, loop_expr at) {
    loop_expr index[] = {c->place, c->batch, plus(l, at, c->direction * c->s.gates * c->hidden)};
    return kit_read(l, c->sum, c->in[RECURRENCE_X], index);
}

static loop_expr add_if(lower *l, loop_expr a, loop_expr b) {
    return a && b ? loop_add(lower_kernel(l), a, b) : a ? a : b;
}

/* gates[first..first + count) = input + bias + state * R. */
static void product(lower *l, const cell *block, int64_t first, int64_t count, loop_buf state,
                    bool with_input) {
    loop_kernel *k = lower_kernel(l);
    int opened;
    const cell at = begin_rows(l, block, &opened), *c = &at;
    loop_expr j = plus(l, begin_lanes(l, count), first);
    loop_buf acc = kit_scalar(l, "acc", c->sum);
    loop_expr start = parameter(l, c, RECURRENCE_BIAS, j);
    if (with_input) start = add_if(l, from_input(l, c, j), start);
    lower_assign(l, acc, NULL, start ? start : loop_const(k, c->sum, 0));
    loop_expr i = lower_begin(l, LOOP_REDUCE, "k", loop_int(k, c->hidden));
    loop_expr index[] = {c->d, j, i};
    lower_accumulate(
        l, acc, LOOP_ADD,
        loop_mul(k, get(l, c, state, i), kit_read(l, c->sum, c->in[RECURRENCE_R], index)));
    lower_end(l);
    put(l, c, c->gates, j, lower_value(l, acc, NULL));
    lower_end(l);
    kit_end(l, opened);
}

/* A scale or zero point of the integer weights, for gate element `at`. */
static loop_expr quantisation(lower *l, const cell *c, int input, dtype as, loop_expr at) {
    loop_expr index[] = {c->d, at};
    return kit_read(l, as, c->in[input], index);
}

/* The state as integers of [0, 255] less its zero point; gives its scale. */
static loop_buf quantise_state(lower *l, const cell *c, loop_buf *scale) {
    loop_kernel *k = lower_kernel(l);
    dtype f = DTYPE_F32;
    loop_expr zero = loop_const(k, f, 0), one = loop_const(k, f, 1), top = loop_const(k, f, 255);
    loop_buf low = kit_scalar(l, "low", f), high = kit_scalar(l, "high", f);
    lower_assign(l, low, NULL, zero);
    lower_assign(l, high, NULL, zero);
    loop_expr i = lower_begin(l, LOOP_REDUCE, "k", loop_int(k, c->hidden));
    lower_accumulate(l, low, LOOP_MIN, get(l, c, c->h, i));
    lower_end(l);
    i = lower_begin(l, LOOP_REDUCE, "k", loop_int(k, c->hidden));
    lower_accumulate(l, high, LOOP_MAX, get(l, c, c->h, i));
    lower_end(l);
    *scale = kit_scalar(l, "scale", f);
    loop_expr range = loop_sub(k, lower_value(l, high, NULL), lower_value(l, low, NULL));
    loop_expr flat = kit_op2(l, LOOP_EQ, range, zero);
    lower_assign(l, *scale, NULL, loop_select(k, flat, one, kit_op2(l, LOOP_DIV, range, top)));
    loop_buf point = kit_scalar(l, "zero", f);
    loop_expr at_zero =
        kit_op2(l, LOOP_DIV, lower_value(l, low, NULL), lower_value(l, *scale, NULL));
    at_zero = loop_max(k, zero, loop_min(k, top, loop_sub(k, zero, at_zero)));
    lower_assign(l, point, NULL, kit_op1(l, LOOP_ROUND, at_zero));
    loop_buf q = lower_local(l, "q", DTYPE_I32, LOOP_SPACE_STACK, 1, &c->hidden);
    loop_expr j = begin_lanes(l, c->hidden);
    loop_expr e = kit_op1(l, LOOP_ROUND,
                          kit_op2(l, LOOP_DIV, get(l, c, c->h, j), lower_value(l, *scale, NULL)));
    loop_expr p = lower_value(l, point, NULL);
    e = loop_max(k, zero, loop_min(k, top, loop_add(k, e, p)));
    lower_assign(l, q, &j, loop_cast(k, DTYPE_I32, loop_sub(k, e, p)));
    lower_end(l);
    return q;
}

/* As `product`, with integer weights [directions, hidden, gates * hidden]. */
static void integer_product(lower *l, const cell *block) {
    loop_kernel *k = lower_kernel(l);
    int opened;
    const cell at = begin_rows(l, block, &opened), *c = &at;
    loop_buf scale, q = quantise_state(l, c, &scale);
    loop_expr j = begin_lanes(l, c->s.gates * c->hidden);
    loop_buf acc = kit_scalar(l, "acc", DTYPE_I32);
    lower_assign(l, acc, NULL, loop_const_int(k, DTYPE_I32, 0));
    loop_expr i = lower_begin(l, LOOP_REDUCE, "k", loop_int(k, c->hidden));
    loop_expr index[] = {c->d, i, j};
    loop_expr w = loop_sub(k, kit_read(l, DTYPE_I32, c->in[RECURRENCE_R], index),
                           quantisation(l, c, RECURRENCE_ZERO, DTYPE_I32, j));
    lower_accumulate(l, acc, LOOP_ADD, loop_mul(k, lower_value(l, q, &i), w));
    lower_end(l);
    loop_expr factor =
        loop_mul(k, lower_value(l, scale, NULL), quantisation(l, c, RECURRENCE_SCALE, c->sum, j));
    loop_expr e = loop_mul(k, loop_cast(k, c->sum, lower_value(l, acc, NULL)), factor);
    e = add_if(l, loop_add(k, e, from_input(l, c, j)), parameter(l, c, RECURRENCE_BIAS, j));
    put(l, c, c->gates, j, e);
    lower_end(l);
    kit_end(l, opened);
}

/* Stores a new state, and writes it to Y: where the sequence has ended the state stays and Y is
 * zero. */
static void store_state(lower *l, const cell *c, loop_expr j, loop_buf h, loop_buf new_c) {
    loop_kernel *k = lower_kernel(l);
    loop_expr value = lower_value(l, h, NULL), result = value;
    if (c->valid) result = loop_select(k, c->valid, value, loop_const(k, c->sum, 0));
    if (c->y) {
        loop_expr index[] = {c->place, c->d, c->batch, j};
        lower_write(l, c->y, index, result);
    }
    if (c->s.kind == RECURRENT_LSTM) {
        loop_expr kept = lower_value(l, new_c, NULL);
        if (c->valid) kept = loop_select(k, c->valid, kept, get(l, c, c->c, j));
        put(l, c, c->c, j, kept);
    }
    if (c->valid) value = loop_select(k, c->valid, value, get(l, c, c->h, j));
    put(l, c, c->h, j, value);
}

/* ---- cells ---- */

static void step_rnn(lower *l, const cell *block) {
    product(l, block, 0, block->hidden, block->h, true);
    int opened;
    const cell at = begin_rows(l, block, &opened), *c = &at;
    loop_expr j = begin_lanes(l, c->hidden);
    loop_buf h = kit_scalar(l, "hn", c->sum);
    lower_assign(l, h, NULL, activate(l, c, 0, get(l, c, c->gates, j)));
    store_state(l, c, j, h, 0);
    lower_end(l);
    kit_end(l, opened);
}

/* The state times the reset gate. */
static void reset_state(lower *l, const cell *block) {
    int opened;
    const cell at = begin_rows(l, block, &opened), *c = &at;
    loop_expr j = begin_lanes(l, c->hidden);
    loop_expr r = activate(l, c, 0, get(l, c, c->gates, plus(l, j, c->hidden)));
    put(l, c, c->reset, j, loop_mul(lower_kernel(l), r, get(l, c, c->h, j)));
    lower_end(l);
    kit_end(l, opened);
}

/* Gates z, r, h: h' = (1 - z) * g(h) + z * h. */
static void step_gru(lower *l, const cell *block) {
    loop_kernel *k = lower_kernel(l);
    int64_t n = block->hidden;
    product(l, block, 0, 2 * n, block->h, true);
    if (block->s.linear_before_reset) {
        product(l, block, 2 * n, n, block->h, false);
    } else {
        reset_state(l, block);
        product(l, block, 2 * n, n, block->reset, true);
    }
    int opened;
    const cell at = begin_rows(l, block, &opened), *c = &at;
    loop_expr j = begin_lanes(l, n), candidate = get(l, c, c->gates, plus(l, j, 2 * n));
    if (c->s.linear_before_reset) {
        loop_expr r = activate(l, c, 0, get(l, c, c->gates, plus(l, j, n)));
        candidate = loop_add(k, from_input(l, c, plus(l, j, 2 * n)), loop_mul(k, r, candidate));
    }
    candidate = activate(l, c, 1, candidate);
    loop_expr z = activate(l, c, 0, get(l, c, c->gates, j));
    loop_buf h = kit_scalar(l, "hn", c->sum);
    loop_expr rest = loop_sub(k, loop_const(k, c->sum, 1), z);
    lower_assign(l, h, NULL,
                 loop_add(k, loop_mul(k, rest, candidate), loop_mul(k, z, get(l, c, c->h, j))));
    store_state(l, c, j, h, 0);
    lower_end(l);
    kit_end(l, opened);
}

/* Gate `which` (i, o, f, c) before its activation, with its peephole. */
static loop_expr lstm_gate(lower *l, const cell *c, int which, loop_expr j, loop_expr state) {
    loop_expr e = get(l, c, c->gates, plus(l, j, which * c->hidden));
    loop_expr p =
        which < 3 ? parameter(l, c, RECURRENCE_PEEPHOLES, plus(l, j, which * c->hidden)) : 0;
    return p ? loop_add(lower_kernel(l), e, loop_mul(lower_kernel(l), p, state)) : e;
}

/* c' = f * c + i * g(c), h' = o * h(c'). */
static void step_lstm(lower *l, const cell *block) {
    loop_kernel *k = lower_kernel(l);
    if (block->in[RECURRENCE_SCALE])
        integer_product(l, block);
    else
        product(l, block, 0, 4 * block->hidden, block->h, true);
    int opened;
    const cell at = begin_rows(l, block, &opened), *c = &at;
    loop_expr j = begin_lanes(l, c->hidden), old = get(l, c, c->c, j);
    loop_expr i = activate(l, c, 0, lstm_gate(l, c, 0, j, old));
    loop_expr f = c->s.input_forget ? loop_sub(k, loop_const(k, c->sum, 1), i)
                                    : activate(l, c, 0, lstm_gate(l, c, 2, j, old));
    loop_expr g = activate(l, c, 1, lstm_gate(l, c, 3, j, old));
    loop_buf new_c = kit_scalar(l, "cn", c->sum), h = kit_scalar(l, "hn", c->sum);
    lower_assign(l, new_c, NULL, loop_add(k, loop_mul(k, f, old), loop_mul(k, i, g)));
    loop_expr now = lower_value(l, new_c, NULL);
    loop_expr o = activate(l, c, 0, lstm_gate(l, c, 1, j, now));
    recurrent_settings unclipped = c->s;
    unclipped.clip = 0;
    cell last = *c;
    last.s = unclipped;
    lower_assign(l, h, NULL, loop_mul(k, o, activate(l, &last, 2, now)));
    store_state(l, c, j, h, new_c);
    lower_end(l);
    kit_end(l, opened);
}

/* ---- the whole ---- */

static void load_state(lower *l, const cell *block, int input, loop_buf to) {
    int opened;
    const cell at = begin_rows(l, block, &opened), *c = &at;
    loop_expr j = begin_lanes(l, c->hidden), index[] = {c->d, c->batch, j};
    put(l, c, to, j,
        c->in[input] ? kit_read(l, c->sum, c->in[input], index)
                     : loop_const(lower_kernel(l), c->sum, 0));
    lower_end(l);
    kit_end(l, opened);
}

static void write_state(lower *l, const cell *block, value_id v, loop_buf from) {
    if (!v) return;
    int opened;
    const cell at = begin_rows(l, block, &opened), *c = &at;
    loop_expr j = begin_lanes(l, c->hidden), index[] = {c->d, c->batch, j};
    lower_write(l, v, index, get(l, c, from, j));
    lower_end(l);
    kit_end(l, opened);
}

/* Indices that depend on the lengths, once a step: past its end a sequence stays where it is. */
static loop_buf place_rows(lower *l, const cell *block) {
    int opened;
    loop_buf places = lower_local(l, "place", DTYPE_I64, LOOP_SPACE_STACK, 1, &block->rows);
    const cell c = begin_rows(l, block, &opened);
    lower_assign(l, places, &c.row, loop_select(lower_kernel(l), c.valid, c.place, c.t));
    kit_end(l, opened);
    return places;
}

static loop_buf state_buffer(lower *l, const cell *c, const char *stem, int64_t elements) {
    return lower_local(l, stem, c->sum, LOOP_SPACE_STACK, 2, (int64_t[]){c->rows, elements});
}

/* Runs one direction of the block that begins at c->first. */
static void run_direction(lower *l, cell c) {
    static void (*const steps[])(lower *, const cell *) = {step_rnn, step_gru, step_lstm};
    loop_expr extent = lower_dim(l, c.in[RECURRENCE_X], 0);
    int in_time = 0;
    c.d = loop_int(lower_kernel(l), c.direction);
    c.backwards = c.s.reverse || c.direction == 1;
    c.h = state_buffer(l, &c, "h", c.hidden);
    c.gates = state_buffer(l, &c, "gates", c.s.gates * c.hidden);
    load_state(l, &c, RECURRENCE_H, c.h);
    if (c.s.kind == RECURRENT_LSTM) {
        c.c = state_buffer(l, &c, "c", c.hidden);
        load_state(l, &c, RECURRENCE_C, c.c);
    } else if (c.s.kind == RECURRENT_GRU && !c.s.linear_before_reset) {
        c.reset = state_buffer(l, &c, "rh", c.hidden);
    }
    cell step = c;
    step.t = begin(l, LOOP_SERIAL, "t", extent, &in_time);
    step.steps = extent;
    if (c.backwards && c.in[RECURRENCE_LENGTHS]) step.places = place_rows(l, &step);
    steps[c.s.kind](l, &step);
    kit_end(l, in_time);
    write_state(l, &c, c.y_h, c.h);
    if (c.s.kind == RECURRENT_LSTM) write_state(l, &c, c.y_c, c.c);
}

/* Runs block `which` of a batch of `full` whole blocks and one of `rest` entries. */
static void run_block(lower *l, cell c, loop_expr which, int64_t full, int64_t rest) {
    loop_kernel *k = lower_kernel(l);
    c.first = loop_mul(k, which, loop_int(k, c.rows));
    if (!rest) {
        run_direction(l, c);
        return;
    }
    lower_begin_if(l, loop_lt(k, which, loop_int(k, full)));
    run_direction(l, c);
    lower_else(l);
    c.first = loop_int(k, full * c.rows);
    c.rows = rest;
    run_direction(l, c);
    lower_end_if(l);
}

/* How many entries of the batch run side by side: as many as a register tile and the stack hold,
 * but two blocks at least where each is still large enough to share the weights. */
static int64_t rows_of(const cell *c, int64_t batch) {
    enum { STACK_BYTES = 128 << 10 };
    int64_t blocks = c->s.directions == 1 && batch >= MOST_ROWS ? 2 : 1;
    int64_t bytes = (c->s.gates + 3) * c->hidden * (int64_t)dtype_bytes(c->sum);
    int64_t most = STACK_BYTES / bytes < MOST_ROWS ? STACK_BYTES / bytes : MOST_ROWS;
    if (c->in[RECURRENCE_SCALE] || most < 1) return 1;
    while ((batch + blocks - 1) / blocks > most) blocks++;
    return (batch + blocks - 1) / blocks;
}

/* The blocks of the batch forwards, then those backwards. */
static void run_directions(lower *l, cell c) {
    loop_kernel *k = lower_kernel(l);
    loop_expr batch = lower_dim(l, c.in[RECURRENCE_X], 1), blocks = batch;
    int64_t entries, full = 0, rest = 0;
    int opened = 0;
    c.rows = 1;
    if (loop_is_int(k, batch, &entries) && entries > 1) {
        c.rows = rows_of(&c, entries);
        full = entries / c.rows;
        rest = entries % c.rows;
        blocks = loop_int(k, full + (rest > 0));
    }
    loop_expr all = loop_mul(k, blocks, loop_int(k, c.s.directions));
    loop_expr p = begin(l, LOOP_PARALLEL, "p", all, &opened);
    if (c.s.directions > 1) {
        lower_begin_if(l, loop_lt(k, p, blocks));
        run_block(l, c, p, full, rest);
        lower_else(l);
        c.direction = 1;
        p = loop_sub(k, p, blocks);
    }
    run_block(l, c, p, full, rest);
    if (c.s.directions > 1) lower_end_if(l);
    kit_end(l, opened);
}

static void nest_recurrence(lower *l, node_id n, recurrent_kind kind) {
    graph *g = lower_graph(l);
    cell c = {.n = n,
              .y = graph_output(g, n, 0),
              .y_h = graph_output(g, n, 1),
              .y_c = graph_output(g, n, 2)};
    bool ok = recurrent_read(g, n, kind, &c.s);
    assert(ok), (void)ok;
    for (uint32_t i = 0; i < RECURRENCE_INPUTS; i++) c.in[i] = graph_input(g, n, i);
    const type r = *lower_type(l, c.in[RECURRENCE_R]);
    c.hidden = dim_value(g->dims, r.dims[dtype_is_float(r.dtype) ? 2 : 1]);
    c.sum = kit_sum_type(lower_type(l, c.in[RECURRENCE_X])->dtype);
    run_directions(l, c);
    /* Those of the products: what is counted in the loops would be both sides of a choice. */
    dim steps = lower_type(l, c.in[RECURRENCE_X])->dims[0];
    dim batch = lower_type(l, c.in[RECURRENCE_X])->dims[1];
    dim step = kit_dim(g, 2 * c.s.directions * c.s.gates * c.hidden * c.hidden);
    lower_kernel(l)->work = dim_mul(g->dims, step, dim_mul(g->dims, steps, batch));
}

static void nest_rnn(lower *l, node_id n) {
    nest_recurrence(l, n, RECURRENT_RNN);
}

static void nest_gru(lower *l, node_id n) {
    nest_recurrence(l, n, RECURRENT_GRU);
}

static void nest_lstm(lower *l, node_id n) {
    nest_recurrence(l, n, RECURRENT_LSTM);
}

#define RECURRENCE(operator, loops)                                                                \
    {                                                                                              \
        .domain = OP_INTERNAL, .name = operator, .flags = OP_ANCHOR, .infer = infer_recurrence,    \
        .nest = loops                                                                              \
    }

const op_def ops_recurrence[] = {
    RECURRENCE("RnnRecurrence", nest_rnn),
    RECURRENCE("GruRecurrence", nest_gru),
    RECURRENCE("LstmRecurrence", nest_lstm),
    RECURRENCE("LstmRecurrenceInteger", nest_lstm),
};
const size_t ops_recurrence_count = sizeof ops_recurrence / sizeof *ops_recurrence;
