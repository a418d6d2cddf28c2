/* jp2.h: JPEG 2000 (ITU-T T.800): the boxes of a JP2 file (annex I), the markers of a codestream
 * (annex A), and pixels from the components of its tiles (annex G). The first component is gray, or
 * the first three are colours; others (alpha) are read over. Depths other than 8 bits are shifted
 * to it. Packed packet headers (PPM, PPT) and high-throughput blocks are refused. */
#ifndef ONNXCC_RT_IMAGE_DECODER_JP2_H
#define ONNXCC_RT_IMAGE_DECODER_JP2_H

#include "jp2_decode.h"

enum { JP2_SOT = 0xFF90, JP2_SOD = 0xFF93, JP2_ENUMERATED_YCC = 18 };

typedef struct {
    image_job *j;
    int64_t x0, y0, x1, y1;                 /* of the image, on the grid */
    int64_t tile_x, tile_y, tile_w, tile_h; /* the first tile's corner, and the size of each */
    int64_t columns, rows;                  /* of tiles */
    int count, colours;                     /* components, and those that are used */
    int depth[JP2_COMPONENTS], dx[JP2_COMPONENTS], dy[JP2_COMPONENTS];
    int ycc, mixed;  /* mixed: the tile's first three components were transformed (annex G) */
    int64_t palette; /* of three columns of bytes; 0: none */
    int entries;
    image_jp2_coding codings[JP2_COMPONENTS];
    image_jp2_tile tile;
} image_jp2;

/* ---- markers ---- */

/* SIZ. */
static int image_jp2_read_size(image_jp2 *p, int64_t at, int64_t end) {
    image_job *j = p->j;
    int64_t v[8];
    for (int i = 0; i < 8; i++) v[i] = image_big(j, at + 2 + 4 * i, 4);
    p->x1 = v[0], p->y1 = v[1], p->x0 = v[2], p->y0 = v[3];
    p->tile_w = v[4], p->tile_h = v[5], p->tile_x = v[6], p->tile_y = v[7];
    p->count = (int)image_big(j, at + 34, 2);
    if (p->count < 1 || p->count > JP2_COMPONENTS || at + 36 + 3 * p->count > end ||
        p->x1 > INT32_MAX || p->y1 > INT32_MAX || p->x0 >= p->x1 || p->y0 >= p->y1 || !p->tile_w ||
        !p->tile_h || p->tile_x > p->x0 || p->tile_y > p->y0 || p->tile_x + p->tile_w <= p->x0 ||
        p->tile_y + p->tile_h <= p->y0)
        return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    for (int i = 0; i < p->count; i++) {
        p->depth[i] = (image_byte(j, at + 36 + 3 * i) & 127) + 1;
        p->dx[i] = image_byte(j, at + 37 + 3 * i);
        p->dy[i] = image_byte(j, at + 38 + 3 * i);
        if (p->depth[i] > 24 || p->dx[i] < 1 || p->dx[i] > 4 || p->dy[i] < 1 || p->dy[i] > 4)
            return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    }
    p->colours = p->count < 3 ? 1 : 3;
    p->columns = (p->x1 - p->tile_x + p->tile_w - 1) / p->tile_w;
    p->rows = (p->y1 - p->tile_y + p->tile_h - 1) / p->tile_h;
    if (p->columns * p->rows > 65535) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    return image_fits(j, p->x1 - p->x0, p->y1 - p->y0);
}

/* SPcod and SPcoc: how blocks and levels are coded. */
static int image_jp2_read_style(image_job *j, image_jp2_coding *c, int64_t at, int64_t end,
                                int own_precincts) {
    c->levels = image_byte(j, at);
    c->across = (image_byte(j, at + 1) & 15) + 2;
    c->down = (image_byte(j, at + 2) & 15) + 2;
    c->style = image_byte(j, at + 3);
    c->reversible = image_byte(j, at + 4) == 1;
    if (c->levels >= JP2_LEVELS || c->across > 10 || c->down > 10 || c->across + c->down > 12 ||
        c->style > 63 || image_byte(j, at + 4) > 1 ||
        at + 5 + (own_precincts ? c->levels + 1 : 0) > end)
        return 0;
    for (int r = 0; r <= c->levels; r++)
        c->precincts[r] = (uint8_t)(own_precincts ? image_byte(j, at + 5 + r) : 0xFF);
    return 1;
}

