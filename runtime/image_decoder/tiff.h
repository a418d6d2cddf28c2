/* tiff.h: TIFF of 8 bits in strips, uncompressed or PackBits. */
#ifndef ONNXCC_RT_IMAGE_DECODER_TIFF_H
#define ONNXCC_RT_IMAGE_DECODER_TIFF_H

#include "common.h"

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
        return t;
    }
    return t;
}

/* Value `i` of a tag; `otherwise` where it is missing. */
static int64_t image_tag_value(const image_job *j, int number, int64_t i, int64_t otherwise) {
    image_tag t = image_find_tag(j, number);
    return t.at && i < t.count ? image_tiff_number(j, t.at + i * t.bytes, t.bytes) : otherwise;
}

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

static int image_tiff(image_job *j) {
    enum { WIDTH = 256, HEIGHT, BITS, COMPRESSION, COLOURS = 262, OFFSETS = 273, SAMPLES = 277 };
    enum { STRIP_ROWS = 278, STRIP_BYTES, PLANES = 284 };
    int64_t samples = image_tag_value(j, SAMPLES, 0, 1), kind = image_tag_value(j, COLOURS, 0, 1);
    int64_t rows = image_tag_value(j, STRIP_ROWS, 0, j->height);
    int64_t compression = image_tag_value(j, COMPRESSION, 0, 1), stride = j->width * samples;
    int status = image_fits(j, image_tag_value(j, WIDTH, 0, 0), image_tag_value(j, HEIGHT, 0, 0));
    if (image_tag_value(j, BITS, 0, 1) != 8 || image_tag_value(j, PLANES, 0, 1) != 1 ||
        (kind == 2 ? samples < 3 : kind > 1) || samples < 1 || samples > 8 || rows < 1 ||
        (compression != 1 && compression != 32773))
        return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    if (status) return status;
    if (rows > j->height) rows = j->height;
    for (int64_t y = 0; y < j->height; y++) {
        int64_t strip = y / rows, first = image_tag_value(j, OFFSETS, strip, j->size);
        const uint8_t *row = j->scratch;
        int64_t held = y - y % rows + rows > j->height ? j->height - (y - y % rows) : rows;
        if (compression == 1) {
            if (first + held * stride > j->size) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
            row = j->in + first + y % rows * stride;
        } else {
            int64_t bytes = image_tag_value(j, STRIP_BYTES, strip, 0);
            if (held * stride > j->scratch_bytes ||
                (y % rows == 0 && !image_unpack(j, first, bytes, j->scratch, held * stride)))
                return ONNXCC_ERROR_UNSUPPORTED_VALUE;
            row = j->scratch + y % rows * stride;
        }
        for (int64_t x = 0; x < j->width; x++) {
            const uint8_t *p = row + x * samples;
            int gray = kind ? p[0] : 255 - p[0];
            if (kind == 2)
                image_put(j, x, y, p[0], p[1], p[2]);
            else
                image_put(j, x, y, gray, gray, gray);
        }
    }
    return ONNXCC_OK;
}

#endif
