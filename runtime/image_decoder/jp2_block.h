/* jp2_block.h: the code-blocks of JPEG 2000 (ITU-T T.800, annexes C and D): the MQ decoder, and the
 * passes that make coefficients of its decisions. Whoever calls says how many passes there are and
 * lays their bytes into one piece; behind its end the decoder reads ones, so that damaged bytes
 * give wrong coefficients and nothing worse. */
#ifndef ONNXCC_RT_IMAGE_DECODER_JP2_BLOCK_H
#define ONNXCC_RT_IMAGE_DECODER_JP2_BLOCK_H

#include "common.h"

/* Styles of code-blocks, as in the coding style markers. */
enum {
    JP2_BYPASS = 1,    /* later passes are raw bits but for the cleanup */
    JP2_RESET = 2,     /* contexts begin anew in each pass */
    JP2_TERMINATE = 4, /* each pass is a codeword segment of its own */
    JP2_CAUSAL = 8,    /* a stripe knows nothing of the next one */
    JP2_SYMBOLS = 32   /* each cleanup ends with 1010 */
};

enum { JP2_LL, JP2_HL, JP2_LH, JP2_HH }; /* orientations of bands */

enum { JP2_MOST_BLOCK = 4096, JP2_MOST_SIDE = 1024, JP2_RAW_PASS = 10 };

/* Flags of a sample: which neighbours are significant, which of the nearest are negative, and what
 * became of itself. */
enum {
    JP2_N = 1,
    JP2_S = 2,
    JP2_W = 4,
    JP2_E = 8,
    JP2_NW = 16,
    JP2_NE = 32,
    JP2_SW = 64,
    JP2_SE = 128,
    JP2_AROUND = 255,
    JP2_N_MINUS = 256,
    JP2_S_MINUS = 512,
    JP2_W_MINUS = 1024,
    JP2_E_MINUS = 2048,
    JP2_SIGNIFICANT = 4096,
    JP2_VISITED = 8192,
    JP2_REFINED = 16384
};

/* Contexts: 9 of significance from 0, 5 of signs, 3 of refinement, runs, uniform. */
enum { JP2_SIGN = 9, JP2_REFINE = 14, JP2_RUN = 17, JP2_UNIFORM, JP2_CONTEXTS };

/* A code-block while it is decoded. Values are twice the magnitudes, so that the half of the last
 * plane that was decoded has its bit. */
typedef struct {
    int32_t width, height, stride; /* of flags: width + 2 */
    int style, orientation;
    int32_t values[JP2_MOST_BLOCK];
    uint8_t minus[JP2_MOST_BLOCK];
    uint16_t flags[JP2_MOST_BLOCK + 2 * JP2_MOST_SIDE + 2 * (4 + 2)];
    uint8_t zero_contexts[256]; /* of the orientation, by JP2_AROUND */
    uint8_t states[JP2_CONTEXTS], likely[JP2_CONTEXTS];
    const uint8_t *at, *end;
    uint32_t c, a;
    int left;
    int raw; /* the segment is raw bits */
} image_jp2_block;

/* ---- decisions ---- */

typedef struct {
    uint16_t size;
    uint8_t more, less, turns; /* the next states, and whether the likely symbol changes */
} image_jp2_state;

