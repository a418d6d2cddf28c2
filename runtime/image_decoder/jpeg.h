/* jpeg.h: JPEG (ITU-T T.81) of 8 bits with Huffman codes: the segments of the file, and pixels from
 * its coefficients. The inverse cosine transform, upsampling and colours are rounded as libjpeg
 * does. */
#ifndef ONNXCC_RT_IMAGE_DECODER_JPEG_H
#define ONNXCC_RT_IMAGE_DECODER_JPEG_H

#include "jpeg_scan.h"

/* ---- the inverse cosine transform ---- */

/* One row or column of 8: the method of Loeffler, Ligtenberg and Moschytz (Practical fast 1-D DCT
 * algorithms with 11 multiplications, ICASSP 1989), with 13 bits behind the point. `down` is how
 * far the results are shifted. */
static void image_cosine(const int64_t *in, int step, int64_t *out, int out_step, int down) {
    enum { ONE = 1 << 13 };
    int64_t round = (int64_t)1 << (down - 1);
    int64_t z1 = (in[2 * step] + in[6 * step]) * 4433; /* 0.541196100 */
    int64_t t2 = z1 - in[6 * step] * 15137, t3 = z1 + in[2 * step] * 6270;
    int64_t t0 = (in[0] + in[4 * step]) * ONE, t1 = (in[0] - in[4 * step]) * ONE;
    int64_t e0 = t0 + t3, e3 = t0 - t3, e1 = t1 + t2, e2 = t1 - t2;
    int64_t o0 = in[7 * step], o1 = in[5 * step], o2 = in[3 * step], o3 = in[step];
    int64_t a = o0 + o3, b = o1 + o2, c = o0 + o2, d = o1 + o3, e = (c + d) * 9633;
    a *= -7373;
    b *= -20995;
    c = c * -16069 + e;
    d = d * -3196 + e;
    o0 = o0 * 2446 + a + c;
    o1 = o1 * 16819 + b + d;
    o2 = o2 * 25172 + b + c;
    o3 = o3 * 12299 + a + d;
    out[0] = (e0 + o3 + round) >> down;
    out[7 * out_step] = (e0 - o3 + round) >> down;
    out[out_step] = (e1 + o2 + round) >> down;
    out[6 * out_step] = (e1 - o2 + round) >> down;
    out[2 * out_step] = (e2 + o1 + round) >> down;
    out[5 * out_step] = (e2 - o1 + round) >> down;
    out[3 * out_step] = (e3 + o0 + round) >> down;
    out[4 * out_step] = (e3 - o0 + round) >> down;
}

static void image_jpeg_block(const int64_t *coefficients, uint8_t *to, int64_t stride) {
    int64_t half[64], row[8];
    for (int i = 0; i < 8; i++) image_cosine(coefficients + i, 8, half + i, 8, 11);
    for (int y = 0; y < 8; y++) {
        image_cosine(half + 8 * y, 1, row, 1, 18);
        for (int x = 0; x < 8; x++) to[y * stride + x] = (uint8_t)image_clamp((int)row[x] + 128);
    }
}

/* ---- segments ---- */

static int image_jpeg_tables(image_jpeg *p, int64_t at, int64_t end) {
    while (at < end) {
        int head = image_byte(p->j, at++), wide = head >> 4 ? 2 : 1;
        if ((head & 15) > 3 || at + 64 * wide > end) return 0;
        for (int i = 0; i < 64; i++)
            p->tables[head & 15][i] = (uint16_t)image_big(p->j, at + i * wide, wide);
        at += 64 * wide;
    }
    return 1;
}

static int image_jpeg_read_codes(image_jpeg *p, int64_t at, int64_t end) {
    while (at < end) {
        int head = image_byte(p->j, at), total = 0;
        if ((head & 15) > 3 || head >> 4 > 1) return 0;
        image_jpeg_codes *c = &p->codes[4 * (head >> 4) + (head & 15)];
        for (int i = 1; i <= 16; i++) total += c->counts[i] = image_byte(p->j, at + i);
        if (total > 256 || at + 17 + total > end) return 0;
        for (int i = 0; i < total; i++) c->symbols[i] = p->j->in[at + 17 + i];
        at += 17 + total;
    }
    return 1;
}

