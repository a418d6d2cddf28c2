/* jp2_packet.h: packets of JPEG 2000 (ITU-T T.800, B.9 to B.12): their headers, and the orders in
 * which they follow each other. A packet leaves each of its code-blocks a chunk: where in the file
 * its bytes are. */
#ifndef ONNXCC_RT_IMAGE_DECODER_JP2_PACKET_H
#define ONNXCC_RT_IMAGE_DECODER_JP2_PACKET_H

#include "jp2_tile.h"

enum { JP2_CHANGES = 32 };

/* Packets of a tile that follow one order: COD, or an entry of POC. */
typedef struct {
    int order; /* 0 to 4: LRCP, RLCP, RPCL, PCRL, CPRL */
    int layers, first_level, last_level, first_component, last_component; /* `last`: behind it */
} image_jp2_change;

/* A tile-part: where its header and its packets begin, and where they end. */
typedef struct image_jp2_data {
    int64_t header, at, end;
    struct image_jp2_data *next;
} image_jp2_data;

typedef struct {
    image_job *j;
    const image_jp2_data *data; /* that is read */
    int64_t at;
    uint32_t bits;
    int left; /* of `bits` */
    int over; /* read behind the end */
    int count, layers, order;
    image_jp2_component components[JP2_COMPONENTS];
    image_jp2_change changes[JP2_CHANGES];
    int change_count;
    int64_t x0, y0, x1, y1; /* of the tile */
} image_jp2_tile;

/* ---- headers ---- */

/* A bit of a header; behind a byte of ones stands a zero that is none of it. */
static int image_jp2_bit(image_jp2_tile *t) {
    if (!t->left) {
        t->left = t->bits == 0xFF ? 7 : 8;
        if (t->at >= t->data->end) t->over = 1;
        t->bits = t->over ? 0 : t->j->in[t->at++];
    }
    return (int)(t->bits >> --t->left & 1);
}

static int64_t image_jp2_bits(image_jp2_tile *t, int count) {
    int64_t v = 0;
    for (int i = 0; i < count; i++) v = v << 1 | image_jp2_bit(t);
    return v;
}

/* Tag trees (B.10.2): reads until it is known whether the leaf's value is less than `limit`.
 * A node's value is no less than that of the node above. */
static int image_jp2_climb(image_jp2_tile *t, image_jp2_node *nodes, int32_t wide, int32_t tall,
                           int32_t x, int32_t y, int limit) {
    image_jp2_node *path[32];
    int depth = 0, low = 0;
    for (;; depth++) { /* from the leaf to the root */
        path[depth] = &nodes[(int64_t)y * wide + x];
        if (wide * tall == 1) break;
        nodes += (int64_t)wide * tall;
        wide = (wide + 1) / 2;
        tall = (tall + 1) / 2;
        x /= 2;
        y /= 2;
    }
    for (; depth >= 0; depth--) {
        image_jp2_node *n = path[depth];
        if (n->low < low) n->low = (uint16_t)low;
        while (n->low < limit && !n->known) {
            if (image_jp2_bit(t))
                n->known = 1;
            else
                n->low++;
        }
        low = n->low;
    }
    return path[0]->known && path[0]->low < limit;
}

/* Table B.4. */
static int image_jp2_pass_count(image_jp2_tile *t) {
    int v;
    if (!image_jp2_bit(t)) return 1;
    if (!image_jp2_bit(t)) return 2;
    v = (int)image_jp2_bits(t, 2);
    if (v < 3) return 3 + v;
    v = (int)image_jp2_bits(t, 5);
    if (v < 31) return 6 + v;
    return 37 + (int)image_jp2_bits(t, 7);
}

/* How many passes the codeword segment of pass `i` may still have from it on. */
static int image_jp2_room(int style, int i) {
    if (style & JP2_TERMINATE) return 1;
    if (!(style & JP2_BYPASS)) return 1 << 20;
    if (i < JP2_RAW_PASS) return JP2_RAW_PASS - i;
    return (i - JP2_RAW_PASS) % 3 == 0 ? 2 : 1;
}

static int image_jp2_is_fresh(int style, int i) {
    if (!i || style & JP2_TERMINATE) return 1;
    return style & JP2_BYPASS && i >= JP2_RAW_PASS && (i - JP2_RAW_PASS) % 3 != 1;
}

