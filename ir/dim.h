/* dim.h: dimensions. A dimension is an integer expression over symbols ("N", "seq + 1"),
 * hash-consed and kept in a canonical form (a sum of products; quotients, remainders, minima and
 * maxima are atoms), so that two dimensions are equal exactly when their ids are. Every symbol has
 * bounds; every expression derives bounds from them. */
#ifndef ONNXCC_IR_DIM_H
#define ONNXCC_IR_DIM_H

#include "ir/arena.h"

#include <stdbool.h>
#include <stdint.h>

typedef uint32_t dim;        /* id of an expression; 0 is none */
typedef uint32_t dim_symbol; /* index of a symbol in its table */
typedef struct dim_table dim_table;

#define DIM_NONE 0u
/* The largest value that a dimension or a bound may have: products of two still fit 64 bits. */
#define DIM_MAX ((int64_t)1 << 40)

typedef enum {
    DIM_CONST,
    DIM_SYMBOL,
    DIM_ADD,
    DIM_MUL,
    DIM_FLOORDIV,
    DIM_MOD,
    DIM_MIN,
    DIM_MAXIMUM
} dim_op;

dim_table *dim_table_create(arena *a);

dim dim_const(dim_table *t, int64_t value);
/* The symbol `name`, made with these bounds if it is new (an existing symbol keeps its bounds). */
dim dim_make_symbol(dim_table *t, const char *name, int64_t low, int64_t high);
/* A new symbol whose name begins with `stem` and is not taken; one that was reserved for `stem` has
 * the bounds that both ask for. */
dim dim_fresh_symbol(dim_table *t, const char *stem, int64_t low, int64_t high);
dim dim_add(dim_table *t, dim a, dim b);
dim dim_sub(dim_table *t, dim a, dim b);
dim dim_mul(dim_table *t, dim a, dim b);
dim dim_floordiv(dim_table *t, dim a, dim b); /* rounds towards minus infinity; b is never zero */
dim dim_ceildiv(dim_table *t, dim a, dim b);
dim dim_mod(dim_table *t, dim a, dim b); /* has the sign of b */
dim dim_min(dim_table *t, dim a, dim b);
dim dim_max(dim_table *t, dim a, dim b);

/* Structure, for those who translate expressions: ADD and MUL are binary here. */
dim_op dim_op_of(const dim_table *t, dim d);
dim dim_operand(const dim_table *t, dim d, int which); /* 0 or 1 */
dim_symbol dim_symbol_of(const dim_table *t, dim d);
bool dim_is_const(const dim_table *t, dim d, int64_t *value); /* value may be NULL */
/* The constant value; asserts that it is one. */
int64_t dim_value(const dim_table *t, dim d);
bool dim_equals_const(const dim_table *t, dim d, int64_t value);

/* Inclusive bounds of an expression; high is DIM_MAX where unbounded (low -DIM_MAX). */
int64_t dim_low(const dim_table *t, dim d);
int64_t dim_high(const dim_table *t, dim d);
bool dim_is_bounded(const dim_table *t, dim d);

size_t dim_symbol_count(const dim_table *t);
const char *dim_symbol_name(const dim_table *t, dim_symbol s);
dim dim_from_symbol(const dim_table *t, dim_symbol s);
bool dim_find_symbol(const dim_table *t, const char *name, dim_symbol *out);
/* Narrows the bounds of a symbol. A symbol whose bounds meet is replaced by a constant in
 * dim_substitute. */
void dim_set_bounds(dim_table *t, dim_symbol s, int64_t low, int64_t high);
void dim_symbol_bounds(const dim_table *t, dim_symbol s, int64_t *low, int64_t *high);
/* Symbols whose values the data tell (graph.h: value.binds) may have a limit beside their bounds:
 * an expression over symbols made before, which they never exceed. DIM_NONE: none. */
void dim_set_limit(dim_table *t, dim_symbol s, dim limit);
dim dim_symbol_limit(const dim_table *t, dim_symbol s);
/* An expression over the symbols marked in `kept` alone that is never less than d: the others are
 * replaced by their limits and bounds. */
dim dim_upper(dim_table *t, dim d, const bool *kept);
/* Whether dim_upper of d is a bound: every symbol in it is kept, or has a bound or a limit that is
 * one. If not, *open (may be NULL) is a symbol that has none. */
bool dim_has_upper(const dim_table *t, dim d, const bool *kept, dim_symbol *open);
/* Sets aside a name for a symbol that somebody may make later, and its bounds. */
void dim_reserve_symbol(dim_table *t, const char *name, int64_t low, int64_t high);
/* Whether the name is set aside and nobody has taken it yet. */
bool dim_symbol_is_reserved(const dim_table *t, dim_symbol s);
/* Replaces symbols by expressions: `with[s]` is DIM_NONE to keep symbol s. */
dim dim_substitute(dim_table *t, dim d, const dim *with);
/* Marks in `used[s]` every symbol that d holds. */
void dim_mark_symbols(const dim_table *t, dim d, bool *used);

/* The value with symbol s bound to values[s]. Overflow saturates at DIM_MAX. Division by zero gives
 * 0. */
int64_t dim_eval(const dim_table *t, dim d, const int64_t *values);

/* "N", "2*seq + 1", "(H - 1) // 2 + 1", "min(a, b)": the text form, which dim_parse reads back. It
 * is also the text of ONNX dim_param formulas ("floor(x/2 - 1/2) + 1" is understood). */
const char *dim_text(const dim_table *t, arena *a, dim d);
/* As an expression in C: symbols are written as `prefix` and their name; division and modulo are
 * those of int64_t, right for non-negative operands; min and max by ?:. */
const char *dim_c_text(const dim_table *t, arena *a, dim d, const char *prefix);
/* Parses the text form from *text on and moves *text behind it. New symbols get bounds [0,
 * DIM_MAX]. DIM_NONE on an error. */
dim dim_parse(dim_table *t, const char **text);

#endif
