/* webp.h: the container of WebP: chunks in a RIFF file. Alpha and metadata are read over, of an
 * animation the first frame counts. */
#ifndef ONNXCC_RT_IMAGE_DECODER_WEBP_H
#define ONNXCC_RT_IMAGE_DECODER_WEBP_H

#include "vp8.h"
#include "vp8l_frame.h"

enum { WEBP_VP8 = 0x56503820, WEBP_VP8L = 0x5650384C, WEBP_FRAME = 0x414E4D46 };

static int image_webp(image_job *j) {
    int64_t all = image_little(j, 4, 4) + 8;
    if (all > j->size || image_big(j, 8, 4) != 0x57454250) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    for (int64_t at = 12; at + 8 <= all;) {
        int64_t kind = image_big(j, at, 4), start = at + 8,
                end = start + image_little(j, at + 4, 4);
        if (end > all) break;
        if (kind == WEBP_VP8) return image_vp8_frame(j, start, end);
        if (kind == WEBP_VP8L) return image_vp8l_frame(j, start, end);
        at = kind == WEBP_FRAME ? start + 16 : end + (end - start) % 2;
    }
    return ONNXCC_ERROR_UNSUPPORTED_VALUE;
}

#endif
