/* test_interpret.c: the reference meaning of kernels, on kernels small enough to check by hand, and
 * the rounding of every float type against a search for the nearest value. */
#include "ir/loop.h"
#include "ir/loop_number.h"
#include "test/unit.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    arena *memory;
    dim_table *dims;
    diag d;
    loop_kernel *k;
} fixture;

static fixture begin(const char *text) {
    fixture f = {.memory = arena_create()};
    f.dims = dim_table_create(f.memory);
    diag_init(&f.d, f.memory, "kernel.ir");
    f.k = loop_parse(f.memory, f.dims, &f.d, text, strlen(text));
    for (size_t i = 0; i < f.d.items.count; i++)
        printf("%s\n", diag_text(&f.d, &f.d.items.data[i]));
    CHECK(f.k && loop_verify(f.k, &f.d, "test"));
    return f;
}

static int run(fixture *f, void *const *buffers, const int64_t *symbols) {
    return f->k ? loop_interpret(f->k, buffers, symbols, &f->d) : -2;
}

static void test_matmul(void) {
    fixture f = begin("kernel k {\n"
                      " output %y: f32[$M, 5]\n input %a: f32[$M, $K]\n input %b: f32[$K, 5]\n"
                      " tile %acc: f32[]\n"
                      " for i in $M parallel {\n  for j in 5 vector {\n"
                      "   %acc[] = 0.0\n"
                      "   for r in $K reduce {\n    %acc[] = %acc[] + %a[i, r] * %b[r, j]\n   }\n"
                      "   %y[i, j] = %acc[]\n  }\n }\n}\n");
    float a[3 * 4], b[4 * 5], y[3 * 5];
    for (int i = 0; i < 12; i++) a[i] = (float)(i % 5) - 1.5f;
    for (int i = 0; i < 20; i++) b[i] = (float)(i % 7) * 0.25f;
    void *buffers[] = {y, a, b, NULL};
    CHECK(run(&f, buffers, (int64_t[]){3, 4}) == 0);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 5; j++) {
            float sum = 0;
            for (int r = 0; r < 4; r++) sum += a[i * 4 + r] * b[r * 5 + j];
            CHECK(y[i * 5 + j] == sum);
        }
    arena_destroy(f.memory);
}

static void test_strides_lanes_branches(void) {
    fixture f = begin("kernel k {\n"
                      " output %y: i32[2, 4] strides [1, 2]\n"
                      " stack %t: i64[3]\n"
                      " for i in 2 serial {\n"
                      "  %t[1] = i + 10\n"
                      "  for l in 4 vector active 3 {\n"
                      "   if l < 2 {\n    %y[i, l] = cast_i32(%t[1])\n   } else {\n"
                      "    %y[i, l] = cast_i32(100 + l)\n   }\n  }\n }\n"
                      " check %y[0, 0] == i32(10), 3\n check %y[0, 0] == i32(11), 4\n"
                      " check %y[0, 0] == i32(12), 5\n}\n");
    int32_t y[8] = {0};
    void *buffers[] = {y, NULL};
    CHECK(run(&f, buffers, NULL) == 4);
    static const int32_t wanted[8] = {10, 11, 10, 11, 102, 102, 0, 0};
    CHECK(memcmp(y, wanted, sizeof y) == 0);
    arena_destroy(f.memory);
}

static void test_bounds(void) {
    fixture f = begin("kernel k {\n output %y: f32[$N]\n input %x: f32[$N]\n"
                      " for i in $N serial {\n  %y[i] = %x[i + 1]\n }\n}\n");
    float x[4] = {0}, y[4];
    void *buffers[] = {y, x};
    CHECK(run(&f, buffers, (int64_t[]){4}) == -1);
    CHECK(f.d.items.count == 1 &&
          strstr(diag_text(&f.d, &f.d.items.data[0]), "%x axis 0, index 4 of 4 (i + 1)"));
    CHECK(run(&f, buffers, (int64_t[]){0}) == 0);
    arena_destroy(f.memory);
}

