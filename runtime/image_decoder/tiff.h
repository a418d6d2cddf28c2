/* tiff.h: TIFF 6.0 in strips or tiles, of gray, palettes or RGB: uncompressed, PackBits, LZW or
 * deflate, with the horizontal predictor. Samples of one pixel stand together (no planes). */
#ifndef ONNXCC_RT_IMAGE_DECODER_TIFF_H
#define ONNXCC_RT_IMAGE_DECODER_TIFF_H

#include "inflate.h"

typedef struct {
    int64_t at; /* of the values; 0: the tag is missing */
    int64_t count;
    int bytes; /* of one */
} image_tag;

static int64_t image_tiff_number(const image_job *j, int64_t at, int bytes) {
    return j->in[0] == 'I' ? image_little(j, at, bytes) : image_big(j, at, bytes);
}

static image_tag image_find_tag(const image_job *j, int number) {
    int64_t directory = image_tiff_number(j, 4, 4), entries = image_tiff_number(j, directory, 2);
    image_tag t = {0, 0, 0};
    for (int64_t i = 0; i < entries; i++) {
        int64_t at = directory + 2 + 12 * i, kind = image_tiff_number(j, at + 2, 2);
        if (image_tiff_number(j, at, 2) != number || (kind != 1 && kind != 3 && kind != 4))
            continue;
        t.bytes = kind == 1 ? 1 : kind == 3 ? 2 : 4;
        t.count = image_tiff_number(j, at + 4, 4);
        t.at = t.count * t.bytes <= 4 ? at + 8 : image_tiff_number(j, at + 8, 4);
        if (t.at + t.count * t.bytes > j->size) t.count = 0;
        return t;
    }
    return t;
}

/* Value `i` of a tag; `otherwise` where it is missing. */
static int64_t image_tag_value(const image_job *j, int number, int64_t i, int64_t otherwise) {
    image_tag t = image_find_tag(j, number);
    return t.at && i < t.count ? image_tiff_number(j, t.at + i * t.bytes, t.bytes) : otherwise;
}

typedef struct {
    int64_t kind, bits, samples, compression, predicted;
    int64_t width, height, across; /* of a strip or tile, and how many stand beside each other */
    int tiled;
    image_tag offsets, sizes, palette;
} image_tiff_head;

enum { TIFF_PLAIN = 1, TIFF_LZW = 5, TIFF_DEFLATE = 8, TIFF_PACKBITS = 32773, TIFF_ZIP = 32946 };

/* Value `i` of a tag; -1 if it has no such value. */
static int64_t image_tag_entry(const image_job *j, const image_tag *t, int64_t i) {
    return t->at && i < t->count ? image_tiff_number(j, t->at + i * t->bytes, t->bytes) : -1;
}

/* ---- compression ---- */

/* Apple's PackBits: runs and literals. */
static int image_unpack(const image_job *j, int64_t at, int64_t bytes, uint8_t *to, int64_t count) {
    int64_t end = at + bytes;
    while (count > 0) {
        int n = image_byte(j, at);
        int64_t length = n < 128 ? n + 1 : 257 - n;
        if (at + 1 >= end || end > j->size) return 0;
        at++;
        if (n == 128) continue;
        if (length > count || (n < 128 && at + length > end)) return 0;
        for (int64_t i = 0; i < length; i++) *to++ = j->in[n < 128 ? at + i : at];
        at += n < 128 ? length : 1;
        count -= length;
    }
    return 1;
}

/* What an LZW code stands for: the string of another code, and a byte. */
typedef struct {
    uint16_t before[4096], length[4096];
    uint8_t last[4096], first[4096];
} image_lzw;

/* LZW as TIFF has it: codes from the highest bit on, one bit more as soon as one code is left. */
static int image_unpack_lzw(image_job *j, int64_t at, int64_t bytes, uint8_t *to, int64_t count) {
    enum { CLEAR = 256, END, FRESH };
    int64_t end = at + bytes, made = 0;
    int width = 9, next = FRESH, before = -1, have = 0;
    uint32_t bits = 0;
    image_lzw *t = image_take(j, 1, sizeof *t);
    if (!t || end > j->size) return 0;
    for (int i = 0; i < CLEAR; i++) {
        t->length[i] = 1;
        t->first[i] = t->last[i] = (uint8_t)i;
    }
    while (made < count) {
        for (; have < width && at < end; have += 8) bits = bits << 8 | j->in[at++];
        if (have < width) return 0;
        int code = (int)(bits >> (have - width) & ((1U << width) - 1));
        have -= width;
        if (code == END) return 0;
        if (code == CLEAR) {
            width = 9;
            next = FRESH;
            before = -1;
            continue;
        }
        if (before < 0 ? code >= CLEAR : code > next || next == 4096) return 0;
        if (before >= 0) {
            t->before[next] = (uint16_t)before;
            t->length[next] = (uint16_t)(t->length[before] + 1);
            t->first[next] = t->first[before];
            t->last[next] = t->first[code == next ? before : code];
            next++;
        }
        int64_t stop = made + t->length[code];
        for (int64_t i = stop, c = code; i-- > made; c = t->before[c])
            if (i < count) to[i] = t->last[c];
        made = stop;
        before = code;
        if (next == (1 << width) - 1 && width < 12) width++;
    }
    return 1;
}

/* Bytes of strip or tile `number`, `count` of them: in the file, or in the scratch behind what is
 * taken. NULL if they are damaged. */
