/* vp8l.h: lossless WebP (the WebP Lossless Bitstream Specification): images of 32-bit pixels, alpha
 * above red, green and blue, in prefix codes with copies and a cache of colours, and the transforms
 * that are undone over them. A reader behind its end reads zeros and says so. */
#ifndef ONNXCC_RT_IMAGE_DECODER_VP8L_H
#define ONNXCC_RT_IMAGE_DECODER_VP8L_H

#include "common.h"

enum {
    VP8L_CODES = 5,
    VP8L_COPIES = 256 + 24,
    VP8L_DISTANCES = 40,
    VP8L_MOST_SYMBOLS = 280 + 2048
};

typedef struct {
    image_job *j;
    int64_t at, end;
    uint64_t bits;
    int have, over;
} image_vp8l_reader;

/* A prefix code: how many codes each length has, and the symbols in the order of their codes. */
typedef struct {
    uint16_t counts[16];
    uint16_t *symbols;
    int only; /* one symbol, which takes no bits */
} image_vp8l_code;

/* The codes of green (with copies and the cache), red, blue, alpha and distances. */
typedef struct {
    image_vp8l_code codes[VP8L_CODES];
} image_vp8l_group;

/* ---- bits and codes ---- */

static uint32_t image_vp8l_bits(image_vp8l_reader *r, int count) {
    while (r->have < count) {
        uint64_t byte = 0;
        if (r->at < r->end)
            byte = r->j->in[r->at++];
        else
            r->over = 1;
        r->bits |= byte << r->have;
        r->have += 8;
    }
    uint32_t v = (uint32_t)(r->bits & (((uint64_t)1 << count) - 1));
    r->bits >>= count;
    r->have -= count;
    return v;
}

/* The next symbol. The code is complete, so that there is one. */
static int image_vp8l_symbol(image_vp8l_reader *r, const image_vp8l_code *c) {
    int code = 0, first = 0, index = 0;
    if (c->only) return c->symbols[0];
    for (int length = 1; length < 16; length++) {
        code |= (int)image_vp8l_bits(r, 1);
        if (code - first < c->counts[length]) return c->symbols[index + code - first];
        index += c->counts[length];
        first = (first + c->counts[length]) << 1;
        code <<= 1;
    }
    return 0;
}

/* The code of these lengths: of one symbol, or one whose codes leave no bits without a meaning. */
static int image_vp8l_make_code(image_job *j, image_vp8l_code *c, const uint8_t *lengths,
                                int count) {
    int next[17] = {0}, used = 0, room = 1 << 15;
    memset(c->counts, 0, sizeof c->counts);
    for (int i = 0; i < count; i++)
        if (lengths[i]) {
            c->counts[lengths[i]]++;
            room -= 1 << (15 - lengths[i]);
            used++;
        }
    c->symbols = image_take(j, used, sizeof *c->symbols);
    c->only = used == 1;
    if (!used || !c->symbols || (room && used > 1)) return 0;
    for (int i = 1; i < 16; i++) next[i + 1] = next[i] + c->counts[i];
    for (int i = 0; i < count; i++)
        if (lengths[i]) c->symbols[next[lengths[i]]++] = (uint16_t)i;
    return 1;
}

/* The lengths of a code, themselves coded. */
static int image_vp8l_read_lengths(image_vp8l_reader *r, uint8_t *lengths, int count) {
    static const uint8_t order[] = {17, 18, 0, 1,  2,  3,  4,  5,  16, 6,
                                    7,  8,  9, 10, 11, 12, 13, 14, 15};
    uint8_t own[19] = {0};
    image_vp8l_code code;
    int before = 8, most = count, given = 4 + (int)image_vp8l_bits(r, 4);
    int64_t held = r->j->taken;
    for (int i = 0; i < given; i++) own[order[i]] = (uint8_t)image_vp8l_bits(r, 3);
    if (!image_vp8l_make_code(r->j, &code, own, 19)) return 0;
    if (image_vp8l_bits(r, 1)) {
        int bits = 2 + 2 * (int)image_vp8l_bits(r, 3);
        most = 2 + (int)image_vp8l_bits(r, bits);
        if (most > count) return 0;
    }
    for (int i = 0; i < count && most > 0; most--) {
        int symbol = image_vp8l_symbol(r, &code), times = 1, value = 0;
        if (symbol < 16) value = symbol;
        if (symbol == 16) value = before;
        if (symbol == 16) times = 3 + (int)image_vp8l_bits(r, 2);
        if (symbol == 17) times = 3 + (int)image_vp8l_bits(r, 3);
        if (symbol == 18) times = 11 + (int)image_vp8l_bits(r, 7);
        if (symbol < 16 && value) before = value;
        if (times > count - i) return 0;
        while (times-- > 0) lengths[i++] = (uint8_t)value;
    }
    r->j->taken = held;
    return 1;
}

