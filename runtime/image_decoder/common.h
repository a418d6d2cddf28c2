/* common.h: what all formats share: the job, bounded reads of the file, the scratch, and how a
 * pixel becomes output. A file is hostile data: whoever reads it goes through image_byte or checks
 * against `size` before. */
#ifndef ONNXCC_RT_IMAGE_DECODER_COMMON_H
#define ONNXCC_RT_IMAGE_DECODER_COMMON_H

#include "../onnxcc_runtime.h"

#include <string.h>

enum { IMAGE_RGB, IMAGE_BGR, IMAGE_GRAY };

typedef struct {
    const uint8_t *in;
    int64_t size, at; /* of the file; position of sequential readers */
    uint8_t *out;
    int64_t width, height;
    int format;
    uint8_t *scratch;
    int64_t scratch_bytes, taken; /* of the scratch: all, and what image_take gave away */
} image_job;

/* ---- bytes and pixels ---- */

/* A byte of the file, 0 behind its end. */
static int image_byte(const image_job *j, int64_t at) {
    return at >= 0 && at < j->size ? j->in[at] : 0;
}

static int64_t image_little(const image_job *j, int64_t at, int bytes) {
    int64_t v = 0;
    for (int i = bytes; i-- > 0;) v = v << 8 | image_byte(j, at + i);
    return v;
}

static int64_t image_big(const image_job *j, int64_t at, int bytes) {
    int64_t v = 0;
    for (int i = 0; i < bytes; i++) v = v << 8 | image_byte(j, at + i);
    return v;
}

static void image_put(const image_job *j, int64_t x, int64_t y, int r, int g, int b) {
    int64_t at = y * j->width + x;
    if (j->format == IMAGE_GRAY) { /* ITU-R 601 */
        j->out[at] = (uint8_t)((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16);
        return;
    }
    j->out[3 * at] = (uint8_t)(j->format == IMAGE_RGB ? r : b);
    j->out[3 * at + 1] = (uint8_t)g;
    j->out[3 * at + 2] = (uint8_t)(j->format == IMAGE_RGB ? b : r);
}

static int image_clamp(int v) {
    return v < 0 ? 0 : v > 255 ? 255 : v;
}

/* Luminance and the differences of blue and red, as JFIF has them. */
static void image_put_ycc(const image_job *j, int64_t x, int64_t y, int light, int blue, int red) {
    blue -= 128;
    red -= 128; /* 16 bits behind the point */
    int r = light + ((91881 * red + 32768) >> 16);
    int g = light + ((-22554 * blue - 46802 * red + 32768) >> 16);
    int b = light + ((116130 * blue + 32768) >> 16);
    image_put(j, x, y, image_clamp(r), image_clamp(g), image_clamp(b));
}

/* Zeroed memory of the scratch; NULL if there is not enough. Who sets `taken` back gives it back.
 */
static void *image_take(image_job *j, int64_t count, int64_t size) {
    int64_t start = (j->taken + 15) / 16 * 16;
    if (count < 0 || start > j->scratch_bytes || count > (j->scratch_bytes - start) / size)
        return NULL;
    j->taken = start + count * size;
    return memset(j->scratch + start, 0, (size_t)(count * size));
}

static int image_fits(const image_job *j, int64_t width, int64_t height) {
    return width == j->width && height == j->height ? ONNXCC_OK : ONNXCC_ERROR_BAD_SHAPE;
}

/* Sample `i` of a row of samples of 1, 2, 4 or 8 bits. */
static int image_packed(const uint8_t *row, int64_t i, int bits) {
    int shift = 8 - bits - (int)(i * bits % 8);
    return row[i * bits / 8] >> shift & ((1 << bits) - 1);
}

#endif
