/* onnxcc_rt_det.c: determinants of square matrices, by elimination with the largest pivot of each
 * column, in double precision. */
#include "onnxcc_runtime.h"

int onnxcc_rt_det(const onnxcc_call *call);

enum { DET_F64 = 11 };

static double det_abs(double v) {
    return v < 0 ? -v : v;
}

static void det_exchange(double *a, double *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double kept = a[i];
        a[i] = b[i];
        b[i] = kept;
    }
}

/* Of the n x n matrix a, which is destroyed. A NaN is not skipped by the search of the pivot, as it
 * then stays in the product. */
static double det_eliminate(double *a, int64_t n) {
    double product = 1;
    for (int64_t c = 0; c < n; c++) {
        int64_t pivot = c;
        for (int64_t r = c + 1; r < n; r++)
            if (det_abs(a[r * n + c]) > det_abs(a[pivot * n + c])) pivot = r;
        if (pivot != c) {
            det_exchange(a + pivot * n, a + c * n, n);
            product = -product;
        }
        double top = a[c * n + c];
        product *= top;
        if (top == 0) return product;
        for (int64_t r = c + 1; r < n; r++) {
            double factor = a[r * n + c] / top;
            for (int64_t i = c + 1; i < n; i++) a[r * n + i] -= factor * a[c * n + i];
        }
    }
    return product;
}

/* Inputs: matrices [..., n, n]. Outputs: determinants [...]; scratch of n * n doubles. */
int onnxcc_rt_det(const onnxcc_call *call) {
    const onnxcc_tensor *x = &call->inputs[0], *y = &call->outputs[0];
    double *a = call->outputs[1].data;
    int64_t n = x->dims[x->rank - 1], count = 1;
    if (x->dims[x->rank - 2] != n) return ONNXCC_ERROR_BAD_SHAPE;
    for (int64_t i = 0; i + 2 < x->rank; i++) count *= x->dims[i];
    for (int64_t m = 0; m < count; m++) {
        int wide = x->element_type == DET_F64;
        for (int64_t i = 0; i < n * n; i++)
            a[i] = wide ? ((const double *)x->data)[m * n * n + i]
                        : (double)((const float *)x->data)[m * n * n + i];
        double d = det_eliminate(a, n);
        if (wide)
            ((double *)y->data)[m] = d;
        else
            ((float *)y->data)[m] = (float)d;
    }
    return ONNXCC_OK;
}