static const uint8_t *image_tiff_data(image_job *j, const image_tiff_head *h, int64_t number,
                                      int64_t count) {
    int64_t at = image_tag_entry(j, &h->offsets, number), well = 0;
    int64_t bytes = image_tag_entry(j, &h->sizes, number);
    if (at < 0) return NULL;
    if (h->compression == TIFF_PLAIN) return at + count > j->size ? NULL : j->in + at;
    uint8_t *to = image_take(j, count, 1);
    if (!to || bytes < 0) return NULL;
    if (h->compression == TIFF_PACKBITS) well = image_unpack(j, at, bytes, to, count);
    if (h->compression == TIFF_LZW) well = image_unpack_lzw(j, at, bytes, to, count);
    if (h->compression == TIFF_DEFLATE || h->compression == TIFF_ZIP) {
        image_inflater f = {j, bytes, 0, 0, 0, to, 0, count, 0};
        j->at = at;
        well = image_inflate(&f) && f.made == count;
    }
    int64_t stride = count / h->height, step = h->samples;
    if (h->predicted)
        for (int64_t i = step; i < count; i++)
            if (i % stride >= step) to[i] = (uint8_t)(to[i] + to[i - step]);
    return well ? to : NULL;
}

/* ---- pixels ---- */

static void image_tiff_put(const image_job *j, const image_tiff_head *h, const uint8_t *row,
                           int64_t i, int64_t x, int64_t y) {
    const uint8_t *p = row + i * h->samples;
    int v = h->bits < 8 ? image_packed(row, i, (int)h->bits) : p[0], most = (1 << h->bits) - 1;
    if (h->kind == 2) {
        image_put(j, x, y, p[0], p[1], p[2]);
    } else if (h->kind == 3) { /* reds, greens, blues, of 16 bits each */
        int c[3];
        for (int k = 0; k < 3; k++)
            c[k] = (int)(image_tag_entry(j, &h->palette, k * (most + 1) + v) >> 8);
        image_put(j, x, y, c[0], c[1], c[2]);
    } else {
        v = (h->kind ? v : most - v) * 255 / most;
        image_put(j, x, y, v, v, v);
    }
}

static int image_tiff_read_head(const image_job *j, image_tiff_head *h) {
    enum { WIDTH = 256, HEIGHT, BITS, COMPRESSION, COLOURS = 262, ORDER = 266, OFFSETS = 273 };
    enum { SAMPLES = 277, ROWS, SIZES, PLANES = 284, PREDICTOR = 317, PALETTE = 320 };
    enum { TILE_WIDTH = 322, TILE_HEIGHT, TILES, TILE_SIZES };
    h->kind = image_tag_value(j, COLOURS, 0, 1);
    h->bits = image_tag_value(j, BITS, 0, 1);
    h->samples = image_tag_value(j, SAMPLES, 0, 1);
    h->compression = image_tag_value(j, COMPRESSION, 0, TIFF_PLAIN);
    h->palette = image_find_tag(j, PALETTE);
    h->tiled = image_find_tag(j, TILES).at != 0;
    h->width = h->tiled ? image_tag_value(j, TILE_WIDTH, 0, 0) : j->width;
    h->height = image_tag_value(j, h->tiled ? TILE_HEIGHT : ROWS, 0, h->tiled ? 0 : j->height);
    if (!h->tiled && h->height > j->height) h->height = j->height;
    h->offsets = image_find_tag(j, h->tiled ? TILES : OFFSETS);
    h->sizes = image_find_tag(j, h->tiled ? TILE_SIZES : SIZES);
    int64_t directory = image_tiff_number(j, 4, 4);
    if (directory + 6 + 12 * image_tiff_number(j, directory, 2) > j->size)
        return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    int64_t predictor = image_tag_value(j, PREDICTOR, 0, 1), bits = h->bits;
    h->predicted =
        predictor == 2 && h->compression != TIFF_PLAIN && h->compression != TIFF_PACKBITS;
    if (bits != 8 && ((bits != 1 && bits != 2 && bits != 4) || h->samples != 1 || h->predicted))
        return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    if (h->kind > 3 || (h->kind == 2 && (h->samples < 3 || bits != 8)) || h->samples < 1 ||
        h->samples > 8 || (h->kind == 3 && h->palette.count < 3 << bits) || predictor > 2 ||
        image_tag_value(j, PLANES, 0, 1) != 1 || image_tag_value(j, ORDER, 0, 1) != 1 ||
        (h->tiled && (h->width % 16 || h->height % 16)) || h->width < 1 || h->height < 1 ||
        h->width > 1 << 24 || h->height > 1 << 24)
        return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    h->across = (j->width + h->width - 1) / h->width;
    return image_fits(j, image_tag_value(j, WIDTH, 0, 0), image_tag_value(j, HEIGHT, 0, 0));
}

static int image_tiff(image_job *j) {
    image_tiff_head h;
    int status = image_tiff_read_head(j, &h);
    if (status) return status;
    int64_t stride = (h.width * h.samples * h.bits + 7) / 8,
            down = (j->height + h.height - 1) / h.height;
    for (int64_t n = 0; n < h.across * down; n++) {
        int64_t x = n % h.across * h.width, y = n / h.across * h.height, held = j->taken;
        image_tiff_head part = h;
        int64_t columns = j->width - x < h.width ? j->width - x : h.width;
        int64_t rows = j->height - y < h.height ? j->height - y : h.height;
        if (!h.tiled) part.height = rows; /* the last strip ends with the image */
        const uint8_t *data = image_tiff_data(j, &part, n, stride * part.height);
        if (!data) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
        for (int64_t i = 0; i < columns * rows; i++)
            image_tiff_put(j, &h, data + i / columns * stride, i % columns, x + i % columns,
                           y + i / columns);
        j->taken = held;
    }
    return ONNXCC_OK;
}

#endif
