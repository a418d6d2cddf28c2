/* bmp.h: BMP, uncompressed, of 1 to 32 bits. */
#ifndef ONNXCC_RT_IMAGE_DECODER_BMP_H
#define ONNXCC_RT_IMAGE_DECODER_BMP_H

#include "common.h"

static int image_bmp(image_job *j) {
    int64_t header = image_little(j, 14, 4), data = image_little(j, 10, 4);
    int64_t height = (int32_t)image_little(j, 22, 4), bits = image_little(j, 28, 2);
    int64_t compression = image_little(j, 30, 4), colours = image_little(j, 46, 4);
    int64_t stride = (j->width * bits + 31) / 32 * 4, palette = 14 + header;
    int flipped = height > 0;
    int status = image_fits(j, image_little(j, 18, 4), flipped ? height : -height);
    if (header < 40 || header > 4096 || (compression && !(compression == 3 && bits == 32)))
        return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    if (bits != 1 && bits != 4 && bits != 8 && bits != 24 && bits != 32)
        return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    if (status) return status;
    if (data + stride * j->height > j->size) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    if (bits <= 8 && (!colours || colours > 1 << bits)) colours = 1 << bits;
    for (int64_t y = 0; y < j->height; y++) {
        int64_t row = data + (flipped ? j->height - 1 - y : y) * stride;
        for (int64_t x = 0; x < j->width; x++) {
            int64_t at = row + x * (bits / 8);
            if (bits <= 8) {
                int entry = image_packed(j->in + row, x, (int)bits);
                if (entry >= colours) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
                at = palette + 4 * entry;
            }
            image_put(j, x, y, image_byte(j, at + 2), image_byte(j, at + 1), image_byte(j, at));
        }
    }
    return ONNXCC_OK;
}

#endif