static const image_jp2_state image_jp2_states[47] = {
    {0x5601, 1, 1, 1},   {0x3401, 2, 6, 0},   {0x1801, 3, 9, 0},   {0x0AC1, 4, 12, 0},
    {0x0521, 5, 29, 0},  {0x0221, 38, 33, 0}, {0x5601, 7, 6, 1},   {0x5401, 8, 14, 0},
    {0x4801, 9, 14, 0},  {0x3801, 10, 14, 0}, {0x3001, 11, 17, 0}, {0x2401, 12, 18, 0},
    {0x1C01, 13, 20, 0}, {0x1601, 29, 21, 0}, {0x5601, 15, 14, 1}, {0x5401, 16, 14, 0},
    {0x5101, 17, 15, 0}, {0x4801, 18, 16, 0}, {0x3801, 19, 17, 0}, {0x3401, 20, 18, 0},
    {0x3001, 21, 19, 0}, {0x2801, 22, 19, 0}, {0x2401, 23, 20, 0}, {0x2201, 24, 21, 0},
    {0x1C01, 25, 22, 0}, {0x1801, 26, 23, 0}, {0x1601, 27, 24, 0}, {0x1401, 28, 25, 0},
    {0x1201, 29, 26, 0}, {0x1101, 30, 27, 0}, {0x0AC1, 31, 28, 0}, {0x09C1, 32, 29, 0},
    {0x08A1, 33, 30, 0}, {0x0521, 34, 31, 0}, {0x0441, 35, 32, 0}, {0x02A1, 36, 33, 0},
    {0x0221, 37, 34, 0}, {0x0141, 38, 35, 0}, {0x0111, 39, 36, 0}, {0x0085, 40, 37, 0},
    {0x0049, 41, 38, 0}, {0x0025, 42, 39, 0}, {0x0015, 43, 40, 0}, {0x0009, 44, 41, 0},
    {0x0005, 45, 42, 0}, {0x0001, 45, 43, 0}, {0x5601, 46, 46, 0},
};

static void image_jp2_byte(image_jp2_block *b) {
    int here = b->at < b->end ? b->at[0] : 0xFF, next = b->end - b->at > 1 ? b->at[1] : 0xFF;
    if (here == 0xFF && next > 0x8F) { /* a marker: ones until the end */
        b->c += 0xFF00;
        b->left = 8;
        return;
    }
    if (b->at < b->end) b->at++;
    b->c += (uint32_t)next << (here == 0xFF ? 9 : 8);
    b->left = here == 0xFF ? 7 : 8;
}

static void image_jp2_begin(image_jp2_block *b) {
    b->left = 0;
    b->c = 0;
    if (b->raw) return;
    b->c = (uint32_t)(b->at < b->end ? *b->at : 0xFF) << 16;
    image_jp2_byte(b);
    b->c <<= 7;
    b->left -= 7;
    b->a = 0x8000;
}

static void image_jp2_reset(image_jp2_block *b) {
    memset(b->states, 0, sizeof b->states);
    memset(b->likely, 0, sizeof b->likely);
    b->states[0] = 4;
    b->states[JP2_RUN] = 3;
    b->states[JP2_UNIFORM] = 46;
}

static int image_jp2_decide(image_jp2_block *b, int context) {
    const image_jp2_state *s = &image_jp2_states[b->states[context]];
    int symbol = b->likely[context], more;
    b->a -= s->size;
    if (b->c >> 16 < s->size) {
        more = b->a < s->size;
        b->a = s->size;
    } else {
        b->c -= (uint32_t)s->size << 16;
        if (b->a & 0x8000) return symbol;
        more = b->a >= s->size;
    }
    if (more) {
        b->states[context] = s->more;
    } else {
        b->likely[context] = (uint8_t)(symbol ^ s->turns);
        b->states[context] = s->less;
        symbol ^= 1;
    }
    do {
        if (!b->left) image_jp2_byte(b);
        b->a <<= 1;
        b->c <<= 1;
        b->left--;
    } while (!(b->a & 0x8000));
    return symbol;
}

/* A raw bit; behind a byte of ones the next byte has seven. */
static int image_jp2_raw(image_jp2_block *b) {
    if (!b->left) {
        b->left = b->c == 0xFF ? 7 : 8;
        b->c = b->at < b->end ? *b->at++ : 0xFF;
    }
    return (int)(b->c >> --b->left & 1);
}

/* ---- passes ---- */

/* Table D.1: the context of a sample's significance from that of its neighbours. */
static int image_jp2_zero_context(int orientation, int around) {
    int across = !!(around & JP2_W) + !!(around & JP2_E);
    int down = !!(around & JP2_N) + !!(around & JP2_S);
    int aslant = !!(around & JP2_NW) + !!(around & JP2_NE) + !!(around & JP2_SW);
    aslant += !!(around & JP2_SE);
    if (orientation == JP2_HH) {
        int near = across + down > 2 ? 2 : across + down;
        if (aslant >= 3) return 8;
        if (aslant == 2) return near ? 7 : 6;
        return 3 * aslant + near;
    }
    if (orientation == JP2_HL) {
        int swap = across;
        across = down;
        down = swap;
    }
    if (across == 2) return 8;
    if (across == 1) return down ? 7 : aslant ? 6 : 5;
    if (down) return down + 2;
    return aslant > 2 ? 2 : aslant;
}

