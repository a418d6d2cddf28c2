/* winograd_axis.c: see winograd_axis.h. Rows of the transforms are polynomials: that of a point is
 * the product of (x - q) over the other finite points q, and infinity's that over all of them. For
 * points p and -p they are (x + p) Q and (x - p) Q, which share their terms. */
#include "ir/ops/winograd_axis.h"

#include <assert.h>
#include <math.h>

#define ROOT  1.41421356237309504880
#define UNDER 0.70710678118654752440

/* Points close to one keep errors small: those of F(4, 3) with 1 and 2 are over twice as large. */
const winograd_axis winograd_axes[] = {
    {.taps = 1, .stride = 1, .out = 1},
    {.taps = 3, .stride = 1, .out = 2, .finite = {0, 1, -1}},
    {.taps = 3, .stride = 1, .out = 4, .finite = {0, UNDER, -UNDER, ROOT, -ROOT}},
    {.taps = 5, .stride = 1, .out = 2, .finite = {0, UNDER, -UNDER, ROOT, -ROOT}},
    {.taps = 5, .stride = 1, .out = 4, .finite = {0, 0.5, -0.5, 1, -1, 2, -2}, .alone = true},
    {.taps = 3, .stride = 2, .out = 2, .finite = {0, 1}},
    {.taps = 3, .stride = 2, .out = 4, .finite = {0, 1, -1, 0.5}},
};
const size_t winograd_axes_count = sizeof winograd_axes / sizeof *winograd_axes;

const winograd_axis *winograd_find(int64_t taps, int64_t stride, int64_t out) {
    for (size_t i = 0; i < winograd_axes_count; i++) {
        const winograd_axis *a = &winograd_axes[i];
        if (a->taps == taps && a->stride == stride && a->out == out) return a;
    }
    return NULL;
}

/* Taps that the even data meet, or all, and those that the odd ones meet: one, which takes a
 * product a result. */
static int even_taps(const winograd_axis *a) {
    return (a->taps + a->stride - 1) / a->stride;
}

static int even_products(const winograd_axis *a) {
    return a->out + even_taps(a) - 1;
}

int winograd_data(const winograd_axis *a) {
    return (a->out - 1) * a->stride + a->taps;
}

int winograd_products(const winograd_axis *a) {
    assert(a->stride == 1 || a->taps - even_taps(a) == 1);
    return even_products(a) + (a->stride > 1 ? a->out : 0);
}

/* ---- polynomials ---- */

static int finite_count(const winograd_axis *a) {
    return even_products(a) - 1;
}

static bool is_pair(const winograd_axis *a, int i) {
    return i + 1 < finite_count(a) && a->finite[i] != 0 && a->finite[i + 1] == -a->finite[i];
}

/* The product of (x - q) over the finite points but `count` of them from `first` on, the
 * coefficient of x^i at i. */
static void multiply_others(const winograd_axis *a, int first, int count, double *polynomial) {
    int degree = 0;
    for (int i = 0; i < WINOGRAD_MOST_DATA; i++) polynomial[i] = i == 0;
    for (int i = 0; i < finite_count(a); i++) {
        if (i >= first && i < first + count) continue;
        degree++;
        for (int j = degree; j >= 0; j--)
            polynomial[j] = (j ? polynomial[j - 1] : 0) - a->finite[i] * polynomial[j];
    }
}

static bool is(double a, double b) {
    return fabs(a - b) < 1e-12;
}

static int count_terms(const double *polynomial) {
    int terms = 0;
    for (int i = 0; i < WINOGRAD_MOST_DATA; i++) terms += !is(polynomial[i], 0);
    return terms;
}

/* The sum of coefficient i times v[i]; one that is plus one, if there is any, saves a product. */
static loop_expr combine(loop_kernel *k, const double *coefficients, int count,
                         const loop_expr *v) {
    int first = -1;
    for (int i = 0; i < count; i++)
        if (!is(coefficients[i], 0) && (first < 0 || is(coefficients[i], 1))) first = i;
    assert(first >= 0);
    loop_expr factor = loop_const(k, DTYPE_F32, coefficients[first]);
    loop_expr sum = is(coefficients[first], 1) ? v[first] : loop_mul(k, factor, v[first]);
    for (int i = 0; i < count; i++) {
        if (i == first || is(coefficients[i], 0)) continue;
        if (is(coefficients[i], 1))
            sum = loop_add(k, sum, v[i]);
        else if (is(coefficients[i], -1))
            sum = loop_sub(k, sum, v[i]);
        else
            sum = loop_make(k, LOOP_FMA, loop_const(k, DTYPE_F32, coefficients[i]), v[i], sum);
    }
    return sum;
}

/* factor * a + b */
static loop_expr plus_times(loop_kernel *k, double factor, loop_expr a, loop_expr b) {
    if (is(factor, 1)) return loop_add(k, b, a);
    if (is(factor, -1)) return loop_sub(k, b, a);
    return loop_make(k, LOOP_FMA, loop_const(k, DTYPE_F32, factor), a, b);
}

