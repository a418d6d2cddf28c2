/* jpeg_scan.h: the scans of a JPEG (ITU-T T.81, annexes F and G), sequential and progressive ones
 * with Huffman codes: they fill the coefficients of their components' blocks, bit planes and bands
 * of them at a time if they are progressive. */
#ifndef ONNXCC_RT_IMAGE_DECODER_JPEG_SCAN_H
#define ONNXCC_RT_IMAGE_DECODER_JPEG_SCAN_H

#include "common.h"

enum { JPEG_COMPONENTS = 3, JPEG_MOST_SCANS = 200 };

/* A Huffman code: symbols in the order of their codes. */
typedef struct {
    int counts[17];
    uint8_t symbols[256];
} image_jpeg_codes;

typedef struct {
    int id, across, down, table; /* sampling factors; number of its quantisation table */
    int dc, ac, last;            /* numbers of its codes; the last block's first coefficient */
    int64_t width, height;       /* samples that count */
    int64_t columns, rows;       /* of blocks, with those beyond the samples */
    int16_t *blocks;             /* 64 coefficients each, in zigzag order */
    uint8_t *plane;
    int scanned;        /* a scan had the component */
    uint16_t steps[64]; /* the table as it was then */
} image_component;

typedef struct {
    image_job *j;
    uint16_t tables[4][64];
    image_jpeg_codes codes[8]; /* four for first coefficients, four for the others */
    image_component parts[JPEG_COMPONENTS];
    int count, most_across, most_down, restart, progressive;
    int adobe; /* the colours are RGB as they are */
    uint32_t bits;
    int held;   /* bits that are read and not used */
    int marked; /* the reader stands at a marker: zeros follow */
    int over;   /* or at the end of the file */
    /* The scan: its number, its components, its band of coefficients, the bit that it brings, and
     * whether it is the first one of them; blocks that end at once because the one before them said
     * so. */
    int scans, scanned[JPEG_COMPONENTS], scan_count;
    int first, last, low, refines, empty;
} image_jpeg;

static int image_jpeg_bit(image_jpeg *p) {
    if (!p->held) {
        int byte = p->marked ? 0 : image_byte(p->j, p->j->at);
        if (!p->marked && byte == 0xFF && image_byte(p->j, p->j->at + 1)) p->marked = 1;
        if (p->j->at >= p->j->size) p->marked = p->over = 1;
        if (p->marked) byte = 0;
        if (!p->marked) p->j->at += byte == 0xFF ? 2 : 1; /* a zero is stuffed behind FF */
        p->bits = (uint32_t)byte;
        p->held = 8;
    }
    return (int)(p->bits >> --p->held & 1);
}

static int image_jpeg_bits(image_jpeg *p, int count) {
    int v = 0;
    while (count-- > 0) v = v << 1 | image_jpeg_bit(p);
    return v;
}

/* `count` bits as a number that is negative if the first of them is 0. */
static int image_jpeg_signed(image_jpeg *p, int count) {
    int v = image_jpeg_bits(p, count);
    return count && v < 1 << (count - 1) ? v - (1 << count) + 1 : v;
}

static int image_jpeg_symbol(image_jpeg *p, const image_jpeg_codes *c) {
    int code = 0, first = 0, index = 0;
    for (int length = 1; length <= 16; length++) {
        code |= image_jpeg_bit(p);
        if (code - first < c->counts[length]) return c->symbols[index + code - first];
        index += c->counts[length];
        first = (first + c->counts[length]) << 1;
        code <<= 1;
    }
    return -1;
}

/* ---- blocks ---- */

/* The first coefficient, all of it or its upper bits: the difference to the block before. */
static int image_jpeg_read_first(image_jpeg *p, image_component *c, int16_t *block) {
    int size = image_jpeg_symbol(p, &p->codes[c->dc]);
    if (size < 0 || size > 11) return 0;
    c->last += image_jpeg_signed(p, size);
    if (c->last < -32768 || c->last > 32767) return 0;
    block[0] = (int16_t)(c->last * (1 << p->low));
    return 1;
}

/* Coefficients from `at` on, all of them or their upper bits. */
static int image_jpeg_read_band(image_jpeg *p, const image_component *c, int16_t *block, int at) {
    if (p->empty) {
        p->empty--;
        return 1;
    }
    for (; at <= p->last; at++) {
        int symbol = image_jpeg_symbol(p, &p->codes[4 + c->ac]), zeros = symbol >> 4;
        if (symbol < 0) return 0;
        if (!(symbol & 15) && zeros < 15) { /* this block ends, and so do some that follow */
            if (p->progressive) p->empty = (1 << zeros) - 1 + image_jpeg_bits(p, zeros);
            return 1;
        }
        at += zeros;
        if (at > p->last) return 0;
        if (symbol & 15) block[at] = (int16_t)(image_jpeg_signed(p, symbol & 15) * (1 << p->low));
    }
    return 1;
}

/* One more bit of the coefficient, if it is not zero: away from zero, as long as it was read. */
static int image_jpeg_refine(image_jpeg *p, int16_t *coefficient) {
    int bit = 1 << p->low, old = *coefficient;
    if (!old) return 0;
    if (image_jpeg_bit(p) && !(old & bit))
        *coefficient = (int16_t)(old < 0 ? old - bit : old + bit);
    return 1;
}

/* One more bit of a band (G.1.2.3): those that are not zero get theirs as they are passed, those
 * that become so are told by how many zeros to pass. */
