/* vp8_predict.h: macroblocks of a VP8 key frame as samples (RFC 6386, sections 12 and 14):
 * prediction from what lies above and to the left, and the inverse cosine transform of what the
 * file adds to it. Beyond the frame lie 127 above and 129 to the left. */
#ifndef ONNXCC_RT_IMAGE_DECODER_VP8_PREDICT_H
#define ONNXCC_RT_IMAGE_DECODER_VP8_PREDICT_H

#include "vp8_tokens.h"

/* What a block of up to 16 x 16 samples is predicted from. */
typedef struct {
    uint8_t corner, above[16], left[16];
} image_vp8_edges;

static image_vp8_edges image_vp8_look(const uint8_t *plane, int64_t stride, int64_t x, int64_t y,
                                      int size) {
    image_vp8_edges e;
    const uint8_t *at = plane + y * stride + x;
    for (int i = 0; i < size; i++) {
        e.above[i] = y ? at[i - stride] : 127;
        e.left[i] = x ? at[i * stride - 1] : 129;
    }
    e.corner = !y ? 127 : !x ? 129 : at[-stride - 1];
    return e;
}

static void image_vp8_fill(uint8_t *to, int64_t stride, int size, const image_vp8_edges *e,
                           int mode, int mean) {
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) {
            int v = mean;
            if (mode == VP8_VE) v = e->above[x];
            if (mode == VP8_HE) v = e->left[y];
            if (mode == VP8_TM) v = image_clamp(e->left[y] + e->above[x] - e->corner);
            to[y * stride + x] = (uint8_t)v;
        }
}

/* A whole macroblock of a plane (12.2). The mean is that of what lies in the frame. */
static void image_vp8_predict(uint8_t *plane, int64_t stride, int64_t x, int64_t y, int size,
                              int mode) {
    image_vp8_edges e = image_vp8_look(plane, stride, x, y, size);
    int sum = 0, count = size * ((x > 0) + (y > 0));
    for (int i = 0; i < size; i++) sum += (y ? e.above[i] : 0) + (x ? e.left[i] : 0);
    int mean = count ? (sum + count / 2) / count : 128;
    image_vp8_fill(plane + y * stride + x, stride, size, &e, mode, mean);
}

/* A luma block of 4 x 4 samples (12.3). `right` is what lies above and to the right. The modes
 * VE to HU are means of two or three neighbours on the line from the lower left over the corner to
 * the upper right, its ends doubled: a number of the table is twice the first one's place, and one
 * more for three. */
static void image_vp8_predict_block(uint8_t *plane, int64_t stride, int64_t x, int64_t y, int mode,
                                    const uint8_t *right) {
    static const uint8_t lines[8][16] = {
        {11, 13, 15, 17, 11, 13, 15, 17, 11, 13, 15, 17, 11, 13, 15, 17},
        {7, 7, 7, 7, 5, 5, 5, 5, 3, 3, 3, 3, 1, 1, 1, 1},
        {9, 11, 13, 15, 7, 9, 11, 13, 5, 7, 9, 11, 3, 5, 7, 9},
        {10, 12, 14, 16, 9, 11, 13, 15, 7, 10, 12, 14, 5, 9, 11, 13},
        {13, 15, 17, 19, 15, 17, 19, 21, 17, 19, 21, 23, 19, 21, 23, 25},
        {12, 14, 16, 18, 13, 15, 17, 19, 14, 16, 18, 21, 15, 17, 19, 23},
        {8, 9, 11, 13, 6, 7, 8, 9, 4, 5, 6, 7, 2, 3, 4, 5},
        {6, 5, 4, 3, 4, 3, 2, 1, 2, 1, 0, 0, 0, 0, 0, 0}};
    image_vp8_edges e = image_vp8_look(plane, stride, x, y, 4);
    uint8_t *to = plane + y * stride + x, line[15];
    if (mode < VP8_VE) {
        int sum = 4;
        for (int i = 0; i < 4; i++) sum += e.above[i] + e.left[i];
        image_vp8_fill(to, stride, 4, &e, mode, sum >> 3);
        return;
    }
    for (int i = 0; i < 4; i++) {
        line[4 - i] = e.left[i];
        line[6 + i] = e.above[i];
        line[10 + i] = right[i];
    }
    line[0] = line[1];
    line[5] = e.corner;
    line[14] = line[13];
    for (int i = 0; i < 16; i++) {
        int code = lines[mode - VP8_VE][i];
        const uint8_t *n = line + code / 2;
        int v = code % 2 ? (n[0] + 2 * n[1] + n[2] + 2) >> 2 : (n[0] + n[1] + 1) >> 1;
        to[i / 4 * stride + i % 4] = (uint8_t)v;
    }
}

