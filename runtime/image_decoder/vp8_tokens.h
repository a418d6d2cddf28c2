/* vp8_tokens.h: what the bits of a VP8 key frame say (RFC 6386, sections 7 to 13 and 19): its
 * header, the modes of its macroblocks and their coefficients. Prediction and filters are others'.
 * A reader that is behind its partition's end reads zeros and counts them. */
#ifndef ONNXCC_RT_IMAGE_DECODER_VP8_TOKENS_H
#define ONNXCC_RT_IMAGE_DECODER_VP8_TOKENS_H

#include "vp8_tables.h"

/* Modes of prediction; those of macroblocks are the first four, or one for each block. */
enum { VP8_DC, VP8_TM, VP8_VE, VP8_HE, VP8_RD, VP8_VR, VP8_LD, VP8_VL, VP8_HD, VP8_HU, VP8_EACH };

enum { VP8_PARTITIONS = 8, VP8_SEGMENTS = 4, VP8_MOST_OVER = 8 };

/* Steps of quantisation of a segment: of luma, of its first coefficients' transform, of chroma,
 * each for the first coefficient and for the others. */
typedef struct {
    int luma[2], second[2], chroma[2];
} image_vp8_steps;

typedef struct {
    const image_job *j;
    int64_t at, end, over;
    uint64_t value;
    uint32_t range;
    int have; /* bits of `value` below the eight that are compared */
} image_vp8_reader;

/* What blocks know of those above them or to their left: modes of luma blocks, and whether
 * blocks had coefficients: 4 of luma, 2 of each chroma, the second transform. */
typedef struct {
    uint8_t modes[4], filled[9];
} image_vp8_beside;

/* What the filter needs to know of a macroblock. */
typedef struct {
    uint8_t segment, each, inner;
} image_vp8_info;

/* A macroblock while it is decoded. */
typedef struct {
    int segment, skipped, mode, chroma_mode;
    uint8_t modes[16];
    int16_t coefficients[25][16]; /* 16 of luma, 4 and 4 of chroma, the second transform */
} image_vp8_macro;

typedef struct {
    image_job *j;
    image_vp8_reader head, parts[VP8_PARTITIONS];
    int part_count;
    int64_t columns, rows; /* of macroblocks */
    int segmented, mapped, absolute, segment_step[VP8_SEGMENTS], segment_level[VP8_SEGMENTS];
    int map_chances[3];
    int simple, level, sharpness, shifted, intra_shift, each_shift; /* of the filter */
    int skips, skip_chance;
    image_vp8_steps steps[VP8_SEGMENTS];
    uint8_t chances[sizeof image_vp8_token_chances];
    image_vp8_beside left, *above;
    image_vp8_info *infos;
    uint8_t *planes[3];
    int64_t strides[3];
    image_vp8_macro macro;
} image_vp8;

/* ---- the boolean decoder (section 7) ---- */

static image_vp8_reader image_vp8_open(const image_job *j, int64_t at, int64_t end) {
    image_vp8_reader r = {j, at, end, 0, 0, 255, -8};
    return r;
}

static int image_vp8_bool(image_vp8_reader *r, int chance) {
    uint32_t split = 1 + (((r->range - 1) * (uint32_t)chance) >> 8);
    int one;
    while (r->have < 0) {
        r->value = r->value << 8;
        if (r->at < r->end)
            r->value |= r->j->in[r->at++];
        else
            r->over++;
        r->have += 8;
    }
    one = r->value >> r->have >= split;
    if (one) {
        r->value -= (uint64_t)split << r->have;
        r->range -= split;
    } else {
        r->range = split;
    }
    while (r->range < 128) {
        r->range <<= 1;
        r->have--;
    }
    return one;
}

static int image_vp8_number(image_vp8_reader *r, int bits) {
    int v = 0;
    while (bits-- > 0) v = v << 1 | image_vp8_bool(r, 128);
    return v;
}

/* A number with its sign behind it, if a flag says that there is one. */
static int image_vp8_optional(image_vp8_reader *r, int bits) {
    if (!image_vp8_bool(r, 128)) return 0;
    int v = image_vp8_number(r, bits);
    return image_vp8_bool(r, 128) ? -v : v;
}

