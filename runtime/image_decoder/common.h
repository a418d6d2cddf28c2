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
    int64_t scratch_bytes;
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

static int image_fits(const image_job *j, int64_t width, int64_t height) {
    return width == j->width && height == j->height ? ONNXCC_OK : ONNXCC_ERROR_BAD_SHAPE;
}

/* Sample `i` of a row of samples of 1, 2, 4 or 8 bits. */
static int image_packed(const uint8_t *row, int64_t i, int bits) {
    int shift = 8 - bits - (int)(i * bits % 8);
    return row[i * bits / 8] >> shift & ((1 << bits) - 1);
}

#endif