/* ---- the inverse cosine transform (14.4) ---- */

static void image_vp8_cosine(const int *in, int step, int *out, int out_step) {
    int64_t p = in[step], q = in[3 * step];
    int a = in[0] + in[2 * step], b = in[0] - in[2 * step];
    int c = (int)((p * 35468 >> 16) - q - (q * 20091 >> 16));
    int d = (int)(p + (p * 20091 >> 16) + (q * 35468 >> 16));
    out[0] = a + d;
    out[out_step] = b + c;
    out[2 * out_step] = b - c;
    out[3 * out_step] = a - d;
}

static void image_vp8_add(const int16_t *coefficients, uint8_t *to, int64_t stride) {
    int in[16], half[16], row[4], any = 0;
    for (int i = 0; i < 16; i++) any |= in[i] = coefficients[i];
    if (!any) return;
    for (int i = 0; i < 4; i++) image_vp8_cosine(in + i, 4, half + i, 4);
    for (int y = 0; y < 4; y++) {
        image_vp8_cosine(half + 4 * y, 1, row, 1);
        for (int x = 0; x < 4; x++)
            to[y * stride + x] = (uint8_t)image_clamp(to[y * stride + x] + ((row[x] + 4) >> 3));
    }
}

/* ---- macroblocks ---- */

/* The four samples above the macroblock and to its right, for blocks of its last column: 127 above
 * the frame, and beside it the last sample again. */
static void image_vp8_look_right(const image_vp8 *p, int64_t column, int64_t row, uint8_t *right) {
    const uint8_t *at = p->planes[0] + (16 * row - 1) * p->strides[0] + 16 * column;
    for (int i = 0; i < 4; i++)
        right[i] = !row ? 127 : column == p->columns - 1 ? at[15] : at[16 + i];
}

static void image_vp8_make_luma(image_vp8 *p, int64_t column, int64_t row) {
    image_vp8_macro *m = &p->macro;
    int64_t stride = p->strides[0], x = 16 * column, y = 16 * row;
    uint8_t *plane = p->planes[0], right[4], near[4];
    if (m->mode != VP8_EACH) image_vp8_predict(plane, stride, x, y, 16, m->mode);
    image_vp8_look_right(p, column, row, right);
    for (int i = 0; i < 16; i++) {
        int64_t bx = x + i % 4 * 4, by = y + i / 4 * 4;
        uint8_t *at = plane + by * stride + bx;
        for (int k = 0; k < 4 && i % 4 < 3; k++) near[k] = by ? at[4 + k - stride] : 127;
        if (m->mode == VP8_EACH)
            image_vp8_predict_block(plane, stride, bx, by, m->modes[i], i % 4 < 3 ? near : right);
        image_vp8_add(m->coefficients[i], at, stride);
    }
}

static void image_vp8_make_macro(image_vp8 *p, int64_t column, int64_t row) {
    image_vp8_macro *m = &p->macro;
    image_vp8_make_luma(p, column, row);
    for (int c = 1; c < 3; c++) {
        int64_t stride = p->strides[c], x = 8 * column, y = 8 * row;
        image_vp8_predict(p->planes[c], stride, x, y, 8, m->chroma_mode);
        for (int i = 0; i < 4; i++)
            image_vp8_add(m->coefficients[12 + 4 * c + i],
                          p->planes[c] + (y + i / 2 * 4) * stride + x + i % 2 * 4, stride);
    }
}

#endif
