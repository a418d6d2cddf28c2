/* onnxcc_rt_dft.c: the discrete Fourier transform of any length along one axis, in double
 * precision. Lengths with small prime factors go by Stockham's mixed-radix algorithm; others become
 * a convolution of a length that is a power of two (Bluestein). An inverse transform is a forward
 * one with real and imaginary parts exchanged on both sides. */
#include "onnxcc_runtime.h"

int onnxcc_rt_dft(const onnxcc_call *call);

enum { DFT_F32 = 1, DFT_I32 = 6, DFT_F64 = 11 };
enum { DFT_LARGEST_PRIME = 61 }; /* ir/ops/signal.c computes the scratch with it */

typedef struct {
    double re, im;
} dft_complex;

typedef struct {
    int64_t length, padded; /* padded: of the convolution; 0 if there is none */
    dft_complex *x, *y;     /* of `length`, or of `padded` */
    dft_complex *roots;     /* exp(-2 pi i k / n), n the length of x */
    dft_complex *chirp;     /* exp(-pi i k^2 / length) */
    dft_complex *kernel;    /* transform of the chirp's conjugate */
} dft_plan;

static dft_complex dft_product(dft_complex a, dft_complex b) {
    dft_complex c = {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    return c;
}

/* exp(-2 pi i k / n) for 0 <= k < n: the octant is exact, and the angle within it below pi / 4,
 * where Taylor's series end soon. */
static dft_complex dft_root(int64_t k, int64_t n) {
    int64_t octant = 8 * k / n, rest = 8 * k - octant * n;
    double a = 0.78539816339744830962 * ((double)(octant & 1 ? n - rest : rest) / (double)n);
    double c = 1, s = a, term = 1;
    for (int i = 1; i <= 20; i++) {
        term *= a / i;
        if (i > 1 && i % 2) s += i % 4 == 1 ? term : -term;
        if (i % 2 == 0) c += i % 4 == 0 ? term : -term;
    }
    int turned = ((octant + 1) / 2) % 2; /* octants next to the imaginary axis */
    double re = turned ? s : c, im = turned ? c : s;
    dft_complex w = {octant >= 2 && octant <= 5 ? -re : re, octant >= 4 ? im : -im};
    return w;
}

/* ---- lengths with small prime factors ---- */

static int64_t dft_factor(int64_t n) {
    if (n % 4 == 0) return 4;
    for (int64_t p = 2; p <= DFT_LARGEST_PRIME; p++)
        if (n % p == 0) return p;
    return n;
}

/* One butterfly of radix p, from x[0], x[step], ... to y[0], y[stride], ... */
static void dft_butterfly(const dft_plan *f, int64_t n, int64_t p, const dft_complex *x,
                          int64_t step, dft_complex *y, int64_t stride, int64_t turn) {
    if (p == 2) {
        dft_complex d = {x[0].re - x[step].re, x[0].im - x[step].im};
        y[0].re = x[0].re + x[step].re;
        y[0].im = x[0].im + x[step].im;
        y[stride] = dft_product(d, f->roots[turn]);
        return;
    }
    if (p == 4) {
        dft_complex a = x[0], b = x[step], c = x[2 * step], d = x[3 * step];
        dft_complex ac = {a.re + c.re, a.im + c.im}, a_c = {a.re - c.re, a.im - c.im};
        dft_complex bd = {b.re + d.re, b.im + d.im}, b_d = {b.im - d.im, d.re - b.re};
        dft_complex y1 = {a_c.re + b_d.re, a_c.im + b_d.im}, y2 = {ac.re - bd.re, ac.im - bd.im};
        dft_complex y3 = {a_c.re - b_d.re, a_c.im - b_d.im};
        y[0].re = ac.re + bd.re;
        y[0].im = ac.im + bd.im;
        y[stride] = dft_product(y1, f->roots[turn]);
        y[2 * stride] = dft_product(y2, f->roots[2 * turn]);
        y[3 * stride] = dft_product(y3, f->roots[3 * turn]);
        return;
    }
    for (int64_t k = 0; k < p; k++) {
        dft_complex sum = x[0];
        for (int64_t j = 1; j < p; j++) {
            dft_complex part = dft_product(x[j * step], f->roots[j * k % p * (n / p)]);
            sum.re += part.re;
            sum.im += part.im;
        }
        y[k * stride] = dft_product(sum, f->roots[k * turn]);
    }
}

/* Transforms x of n elements; the result is in the buffer that it returns, x or y. */
static dft_complex *dft_mixed(const dft_plan *f, int64_t n) {
    dft_complex *from = f->x, *to = f->y;
    for (int64_t left = n, stride = 1; left > 1;) {
        int64_t p = dft_factor(left), m = left / p;
        for (int64_t q = 0; q < m; q++)
            for (int64_t r = 0; r < stride; r++)
                dft_butterfly(f, n, p, from + r + stride * q, stride * m, to + r + stride * p * q,
                              stride, q * stride);
        dft_complex *swap = from;
        from = to;
        to = swap;
        left = m;
        stride *= p;
    }
    return from;
}

/* ---- other lengths ---- */

static void dft_set_chirp(dft_plan *f) {
    int64_t n = f->length, m = f->padded;
    for (int64_t k = 0, square = 0; k < n; k++) { /* k^2 modulo 2n */
        f->chirp[k] = dft_root(square, 2 * n);
        square = (square + 2 * k + 1) % (2 * n);
    }
    for (int64_t k = 0; k < m; k++) f->x[k].re = f->x[k].im = 0;
    for (int64_t k = 0; k < n; k++) {
        dft_complex c = {f->chirp[k].re, -f->chirp[k].im};
        f->x[k] = c;
        if (k) f->x[m - k] = c;
    }
    const dft_complex *made = dft_mixed(f, m);
    for (int64_t k = 0; k < m; k++) f->kernel[k] = made[k];
}

static dft_complex *dft_convolved(const dft_plan *f) {
    int64_t n = f->length, m = f->padded;
    for (int64_t k = 0; k < m; k++) {
        dft_complex zero = {0, 0};
        f->x[k] = k < n ? dft_product(f->x[k], f->chirp[k]) : zero;
    }
    dft_complex *made = dft_mixed(f, m);
    dft_plan back = *f;
    back.x = made;
    back.y = made == f->x ? f->y : f->x;
    for (int64_t k = 0; k < m; k++) {
        dft_complex p = dft_product(made[k], f->kernel[k]);
        made[k].re = p.im; /* exchanged: the way back is an inverse transform */
        made[k].im = p.re;
    }
    made = dft_mixed(&back, m);
    for (int64_t k = 0; k < n; k++) {
        dft_complex p = {made[k].im / (double)m, made[k].re / (double)m};
        made[k] = dft_product(p, f->chirp[k]);
    }
    return made;
}

/* Lays a plan for length n out in `bytes` of memory; 0 if they are too few. */
static int dft_make_plan(dft_plan *f, int64_t n, void *memory, int64_t bytes) {
    int64_t rest = n, size = n;
    dft_complex *at = memory;
    f->length = n;
    f->padded = 0;
    while (rest > 1 && dft_factor(rest) <= DFT_LARGEST_PRIME) rest /= dft_factor(rest);
    if (rest > 1)
        for (f->padded = 1; f->padded < 2 * n - 1;) f->padded *= 2;
    if (f->padded) size = f->padded;
    if (bytes / (int64_t)sizeof *at < (f->padded ? n + 4 * size : 3 * size)) return 0;
    f->x = at;
    f->y = at + size;
    f->roots = at + 2 * size;
    f->kernel = at + 3 * size;
    f->chirp = at + 4 * size;
    for (int64_t k = 0; k < size; k++) f->roots[k] = dft_root(k, size);
    if (f->padded) dft_set_chirp(f);
    return 1;
}

/* ---- lines of the tensors ---- */

static double dft_get(const onnxcc_tensor *t, int64_t i) {
    return t->element_type == DFT_F64 ? ((const double *)t->data)[i]
                                      : (double)((const float *)t->data)[i];
}

static void dft_set(const onnxcc_tensor *t, int64_t i, double v) {
    if (t->element_type == DFT_F64)
        ((double *)t->data)[i] = v;
    else
        ((float *)t->data)[i] = (float)v;
}

/* The number of a scalar input. */
static int64_t dft_number(const onnxcc_tensor *t, int64_t otherwise) {
    if (!t->data) return otherwise;
    return t->element_type == DFT_I32 ? ((const int32_t *)t->data)[0]
                                      : ((const int64_t *)t->data)[0];
}

typedef struct {
    const onnxcc_tensor *x, *y;
    int64_t n, in, out, inner; /* sizes along the axis; elements between it and the last axis */
    int inverse, onesided;
} dft_job;

/* Element t of a line whose first is element `first` of x. Of the two parts, an inverse transform
 * has them exchanged. */
static dft_complex dft_load(const dft_job *j, int64_t first, int64_t t) {
    int64_t parts = j->x->dims[j->x->rank - 1], n = j->n;
    int mirrored = j->inverse && j->onesided && t > n / 2;
    int64_t from = mirrored ? n - t : t, at = (first + from * j->inner) * parts;
    dft_complex v = {0, 0};
    if (from >= j->in) return v;
    v.re = dft_get(j->x, at);
    v.im = parts > 1 ? dft_get(j->x, at + 1) : 0;
    if (mirrored) v.im = -v.im;
    if (j->inverse && j->onesided && (t == 0 || 2 * t == n)) v.im = 0;
    dft_complex exchanged = {v.im, v.re};
    return j->inverse ? exchanged : v;
}

static void dft_line(const dft_job *j, const dft_plan *f, int64_t outer, int64_t inner) {
    int64_t first = outer * j->in * j->inner + inner, parts = j->y->dims[j->y->rank - 1];
    double scale = j->inverse ? 1 / (double)j->n : 1;
    for (int64_t t = 0; t < j->n; t++) f->x[t] = dft_load(j, first, t);
    const dft_complex *made = f->padded ? dft_convolved(f) : dft_mixed(f, j->n);
    for (int64_t t = 0; t < j->out; t++) {
        int64_t at = ((outer * j->out + t) * j->inner + inner) * parts;
        dft_set(j->y, at, (j->inverse ? made[t].im : made[t].re) * scale);
        if (parts > 1) dft_set(j->y, at + 1, (j->inverse ? made[t].re : made[t].im) * scale);
    }
}

/* Inputs: the signal [..., n, ..., 1 or 2], the length, the axis. Attributes: inverse, onesided.
 * Outputs: the transform; scratch. */
int onnxcc_rt_dft(const onnxcc_call *call) {
    const onnxcc_tensor *scratch = &call->outputs[1];
    dft_job j = {&call->inputs[0], &call->outputs[0], 0, 0, 0, 1, 0, 0};
    int64_t axis = dft_number(&call->inputs[2], -2), outer = 1;
    dft_plan f;
    j.inverse = call->attributes[0] != 0;
    j.onesided = call->attributes[1] != 0;
    if (axis < 0) axis += j.x->rank;
    if (axis < 0 || axis >= j.x->rank - 1) return ONNXCC_ERROR_INDEX_OUT_OF_RANGE;
    for (int64_t i = 0; i < axis; i++) outer *= j.x->dims[i];
    for (int64_t i = axis + 1; i < j.x->rank - 1; i++) j.inner *= j.x->dims[i];
    j.in = j.x->dims[axis];
    j.out = j.y->dims[axis];
    j.n = dft_number(&call->inputs[1], j.inverse && j.onesided ? 2 * (j.in - 1) : j.in);
    if (j.n < 0 || j.out != (j.onesided && !j.inverse ? j.n / 2 + 1 : j.n))
        return ONNXCC_ERROR_BAD_SHAPE;
    if (!j.n || !outer || !j.inner) return ONNXCC_OK;
    if (!dft_make_plan(&f, j.n, scratch->data, scratch->dims[0])) return ONNXCC_ERROR_BAD_SHAPE;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < j.inner; i++) dft_line(&j, &f, o, i);
    return ONNXCC_OK;
}