static int image_vp8l_read_code(image_vp8l_reader *r, image_vp8l_code *c, int count) {
    uint8_t lengths[VP8L_MOST_SYMBOLS] = {0};
    if (image_vp8l_bits(r, 1)) { /* one symbol or two, as they are */
        int two = (int)image_vp8l_bits(r, 1), wide = (int)image_vp8l_bits(r, 1);
        int first = (int)image_vp8l_bits(r, wide ? 8 : 1);
        int second = two ? (int)image_vp8l_bits(r, 8) : first;
        if (first >= count || second >= count) return 0;
        lengths[first] = lengths[second] = 1;
    } else if (!image_vp8l_read_lengths(r, lengths, count)) {
        return 0;
    }
    return !r->over && image_vp8l_make_code(r->j, c, lengths, count);
}

/* ---- images ---- */

/* An image while it is decoded. */
typedef struct {
    int64_t width, height;
    uint32_t *pixels;
    uint32_t *cache; /* NULL: none */
    int cache_bits;
    const uint32_t *plan; /* which group a block of pixels has; NULL: one for all */
    int plan_bits;
    image_vp8l_group *groups;
} image_vp8l_image;

static int64_t image_vp8l_blocks(int64_t size, int bits) {
    return (size + ((int64_t)1 << bits) - 1) >> bits;
}

static void image_vp8l_remember(const image_vp8l_image *m, uint32_t pixel) {
    if (m->cache) m->cache[0x1E35A7BDU * pixel >> (32 - m->cache_bits)] = pixel;
}

/* A length or distance whose code is given: the larger ones have bits of their own. */
static int64_t image_vp8l_extent(image_vp8l_reader *r, int code) {
    if (code < 4) return code + 1;
    int extra = (code - 2) >> 1;
    return ((int64_t)(2 + code % 2) << extra) + image_vp8l_bits(r, extra) + 1;
}

/* How many pixels back a distance leads: the first 120 are places near the pixel. */
static int64_t image_vp8l_distance(int64_t v, int64_t width) {
    static const uint8_t near[120] = {
        /* rows above it, and 8 less the columns to its left */
        24,  7,  23,  25,  40,  6,  39,  41,  22,  26,  38, 42, 56,  5,   55,  57,  21,  27,
        54,  58, 37,  43,  72,  4,  71,  73,  20,  28,  53, 59, 70,  74,  36,  44,  88,  69,
        75,  52, 60,  3,   87,  89, 19,  29,  86,  90,  35, 45, 68,  76,  85,  91,  51,  61,
        104, 2,  103, 105, 18,  30, 102, 106, 34,  46,  84, 92, 67,  77,  101, 107, 50,  62,
        120, 1,  119, 121, 83,  93, 17,  31,  100, 108, 66, 78, 118, 122, 33,  47,  117, 123,
        49,  63, 99,  109, 82,  94, 0,   116, 124, 65,  79, 16, 32,  98,  110, 48,  115, 125,
        81,  95, 64,  114, 126, 97, 111, 80,  113, 127, 96, 112};
    if (v > 120) return v - 120;
    v = (near[v - 1] >> 4) * width + 8 - (near[v - 1] & 15);
    return v < 1 ? 1 : v;
}

