/* pnm.h: PBM, PGM and PPM, as text and as bytes. */
#ifndef ONNXCC_RT_IMAGE_DECODER_PNM_H
#define ONNXCC_RT_IMAGE_DECODER_PNM_H

#include "common.h"

/* The next number of the text; -1 at the end. Comments run from # to the line's end. */
static int64_t image_number(image_job *j, int one_digit) {
    int64_t v = -1;
    while (j->at < j->size && (j->in[j->at] < '0' || j->in[j->at] > '9')) {
        if (j->in[j->at] == '#')
            while (j->at < j->size && j->in[j->at] != '\n') j->at++;
        else
            j->at++;
    }
    for (; j->at < j->size && j->in[j->at] >= '0' && j->in[j->at] <= '9'; j->at++) {
        v = (v < 0 ? 0 : v) * 10 + j->in[j->at] - '0';
        if (v > 1 << 24) return -1;
        if (one_digit) {
            j->at++;
            break;
        }
    }
    return v;
}

/* A sample scaled to 255, or -1. */
static int64_t image_sample(image_job *j, int text, int64_t most) {
    int64_t v;
    if (text) {
        v = image_number(j, 0);
    } else {
        int bytes = most > 255 ? 2 : 1;
        if (j->at + bytes > j->size) return -1;
        v = image_big(j, j->at, bytes);
        j->at += bytes;
    }
    return v < 0 || v > most ? -1 : (v * 255 + most / 2) / most;
}

static int image_pnm(image_job *j) {
    int kind = j->in[1] - '0', text = kind <= 3, bitmap = kind == 1 || kind == 4;
    j->at = 2;
    int64_t width = image_number(j, 0), height = image_number(j, 0);
    int64_t most = bitmap ? 1 : image_number(j, 0), start = ++j->at; /* behind one blank */
    int status = image_fits(j, width, height);
    if (most < 1 || most > 65535) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    if (status) return status;
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            int64_t c[3] = {0};
            if (bitmap) {
                int64_t byte = start + y * ((width + 7) / 8);
                if (kind == 4 && byte + x / 8 >= j->size) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
                int64_t bit = kind == 4 ? image_packed(j->in + byte, x, 1) : image_number(j, 1);
                if (bit < 0 || bit > 1) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
                c[0] = bit ? 0 : 255;
            }
            for (int i = 0; i < (kind % 3 ? 1 : 3) && !bitmap; i++) {
                c[i] = image_sample(j, text, most);
                if (c[i] < 0) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
            }
            if (kind % 3) c[1] = c[2] = c[0];
            image_put(j, x, y, (int)c[0], (int)c[1], (int)c[2]);
        }
    return ONNXCC_OK;
}

#endif
