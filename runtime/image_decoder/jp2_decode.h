/* jp2_decode.h: samples of JPEG 2000 from the packets of a tile: code-blocks as coefficients
 * (ITU-T T.800, annex E), then the inverse wavelet transforms (annex F), level by level in place.
 * Rows and columns are transformed LANES at a time. Irreversible sums are 32-bit floats in the
 * order in which OpenJPEG has them. */
#ifndef ONNXCC_RT_IMAGE_DECODER_JP2_DECODE_H
#define ONNXCC_RT_IMAGE_DECODER_JP2_DECODE_H

#include "jp2_packet.h"

enum { JP2_LANES = 8, JP2_MOST_PLANES = 30 };

/* ---- coefficients ---- */

/* Runs the passes of a record. The block's bytes are gathered in the scratch. */
static int image_jp2_run_passes(image_job *j, image_jp2_block *b, const image_jp2_record *k,
                                int planes) {
    int64_t held = j->taken;
    int number = 0, well = 1;
    for (const image_jp2_chunk *c = k->first, *next; c && well; c = next) {
        int64_t bytes = 0;
        int passes = 0;
        for (next = c; next && (next == c || !next->fresh); next = next->next) {
            bytes += next->bytes;
            passes += next->passes;
        }
        uint8_t *data = image_take(j, bytes, 1);
        if (!data) return 0;
        for (bytes = 0; c != next; c = c->next) {
            memcpy(data + bytes, j->in + c->at, (size_t)c->bytes);
            bytes += c->bytes;
        }
        well = image_jp2_segment(b, data, bytes, number, passes, planes);
        number += passes;
        j->taken = held;
    }
    return well;
}

/* The decoded block as coefficients: dequantised, with the region of interest lowered. */
static void image_jp2_store(const image_jp2_block *b, const image_jp2_component *k,
                            const image_jp2_band *band, int64_t at, int64_t stride) {
    int raised = k->coding->raised;
    for (int32_t y = 0; y < b->height; y++)
        for (int32_t x = 0; x < b->width; x++) {
            int32_t i = y * b->width + x, v = b->values[i];
            if (raised && v >> 1 >> raised) v >>= raised;
            if (k->coding->reversible) {
                v >>= 1;
                ((int32_t *)k->samples)[at + y * stride + x] = b->minus[i] ? -v : v;
            } else {
                float f = (float)v * (0.5F * band->step);
                ((float *)k->samples)[at + y * stride + x] = b->minus[i] ? -f : f;
            }
        }
}

static int image_jp2_decode_part(image_job *j, image_jp2_block *b, const image_jp2_component *k,
                                 const image_jp2_level *l, const image_jp2_band *band,
                                 const image_jp2_part *p) {
    const image_jp2_coding *c = k->coding;
    int half = band->orientation != JP2_LL, across = l->across - half, down = l->down - half;
    int64_t stride = k->x1 - k->x0;
    if (across > c->across) across = c->across;
    if (down > c->down) down = c->down;
    b->style = c->style;
    b->orientation = band->orientation;
    for (int32_t i = 0; i < p->wide * p->tall; i++) {
        const image_jp2_record *r = &p->records[i];
        int64_t column = (p->x0 >> across) + i % p->wide, row = (p->y0 >> down) + i / p->wide;
        int32_t x0 = image_jp2_within(column << across, p->x0, p->x1);
        int32_t x1 = image_jp2_within((column + 1) << across, p->x0, p->x1);
        int32_t y0 = image_jp2_within(row << down, p->y0, p->y1);
        int32_t y1 = image_jp2_within((row + 1) << down, p->y0, p->y1);
        int planes = band->planes + c->raised - r->missing;
        if (!r->first) continue;
        if (planes < 1 || planes > JP2_MOST_PLANES) return 0;
        image_jp2_block_begin(b, x1 - x0, y1 - y0);
        if (!image_jp2_run_passes(j, b, r, planes)) return 0;
        int64_t at = (band->top + y0 - band->y0) * stride + band->left + x0 - band->x0;
        image_jp2_store(b, k, band, at, stride);
    }
    return 1;
}

/* ---- wavelets ---- */

/* Every second element from `first` on, plus or minus a part of its two neighbours; the line
 * is mirrored at its ends. */
static void image_jp2_lift(float *line, int32_t count, int32_t first, float part) {
    for (int32_t i = first; i < count; i += 2) {
        float *own = line + (int64_t)i * JP2_LANES;
        const float *before = i ? own - JP2_LANES : own + JP2_LANES;
        const float *behind = i < count - 1 ? own + JP2_LANES : own - JP2_LANES;
        for (int n = 0; n < JP2_LANES; n++) own[n] = own[n] + (before[n] + behind[n]) * part;
    }
}