/* ---- the frame's header (9.2 to 9.11, 19.2) ---- */

static void image_vp8_read_segments(image_vp8 *p) {
    image_vp8_reader *r = &p->head;
    p->segmented = image_vp8_bool(r, 128);
    for (int i = 0; i < 3; i++) p->map_chances[i] = 255;
    if (!p->segmented) return;
    p->mapped = image_vp8_bool(r, 128);
    if (image_vp8_bool(r, 128)) {
        p->absolute = image_vp8_bool(r, 128);
        for (int i = 0; i < VP8_SEGMENTS; i++) p->segment_step[i] = image_vp8_optional(r, 7);
        for (int i = 0; i < VP8_SEGMENTS; i++) p->segment_level[i] = image_vp8_optional(r, 6);
    }
    for (int i = 0; i < 3 && p->mapped; i++)
        if (image_vp8_bool(r, 128)) p->map_chances[i] = image_vp8_number(r, 8);
}

static void image_vp8_read_filter(image_vp8 *p) {
    image_vp8_reader *r = &p->head;
    int shifts[8] = {0}; /* by reference frame, then by mode: the first of each are ours */
    p->simple = image_vp8_bool(r, 128);
    p->level = image_vp8_number(r, 6);
    p->sharpness = image_vp8_number(r, 3);
    p->shifted = image_vp8_bool(r, 128);
    if (p->shifted && image_vp8_bool(r, 128))
        for (int i = 0; i < 8; i++) shifts[i] = image_vp8_optional(r, 6);
    p->intra_shift = shifts[0];
    p->each_shift = shifts[4];
}

static int image_vp8_index(int v, int most) {
    return v < 0 ? 0 : v > most ? most : v;
}

static void image_vp8_read_steps(image_vp8 *p) {
    image_vp8_reader *r = &p->head;
    int base = image_vp8_number(r, 7), shifts[5];
    for (int i = 0; i < 5; i++) shifts[i] = image_vp8_optional(r, 4);
    for (int i = 0; i < VP8_SEGMENTS; i++) {
        image_vp8_steps *s = &p->steps[i];
        int q = p->segmented ? p->segment_step[i] + (p->absolute ? 0 : base) : base;
        s->luma[0] = image_vp8_dc_steps[image_vp8_index(q + shifts[0], 127)];
        s->luma[1] = image_vp8_ac_steps[image_vp8_index(q, 127)];
        s->second[0] = image_vp8_dc_steps[image_vp8_index(q + shifts[1], 127)] * 2;
        s->second[1] = image_vp8_ac_steps[image_vp8_index(q + shifts[2], 127)] * 155 / 100;
        if (s->second[1] < 8) s->second[1] = 8;
        s->chroma[0] = image_vp8_dc_steps[image_vp8_index(q + shifts[3], 117)]; /* 132 at most */
        s->chroma[1] = image_vp8_ac_steps[image_vp8_index(q + shifts[4], 127)];
    }
}

/* The frame in bytes [at, end); its size must be the job's. */
static int image_vp8_read_header(image_vp8 *p, int64_t at, int64_t end) {
    image_job *j = p->j;
    int64_t tag = image_little(j, at, 3), first = at + 10 + (tag >> 5);
    if (end - at < 10 || tag & 1 || (tag >> 1 & 7) > 3 || image_big(j, at + 3, 3) != 0x9D012A ||
        first > end)
        return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    int status =
        image_fits(j, image_little(j, at + 6, 2) & 0x3FFF, image_little(j, at + 8, 2) & 0x3FFF);
    if (status) return status;
    p->columns = (j->width + 15) / 16;
    p->rows = (j->height + 15) / 16;
    p->head = image_vp8_open(j, at + 10, first);
    image_vp8_number(&p->head, 2); /* colour space and clamping: of no meaning here */
    image_vp8_read_segments(p);
    image_vp8_read_filter(p);
    p->part_count = 1 << image_vp8_number(&p->head, 2);
    int64_t data = first + 3 * (p->part_count - 1);
    for (int i = 0; i < p->part_count; i++) {
        int64_t size = i < p->part_count - 1 ? image_little(j, first + 3 * i, 3) : end - data;
        if (size < 0 || size > end - data) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
        p->parts[i] = image_vp8_open(j, data, data + size);
        data += size;
    }
    image_vp8_read_steps(p);
    image_vp8_bool(&p->head, 128); /* whether chances are kept for the next frame */
    for (size_t i = 0; i < sizeof p->chances; i++) {
        int changes = image_vp8_bool(&p->head, image_vp8_token_updates[i]);
        p->chances[i] =
            changes ? (uint8_t)image_vp8_number(&p->head, 8) : image_vp8_token_chances[i];
    }
    p->skips = image_vp8_bool(&p->head, 128);
    if (p->skips) p->skip_chance = image_vp8_number(&p->head, 8);
    return ONNXCC_OK;
}

