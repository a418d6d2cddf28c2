/* jp2_tile.h: a tile of JPEG 2000 (ITU-T T.800, annex B) as a structure in the scratch: components,
 * resolution levels, bands, precincts and code-blocks. Packets fill it (jp2_packet.h), then its
 * coefficients are decoded (jp2_decode.h). Coordinates are those of the reference grid, divided by
 * what the level or band says; all of them fit into 32 bits. */
#ifndef ONNXCC_RT_IMAGE_DECODER_JP2_TILE_H
#define ONNXCC_RT_IMAGE_DECODER_JP2_TILE_H

#include "jp2_block.h"

enum { JP2_COMPONENTS = 8, JP2_LEVELS = 33, JP2_BANDS = 3 * (JP2_LEVELS - 1) + 1 };

/* How a component is coded: markers COD or COC, QCD or QCC, RGN. */
typedef struct {
    int levels;       /* of decomposition; there is one resolution more */
    int across, down; /* logarithms of the size of code-blocks */
    int style, reversible;
    uint8_t precincts[JP2_LEVELS]; /* logarithms of their sizes, height in the upper half */
    int guard, step_style;         /* 0: exponents, 1: one step for all, 2: each its step */
    uint16_t steps[JP2_BANDS];     /* exponent above 11 bits of mantissa */
    int step_count;
    int raised;              /* planes by which a region of interest is */
    int own_style, own_step; /* the component's own marker was read */
} image_jp2_coding;

/* Bytes of one packet for a code-block, of one codeword segment. */
typedef struct image_jp2_chunk {
    int64_t at, bytes;
    int passes, fresh; /* the first of its segment */
    struct image_jp2_chunk *next;
} image_jp2_chunk;

typedef struct {
    image_jp2_chunk *first, *last, *placed; /* placed: the last one whose bytes are found */
    uint16_t passes;
    uint8_t included, missing, length_bits; /* missing: planes that are all zero */
} image_jp2_record;

/* A tag tree; see image_jp2_climb. */
typedef struct {
    uint16_t low;
    uint16_t known;
} image_jp2_node;

/* The part of a precinct in one band. */
typedef struct {
    int32_t x0, y0, x1, y1; /* in the band */
    int32_t wide, tall;     /* code-blocks */
    image_jp2_record *records;
    image_jp2_node *inclusion, *missing;
} image_jp2_part;

typedef struct {
    int layers; /* that were read */
    image_jp2_part parts[3];
} image_jp2_precinct;

typedef struct {
    int orientation, planes;
    int32_t x0, y0, x1, y1;
    int32_t left, top; /* where its samples stand in the component's array */
    float step;
} image_jp2_band;

typedef struct {
    int32_t x0, y0, x1, y1;
    int across, down;   /* logarithms of the precincts' sizes */
    int32_t wide, tall; /* precincts */
    int band_count;
    image_jp2_band bands[3];
    image_jp2_precinct *precincts;
} image_jp2_level;

typedef struct {
    int32_t dx, dy; /* grid points to a sample */
    int depth;
    int wanted; /* its samples are used */
    int32_t x0, y0, x1, y1;
    const image_jp2_coding *coding;
    image_jp2_level *levels;
    void *samples; /* 32-bit integers, or floats where the transform is irreversible */
} image_jp2_component;

static int32_t image_jp2_up(int64_t a, int64_t by) {
    return (int32_t)((a + by - 1) / by);
}

/* a / 2^by, rounded up, for any `by`. */
static int32_t image_jp2_shift_up(int64_t a, int by) {
    return (int32_t)((a + ((int64_t)1 << by) - 1) >> by);
}

static int64_t image_jp2_node_count(int64_t wide, int64_t tall) {
    int64_t count = wide * tall;
    while (wide * tall > 1) {
        wide = (wide + 1) / 2;
        tall = (tall + 1) / 2;
        count += wide * tall;
    }
    return count;
}

static int32_t image_jp2_within(int64_t v, int32_t least, int32_t most) {
    return v < least ? least : v > most ? most : (int32_t)v;
}

/* The code-blocks of precinct (px, py) of the level in one of its bands. */
static int image_jp2_make_part(image_job *j, image_jp2_part *p, const image_jp2_coding *c,
                               const image_jp2_level *l, const image_jp2_band *b, int64_t px,
                               int64_t py) {
    int half = b->orientation != JP2_LL, across = l->across - half, down = l->down - half;
    p->x0 = image_jp2_within(px << across, b->x0, b->x1);
    p->x1 = image_jp2_within((px + 1) << across, b->x0, b->x1);
    p->y0 = image_jp2_within(py << down, b->y0, b->y1);
    p->y1 = image_jp2_within((py + 1) << down, b->y0, b->y1);
    if (p->x0 == p->x1 || p->y0 == p->y1) return 1;
    if (across > c->across) across = c->across;
    if (down > c->down) down = c->down;
    p->wide = image_jp2_shift_up(p->x1, across) - (p->x0 >> across);
    p->tall = image_jp2_shift_up(p->y1, down) - (p->y0 >> down);
    int64_t blocks = (int64_t)p->wide * p->tall;
    if (blocks > 1 << 24) return 0;
    int64_t nodes = image_jp2_node_count(p->wide, p->tall);
    p->records = image_take(j, blocks, sizeof *p->records);
    p->inclusion = image_take(j, nodes, sizeof *p->inclusion);
    p->missing = image_take(j, nodes, sizeof *p->missing);
    return p->records && p->inclusion && p->missing;
}