/* SPqcd and SPqcc. */
static int image_jp2_read_steps(image_job *j, image_jp2_coding *c, int64_t at, int64_t end) {
    int head = image_byte(j, at++), bytes = head & 31 ? 2 : 1;
    c->step_style = head & 31;
    c->guard = head >> 5;
    c->step_count = 0;
    if (c->step_style > 2) return 0;
    for (; at + bytes <= end && c->step_count < JP2_BANDS; at += bytes) {
        int64_t v = image_big(j, at, bytes);
        c->steps[c->step_count++] = (uint16_t)(bytes == 1 ? v >> 3 << 11 : v);
    }
    return c->step_count > 0;
}

/* POC: changes of the order of packets, behind those that are known. */
static int image_jp2_read_changes(image_jp2 *p, int64_t at, int64_t end) {
    image_jp2_tile *t = &p->tile;
    for (; at + 7 <= end; at += 7) {
        image_jp2_change *c = &t->changes[t->change_count];
        if (t->change_count++ == JP2_CHANGES) return 0;
        c->first_level = image_byte(p->j, at);
        c->first_component = image_byte(p->j, at + 1);
        c->layers = (int)image_big(p->j, at + 2, 2);
        c->last_level = image_byte(p->j, at + 4);
        c->last_component = image_byte(p->j, at + 5);
        c->order = image_byte(p->j, at + 6);
        if (c->last_level > JP2_LEVELS) c->last_level = JP2_LEVELS;
        if (c->last_component > p->count || !c->last_component) c->last_component = p->count;
        if (c->layers > t->layers) c->layers = t->layers;
        if (c->order > 4) return 0;
    }
    return 1;
}

/* A marker segment of the main header or of a tile-part's that says how things are coded. What a
 * component's own marker said stays. */
static int image_jp2_read_segment(image_jp2 *p, int marker, int64_t at, int64_t end) {
    image_job *j = p->j;
    int first = image_byte(j, at), well = 1;
    image_jp2_coding *own = &p->codings[first < p->count ? first : 0];
    if (marker == 0xFF52) { /* COD */
        p->tile.order = image_byte(j, at + 1);
        p->tile.layers = (int)image_big(j, at + 2, 2);
        p->mixed = image_byte(j, at + 4);
        for (int i = 0; i < p->count && well; i++)
            if (!p->codings[i].own_style)
                well = image_jp2_read_style(j, &p->codings[i], at + 5, end, first & 1);
        return well && p->tile.order <= 4 && p->tile.layers > 0 && p->mixed <= 1;
    }
    if (marker == 0xFF5C) { /* QCD */
        for (int i = 0; i < p->count && well; i++)
            if (!p->codings[i].own_step) well = image_jp2_read_steps(j, &p->codings[i], at, end);
        return well;
    }
    if (marker == 0xFF5F) return image_jp2_read_changes(p, at, end); /* POC */
    if (marker == 0xFF60 || marker == 0xFF61) return 0;              /* PPM, PPT */
    if (marker != 0xFF53 && marker != 0xFF5D && marker != 0xFF5E) return 1;
    if (first >= p->count) return 0;
    if (marker == 0xFF53) { /* COC */
        own->own_style = 1;
        return image_jp2_read_style(j, own, at + 2, end, image_byte(j, at + 1) & 1);
    }
    if (marker == 0xFF5D) { /* QCC */
        own->own_step = 1;
        return image_jp2_read_steps(j, own, at + 1, end);
    }
    own->raised = image_byte(j, at + 2); /* RGN */
    return image_byte(j, at + 1) == 0 && own->raised <= JP2_MOST_PLANES;
}