/* Sizes of the components, and their coefficients in the scratch. */
static int image_jpeg_take(image_jpeg *p) {
    image_job *j = p->j;
    int64_t columns = (j->width + 8 * p->most_across - 1) / (8 * p->most_across);
    int64_t rows = (j->height + 8 * p->most_down - 1) / (8 * p->most_down);
    for (int i = 0; i < p->count; i++) {
        image_component *c = &p->parts[i];
        c->width = (j->width * c->across + p->most_across - 1) / p->most_across;
        c->height = (j->height * c->down + p->most_down - 1) / p->most_down;
        c->columns = columns * c->across;
        c->rows = rows * c->down;
        c->blocks = image_take(j, c->columns * c->rows * 64, sizeof *c->blocks);
        c->plane = image_take(j, c->columns * c->rows, 64);
        if (!c->blocks || !c->plane) return 0;
    }
    return 1;
}

static int image_jpeg_frame(image_jpeg *p, int64_t at, int64_t end) {
    image_job *j = p->j;
    int status = image_fits(j, image_big(j, at + 3, 2), image_big(j, at + 1, 2));
    p->count = image_byte(j, at + 5);
    if (image_byte(j, at) != 8 || (p->count != 1 && p->count != 3) || at + 6 + 3 * p->count > end)
        return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    if (status) return status;
    p->most_across = p->most_down = 1;
    for (int i = 0; i < p->count; i++) {
        image_component *c = &p->parts[i];
        c->id = image_byte(j, at + 6 + 3 * i);
        c->across = image_byte(j, at + 7 + 3 * i) >> 4;
        c->down = image_byte(j, at + 7 + 3 * i) & 15;
        c->table = image_byte(j, at + 8 + 3 * i);
        if (p->count == 1) c->across = c->down = 1; /* of no meaning there */
        if (c->across < 1 || c->across > 2 || c->down < 1 || c->down > 2 || c->table > 3)
            return ONNXCC_ERROR_UNSUPPORTED_VALUE;
        if (c->across > p->most_across) p->most_across = c->across;
        if (c->down > p->most_down) p->most_down = c->down;
    }
    return image_jpeg_take(p) ? ONNXCC_OK : ONNXCC_ERROR_UNSUPPORTED_VALUE;
}