static void image_jp2_lift_floats(float *line, int32_t count, int32_t odd) {
    const float scale = 1.230174105F;
    for (int32_t i = 0; i < count; i++)
        for (int n = 0; n < JP2_LANES; n++)
            line[i * (int64_t)JP2_LANES + n] *= (i + odd) % 2 ? 1.625732422F * 0.5F : scale;
    image_jp2_lift(line, count, odd, -0.443506852F);
    image_jp2_lift(line, count, !odd, -0.882911075F);
    image_jp2_lift(line, count, odd, 0.052980118F);
    image_jp2_lift(line, count, !odd, 1.586134342F);
}

/* The reversible filter; `low`: even samples less a fourth, else odd samples more a half. Sums of
 * hostile coefficients may wrap. */
static void image_jp2_lift_integers(int32_t *line, int32_t count, int32_t first, int low) {
    for (int32_t i = first; i < count; i += 2) {
        int32_t *own = line + (int64_t)i * JP2_LANES;
        const int32_t *before = i ? own - JP2_LANES : own + JP2_LANES;
        const int32_t *behind = i < count - 1 ? own + JP2_LANES : own - JP2_LANES;
        for (int n = 0; n < JP2_LANES; n++) {
            int32_t sum = (int32_t)((uint32_t)before[n] + (uint32_t)behind[n] + (low ? 2 : 0));
            uint32_t change = low ? 0U - (uint32_t)(sum >> 2) : (uint32_t)(sum >> 1);
            own[n] = (int32_t)((uint32_t)own[n] + change);
        }
    }
}

/* Joins the low and high halves of `lanes` lines of the array, 4 bytes an element. A line's first
 * element belongs to the high half if `odd`. A single element is half of itself then. */
static void image_jp2_join(uint8_t *at, int64_t along, int64_t across, int lanes, int32_t low,
                           int32_t count, int odd, int reversible, void *line) {
    uint8_t *to = line;
    for (int32_t i = 0; i < count; i++) {
        int32_t from = i / 2 + ((i + odd) % 2 ? low : 0);
        for (int n = 0; n < lanes; n++)
            memcpy(to + 4 * (i * (int64_t)JP2_LANES + n), at + 4 * (from * along + n * across), 4);
    }
    if (count == 1) {
        for (int n = 0; n < lanes && odd; n++) {
            if (reversible)
                ((int32_t *)line)[n] /= 2;
            else
                ((float *)line)[n] *= 0.5F;
        }
    } else if (reversible) {
        image_jp2_lift_integers(line, count, odd, 1);
        image_jp2_lift_integers(line, count, !odd, 0);
    } else {
        image_jp2_lift_floats(line, count, odd);
    }
    for (int32_t i = 0; i < count; i++)
        for (int n = 0; n < lanes; n++)
            memcpy(at + 4 * (i * along + n * across), to + 4 * (i * (int64_t)JP2_LANES + n), 4);
}

/* The level of a component from the one below it and its bands. */
static void image_jp2_join_level(const image_jp2_component *k, int r, void *line) {
    const image_jp2_level *l = &k->levels[r], *below = l - 1;
    int64_t stride = k->x1 - k->x0;
    int32_t width = l->x1 - l->x0, height = l->y1 - l->y0;
    uint8_t *all = k->samples;
    for (int32_t y = 0; y < height && width; y += JP2_LANES)
        image_jp2_join(all + 4 * y * stride, 1, stride,
                       height - y < JP2_LANES ? height - y : JP2_LANES, below->x1 - below->x0,
                       width, l->x0 & 1, k->coding->reversible, line);
    for (int32_t x = 0; x < width && height; x += JP2_LANES)
        image_jp2_join(all + 4 * (int64_t)x, stride, 1,
                       width - x < JP2_LANES ? width - x : JP2_LANES, below->y1 - below->y0, height,
                       l->y0 & 1, k->coding->reversible, line);
}

/* The samples of a component, from what its packets brought. */
static int image_jp2_decode_component(image_job *j, const image_jp2_component *k) {
    int64_t held = j->taken, width = k->x1 - k->x0, height = k->y1 - k->y0;
    image_jp2_block *b = image_take(j, 1, sizeof *b);
    if (!b) return 0;
    for (int r = 0; r <= k->coding->levels; r++) {
        const image_jp2_level *l = &k->levels[r];
        for (int64_t i = 0; i < (int64_t)l->wide * l->tall; i++)
            for (int s = 0; s < l->band_count; s++)
                if (!image_jp2_decode_part(j, b, k, l, &l->bands[s], &l->precincts[i].parts[s]))
                    return 0;
    }
    j->taken = held;
    void *line = image_take(j, (width > height ? width : height) * JP2_LANES, 4);
    if (!line) return 0;
    for (int r = 1; r <= k->coding->levels; r++) image_jp2_join_level(k, r, line);
    j->taken = held;
    return 1;
}

#endif
