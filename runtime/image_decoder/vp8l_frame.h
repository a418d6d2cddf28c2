/* vp8l_frame.h: a lossless WebP image as pixels: its header and its transforms, which are read in
 * one order and undone in the other. */
#ifndef ONNXCC_RT_IMAGE_DECODER_VP8L_FRAME_H
#define ONNXCC_RT_IMAGE_DECODER_VP8L_FRAME_H

#include "vp8l.h"

enum { VP8L_PREDICT, VP8L_TURN, VP8L_GREEN, VP8L_INDEX, VP8L_TRANSFORMS };

typedef struct {
    int kind, bits; /* logarithm of the size of a block, or of how many indices a pixel holds */
    int64_t width;  /* of the image that results */
    const uint32_t *data;
    int64_t colours;
} image_vp8l_transform;

/* ---- prediction ---- */

static int image_vp8l_channel(uint32_t pixel, int shift) {
    return (int)(pixel >> shift & 255);
}

/* The sums of the channels, none of which carries into the next. */
static uint32_t image_vp8l_sum(uint32_t a, uint32_t b) {
    uint32_t upper = (a & 0xFF00FF00U) + (b & 0xFF00FF00U);
    uint32_t lower = (a & 0x00FF00FFU) + (b & 0x00FF00FFU);
    return (upper & 0xFF00FF00U) | (lower & 0x00FF00FFU);
}

static uint32_t image_vp8l_mean(uint32_t a, uint32_t b) {
    return (a & b) + (((a ^ b) & 0xFEFEFEFEU) >> 1);
}

/* That of the two which the gradient from the corner comes nearer to. */
static uint32_t image_vp8l_select(uint32_t left, uint32_t above, uint32_t corner) {
    int to_left = 0, to_above = 0;
    for (int s = 0; s < 32; s += 8) {
        int l = image_vp8l_channel(left, s), a = image_vp8l_channel(above, s);
        int c = image_vp8l_channel(corner, s);
        to_left += a < c ? c - a : a - c;
        to_above += l < c ? c - l : l - c;
    }
    return to_left < to_above ? left : above;
}

/* a and the difference of b and c, or half the difference of a and c, in every channel. */
static uint32_t image_vp8l_add(uint32_t a, uint32_t b, uint32_t c, int half) {
    uint32_t v = 0;
    for (int s = 0; s < 32; s += 8) {
        int one = image_vp8l_channel(a, s), less = image_vp8l_channel(c, s);
        int change = half ? (one - less) / 2 : image_vp8l_channel(b, s) - less;
        v |= (uint32_t)image_clamp(one + change) << s;
    }
    return v;
}

static uint32_t image_vp8l_guess(int mode, uint32_t l, const uint32_t *above) {
    uint32_t t = above[0], tl = above[-1], tr = above[1];
    switch (mode) {
    case 1: return l;
    case 2: return t;
    case 3: return tr;
    case 4: return tl;
    case 5: return image_vp8l_mean(image_vp8l_mean(l, tr), t);
    case 6: return image_vp8l_mean(l, tl);
    case 7: return image_vp8l_mean(l, t);
    case 8: return image_vp8l_mean(tl, t);
    case 9: return image_vp8l_mean(t, tr);
    case 10: return image_vp8l_mean(image_vp8l_mean(l, tl), image_vp8l_mean(t, tr));
    case 11: return image_vp8l_select(l, t, tl);
    case 12: return image_vp8l_add(l, t, tl, 0);
    case 13: return image_vp8l_add(image_vp8l_mean(l, t), 0, tl, 1);
    default: return 0xFF000000U;
    }
}

/* The first row is predicted from the left, the first column from above. What is above and to the
 * right of the last column is the first pixel of the own row. */
static void image_vp8l_predict(const image_vp8l_transform *t, uint32_t *pixels, int64_t height) {
    int64_t across = image_vp8l_blocks(t->width, t->bits);
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < t->width; x++) {
            uint32_t *own = pixels + y * t->width + x, guess = 0xFF000000U;
            uint32_t block = t->data[(y >> t->bits) * across + (x >> t->bits)];
            if (x && y)
                guess = image_vp8l_guess(block >> 8 & 15, own[-1], own - t->width);
            else if (x || y)
                guess = x ? own[-1] : own[-t->width];
            *own = image_vp8l_sum(*own, guess);
        }
}

/* ---- the other transforms ---- */

static uint32_t image_vp8l_share(uint32_t part, uint32_t colour) {
    return (uint32_t)((int8_t)(part & 255) * (int8_t)(colour & 255) >> 5);
}