/* Segments from `at` to the marker `until`; where that stands, or -1. With `read` they count. */
static int64_t image_jp2_read_header(image_jp2 *p, int64_t at, int until, int read) {
    while (at + 2 <= p->j->size) {
        int marker = (int)image_big(p->j, at, 2);
        int64_t end = at + 2 + image_big(p->j, at + 2, 2);
        if (marker == until) return at;
        if (marker < 0xFF01 || end < at + 4 || end > p->j->size) return -1;
        if (read && !image_jp2_read_segment(p, marker, at + 4, end)) return -1;
        at = end;
    }
    return -1;
}

/* ---- pixels ---- */

/* Where a component's array has the sample of a point of the grid; -1 if it is empty. */
static int64_t image_jp2_index(const image_jp2_component *k, int64_t x, int64_t y) {
    if (k->x0 == k->x1 || k->y0 == k->y1) return -1;
    int64_t column = image_jp2_within(x / k->dx, k->x0, k->x1 - 1) - k->x0;
    int64_t row = image_jp2_within(y / k->dy, k->y0, k->y1 - 1) - k->y0;
    return row * (k->x1 - k->x0) + column;
}

/* To the nearest integer, halves to even ones. */
static int64_t image_jp2_round(float v) {
    const float shift = 12582912.0F; /* 1.5 * 2^23: what is added to it has no fraction */
    if (!(v > -4194304.0F)) return -4194304;
    if (v > 4194304.0F) return 4194304;
    return (int64_t)(v + shift - shift);
}

/* The components' samples at a point, their transform (annex G) undone. */
static void image_jp2_unmix(const image_jp2 *p, int64_t x, int64_t y, int64_t *v) {
    const image_jp2_component *k = p->tile.components;
    float f[3] = {0};
    for (int i = 0; i < p->colours; i++) {
        int64_t at = image_jp2_index(&k[i], x, y);
        v[i] = 0;
        if (at < 0) continue;
        if (k[i].coding->reversible)
            v[i] = ((const int32_t *)k[i].samples)[at];
        else
            f[i] = ((const float *)k[i].samples)[at];
    }
    if (p->mixed && k->coding->reversible) {
        int64_t green = v[0] - ((v[1] + v[2]) >> 2), red = v[2] + green;
        v[2] = v[1] + green;
        v[1] = green;
        v[0] = red;
    } else if (p->mixed) {
        float light = f[0], blue = f[1], red = f[2];
        f[0] = light + red * 1.402F;
        f[1] = light - blue * 0.34413F - red * 0.71414F;
        f[2] = light + blue * 1.772F;
    }
    for (int i = 0; i < p->colours; i++)
        if (!k[i].coding->reversible) v[i] = image_jp2_round(f[i]);
}

/* A sample of `depth` bits around zero as a byte, or as it is for a palette. Unsigned samples were
 * coded less half of their range, signed ones are shown that much higher: it is the same. */
static int image_jp2_level_of(int64_t v, int depth, int as_is) {
    int64_t half = (int64_t)1 << (depth - 1);
    v = v < -half ? 0 : v >= half ? 2 * half - 1 : v + half;
    if (depth > 8 && !as_is) v = (v + ((int64_t)1 << (depth - 9))) >> (depth - 8);
    if (depth < 8 && !as_is) v <<= 8 - depth;
    return v > 255 ? 255 : (int)v;
}

/* `part` hundred-thousandths of what a value is more than 128, in 64ths. */
static int image_jp2_share(int value, int64_t part) {
    return (int)(((value - 128) * part * 64 + 50000) / 100000);
}