/* The flags of the sample in row y; a causal stripe does not look below itself. */
static int image_jp2_flags(const image_jp2_block *b, const uint16_t *f, int32_t y) {
    if (b->style & JP2_CAUSAL && y % 4 == 3) return *f & ~(JP2_S | JP2_SW | JP2_SE | JP2_S_MINUS);
    return *f;
}

/* One of the two nearest along an axis and the other: -1, 0 or 1. */
static int image_jp2_side(int f, int one, int one_minus, int other, int other_minus) {
    int sum = (f & one ? f & one_minus ? -1 : 1 : 0) + (f & other ? f & other_minus ? -1 : 1 : 0);
    return sum > 0 ? 1 : sum < 0 ? -1 : 0;
}

/* Table D.2 and D.3: 1 if the sample is negative. */
static int image_jp2_sign(image_jp2_block *b, int f) {
    if (b->raw) return image_jp2_raw(b);
    int across = image_jp2_side(f, JP2_W, JP2_W_MINUS, JP2_E, JP2_E_MINUS);
    int down = image_jp2_side(f, JP2_N, JP2_N_MINUS, JP2_S, JP2_S_MINUS);
    int flips = across < 0 || (!across && down < 0);
    int context = flips ? -3 * across - down : 3 * across + down; /* 0 to 4 */
    return image_jp2_decide(b, JP2_SIGN + context) ^ flips;
}

/* The sample at x, y becomes significant: its sign, its value, and what its neighbours learn. */
static void image_jp2_awake(image_jp2_block *b, int32_t x, int32_t y, int plane) {
    int32_t stride = b->stride;
    uint16_t *f = &b->flags[(y + 1) * stride + x + 1];
    int minus = image_jp2_sign(b, image_jp2_flags(b, f, y));
    b->values[y * b->width + x] = 3 << plane;
    b->minus[y * b->width + x] = (uint8_t)minus;
    *f |= JP2_SIGNIFICANT;
    f[-1] |= (uint16_t)(JP2_E | (minus ? JP2_E_MINUS : 0));
    f[1] |= (uint16_t)(JP2_W | (minus ? JP2_W_MINUS : 0));
    f[-stride] |= (uint16_t)(JP2_S | (minus ? JP2_S_MINUS : 0));
    f[stride] |= (uint16_t)(JP2_N | (minus ? JP2_N_MINUS : 0));
    f[-stride - 1] |= JP2_SE;
    f[-stride + 1] |= JP2_SW;
    f[stride - 1] |= JP2_NE;
    f[stride + 1] |= JP2_NW;
}

/* Significance (D.3.1): samples that are not significant and have a significant neighbour. */
static void image_jp2_spread(image_jp2_block *b, int32_t x, int32_t y, int plane) {
    uint16_t *f = &b->flags[(y + 1) * b->stride + x + 1];
    int known = image_jp2_flags(b, f, y), one;
    if (known & JP2_SIGNIFICANT || !(known & JP2_AROUND)) return;
    one = b->raw ? image_jp2_raw(b) : image_jp2_decide(b, b->zero_contexts[known & JP2_AROUND]);
    if (one) image_jp2_awake(b, x, y, plane);
    *f |= JP2_VISITED;
}

/* Refinement (D.3.3): one more bit of samples that were significant before this plane. */
static void image_jp2_refine(image_jp2_block *b, int32_t x, int32_t y, int plane) {
    uint16_t *f = &b->flags[(y + 1) * b->stride + x + 1];
    int known = image_jp2_flags(b, f, y), one;
    if (!(known & JP2_SIGNIFICANT) || known & JP2_VISITED) return;
    int context = known & JP2_REFINED ? 2 : known & JP2_AROUND ? 1 : 0;
    one = b->raw ? image_jp2_raw(b) : image_jp2_decide(b, JP2_REFINE + context);
    b->values[y * b->width + x] += one ? 1 << plane : -(1 << plane);
    *f |= JP2_REFINED;
}

