/* vp8_filter.h: the loop filters of VP8 (RFC 6386, section 15), over a whole frame when all its
 * macroblocks stand, as prediction uses samples that are not filtered. */
#ifndef ONNXCC_RT_IMAGE_DECODER_VP8_FILTER_H
#define ONNXCC_RT_IMAGE_DECODER_VP8_FILTER_H

#include "vp8_tokens.h"

/* How edges of a macroblock are filtered: between macroblocks `edge` decides, within them
 * `inner_edge`. */
typedef struct {
    int edge, inner_edge, interior, variance;
} image_vp8_limits;

static int image_vp8_distance(int a, int b) {
    return a < b ? b - a : a - b;
}

static int image_vp8_byte(int v) {
    return v < -128 ? -128 : v > 127 ? 127 : v;
}

/* A sample less 128, moved by v and back. */
static uint8_t image_vp8_moved(int sample, int v) {
    return (uint8_t)(image_vp8_byte(sample - 128 + v) + 128);
}

static image_vp8_limits image_vp8_limits_of(const image_vp8 *p, const image_vp8_info *m) {
    image_vp8_limits l = {0, 0, 0, 0};
    int level = p->level;
    if (p->segmented) level = p->segment_level[m->segment] + (p->absolute ? 0 : p->level);
    if (p->shifted) level += p->intra_shift + (m->each ? p->each_shift : 0);
    level = image_vp8_index(level, 63);
    if (!level) return l;
    l.interior = level;
    if (p->sharpness) {
        l.interior >>= p->sharpness > 4 ? 2 : 1;
        if (l.interior > 9 - p->sharpness) l.interior = 9 - p->sharpness;
    }
    if (l.interior < 1) l.interior = 1;
    l.inner_edge = 2 * level + l.interior;
    l.edge = l.inner_edge + 4;
    l.variance = level >= 40 ? 2 : level >= 15 ? 1 : 0;
    return l;
}

/* Moves the two samples at an edge; how far. `outer`: those beside them have a say. */
static int image_vp8_adjust(uint8_t *s, int64_t step, int outer) {
    int difference = outer ? image_vp8_byte(s[-2 * step] - s[step]) : 0;
    int v = image_vp8_byte(difference + 3 * (s[0] - s[-step]));
    int after = image_vp8_byte(v + 4) >> 3, before = image_vp8_byte(v + 3) >> 3;
    s[0] = image_vp8_moved(s[0], -after);
    s[-step] = image_vp8_moved(s[-step], before);
    return after;
}

static int image_vp8_is_flat(const uint8_t *s, int64_t step, int edge) {
    return 4 * image_vp8_distance(s[-step], s[0]) + image_vp8_distance(s[-2 * step], s[step]) <=
           2 * edge + 1;
}

/* Whether the normal filter applies: no step between neighbours is larger than the limit. */
static int image_vp8_is_smooth(const uint8_t *s, int64_t step, int edge, int interior) {
    if (!image_vp8_is_flat(s, step, edge)) return 0;
    for (int i = 1; i < 4; i++)
        if (image_vp8_distance(s[(-i - 1) * step], s[-i * step]) > interior ||
            image_vp8_distance(s[i * step], s[(i - 1) * step]) > interior)
            return 0;
    return 1;
}

static int image_vp8_varies(const uint8_t *s, int64_t step, int variance) {
    return image_vp8_distance(s[-2 * step], s[-step]) > variance ||
           image_vp8_distance(s[step], s[0]) > variance;
}

/* An edge between macroblocks, across which `step` leads. */
static void image_vp8_filter_outer(uint8_t *s, int64_t step, const image_vp8_limits *l) {
    if (!image_vp8_is_smooth(s, step, l->edge, l->interior)) return;
    if (image_vp8_varies(s, step, l->variance)) {
        image_vp8_adjust(s, step, 1);
        return;
    }
    int w = image_vp8_byte(image_vp8_byte(s[-2 * step] - s[step]) + 3 * (s[0] - s[-step]));
    for (int i = 0; i < 3; i++) {
        int v = ((27 - 9 * i) * w + 63) >> 7;
        s[i * step] = image_vp8_moved(s[i * step], -v);
        s[(-i - 1) * step] = image_vp8_moved(s[(-i - 1) * step], v);
    }
}

/* An edge between blocks of a macroblock. */
static void image_vp8_filter_inner(uint8_t *s, int64_t step, const image_vp8_limits *l) {
    if (!image_vp8_is_smooth(s, step, l->inner_edge, l->interior)) return;
    int varies = image_vp8_varies(s, step, l->variance);
    int v = (image_vp8_adjust(s, step, varies) + 1) >> 1;
    if (varies) return;
    s[step] = image_vp8_moved(s[step], -v);
    s[-2 * step] = image_vp8_moved(s[-2 * step], v);
}

/* `count` samples along an edge. */
static void image_vp8_filter_edge(uint8_t *s, int64_t along, int64_t across, int count, int simple,
                                  int inner, const image_vp8_limits *l) {
    for (int i = 0; i < count; i++, s += along) {
        if (simple) {
            if (image_vp8_is_flat(s, across, inner ? l->inner_edge : l->edge))
                image_vp8_adjust(s, across, 1);
        } else if (inner) {
            image_vp8_filter_inner(s, across, l);
        } else {
            image_vp8_filter_outer(s, across, l);
        }
    }
}

/* The edges of a macroblock in one plane: upright ones, then level ones, the border first. */
static void image_vp8_filter_plane(const image_vp8 *p, int plane, int64_t column, int64_t row,
                                   int inner, const image_vp8_limits *l) {
    int size = plane ? 8 : 16;
    int64_t stride = p->strides[plane];
    uint8_t *at = p->planes[plane] + row * size * stride + column * size;
    for (int i = column ? 0 : 4; i < (inner ? size : 4); i += 4)
        image_vp8_filter_edge(at + i, stride, 1, size, p->simple, i > 0, l);
    for (int i = row ? 0 : 4; i < (inner ? size : 4); i += 4)
        image_vp8_filter_edge(at + i * stride, 1, stride, size, p->simple, i > 0, l);
}

static void image_vp8_filter(const image_vp8 *p) {
    for (int64_t i = 0; i < p->columns * p->rows && p->level; i++) {
        const image_vp8_info *m = &p->infos[i];
        image_vp8_limits l = image_vp8_limits_of(p, m);
        for (int plane = 0; plane < (p->simple ? 1 : 3) && l.edge; plane++)
            image_vp8_filter_plane(p, plane, i % p->columns, i / p->columns, m->inner || m->each,
                                   &l);
    }
}

#endif