/* A code-block's share of the header. Its new chunks have no place yet. */
static int image_jp2_read_record(image_jp2_tile *t, image_jp2_part *p, int32_t index, int style,
                                 int layer) {
    image_jp2_record *k = &p->records[index];
    int32_t x = index % p->wide, y = index / p->wide;
    if (k->included) {
        if (!image_jp2_bit(t)) return 1;
    } else {
        int planes = 1;
        if (!image_jp2_climb(t, p->inclusion, p->wide, p->tall, x, y, layer + 1)) return 1;
        while (!image_jp2_climb(t, p->missing, p->wide, p->tall, x, y, planes))
            if (++planes > 100) return 0;
        k->missing = (uint8_t)(planes - 1);
        k->included = 1;
        k->length_bits = 3;
    }
    int passes = image_jp2_pass_count(t);
    while (image_jp2_bit(t))
        if (++k->length_bits > 31) return 0;
    while (passes > 0) {
        int room = image_jp2_room(style, k->passes), count = passes < room ? passes : room;
        image_jp2_chunk *c = image_take(t->j, 1, sizeof *c);
        int bits = k->length_bits;
        if (!c || k->passes + count > 200) return 0;
        while (count >> (bits - k->length_bits) > 1) bits++;
        c->bytes = image_jp2_bits(t, bits);
        c->passes = count;
        c->fresh = image_jp2_is_fresh(style, k->passes);
        if (k->last)
            k->last->next = c;
        else
            k->first = c;
        k->last = c;
        k->passes = (uint16_t)(k->passes + count);
        passes -= count;
    }
    return 1;
}

/* The body: the chunks that this packet made find their place. */
static int image_jp2_place(image_jp2_tile *t, image_jp2_record *k) {
    image_jp2_chunk *c = k->placed ? k->placed->next : k->first;
    for (; c; c = c->next) {
        if (c->bytes > t->data->end - t->at) return 0;
        c->at = t->at;
        t->at += c->bytes;
    }
    k->placed = k->last;
    return 1;
}

static void image_jp2_skip_marker(image_jp2_tile *t, int marker, int bytes) {
    if (t->data->end - t->at >= bytes && image_big(t->j, t->at, 2) == marker) t->at += bytes;
}

/* The next packet, which is one of this precinct. */
static int image_jp2_read_packet(image_jp2_tile *t, image_jp2_precinct *p, int bands, int style,
                                 int layer) {
    while (t->at >= t->data->end) {
        if (!t->data->next) return 0;
        t->data = t->data->next;
        t->at = t->data->at;
    }
    image_jp2_skip_marker(t, 0xFF91, 6); /* SOP */
    t->left = 0;
    t->bits = 0;
    int filled = image_jp2_bit(t);
    for (int b = 0; b < bands && filled; b++)
        for (int32_t i = 0; i < p->parts[b].wide * p->parts[b].tall; i++)
            if (!image_jp2_read_record(t, &p->parts[b], i, style, layer) || t->over) return 0;
    if (t->bits == 0xFF) t->at++;        /* its stuffed zero, in a byte of its own */
    image_jp2_skip_marker(t, 0xFF92, 2); /* EPH */
    for (int b = 0; b < bands && filled; b++)
        for (int32_t i = 0; i < p->parts[b].wide * p->parts[b].tall; i++)
            if (!image_jp2_place(t, &p->parts[b].records[i])) return 0;
    return !t->over;
}

/* ---- orders (B.12) ---- */

/* Packets of a precinct: layers that were not read yet, up to `layers`. */
static int image_jp2_read_layers(image_jp2_tile *t, int component, int level, int64_t precinct,
                                 int layers) {
    image_jp2_component *k = &t->components[component];
    image_jp2_level *l = &k->levels[level];
    image_jp2_precinct *p = &l->precincts[precinct];
    for (; p->layers < layers; p->layers++)
        if (!image_jp2_read_packet(t, p, l->band_count, k->coding->style, p->layers)) return 0;
    return 1;
}

/* All precincts of a resolution, up to a layer. */
static int image_jp2_read_level(image_jp2_tile *t, const image_jp2_change *c, int level,
                                int layers) {
    for (int k = c->first_component; k < c->last_component; k++) {
        if (level > t->components[k].coding->levels) continue;
        const image_jp2_level *l = &t->components[k].levels[level];
        for (int64_t i = 0; i < (int64_t)l->wide * l->tall; i++)
            if (!image_jp2_read_layers(t, k, level, i, layers)) return 0;
    }
    return 1;
}