/* ---- modes (section 11) ---- */

/* A leaf of a tree: inner nodes are even positions, leaves are negative. */
static int image_vp8_leaf(image_vp8_reader *r, const int8_t *tree, const uint8_t *chances) {
    int i = 0;
    do i = tree[i + image_vp8_bool(r, chances[i >> 1])];
    while (i > 0);
    return -i;
}

static void image_vp8_read_modes(image_vp8 *p, image_vp8_beside *above) {
    static const int8_t each[] = {-VP8_DC, 2,  -VP8_TM, 4,  -VP8_VE, 6,
                                  8,       12, -VP8_HE, 10, -VP8_RD, -VP8_VR,
                                  -VP8_LD, 14, -VP8_VL, 16, -VP8_HD, -VP8_HU};
    static const int8_t luma[] = {-VP8_EACH, 2, 4, 6, -VP8_DC, -VP8_VE, -VP8_HE, -VP8_TM};
    static const int8_t chroma[] = {-VP8_DC, 2, -VP8_VE, 4, -VP8_HE, -VP8_TM};
    static const uint8_t luma_chances[] = {145, 156, 163, 128}, chroma_chances[] = {142, 114, 183};
    image_vp8_reader *r = &p->head;
    image_vp8_macro *m = &p->macro;
    m->segment = 0;
    if (p->mapped) {
        int upper = image_vp8_bool(r, p->map_chances[0]);
        m->segment = 2 * upper + image_vp8_bool(r, p->map_chances[1 + upper]);
    }
    m->skipped = p->skips ? image_vp8_bool(r, p->skip_chance) : 0;
    m->mode = image_vp8_leaf(r, luma, luma_chances);
    for (int i = 0; i < 16; i++) {
        uint8_t *up = &above->modes[i % 4], *side = &p->left.modes[i / 4];
        const uint8_t *chances = image_vp8_mode_chances + (10 * *up + *side) * 9;
        m->modes[i] = (uint8_t)(m->mode == VP8_EACH ? image_vp8_leaf(r, each, chances) : m->mode);
        *up = *side = m->modes[i];
    }
    m->chroma_mode = image_vp8_leaf(r, chroma, chroma_chances);
}

/* ---- coefficients (section 13) ---- */

static int image_vp8_large(image_vp8_reader *r, const uint8_t *p) {
    static const uint8_t extra[6][12] = {
        {159},
        {165, 145},
        {173, 148, 140},
        {176, 155, 140, 135},
        {180, 157, 141, 134, 130},
        {254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129},
    };
    static const uint8_t base[] = {5, 7, 11, 19, 35, 67};
    int kind, v = 0;
    if (!image_vp8_bool(r, p[3])) {
        if (!image_vp8_bool(r, p[4])) return 2;
        return 3 + image_vp8_bool(r, p[5]);
    }
    if (!image_vp8_bool(r, p[6])) {
        kind = image_vp8_bool(r, p[7]);
    } else {
        kind = 2 + 2 * image_vp8_bool(r, p[8]);
        kind += image_vp8_bool(r, p[9 + kind / 4]);
    }
    for (const uint8_t *e = extra[kind]; *e; e++) v = v << 1 | image_vp8_bool(r, *e);
    return base[kind] + v;
}

