/* inflate.h: inflate (RFC 1951), over one piece of the file or the data of all IDAT chunks of a
 * PNG. */
#ifndef ONNXCC_RT_IMAGE_DECODER_INFLATE_H
#define ONNXCC_RT_IMAGE_DECODER_INFLATE_H

#include "common.h"

typedef struct {
    image_job *j;
    int64_t left; /* bytes of the chunk that are not read yet */
    uint32_t bits;
    int count; /* bits that are read and not used */
    int ended; /* read behind the last chunk or the file */
    uint8_t *out;
    int64_t made, room;
    int chunked; /* behind a chunk may come another IDAT */
} image_inflater;

enum { INFLATE_QUICK = 9 };

/* Codes of each length, and symbols in the order of their codes. What the next bits begin with, if
 * it is a short code: its length above 9 bits of its symbol. */
typedef struct {
    uint16_t counts[16], symbols[288], quick[1 << INFLATE_QUICK];
} image_codes;

static int image_next(image_inflater *f) {
    while (!f->left) { /* behind a chunk stand 4 bytes of checksum and the next one's head */
        int64_t next = f->j->at + 4;
        if (f->ended || !f->chunked || image_big(f->j, next + 4, 4) != 0x49444154) {
            f->ended = 1;
            return 0;
        }
        f->left = image_big(f->j, next, 4);
        f->j->at = next + 8;
    }
    f->left--;
    if (f->j->at >= f->j->size) f->ended = 1; /* within the chunk */
    return image_byte(f->j, f->j->at++);
}

static int image_bits(image_inflater *f, int count) {
    while (f->count < count) {
        f->bits |= (uint32_t)image_next(f) << f->count;
        f->count += 8;
    }
    int v = (int)(f->bits & ((1u << count) - 1));
    f->bits >>= count;
    f->count -= count;
    return v;
}

static void image_make_codes(image_codes *c, const uint8_t *lengths, int count) {
    uint16_t next[16];
    memset(c, 0, sizeof *c);
    for (int i = 0; i < count; i++) c->counts[lengths[i]]++;
    c->counts[0] = 0;
    next[1] = 0;
    for (int i = 1; i < 15; i++) next[i + 1] = (uint16_t)(next[i] + c->counts[i]);
    for (int i = 0; i < count; i++)
        if (lengths[i]) c->symbols[next[lengths[i]]++] = (uint16_t)i;
    for (int length = 1, code = 0, index = 0; length <= INFLATE_QUICK; length++, code <<= 1)
        for (int i = 0; i < c->counts[length]; i++, code++, index++) {
            int turned = 0; /* codes come from their highest bit on */
            for (int k = 0; k < length; k++) turned |= (code >> k & 1) << (length - 1 - k);
            for (; turned < 1 << INFLATE_QUICK; turned += 1 << length)
                c->quick[turned] = (uint16_t)(length << 9 | c->symbols[index]);
        }
}

/* The next symbol; -1 if no code has these bits. Codes of one length follow each other. */
static int image_symbol(image_inflater *f, const image_codes *c) {
    int code = 0, first = 0, index = 0;
    for (; f->count <= 24 && f->left > 0 && f->j->at < f->j->size; f->left--, f->count += 8)
        f->bits |= (uint32_t)f->j->in[f->j->at++] << f->count;
    int quick = c->quick[f->bits & ((1 << INFLATE_QUICK) - 1)];
    if (quick && quick >> 9 <= f->count) {
        f->bits >>= quick >> 9;
        f->count -= quick >> 9;
        return quick & 511;
    }
    for (int length = 1; length < 16; length++) {
        code |= image_bits(f, 1);
        int count = c->counts[length];
        if (code - first < count) return c->symbols[index + code - first];
        index += count;
        first = (first + count) << 1;
        code <<= 1;
    }
    return -1;
}

static int image_emit(image_inflater *f, int byte) {
    if (f->made >= f->room || f->ended) return 0;
    f->out[f->made++] = (uint8_t)byte;
    return 1;
}

static int image_stored(image_inflater *f) {
    image_bits(f, f->count % 8); /* to the next byte */
    int length = image_bits(f, 16), check = image_bits(f, 16);
    if ((length ^ check) != 0xFFFF) return 0;
    while (length-- > 0)
        if (!image_emit(f, image_bits(f, 8))) return 0;
    return 1;
}

static int image_compressed(image_inflater *f, const image_codes *literals,
                            const image_codes *distances) {
    static const uint16_t base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                    31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    for (;;) {
        int symbol = image_symbol(f, literals);
        if (symbol < 0 || symbol > 285) return 0;
        if (symbol == 256) return 1;
        if (symbol < 256) {
            if (!image_emit(f, symbol)) return 0;
            continue;
        }
        int extra = symbol < 265 || symbol == 285 ? 0 : (symbol - 261) / 4;
        int length = base[symbol - 257] + image_bits(f, extra);
        int d = image_symbol(f, distances);
        if (d < 0 || d > 29) return 0;
        extra = d < 4 ? 0 : d / 2 - 1;
        int64_t back = (d < 4 ? d : (2 + d % 2) << extra) + 1 + image_bits(f, extra);
        if (back > f->made) return 0;
        while (length-- > 0)
            if (!image_emit(f, f->out[f->made - back])) return 0;
    }
}

/* Reads the codes of a block that brings its own. */
static int image_read_codes(image_inflater *f, image_codes *literals, image_codes *distances) {
    static const uint8_t order[] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                    11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[320] = {0};
    int many = 257 + image_bits(f, 5), far = 1 + image_bits(f, 5), own = 4 + image_bits(f, 4);
    if (many > 286) return 0;
    for (int i = 0; i < own; i++) lengths[order[i]] = (uint8_t)image_bits(f, 3);
    image_make_codes(literals, lengths, 19);
    memset(lengths, 0, sizeof lengths);
    for (int i = 0; i < many + far;) {
        int symbol = image_symbol(f, literals), value = 0, times = 1;
        if (symbol < 0 || f->ended || (symbol == 16 && !i)) return 0;
        if (symbol < 16) value = symbol;
        if (symbol == 16) value = lengths[i - 1];
        if (symbol == 16) times = 3 + image_bits(f, 2);
        if (symbol == 17) times = 3 + image_bits(f, 3);
        if (symbol == 18) times = 11 + image_bits(f, 7);
        if (i + times > many + far) return 0;
        while (times-- > 0) lengths[i++] = (uint8_t)value;
    }
    image_make_codes(literals, lengths, many);
    image_make_codes(distances, lengths + many, far);
    return 1;
}

static void image_fixed_codes(image_codes *literals, image_codes *distances) {
    uint8_t lengths[288];
    for (int i = 0; i < 288; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    image_make_codes(literals, lengths, 288);
    memset(lengths, 5, 30);
    image_make_codes(distances, lengths, 30);
}

static int image_inflate(image_inflater *f) {
    image_codes literals, distances;
    int last = 0;
    if (image_bits(f, 8) % 16 != 8 || (image_bits(f, 8) & 32)) return 0; /* zlib's head */
    while (!last) {
        last = image_bits(f, 1);
        int kind = image_bits(f, 2), well = kind != 3 && !f->ended;
        if (kind == 1) image_fixed_codes(&literals, &distances);
        if (kind == 2) well = well && image_read_codes(f, &literals, &distances);
        if (!well) return 0;
        if (!(kind ? image_compressed(f, &literals, &distances) : image_stored(f))) return 0;
    }
    return 1;
}

#endif