static void test_integers(void) {
    fixture f =
        begin("kernel k {\n output %y: i64[12]\n input %x: i32[2]\n input %b: u8[2]\n"
              " input %f: f32[3]\n"
              " %y[0] = cast_i64(floordiv(%x[0], %x[1]))\n %y[1] = cast_i64(mod(%x[0], %x[1]))\n"
              " %y[2] = cast_i64(%x[0] / %x[1])\n %y[3] = cast_i64(rem(%x[0], %x[1]))\n"
              " %y[4] = cast_i64(%x[0] / (%x[0] - %x[0]))\n %y[5] = cast_i64(%x[0] >> i32(40))\n"
              " %y[6] = cast_i64(%b[0] + %b[1])\n %y[7] = cast_i64(cast_i8(%f[0]))\n"
              " %y[8] = cast_i64(cast_u8(%f[0]))\n %y[9] = cast_i64(%f[1])\n"
              " %y[10] = cast_i64(%b[0] >> u8(3))\n %y[11] = cast_i64(cast_bool(%f[2]))\n}\n");
    int64_t y[12];
    int32_t x[2] = {-7, 2};
    uint8_t b[2] = {200, 100};
    float floats[3] = {-300.7f, NAN, 0.25f};
    void *buffers[] = {y, x, b, floats};
    CHECK(run(&f, buffers, NULL) == 0);
    static const int64_t wanted[12] = {-4, 1, -3, -1, 0, -1, 44, -128, 0, 0, 25, 1};
    for (int i = 0; i < 12; i++)
        CHECK(y[i] == wanted[i] || (printf("y[%d] = %lld\n", i, (long long)y[i]), 0));
    arena_destroy(f.memory);
}

static const dtype narrow[] = {DTYPE_F16,    DTYPE_BF16,       DTYPE_F8E4M3FN, DTYPE_F8E4M3FNUZ,
                               DTYPE_F8E5M2, DTYPE_F8E5M2FNUZ, DTYPE_F4E2M1,   DTYPE_F8E8M0};

/* All finite values of a type, with their bits. */
static size_t all_values(dtype t, double *values, uint32_t *bits) {
    size_t n = 0;
    for (uint32_t b = 0; b < (uint32_t)1 << dtype_bits(t); b++) {
        double v = loop_decode(t, b).f;
        if (!isfinite(v)) continue;
        values[n] = v;
        bits[n++] = b;
    }
    return n;
}

static void test_narrow_bits(void) {
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++) {
        dtype t = narrow[i];
        for (uint32_t b = 0; b < (uint32_t)1 << dtype_bits(t); b++) {
            loop_number v = loop_decode(t, b);
            if (isnan(v.f))
                CHECK(isnan(loop_decode(t, loop_encode(t, v)).f));
            else
                CHECK(loop_encode(t, v) == b || (printf("%s %x\n", dtype_name(t), b), 0));
            CHECK(isnan(v.f) || loop_round_float(t, v.f) == v.f);
        }
    }
    CHECK(loop_decode(DTYPE_F16, 0x3c01).f == 1 + 0x1p-10);
    CHECK(loop_decode(DTYPE_F8E4M3FN, 0x7e).f == 448);
    CHECK(loop_decode(DTYPE_F8E4M3FNUZ, 0x7f).f == 240);
    CHECK(loop_decode(DTYPE_F8E5M2, 0x7b).f == 57344);
    CHECK(loop_decode(DTYPE_F8E5M2FNUZ, 0x7f).f == 57344);
    CHECK(loop_decode(DTYPE_F4E2M1, 7).f == 6);
    CHECK(loop_decode(DTYPE_F8E8M0, 0).f == 0x1p-127);
    CHECK(isnan(loop_decode(DTYPE_F8E8M0, 255).f));
}

static void test_narrow_rounding(void) {
    static double values[1 << 16];
    static uint32_t bits[1 << 16];
    for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++) {
        dtype t = narrow[i];
        size_t count = all_values(t, values, bits);
        if (t == DTYPE_F8E8M0) continue; /* has no even and odd neighbours to speak of */
        for (size_t j = 0; j < count; j++) {
            /* The next larger magnitude of the same sign. */
            double low = values[j], high = loop_decode(t, bits[j] + 1).f;
            if (!isfinite(high) || low < 0 || high <= low) continue;
            double middle = (low + high) / 2;
            double even = bits[j] & 1 ? high : low;
            CHECK(loop_round_float(t, middle) == even);
            CHECK(loop_round_float(t, -middle) == -even);
            CHECK(loop_round_float(t, nextafter(middle, 0)) == low);
            CHECK(loop_round_float(t, nextafter(middle, INFINITY)) == high);
        }
    }
    CHECK(isinf(loop_round_float(DTYPE_F16, 65520)));
    CHECK(loop_round_float(DTYPE_F16, 65519) == 65504);
    CHECK(isnan(loop_round_float(DTYPE_F8E4M3FN, 1000)));
    CHECK(loop_round_float(DTYPE_F4E2M1, 1000) == 6);
    CHECK(loop_round_float(DTYPE_F8E8M0, 3) == 4 && loop_round_float(DTYPE_F8E8M0, 2.9) == 2);
}

int main(void) {
    RUN(test_matmul);
    RUN(test_strides_lanes_branches);
    RUN(test_bounds);
    RUN(test_integers);
    RUN(test_narrow_bits);
    RUN(test_narrow_rounding);
    return unit_finish();
}