static int image_jpeg_refine_band(image_jpeg *p, const image_component *c, int16_t *block) {
    int at = p->first;
    while (at <= p->last && !p->empty) {
        int symbol = image_jpeg_symbol(p, &p->codes[4 + c->ac]), zeros = symbol >> 4, fresh = 0;
        if (symbol < 0 || (symbol & 15) > 1) return 0;
        if (symbol & 15) {
            fresh = image_jpeg_bit(p) ? 1 << p->low : -(1 << p->low);
        } else if (zeros < 15) {
            p->empty = (1 << zeros) + image_jpeg_bits(p, zeros);
            break;
        }
        while (at <= p->last && (image_jpeg_refine(p, &block[at]) || zeros-- > 0)) at++;
        if (at > p->last && fresh) return 0;
        if (at <= p->last) block[at++] = (int16_t)fresh;
    }
    if (!p->empty) return 1;
    for (; at <= p->last; at++) image_jpeg_refine(p, &block[at]);
    p->empty--;
    return 1;
}

static int image_jpeg_read_block(image_jpeg *p, image_component *c, int64_t x, int64_t y) {
    int16_t *block = c->blocks + 64 * (y * c->columns + x);
    if (p->refines && p->first) return image_jpeg_refine_band(p, c, block);
    if (p->refines) {
        if (image_jpeg_bit(p)) block[0] = (int16_t)(block[0] | 1 << p->low);
        return 1;
    }
    if (!p->first && !image_jpeg_read_first(p, c, block)) return 0;
    return !p->last || image_jpeg_read_band(p, c, block, p->first ? p->first : 1);
}

/* ---- scans ---- */

/* Goes on behind a restart marker. */
static int image_jpeg_restart(image_jpeg *p) {
    image_job *j = p->j;
    p->held = p->marked = p->empty = 0;
    if (image_byte(j, j->at) != 0xFF || (image_byte(j, j->at + 1) & 0xF8) != 0xD0) return 0;
    j->at += 2;
    for (int i = 0; i < p->count; i++) p->parts[i].last = 0;
    return 1;
}

/* Which components a scan has, and which part of their coefficients. */
static int image_jpeg_read_head(image_jpeg *p, int64_t at, int64_t end) {
    image_job *j = p->j;
    p->scan_count = image_byte(j, at);
    if (p->scan_count < 1 || p->scan_count > p->count || at + 4 + 2 * p->scan_count > end) return 0;
    for (int i = 0, k = 0; i < p->scan_count; i++, k++) { /* in the order of the frame */
        int tables = image_byte(j, at + 2 + 2 * i);
        while (k < p->count && p->parts[k].id != image_byte(j, at + 1 + 2 * i)) k++;
        if (k == p->count || tables >> 4 > 3 || (tables & 15) > 3) return 0;
        image_component *c = &p->parts[k];
        if (!c->scanned) memcpy(c->steps, p->tables[c->table], sizeof c->steps);
        p->scanned[i] = k;
        c->scanned = 1;
        c->dc = tables >> 4;
        c->ac = tables & 15;
        c->last = 0;
    }
    at += 1 + 2 * p->scan_count;
    p->first = p->progressive ? image_byte(j, at) : 0;
    p->last = p->progressive ? image_byte(j, at + 1) : 63;
    p->low = p->progressive ? image_byte(j, at + 2) & 15 : 0;
    p->refines = p->progressive && image_byte(j, at + 2) >> 4;
    p->held = p->marked = p->empty = 0;
    j->at = end;
    if (p->last > 63 || p->first > p->last || p->low > 13) return 0;
    return !p->progressive || (p->first ? p->scan_count == 1 : p->last == 0);
}

/* A scan, its header in [at, end). One component's blocks stand alone and end with its samples;
 * those of several come together, as many of each as its sampling factors say. */
static int image_jpeg_scan(image_jpeg *p, int64_t at, int64_t end) {
    if (!image_jpeg_read_head(p, at, end) || p->scans++ == JPEG_MOST_SCANS) return 0;
    const image_component *only = p->scan_count == 1 ? &p->parts[p->scanned[0]] : NULL;
    int64_t wide = 8 * p->most_across, tall = 8 * p->most_down;
    int64_t columns = only ? (only->width + 7) / 8 : (p->j->width + wide - 1) / wide;
    int64_t rows = only ? (only->height + 7) / 8 : (p->j->height + tall - 1) / tall;
    for (int64_t m = 0; m < columns * rows; m++) {
        int64_t x = m % columns, y = m / columns;
        if (p->restart && m && m % p->restart == 0 && !image_jpeg_restart(p)) return 0;
        for (int i = 0; i < p->scan_count; i++) {
            image_component *c = &p->parts[p->scanned[i]];
            int across = only ? 1 : c->across, down = only ? 1 : c->down;
            for (int b = 0; b < across * down; b++)
                if (!image_jpeg_read_block(p, c, x * across + b % across, y * down + b / across))
                    return 0;
        }
        if (p->over) return 0;
    }
    return 1;
}

/* Where the marker behind a scan stands. */
static int64_t image_jpeg_find_marker(const image_jpeg *p) {
    int64_t at = p->j->at;
    for (; at + 1 < p->j->size; at++) {
        int next = image_byte(p->j, at + 1);
        if (image_byte(p->j, at) == 0xFF && next && next != 0xFF && (next & 0xF8) != 0xD0) break;
    }
    return at;
}

#endif