/* sYCC, rounded as Pillow does: in 64ths. */
static void image_jp2_put_ycc(const image_job *j, int64_t x, int64_t y, const int *c) {
    int r = c[0] + (image_jp2_share(c[2], 140200) >> 6);
    int g = c[0] + ((image_jp2_share(c[1], -34414) + image_jp2_share(c[2], -71414)) >> 6);
    int b = c[0] + (image_jp2_share(c[1], 177200) >> 6);
    image_put(j, x, y, image_clamp(r), image_clamp(g), image_clamp(b));
}

static int image_jp2_put_tile(const image_jp2 *p) {
    const image_job *j = p->j;
    const image_jp2_tile *t = &p->tile;
    for (int64_t y = t->y0; y < t->y1; y++)
        for (int64_t x = t->x0; x < t->x1; x++) {
            int64_t v[3];
            int c[3];
            image_jp2_unmix(p, x, y, v);
            for (int i = 0; i < p->colours; i++)
                c[i] = image_jp2_level_of(v[i], p->depth[i], p->palette != 0);
            if (p->palette) {
                if (c[0] >= p->entries) return 0;
                int64_t at = p->palette + 3 * c[0];
                for (int i = 0; i < 3; i++) c[i] = image_byte(j, at + i);
            } else if (p->colours == 1) {
                c[1] = c[2] = c[0];
            }
            if (p->ycc && p->colours == 3)
                image_jp2_put_ycc(j, x - p->x0, y - p->y0, c);
            else
                image_put(j, x - p->x0, y - p->y0, c[0], c[1], c[2]);
        }
    return 1;
}

/* ---- tiles ---- */

/* Whether the first three components may be transformed together. */
static int image_jp2_may_mix(const image_jp2 *p) {
    const image_jp2_coding *c = p->codings;
    int well = p->count >= 3;
    for (int i = 1; i < 3 && well; i++)
        well = p->dx[i] == p->dx[0] && p->dy[i] == p->dy[0] && c[i].reversible == c[0].reversible;
    return well;
}

/* Tile `number` of the image: `p` is the main header's state, copied, and `data` its tile-parts. */
static int image_jp2_decode_tile(image_jp2 *p, int64_t number, const image_jp2_data *data) {
    image_job *j = p->j;
    image_jp2_tile *t = &p->tile;
    image_jp2_change changes[JP2_CHANGES];
    int change_count = t->change_count;
    int64_t left = p->tile_x + number % p->columns * p->tile_w;
    int64_t top = p->tile_y + number / p->columns * p->tile_h;
    memcpy(changes, t->changes, sizeof changes);
    t->change_count = 0;
    for (int i = 0; i < p->count; i++) p->codings[i].own_style = p->codings[i].own_step = 0;
    for (const image_jp2_data *d = data; d; d = d->next)
        if (image_jp2_read_header(p, d->header, JP2_SOD, 1) < 0) return 0;
    if (!t->change_count) {
        memcpy(t->changes, changes, sizeof changes);
        t->change_count = change_count;
    }
    if (p->mixed && !image_jp2_may_mix(p)) return 0;
    t->j = j;
    t->data = data;
    t->count = p->count;
    t->x0 = left > p->x0 ? left : p->x0;
    t->y0 = top > p->y0 ? top : p->y0;
    t->x1 = left + p->tile_w < p->x1 ? left + p->tile_w : p->x1;
    t->y1 = top + p->tile_h < p->y1 ? top + p->tile_h : p->y1;
    for (int i = 0; i < p->count; i++) {
        image_jp2_component *k = &t->components[i];
        k->dx = (int32_t)p->dx[i];
        k->dy = (int32_t)p->dy[i];
        k->depth = p->depth[i];
        k->coding = &p->codings[i];
        k->wanted = i < p->colours;
        if (!image_jp2_make_component(j, k, t->x0, t->y0, t->x1, t->y1)) return 0;
    }
    if (!image_jp2_read_packets(t)) return 0;
    for (int i = 0; i < p->colours; i++)
        if (!image_jp2_decode_component(j, &t->components[i])) return 0;
    return image_jp2_put_tile(p);
}