/* How many bits the magnitudes of a band have, and the size of its quantisation step (annex E). */
static int image_jp2_set_step(image_jp2_band *b, const image_jp2_component *k, int number) {
    const image_jp2_coding *c = k->coding;
    int index = c->step_style == 1 ? 0 : number;
    if (index >= c->step_count) return 0;
    int exponent = c->steps[index] >> 11, mantissa = c->steps[index] & 2047;
    if (c->step_style == 1 && number > 0) exponent -= (number - 1) / 3;
    if (exponent < 0) return 0;
    b->planes = c->guard + exponent - 1;
    b->step = 1.0F + (float)mantissa / 2048.0F;
    int gain = b->orientation == JP2_LL ? 0 : b->orientation == JP2_HH ? 2 : 1;
    for (int i = k->depth + gain - exponent; i > 0; i--) b->step *= 2.0F;
    for (int i = k->depth + gain - exponent; i < 0; i++) b->step *= 0.5F;
    return b->planes >= 0;
}

/* Resolution `r` of a component: B-15, and its bands after F.3. */
static int image_jp2_make_level(image_job *j, image_jp2_component *k, int r) {
    const image_jp2_coding *c = k->coding;
    image_jp2_level *l = &k->levels[r];
    int down = c->levels - r, below = r ? down + 1 : down;
    l->x0 = image_jp2_shift_up(k->x0, down);
    l->y0 = image_jp2_shift_up(k->y0, down);
    l->x1 = image_jp2_shift_up(k->x1, down);
    l->y1 = image_jp2_shift_up(k->y1, down);
    l->across = c->precincts[r] & 15;
    l->down = c->precincts[r] >> 4;
    if (r && (!l->across || !l->down)) return 0;
    l->band_count = r ? 3 : 1;
    for (int i = 0; i < l->band_count; i++) {
        image_jp2_band *b = &l->bands[i];
        b->orientation = r ? i + 1 : JP2_LL;
        int right = b->orientation & 1, lower = b->orientation >> 1;
        int64_t half = r ? (int64_t)1 << down : 0;
        b->x0 = image_jp2_shift_up(k->x0 - half * right, below);
        b->x1 = image_jp2_shift_up(k->x1 - half * right, below);
        b->y0 = image_jp2_shift_up(k->y0 - half * lower, below);
        b->y1 = image_jp2_shift_up(k->y1 - half * lower, below);
        b->left = right ? l[-1].x1 - l[-1].x0 : 0;
        b->top = lower ? l[-1].y1 - l[-1].y0 : 0;
        if (!image_jp2_set_step(b, k, r ? 3 * r - 2 + i : 0)) return 0;
    }
    if (l->x0 == l->x1 || l->y0 == l->y1) return 1;
    int64_t px = l->x0 >> l->across, py = l->y0 >> l->down;
    l->wide = image_jp2_shift_up(l->x1, l->across) - (int32_t)px;
    l->tall = image_jp2_shift_up(l->y1, l->down) - (int32_t)py;
    l->precincts = image_take(j, (int64_t)l->wide * l->tall, sizeof *l->precincts);
    if (!l->precincts) return 0;
    for (int64_t i = 0; i < (int64_t)l->wide * l->tall; i++)
        for (int s = 0; s < l->band_count; s++)
            if (!image_jp2_make_part(j, &l->precincts[i].parts[s], c, l, &l->bands[s],
                                     px + i % l->wide, py + i / l->wide))
                return 0;
    return 1;
}

/* The structure of a component within the tile of these grid points. */
static int image_jp2_make_component(image_job *j, image_jp2_component *k, int64_t x0, int64_t y0,
                                    int64_t x1, int64_t y1) {
    k->x0 = image_jp2_up(x0, k->dx);
    k->y0 = image_jp2_up(y0, k->dy);
    k->x1 = image_jp2_up(x1, k->dx);
    k->y1 = image_jp2_up(y1, k->dy);
    k->levels = image_take(j, k->coding->levels + 1, sizeof *k->levels);
    if (!k->levels) return 0;
    if (k->wanted) {
        k->samples = image_take(j, (int64_t)(k->x1 - k->x0) * (k->y1 - k->y0), sizeof(int32_t));
        if (!k->samples) return 0;
    }
    for (int r = 0; r <= k->coding->levels; r++)
        if (!image_jp2_make_level(j, k, r)) return 0;
    return 1;
}

#endif