/* ---- data ---- */

int winograd_input_cost(const winograd_axis *a) {
    double p[WINOGRAD_MOST_DATA];
    int cost = 0;
    if (even_products(a) == 1) return 0;
    for (int i = 0; i < finite_count(a); i++) {
        bool pair = is_pair(a, i);
        multiply_others(a, i, pair ? 2 : 1, p);
        cost += pair ? 2 * count_terms(p) : count_terms(p) - 1;
        i += pair;
    }
    multiply_others(a, 0, 0, p);
    return cost + count_terms(p) - 1;
}

static void transform_even_data(loop_kernel *k, const winograd_axis *a, const loop_expr *d,
                                loop_expr *t) {
    double p[WINOGRAD_MOST_DATA];
    int last = finite_count(a);
    for (int i = 0; i < last; i++) {
        if (!is_pair(a, i)) {
            multiply_others(a, i, 1, p);
            t[i] = combine(k, p, last, d);
            continue;
        }
        multiply_others(a, i, 2, p);
        loop_expr high = combine(k, p, last - 1, d + 1), low = combine(k, p, last - 1, d);
        t[i] = plus_times(k, a->finite[i], low, high);
        t[i + 1] = plus_times(k, -a->finite[i], low, high);
        i++;
    }
    multiply_others(a, 0, 0, p);
    t[last] = combine(k, p, last + 1, d);
}

void winograd_transform_input(loop_kernel *k, const winograd_axis *a, const loop_expr *data,
                              loop_expr *factors) {
    loop_expr even[WINOGRAD_MOST_DATA];
    int products = even_products(a);
    for (int i = 0; i < products; i++) even[i] = data[i * a->stride];
    if (products == 1)
        factors[0] = data[0];
    else
        transform_even_data(k, a, even, factors);
    for (int i = 0; i < winograd_products(a) - products; i++)
        factors[products + i] = data[2 * i + 1];
}

/* ---- products ---- */

int winograd_output_cost(const winograd_axis *a) {
    int cost = winograd_products(a) - even_products(a) + 1;
    for (int i = 0; i < finite_count(a); i++) {
        cost += a->out + (is_pair(a, i) ? 2 : 0) - (a->finite[i] == 0 ? a->out - 1 : 0);
        i += is_pair(a, i);
    }
    return even_products(a) == 1 ? 0 : cost;
}

/* Adds factor times a term to a sum, which may be 0: nothing yet. */
static void add_term(loop_kernel *k, loop_expr *sum, double factor, loop_expr term) {
    if (*sum)
        *sum = plus_times(k, factor, term, *sum);
    else
        *sum = is(factor, 1) ? term : loop_mul(k, loop_const(k, DTYPE_F32, factor), term);
}

void winograd_transform_output(loop_kernel *k, const winograd_axis *a, const loop_expr *products,
                               loop_expr *results) {
    int last = even_products(a) - 1;
    for (int i = 0; i < a->out; i++) results[i] = 0;
    for (int i = 0; i < last; i++) {
        bool pair = is_pair(a, i), zero = a->finite[i] == 0;
        loop_expr even = pair ? loop_add(k, products[i], products[i + 1]) : products[i];
        loop_expr odd = pair ? loop_sub(k, products[i], products[i + 1]) : products[i];
        for (int j = 0; j < (zero ? 1 : a->out); j++)
            add_term(k, &results[j], pow(a->finite[i], j), j % 2 ? odd : even);
        i += pair;
    }
    add_term(k, &results[a->out - 1], 1, products[last]);
    for (int i = last + 1; i < winograd_products(a); i++)
        add_term(k, &results[i - last - 1], 1, products[i]);
}

/* ---- weights ---- */

/* The polynomial of the taps at each point, over the product of its distances from the others. */
static void transform_even_taps(loop_kernel *k, const winograd_axis *a, const loop_expr *taps,
                                loop_expr *factors) {
    int last = finite_count(a), count = even_taps(a);
    for (int i = 0; i < last; i++) {
        double factor = 1;
        for (int j = 0; j < last; j++)
            if (j != i) factor /= a->finite[i] - a->finite[j];
        factors[i] = loop_mul(k, loop_const(k, DTYPE_F64, factor), taps[0]);
        for (int j = 1; j < count && a->finite[i] != 0; j++) {
            factor *= a->finite[i];
            loop_expr term = loop_mul(k, loop_const(k, DTYPE_F64, factor), taps[j]);
            factors[i] = loop_add(k, factors[i], term);
        }
    }
    factors[last] = taps[count - 1];
}

void winograd_transform_weights(loop_kernel *k, const winograd_axis *a, const loop_expr *taps,
                                loop_expr *factors) {
    loop_expr even[WINOGRAD_MOST_TAPS];
    for (int i = 0; i < even_taps(a); i++) even[i] = taps[i * a->stride];
    transform_even_taps(k, a, even, factors);
    for (int i = even_products(a); i < winograd_products(a); i++) factors[i] = taps[1];
}
