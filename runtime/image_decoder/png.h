/* png.h: PNG of every depth and kind, interlaced too. */
#ifndef ONNXCC_RT_IMAGE_DECODER_PNG_H
#define ONNXCC_RT_IMAGE_DECODER_PNG_H

#include "inflate.h"

typedef struct {
    int64_t palette, colours;
    int bits, kind, samples;
} image_png_head;

static int image_distance(int a, int b) {
    return a < b ? b - a : a - b;
}

/* Undoes the filter of one row; `above` is NULL in the first one. */
static int image_unfilter(uint8_t *row, const uint8_t *above, int64_t bytes, int step, int filter) {
    for (int64_t i = 0; i < bytes; i++) {
        int a = i < step ? 0 : row[i - step], b = above ? above[i] : 0, guess = 0;
        int c = above && i >= step ? above[i - step] : 0;
        if (filter == 1) guess = a;
        if (filter == 2) guess = b;
        if (filter == 3) guess = (a + b) / 2;
        if (filter == 4) {
            int p = a + b - c, pa = image_distance(p, a), pb = image_distance(p, b);
            int pc = image_distance(p, c);
            guess = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
        }
        row[i] = (uint8_t)(row[i] + guess);
    }
    return filter >= 0 && filter <= 4;
}

static int image_png_pixel(const image_job *j, const image_png_head *h, const uint8_t *row,
                           int64_t i, int64_t x, int64_t y) {
    int wide = h->bits == 16 ? 2 : 1;
    const uint8_t *p = row + i * h->samples * wide;
    int v = h->bits < 8 ? image_packed(row, i, h->bits) : p[0];
    if (h->kind == 3) {
        if (v >= h->colours) return 0;
        int64_t at = h->palette + 3 * v;
        image_put(j, x, y, image_byte(j, at), image_byte(j, at + 1), image_byte(j, at + 2));
    } else if (h->kind & 2) {
        image_put(j, x, y, p[0], p[wide], p[2 * wide]);
    } else {
        if (h->bits < 8) v = v * 255 / ((1 << h->bits) - 1);
        image_put(j, x, y, v, v, v);
    }
    return 1;
}

/* Every pixel, or with interlacing every dx-th of every dy-th row: one of the seven passes. */
static int image_png_pass(const image_job *j, const image_png_head *h, uint8_t **rows,
                          const uint8_t *end, const int *pass) {
    int64_t x0 = pass[0], y0 = pass[1], dx = pass[2], dy = pass[3];
    int64_t width = (j->width - x0 + dx - 1) / dx, height = (j->height - y0 + dy - 1) / dy;
    int64_t bytes = (width * h->samples * h->bits + 7) / 8;
    int step = h->samples * h->bits / 8;
    const uint8_t *above = NULL;
    if (j->width <= x0 || j->height <= y0) return 1;
    for (int64_t y = 0; y < height; y++) {
        uint8_t *row = *rows + 1;
        if (end - *rows < bytes + 1) return 0;
        if (!image_unfilter(row, above, bytes, step ? step : 1, **rows)) return 0;
        for (int64_t x = 0; x < width; x++)
            if (!image_png_pixel(j, h, row, x, x0 + x * dx, y0 + y * dy)) return 0;
        above = row;
        *rows += bytes + 1;
    }
    return 1;
}

static int image_png(image_job *j) {
    static const int samples[] = {1, 0, 3, 1, 2, 0, 4};
    static const int passes[][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                    {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}, {0, 0, 1, 1}};
    image_png_head h = {0, 0, image_byte(j, 24), image_byte(j, 25), 0};
    int interlaced = image_byte(j, 28), bad = h.kind > 6 || !samples[h.kind];
    int status = image_fits(j, image_big(j, 16, 4), image_big(j, 20, 4));
    bad |= h.bits != 1 && h.bits != 2 && h.bits != 4 && h.bits != 8 && h.bits != 16;
    bad |= (h.kind == 3 && h.bits == 16) || (h.kind != 0 && h.kind != 3 && h.bits < 8);
    if (bad || interlaced > 1) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    if (status) return status;
    h.samples = samples[h.kind];
    for (j->at = 8; image_big(j, j->at + 4, 4) != 0x49444154;) { /* IDAT */
        int64_t length = image_big(j, j->at, 4);
        if (image_big(j, j->at + 4, 4) == 0x504C5445) { /* PLTE */
            h.palette = j->at + 8;
            h.colours = length / 3;
        }
        j->at += length + 12;
        if (j->at + 12 > j->size) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    }
    image_inflater f = {j, image_big(j, j->at, 4), 0, 0, 0, j->scratch, 0, j->scratch_bytes, 1};
    j->at += 8;
    if (!image_inflate(&f)) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    uint8_t *rows = j->scratch;
    for (int i = interlaced ? 0 : 7; i < (interlaced ? 7 : 8); i++)
        if (!image_png_pass(j, &h, &rows, j->scratch + f.made, passes[i]))
            return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    return ONNXCC_OK;
}

#endif