/* Cleanup (D.3.4) of a column of a stripe, `rows` samples from y on: what the other passes left
 * over. A full column without any significant neighbour says first whether it stays so. */
static void image_jp2_clean(image_jp2_block *b, int32_t x, int32_t y, int32_t rows, int plane) {
    uint16_t *f = &b->flags[(y + 1) * b->stride + x + 1];
    int32_t i = 0;
    int quiet = rows == 4, found = 0;
    for (int32_t k = 0; k < rows && quiet; k++)
        quiet = !(image_jp2_flags(b, f + k * b->stride, y + k) &
                  (JP2_AROUND | JP2_SIGNIFICANT | JP2_VISITED));
    if (quiet) {
        if (!image_jp2_decide(b, JP2_RUN)) return;
        i = image_jp2_decide(b, JP2_UNIFORM) << 1;
        i |= image_jp2_decide(b, JP2_UNIFORM);
        found = 1;
    }
    for (; i < rows; i++, found = 0) {
        uint16_t *own = f + i * b->stride;
        int known = image_jp2_flags(b, own, y + i);
        if (!(known & (JP2_SIGNIFICANT | JP2_VISITED)) &&
            (found || image_jp2_decide(b, b->zero_contexts[known & JP2_AROUND])))
            image_jp2_awake(b, x, y + i, plane);
    }
    for (i = 0; i < rows; i++) f[i * b->stride] &= (uint16_t)~JP2_VISITED;
}

/* Pass `number` of the block, of the bit plane that belongs to it. */
static void image_jp2_pass(image_jp2_block *b, int number, int plane) {
    int kind = (number + 2) % 3;
    for (int32_t y = 0; y < b->height; y += 4) {
        int32_t rows = b->height - y < 4 ? b->height - y : 4;
        for (int32_t x = 0; x < b->width; x++) {
            if (kind == 2) image_jp2_clean(b, x, y, rows, plane);
            for (int32_t i = 0; i < rows && kind == 0; i++) image_jp2_spread(b, x, y + i, plane);
            for (int32_t i = 0; i < rows && kind == 1; i++) image_jp2_refine(b, x, y + i, plane);
        }
    }
    if (kind == 2 && b->style & JP2_SYMBOLS)
        for (int i = 0; i < 4; i++) image_jp2_decide(b, JP2_UNIFORM);
}

/* An empty block, all its samples zero. */
static void image_jp2_block_begin(image_jp2_block *b, int32_t width, int32_t height) {
    b->width = width;
    b->height = height;
    b->stride = width + 2;
    memset(b->values, 0, sizeof *b->values * (size_t)(width * height));
    memset(b->minus, 0, (size_t)(width * height));
    memset(b->flags, 0, sizeof *b->flags * (size_t)(b->stride * (height + 2)));
    for (int i = 0; i < 256; i++)
        b->zero_contexts[i] = (uint8_t)image_jp2_zero_context(b->orientation, i);
    image_jp2_reset(b);
}

/* The next codeword segment: `count` passes from `number` on. `planes` is how many bits the
 * magnitudes have; 0 if the passes go below the last. */
static int image_jp2_segment(image_jp2_block *b, const uint8_t *data, int64_t bytes, int number,
                             int count, int planes) {
    b->at = data;
    b->end = data + bytes;
    b->raw = b->style & JP2_BYPASS && number >= JP2_RAW_PASS && (number + 2) % 3 != 2;
    image_jp2_begin(b);
    for (int i = number; i < number + count; i++) {
        int plane = planes - 1 - (i + 2) / 3;
        if (plane < 0) return 0;
        if (b->style & JP2_RESET) image_jp2_reset(b);
        image_jp2_pass(b, i, plane);
    }
    return 1;
}

#endif
