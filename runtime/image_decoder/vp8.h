/* vp8.h: a VP8 key frame as pixels (RFC 6386): all macroblocks, the filter, then chroma in the size
 * of luma and colours, both rounded as libwebp does. */
#ifndef ONNXCC_RT_IMAGE_DECODER_VP8_H
#define ONNXCC_RT_IMAGE_DECODER_VP8_H

#include "vp8_filter.h"
#include "vp8_predict.h"

/* A row of chroma in the width of the image: 9 parts of the nearest sample, 3 of each of the two
 * beside it and 1 of the one aslant; 3 parts and 1 where the image ends aside. Rounded in two
 * steps.
 */
static void image_vp8_line(const image_vp8 *p, int plane, int64_t y, uint8_t *to) {
    int64_t width = p->j->width, last = (width - 1) / 2, rows = (p->j->height + 1) / 2;
    int64_t row = y / 2, beyond = row + (y % 2 ? 1 : -1);
    if (beyond < 0 || beyond >= rows) beyond = row;
    const uint8_t *near = p->planes[plane] + row * p->strides[plane];
    const uint8_t *far = p->planes[plane] + beyond * p->strides[plane];
    to[0] = (uint8_t)((3 * near[0] + far[0] + 2) >> 2);
    if (width % 2 == 0) to[width - 1] = (uint8_t)((3 * near[last] + far[last] + 2) >> 2);
    for (int64_t i = 0; i < last; i++) { /* the two pixels between two samples */
        int a = near[i], b = near[i + 1], c = far[i], d = far[i + 1];
        to[2 * i + 1] = (uint8_t)((a + ((a + d + 3 * (b + c) + 8) >> 3)) >> 1);
        to[2 * i + 2] = (uint8_t)((b + ((b + c + 3 * (a + d) + 8) >> 3)) >> 1);
    }
}

/* Video range to full range, 6 bits behind the point. */
static int image_vp8_colour(int v) {
    return image_clamp(v < 0 ? -1 : v >> 6);
}

static int image_vp8_put(const image_vp8 *p) {
    image_job *j = p->j;
    uint8_t *blue = image_take(j, j->width, 1), *red = image_take(j, j->width, 1);
    if (!blue || !red) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    for (int64_t y = 0; y < j->height; y++) {
        image_vp8_line(p, 1, y, blue);
        image_vp8_line(p, 2, y, red);
        for (int64_t x = 0; x < j->width; x++) {
            int light = p->planes[0][y * p->strides[0] + x] * 19077 >> 8, u = blue[x], v = red[x];
            int r = light + (v * 26149 >> 8) - 14234, b = light + (u * 33050 >> 8) - 17685;
            int g = light - (u * 6419 >> 8) - (v * 13320 >> 8) + 8708;
            image_put(j, x, y, image_vp8_colour(r), image_vp8_colour(g), image_vp8_colour(b));
        }
    }
    return ONNXCC_OK;
}

static int image_vp8_take(image_vp8 *p) {
    for (int i = 0; i < 3; i++) {
        int64_t size = i ? 8 : 16;
        p->strides[i] = size * p->columns;
        p->planes[i] = image_take(p->j, p->strides[i] * size * p->rows, 1);
        if (!p->planes[i]) return 0;
    }
    p->above = image_take(p->j, p->columns, sizeof *p->above);
    p->infos = image_take(p->j, p->columns * p->rows, sizeof *p->infos);
    return p->above && p->infos;
}

/* The frame in bytes [at, end) of the file. */
static int image_vp8_frame(image_job *j, int64_t at, int64_t end) {
    image_vp8 *p = image_take(j, 1, sizeof *p);
    if (!p) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    p->j = j;
    int status = image_vp8_read_header(p, at, end);
    if (status) return status;
    if (!image_vp8_take(p)) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    for (int64_t row = 0; row < p->rows; row++) {
        image_vp8_reader *r = &p->parts[row % p->part_count];
        memset(&p->left, 0, sizeof p->left);
        for (int64_t column = 0; column < p->columns; column++) {
            image_vp8_info *info = &p->infos[row * p->columns + column];
            image_vp8_read_modes(p, &p->above[column]);
            info->inner = (uint8_t)image_vp8_read_tokens(p, r, &p->above[column]);
            info->segment = (uint8_t)p->macro.segment;
            info->each = p->macro.mode == VP8_EACH;
            image_vp8_make_macro(p, column, row);
        }
        if (p->head.over > VP8_MOST_OVER || r->over > VP8_MOST_OVER)
            return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    }
    image_vp8_filter(p);
    return image_vp8_put(p);
}

#endif
