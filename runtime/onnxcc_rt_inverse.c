/* onnxcc_rt_inverse.c: inverses of square matrices, by elimination with the largest pivot of each
 * column, in double precision. */
#include "onnxcc_runtime.h"

int onnxcc_rt_inverse(const onnxcc_call *call);

enum { INVERSE_F64 = 11 };

static double inverse_abs(double v) {
    return v < 0 ? -v : v;
}

/* Rows of 2 n numbers: the matrix, and the identity, which becomes its inverse. A matrix that has
 * none gets infinities or NaN: the pivot is zero. */
static void inverse_eliminate(double *a, int64_t n) {
    int64_t width = 2 * n;
    for (int64_t c = 0; c < n; c++) {
        int64_t pivot = c;
        for (int64_t r = c + 1; r < n; r++)
            if (inverse_abs(a[r * width + c]) > inverse_abs(a[pivot * width + c])) pivot = r;
        double *top = a + c * width, *other = a + pivot * width;
        double divisor = other[c];
        for (int64_t i = 0; i < width; i++) {
            double kept = top[i];
            top[i] = other[i] / divisor;
            if (other != top) other[i] = kept;
        }
        for (int64_t r = 0; r < n; r++) {
            double factor = a[r * width + c];
            if (r == c || factor == 0) continue;
            for (int64_t i = 0; i < width; i++) a[r * width + i] -= factor * top[i];
        }
    }
}

/* Inputs: matrices [..., n, n]. Outputs: their inverses; scratch of 2 * n * n doubles. */
int onnxcc_rt_inverse(const onnxcc_call *call) {
    const onnxcc_tensor *x = &call->inputs[0], *y = &call->outputs[0];
    double *a = call->outputs[1].data;
    int64_t n = x->dims[x->rank - 1], count = 1;
    int wide = x->element_type == INVERSE_F64;
    if (x->dims[x->rank - 2] != n) return ONNXCC_ERROR_BAD_SHAPE;
    for (int64_t i = 0; i + 2 < x->rank; i++) count *= x->dims[i];
    for (int64_t m = 0; m < count; m++) {
        int64_t first = m * n * n;
        for (int64_t r = 0; r < n; r++)
            for (int64_t c = 0; c < n; c++) {
                int64_t i = first + r * n + c;
                a[r * 2 * n + c] =
                    wide ? ((const double *)x->data)[i] : (double)((const float *)x->data)[i];
                a[r * 2 * n + n + c] = r == c;
            }
        inverse_eliminate(a, n);
        for (int64_t r = 0; r < n; r++)
            for (int64_t c = 0; c < n; c++) {
                double v = a[r * 2 * n + n + c];
                if (wide)
                    ((double *)y->data)[first + r * n + c] = v;
                else
                    ((float *)y->data)[first + r * n + c] = (float)v;
            }
    }
    return ONNXCC_OK;
}