/* The next tile-part, at an SOT: a record of where its parts are. Its number goes to `tile`. */
static image_jp2_data *image_jp2_read_part(image_jp2 *p, int64_t at, int64_t *tile) {
    image_job *j = p->j;
    int64_t length = image_big(j, at + 6, 4);
    image_jp2_data *d = image_take(j, 1, sizeof *d);
    if (!d || image_big(j, at + 2, 2) != 10 || at + 12 > j->size) return NULL;
    *tile = image_big(j, at + 4, 2);
    d->header = at + 12;
    d->at = image_jp2_read_header(p, d->header, JP2_SOD, 0) + 2;
    d->end = length ? at + length : j->size; /* 0: the last one, up to the end */
    if (d->at < d->header + 2 || d->end < d->at || d->end > j->size) return NULL;
    return d;
}

/* A codestream. All tile-parts are found first, as those of several tiles may alternate. */
static int image_jp2_codestream(image_jp2 *p, int64_t at) {
    image_job *j = p->j;
    if (image_big(j, at, 4) != 0xFF4FFF51) return ONNXCC_ERROR_UNSUPPORTED_VALUE; /* SOC, SIZ */
    int64_t end = at + 4 + image_big(j, at + 4, 2), tile;
    int status =
        end > j->size ? ONNXCC_ERROR_UNSUPPORTED_VALUE : image_jp2_read_size(p, at + 6, end);
    if (status) return status;
    at = image_jp2_read_header(p, end, JP2_SOT, 1);
    image_jp2_data **first = image_take(j, p->columns * p->rows, sizeof *first);
    image_jp2_data **last = image_take(j, p->columns * p->rows, sizeof *last);
    if (at < 0 || !first || !last) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    while (image_big(j, at, 2) == JP2_SOT) {
        image_jp2_data *d = image_jp2_read_part(p, at, &tile);
        if (!d || tile >= p->columns * p->rows) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
        if (last[tile])
            last[tile]->next = d;
        else
            first[tile] = d;
        last[tile] = d;
        at = d->end;
    }
    for (tile = 0; tile < p->columns * p->rows; tile++) {
        image_jp2 own = *p;
        int64_t held = j->taken;
        if (!first[tile] || !image_jp2_decode_tile(&own, tile, first[tile]))
            return ONNXCC_ERROR_UNSUPPORTED_VALUE;
        j->taken = held;
    }
    return ONNXCC_OK;
}

/* ---- boxes (annex I) ---- */

static int image_jp2_file(image_job *j) {
    image_jp2 p;
    memset(&p, 0, sizeof p);
    p.j = j;
    if (image_byte(j, 0) == 0xFF) return image_jp2_codestream(&p, 0);
    for (int64_t at = 0; at + 8 <= j->size;) {
        int64_t length = image_big(j, at, 4), kind = image_big(j, at + 4, 4), start = at + 8;
        if (length == 1) { /* a long one */
            if (image_big(j, at + 8, 4)) break;
            length = image_big(j, at + 12, 4);
            start = at + 16;
        }
        int64_t end = length ? at + length : j->size;
        if (end < start || end > j->size) break;
        if (kind == 0x6A703263) return image_jp2_codestream(&p, start); /* jp2c */
        if (kind == 0x636F6C72 && image_byte(j, start) == 1)            /* colr */
            p.ycc = image_big(j, start + 3, 4) == JP2_ENUMERATED_YCC;
        if (kind == 0x70636C72 && image_byte(j, start + 2) == 3) { /* pclr */
            p.entries = (int)image_big(j, start, 2);
            p.palette = start + 6;
            if (p.palette + 3 * p.entries > end) break;
        }
        at = kind == 0x6A703268 ? start : end; /* into jp2h */
    }
    return ONNXCC_ERROR_UNSUPPORTED_VALUE;
}

#endif