/* Whether a precinct begins at v along one axis, and which: v is a point of the grid, `first` the
 * tile's first, `low` the level's first sample, `log` the precinct's size. */
static int64_t image_jp2_precinct_at(int64_t v, int64_t first, int64_t step, int down, int log,
                                     int64_t low) {
    int64_t size = step << (log + down);
    int cut = v == first && (low << down) % ((int64_t)1 << (log + down)) != 0;
    if (v % size && !cut) return -1;
    return (image_jp2_shift_up(image_jp2_up(v, step), down) >> log) - (low >> log);
}

/* Packets of the precinct of a resolution that begins at this point of the grid, if one does. */
static int image_jp2_read_point(image_jp2_tile *t, const image_jp2_change *c, int component,
                                int level, int64_t x, int64_t y) {
    const image_jp2_component *k = &t->components[component];
    int down = k->coding->levels - level;
    if (down < 0) return 1;
    const image_jp2_level *l = &k->levels[level];
    int64_t px = image_jp2_precinct_at(x, t->x0, k->dx, down, l->across, l->x0);
    int64_t py = image_jp2_precinct_at(y, t->y0, k->dy, down, l->down, l->y0);
    if (px < 0 || py < 0 || px >= l->wide || py >= l->tall) return 1;
    return image_jp2_read_layers(t, component, level, py * l->wide + px, c->layers);
}

static int64_t image_jp2_common(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Components and levels of a change in the order that they have at every point, from the first
 * point to the last. What is fixed there has one element. */
static int image_jp2_read_points(image_jp2_tile *t, const image_jp2_change *c) {
    int64_t step_x = 0, step_y = 0;
    for (int k = c->first_component; k < c->last_component; k++)
        for (int r = 0; r <= t->components[k].coding->levels; r++) {
            const image_jp2_component *o = &t->components[k];
            int down = o->coding->levels - r;
            step_x = image_jp2_common(step_x, (int64_t)o->dx << (o->levels[r].across + down));
            step_y = image_jp2_common(step_y, (int64_t)o->dy << (o->levels[r].down + down));
        }
    for (int64_t y = t->y0; y < t->y1 && step_y; y += step_y - y % step_y)
        for (int64_t x = t->x0; x < t->x1 && step_x; x += step_x - x % step_x)
            for (int k = c->first_component; k < c->last_component; k++)
                for (int r = c->first_level; r < c->last_level; r++)
                    if (!image_jp2_read_point(t, c, k, r, x, y)) return 0;
    return 1;
}

static int image_jp2_read_change(image_jp2_tile *t, const image_jp2_change *c) {
    image_jp2_change one = *c;
    if (c->order == 0) {
        for (int layer = 1; layer <= c->layers; layer++)
            for (int r = c->first_level; r < c->last_level; r++)
                if (!image_jp2_read_level(t, c, r, layer)) return 0;
    } else if (c->order == 1) {
        for (int r = c->first_level; r < c->last_level; r++)
            for (int layer = 1; layer <= c->layers; layer++)
                if (!image_jp2_read_level(t, c, r, layer)) return 0;
    } else if (c->order == 2) {
        for (int r = c->first_level; r < c->last_level; r++) {
            one.first_level = r;
            one.last_level = r + 1;
            if (!image_jp2_read_points(t, &one)) return 0;
        }
    } else if (c->order == 3) {
        return image_jp2_read_points(t, c);
    } else {
        for (int k = c->first_component; k < c->last_component; k++) {
            one.first_component = k;
            one.last_component = k + 1;
            if (!image_jp2_read_points(t, &one)) return 0;
        }
    }
    return 1;
}

/* All packets of a tile whose structure and data stand. */
static int image_jp2_read_packets(image_jp2_tile *t) {
    image_jp2_change all = {t->order, t->layers, 0, JP2_LEVELS, 0, t->count};
    int64_t packets = 0; /* each has a byte at least */
    for (int k = 0; k < t->count; k++)
        for (int r = 0; r <= t->components[k].coding->levels; r++) {
            const image_jp2_level *l = &t->components[k].levels[r];
            packets += (int64_t)l->wide * l->tall * t->layers;
        }
    if (packets > t->j->size) return 0;
    t->at = t->data->at;
    for (int i = 0; i < t->change_count; i++)
        if (!image_jp2_read_change(t, &t->changes[i])) return 0;
    return t->change_count || image_jp2_read_change(t, &all);
}

#endif
