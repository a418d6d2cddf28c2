/* compare.c: element by element comparison of two tensors of any number type. See compare.h. */
#include "tools/compare.h"

#include <math.h>
#include <string.h>

static const char *shape_text(const load_tensor_result *t, arena *a) {
    const char *text = dtype_name(t->dtype);
    for (int i = 0; i < t->rank; i++)
        text = arena_printf(a, "%s%s%lld", text, i ? ", " : "[", (long long)t->dims[i]);
    return t->rank ? arena_printf(a, "%s]", text) : text;
}

static bool same_shape(const load_tensor_result *x, const load_tensor_result *y) {
    return x->dtype == y->dtype && x->rank == y->rank &&
           (!x->rank || memcmp(x->dims, y->dims, (size_t)x->rank * sizeof *x->dims) == 0);
}

static bool close_enough(double x, double y, double rtol, double atol) {
    if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
    if (isinf(x) || isinf(y)) return x == y;
    return fabs(x - y) <= atol + rtol * fabs(x);
}

/* Relative tolerance that a float type's own precision asks for at least. */
static double precision_of(dtype t) {
    switch (t) {
    case DTYPE_BF16: return 0x1p-6;
    case DTYPE_F16: return 0x1p-9;
    case DTYPE_F8E4M3FN:
    case DTYPE_F8E4M3FNUZ: return 0x1p-3;
    case DTYPE_F8E5M2:
    case DTYPE_F8E5M2FNUZ: return 0x1p-2;
    default: return 0;
    }
}

/* What float32 leaves of elements near zero: a millionth of the tensor's largest element, and two
 * units in the last place of one. */
static double noise_floor(const value *x, size_t count) {
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        double v = fabs(value_float(x, NULL, i));
        if (isfinite(v) && v > largest) largest = v;
    }
    return largest * 1e-6 > 0x1p-22 ? largest * 1e-6 : 0x1p-22;
}

static const char *compare_floats(const load_tensor_result *e, const load_tensor_result *g,
                                  size_t count, double rtol, double atol, arena *a) {
    value x = {.type = {.dtype = e->dtype}, .constant = &e->data};
    value y = {.type = {.dtype = g->dtype}, .constant = &g->data};
    if (rtol < precision_of(e->dtype)) rtol = precision_of(e->dtype);
    if (atol < 0) atol = noise_floor(&x, count);
    size_t wrong = 0, worst = 0;
    double worst_by = -1;
    for (size_t i = 0; i < count; i++) {
        double p = value_float(&x, NULL, i), q = value_float(&y, NULL, i);
        if (close_enough(p, q, rtol, atol)) continue;
        double by = isfinite(p) && isfinite(q) ? fabs(p - q) : INFINITY;
        if (!wrong++ || by > worst_by) {
            worst = i;
            worst_by = by;
        }
    }
    if (!wrong) return NULL;
    return arena_printf(a, "%zu of %zu elements differ; the most at %zu: expected %.9g, got %.9g",
                        wrong, count, worst, value_float(&x, NULL, worst),
                        value_float(&y, NULL, worst));
}

static const char *compare_strings(const blob_string *e, const blob_string *g, size_t count,
                                   arena *a) {
    for (size_t i = 0; i < count; i++)
        if (e[i].length != g[i].length || memcmp(e[i].data, g[i].data, e[i].length) != 0)
            return arena_printf(a, "string %zu: expected \"%.*s\", got \"%.*s\"", i,
                                (int)e[i].length, e[i].data, (int)g[i].length, g[i].data);
    return NULL;
}

static const char *compare_bytes(const load_tensor_result *e, const load_tensor_result *g,
                                 size_t count, arena *a) {
    if (!count || memcmp(e->data.data, g->data.data, e->data.bytes) == 0) return NULL;
    value x = {.type = {.dtype = e->dtype}, .constant = &e->data};
    value y = {.type = {.dtype = g->dtype}, .constant = &g->data};
    size_t wrong = 0, first = 0;
    for (size_t i = count; i-- > 0;)
        if (value_int(&x, NULL, i) != value_int(&y, NULL, i)) {
            wrong++;
            first = i;
        }
    if (!wrong) return NULL;
    return arena_printf(a, "%zu of %zu elements differ; the first at %zu: expected %lld, got %lld",
                        wrong, count, first, (long long)value_int(&x, NULL, first),
                        (long long)value_int(&y, NULL, first));
}

const char *compare_tensors(const load_tensor_result *e, const load_tensor_result *g, double rtol,
                            double atol, arena *a) {
    if (!same_shape(e, g))
        return arena_printf(a, "expected %s, got %s", shape_text(e, a), shape_text(g, a));
    size_t count;
    if (!load_count_elements(e->rank, e->dims, &count)) return "the expected shape is out of range";
    if (e->dtype == DTYPE_STRING) return compare_strings(e->data.data, g->data.data, count, a);
    return dtype_is_float(e->dtype) ? compare_floats(e, g, count, rtol, atol, a)
                                    : compare_bytes(e, g, count, a);
}