/* The component's samples from its coefficients. */
static void image_jpeg_make_plane(image_component *c) {
    static const uint8_t places[64] = {
        0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
        41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
        30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

    for (int64_t b = 0; b < c->columns * c->rows; b++) {
        int64_t coefficients[64];
        for (int i = 0; i < 64; i++) {
            int64_t v = (int64_t)c->blocks[64 * b + i] * c->steps[i];
            coefficients[places[i]] = v < -8192 ? -8192 : v > 8191 ? 8191 : v; /* none is beyond */
        }
        image_jpeg_block(coefficients, c->plane + 64 * (b - b % c->columns) + b % c->columns * 8,
                         8 * c->columns);
    }
}

/* ---- pixels ---- */

/* A row of the component in the width of the image. Where it has half of the samples along an axis
 * they lie between the pixels: a pixel takes three parts of the nearer and one of the farther, and
 * halves are rounded down and up in turn. */
static void image_jpeg_line(const image_jpeg *p, const image_component *c, int64_t y, uint8_t *to) {
    int wide = c->across < p->most_across, tall = c->down < p->most_down;
    int64_t row = tall ? y / 2 : y, beside = row + (y % 2 ? 1 : -1), width = p->j->width;
    if (beside < 0 || beside >= c->height) beside = row;
    const uint8_t *near = c->plane + row * 8 * c->columns;
    const uint8_t *far = c->plane + beside * 8 * c->columns;
    if (!wide || c->width <= 2) {
        for (int64_t x = 0; x < width; x++)
            to[x] = wide    ? near[x / 2]
                    : !tall ? near[x]
                            : (uint8_t)((3 * near[x] + far[x] + (y % 2 ? 2 : 1)) >> 2);
        return;
    }
    int own = tall ? 3 * near[0] + far[0] : near[0], before = own;
    for (int64_t i = 0; i < c->width; i++) {
        int64_t next = i + 1 < c->width ? i + 1 : i;
        int behind = tall ? 3 * near[next] + far[next] : near[next];
        to[2 * i] = (uint8_t)(tall ? (3 * own + before + 8) >> 4 : (3 * own + before + 1) >> 2);
        if (2 * i + 1 < width)
            to[2 * i + 1] =
                (uint8_t)(tall ? (3 * own + behind + 7) >> 4 : (3 * own + behind + 2) >> 2);
        before = own;
        own = behind;
    }
}

static int image_jpeg_pixels(image_jpeg *p) {
    image_job *j = p->j;
    uint8_t *lines = image_take(j, JPEG_COMPONENTS, j->width), *v[3];
    if (!lines) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    for (int i = 0; i < p->count; i++) image_jpeg_make_plane(&p->parts[i]);
    for (int i = 0; i < 3; i++) v[i] = lines + (i < p->count ? i : 0) * j->width;
    for (int64_t y = 0; y < j->height; y++) {
        for (int i = 0; i < p->count; i++) image_jpeg_line(p, &p->parts[i], y, v[i]);
        for (int64_t x = 0; x < j->width; x++) {
            if (p->count == 1 || p->adobe)
                image_put(j, x, y, v[0][x], v[1][x], v[2][x]);
            else
                image_put_ycc(j, x, y, v[0][x], v[1][x], v[2][x]);
        }
    }
    return ONNXCC_OK;
}

/* Whether all scans are read: of a progressive file the end must follow. */
static int image_jpeg_is_whole(const image_jpeg *p, int marker) {
    for (int i = 0; i < p->count; i++)
        if (!p->parts[i].scanned) return 0;
    return !p->progressive || marker == 0xD9;
}

static int image_jpeg_file(image_job *j) {
    image_jpeg p;
    memset(&p, 0, sizeof p);
    p.j = j;
    for (int64_t at = 2; at + 4 <= j->size;) {
        int marker = image_byte(j, at + 1), status = ONNXCC_OK, well = 1;
        int64_t first = at + 4, end = at + 2 + image_big(j, at + 2, 2);
        if (image_byte(j, at) != 0xFF || end < first || end > j->size) break;
        if (marker == 0xFF) { /* filling */
            at++;
            continue;
        }
        if (marker >= 0xC0 && marker <= 0xC2) {
            if (p.count) break;
            p.progressive = marker == 0xC2;
            status = image_jpeg_frame(&p, first, end);
        } else if (marker == 0xC4) {
            well = image_jpeg_read_codes(&p, first, end);
        } else if (marker == 0xDB) {
            well = image_jpeg_tables(&p, first, end);
        } else if (marker == 0xDD) {
            p.restart = (int)image_big(j, first, 2);
        } else if (marker == 0xEE && image_big(j, first, 4) == 0x41646F62) { /* Adobe */
            p.adobe = image_byte(j, first + 11) == 0;
        } else if (marker == 0xDA) {
            if (!p.count || !image_jpeg_scan(&p, first, end)) break;
            end = image_jpeg_find_marker(&p);
            if (image_jpeg_is_whole(&p, image_byte(j, end + 1))) return image_jpeg_pixels(&p);
        } else if (marker > 0xC2 && marker < 0xD0 && marker != 0xC8 && marker != 0xCC) {
            break; /* another process: lossless, arithmetic */
        }
        if (status) return status;
        if (!well) break;
        at = end;
    }
    return ONNXCC_ERROR_UNSUPPORTED_VALUE;
}

#endif