static int image_vp8l_read_pixels(image_vp8l_reader *r, const image_vp8l_image *m) {
    int64_t total = m->width * m->height;
    int64_t across = m->plan ? image_vp8l_blocks(m->width, m->plan_bits) : 0;
    for (int64_t i = 0; i < total && !r->over;) {
        int64_t x = i % m->width, y = i / m->width;
        const image_vp8l_group *g = m->groups;
        if (m->plan) g += m->plan[(y >> m->plan_bits) * across + (x >> m->plan_bits)];
        int symbol = image_vp8l_symbol(r, &g->codes[0]);
        if (symbol < 256) {
            uint32_t pixel = (uint32_t)symbol << 8;
            pixel |= (uint32_t)image_vp8l_symbol(r, &g->codes[1]) << 16;
            pixel |= (uint32_t)image_vp8l_symbol(r, &g->codes[2]);
            pixel |= (uint32_t)image_vp8l_symbol(r, &g->codes[3]) << 24;
            m->pixels[i++] = pixel;
            image_vp8l_remember(m, pixel);
        } else if (symbol < VP8L_COPIES) {
            int64_t length = image_vp8l_extent(r, symbol - 256);
            int64_t far = image_vp8l_extent(r, image_vp8l_symbol(r, &g->codes[4]));
            int64_t back = image_vp8l_distance(far, m->width);
            if (back > i || length > total - i) return 0;
            for (; length > 0; length--, i++) {
                m->pixels[i] = m->pixels[i - back];
                image_vp8l_remember(m, m->pixels[i]);
            }
        } else {
            m->pixels[i] = m->cache[symbol - VP8L_COPIES];
            image_vp8l_remember(m, m->pixels[i++]);
        }
    }
    return !r->over;
}

static uint32_t *image_vp8l_read_image(image_vp8l_reader *r, int64_t width, int64_t height);

/* Which group of codes each block of the main image has; how many there are, 0 if it is damaged. */
static int64_t image_vp8l_read_plan(image_vp8l_reader *r, image_vp8l_image *m) {
    m->plan_bits = 2 + (int)image_vp8l_bits(r, 3);
    int64_t across = image_vp8l_blocks(m->width, m->plan_bits), most = 0;
    int64_t down = image_vp8l_blocks(m->height, m->plan_bits);
    uint32_t *plan = image_vp8l_read_image(r, across, down);
    if (!plan) return 0;
    for (int64_t i = 0; i < across * down; i++) {
        plan[i] = plan[i] >> 8 & 0xFFFF;
        if (plan[i] > most) most = plan[i];
    }
    m->plan = plan;
    return most + 1;
}

/* An image of any use: `main` ones may have several groups of codes. Their pixels, or NULL. */
static int image_vp8l_read_coded(image_vp8l_reader *r, image_vp8l_image *m, int main) {
    int64_t groups = 1;
    int cached = (int)image_vp8l_bits(r, 1);
    m->cache_bits = cached ? (int)image_vp8l_bits(r, 4) : 0;
    if (cached && (m->cache_bits < 1 || m->cache_bits > 11)) return 0;
    m->cache = cached ? image_take(r->j, 1 << m->cache_bits, sizeof *m->cache) : NULL;
    m->plan = NULL;
    if (main && image_vp8l_bits(r, 1)) groups = image_vp8l_read_plan(r, m);
    m->groups = image_take(r->j, groups, sizeof *m->groups);
    if (!groups || !m->groups || (cached && !m->cache)) return 0;
    for (int64_t i = 0; i < groups; i++)
        for (int k = 0; k < VP8L_CODES; k++) {
            int count = k == 4 ? VP8L_DISTANCES : k ? 256 : VP8L_COPIES;
            if (!k && cached) count += 1 << m->cache_bits;
            if (!image_vp8l_read_code(r, &m->groups[i].codes[k], count)) return 0;
        }
    return image_vp8l_read_pixels(r, m);
}

/* An image that serves a transform or a plan. What it took beside its pixels is given back. */
static uint32_t *image_vp8l_read_image(image_vp8l_reader *r, int64_t width, int64_t height) {
    image_vp8l_image m = {width, height, NULL, NULL, 0, NULL, 0, NULL};
    m.pixels = image_take(r->j, width * height, sizeof *m.pixels);
    int64_t held = r->j->taken;
    if (!m.pixels || !image_vp8l_read_coded(r, &m, 0)) return NULL;
    r->j->taken = held;
    return m.pixels;
}

#endif