/* The coefficients of a block from `first` on, dequantised; the position behind the last one. */
static int image_vp8_read_block(const image_vp8 *p, image_vp8_reader *r, int plane, int context,
                                int first, const int *steps, int16_t *out) {
    static const uint8_t bands[] = {0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7};
    static const uint8_t places[] = {0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15};
    for (int i = first; i < 16;) {
        const uint8_t *c = p->chances + ((plane * 8 + bands[i]) * 3 + context) * 11;
        if (!image_vp8_bool(r, c[0])) return i;
        while (!image_vp8_bool(r, c[1])) { /* zeros, which the last one is not */
            if (++i == 16) return 16;
            c = p->chances + (plane * 8 + bands[i]) * 33;
        }
        int v = image_vp8_bool(r, c[2]) ? image_vp8_large(r, c) : 1;
        context = v > 1 ? 2 : 1;
        v *= steps[i > 0];
        out[places[i++]] = (int16_t)(image_vp8_bool(r, 128) ? -v : v);
    }
    return 16;
}

/* Blocks `from` on of one plane, `wide` a row; 1 if any of them is not empty. A luma block whose
 * first coefficient came from the second transform has the others only (`first` is 1). */
static int image_vp8_read_plane(image_vp8 *p, image_vp8_reader *r, image_vp8_beside *above,
                                int from, int wide, int beside, int plane, int first,
                                const int *steps) {
    int filled = 0;
    for (int i = 0; i < wide * wide; i++) {
        uint8_t *up = &above->filled[beside + i % wide];
        uint8_t *side = &p->left.filled[beside + i / wide];
        int16_t *out = p->macro.coefficients[from + i];
        int end = image_vp8_read_block(p, r, plane, *up + *side, first, steps, out);
        *up = *side = end > first;
        filled |= end > 1 || out[0];
    }
    return filled;
}

/* The inverse of the second transform (14.3): the first coefficients of the luma blocks. */
static void image_vp8_spread(image_vp8_macro *m) {
    const int16_t *in = m->coefficients[24];
    int half[16];
    for (int i = 0; i < 4; i++) {
        int a = in[i] + in[12 + i], b = in[4 + i] + in[8 + i];
        int c = in[4 + i] - in[8 + i], d = in[i] - in[12 + i];
        half[i] = a + b;
        half[4 + i] = c + d;
        half[8 + i] = a - b;
        half[12 + i] = d - c;
    }
    for (int i = 0; i < 4; i++) {
        const int *h = half + 4 * i;
        int a = h[0] + h[3], b = h[1] + h[2], c = h[1] - h[2], d = h[0] - h[3];
        m->coefficients[4 * i][0] = (int16_t)((a + b + 3) >> 3);
        m->coefficients[4 * i + 1][0] = (int16_t)((c + d + 3) >> 3);
        m->coefficients[4 * i + 2][0] = (int16_t)((a - b + 3) >> 3);
        m->coefficients[4 * i + 3][0] = (int16_t)((d - c + 3) >> 3);
    }
}

/* All coefficients of the macroblock; 1 if there are any. */
static int image_vp8_read_tokens(image_vp8 *p, image_vp8_reader *r, image_vp8_beside *above) {
    image_vp8_macro *m = &p->macro;
    const image_vp8_steps *s = &p->steps[m->segment];
    int second = m->mode != VP8_EACH, filled;
    memset(m->coefficients, 0, sizeof m->coefficients);
    if (m->skipped) { /* blocks without the second transform say nothing of it */
        memset(above->filled, 0, second ? 9 : 8);
        memset(p->left.filled, 0, second ? 9 : 8);
        return 0;
    }
    if (second) {
        int context = above->filled[8] + p->left.filled[8];
        int end = image_vp8_read_block(p, r, 1, context, 0, s->second, m->coefficients[24]);
        above->filled[8] = p->left.filled[8] = end > 0;
        image_vp8_spread(m);
    }
    filled = image_vp8_read_plane(p, r, above, 0, 4, 0, second ? 0 : 3, second, s->luma);
    filled |= image_vp8_read_plane(p, r, above, 16, 2, 4, 2, 0, s->chroma);
    return filled | image_vp8_read_plane(p, r, above, 20, 2, 6, 2, 0, s->chroma);
}

#endif