/* Parts of green in red and blue, and of red in blue. */
static void image_vp8l_turn(const image_vp8l_transform *t, uint32_t *pixels, int64_t height) {
    int64_t across = image_vp8l_blocks(t->width, t->bits);
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < t->width; x++) {
            uint32_t *own = pixels + y * t->width + x, v = *own, green = v >> 8;
            uint32_t parts = t->data[(y >> t->bits) * across + (x >> t->bits)];
            uint32_t red = (v >> 16) + image_vp8l_share(parts, green), blue = v;
            blue += image_vp8l_share(parts >> 8, green) + image_vp8l_share(parts >> 16, red);
            *own = (v & 0xFF00FF00U) | (red & 255) << 16 | (blue & 255);
        }
}

static void image_vp8l_add_green(uint32_t *pixels, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint32_t green = pixels[i] >> 8 & 255;
        pixels[i] = image_vp8l_sum(pixels[i], green << 16 | green);
    }
}

/* Indices become colours, from the last on, as the image may grow: green holds several of them. */
static void image_vp8l_look_up(const image_vp8l_transform *t, uint32_t *pixels, int64_t height) {
    int64_t held = image_vp8l_blocks(t->width, t->bits);
    int wide = 8 >> t->bits;
    for (int64_t i = t->width * height; i-- > 0;) {
        int64_t x = i % t->width, from = i / t->width * held + (x >> t->bits);
        int shift = (int)(x & ((1 << t->bits) - 1)) * wide;
        uint32_t index = pixels[from] >> 8 >> shift & ((1U << wide) - 1);
        pixels[i] = index < t->colours ? t->data[index] : 0;
    }
}

static void image_vp8l_undo(const image_vp8l_transform *t, uint32_t *pixels, int64_t height) {
    if (t->kind == VP8L_PREDICT) image_vp8l_predict(t, pixels, height);
    if (t->kind == VP8L_TURN) image_vp8l_turn(t, pixels, height);
    if (t->kind == VP8L_GREEN) image_vp8l_add_green(pixels, t->width * height);
    if (t->kind == VP8L_INDEX) image_vp8l_look_up(t, pixels, height);
}

/* ---- the image ---- */

/* A transform, whose result is `width` wide; the width of what it is made from, or 0. */
static int64_t image_vp8l_read_transform(image_vp8l_reader *r, image_vp8l_transform *t,
                                         int64_t width, int64_t height) {
    t->kind = (int)image_vp8l_bits(r, 2);
    t->width = width;
    if (t->kind == VP8L_GREEN) return width;
    if (t->kind == VP8L_INDEX) {
        t->colours = image_vp8l_bits(r, 8) + 1;
        t->bits = t->colours <= 2 ? 3 : t->colours <= 4 ? 2 : t->colours <= 16 ? 1 : 0;
        uint32_t *colours = image_vp8l_read_image(r, t->colours, 1);
        for (int64_t i = 1; colours && i < t->colours; i++)
            colours[i] = image_vp8l_sum(colours[i], colours[i - 1]);
        t->data = colours;
        return colours ? image_vp8l_blocks(width, t->bits) : 0;
    }
    t->bits = 2 + (int)image_vp8l_bits(r, 3);
    t->data = image_vp8l_read_image(r, image_vp8l_blocks(width, t->bits),
                                    image_vp8l_blocks(height, t->bits));
    return t->data ? width : 0;
}

/* The image in bytes [at, end) of the file. */
static int image_vp8l_frame(image_job *j, int64_t at, int64_t end) {
    image_vp8l_reader r = {j, at, end, 0, 0, 0};
    image_vp8l_transform transforms[VP8L_TRANSFORMS] = {{0, 0, 0, NULL, 0}};
    image_vp8l_image m = {0, 0, NULL, NULL, 0, NULL, 0, NULL};
    int count = 0, seen = 0;
    if (image_vp8l_bits(&r, 8) != 0x2F) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    m.width = image_vp8l_bits(&r, 14) + 1;
    m.height = image_vp8l_bits(&r, 14) + 1;
    int version = (int)image_vp8l_bits(&r, 4) >> 1; /* above whether alpha counts */
    if (version || r.over) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    int status = image_fits(j, m.width, m.height);
    if (status) return status;
    m.pixels = image_take(j, m.width * m.height, sizeof *m.pixels);
    while (image_vp8l_bits(&r, 1)) {
        image_vp8l_transform *t = &transforms[count];
        if (count++ == VP8L_TRANSFORMS) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
        m.width = image_vp8l_read_transform(&r, t, m.width, m.height);
        if (!m.width || seen >> t->kind & 1) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
        seen |= 1 << t->kind;
    }
    if (!m.pixels || !image_vp8l_read_coded(&r, &m, 1)) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    while (count-- > 0) image_vp8l_undo(&transforms[count], m.pixels, m.height);
    for (int64_t i = 0; i < j->width * j->height; i++)
        image_put(j, i % j->width, i / j->width, image_vp8l_channel(m.pixels[i], 16),
                  image_vp8l_channel(m.pixels[i], 8), image_vp8l_channel(m.pixels[i], 0));
    return ONNXCC_OK;
}

#endif
