/* onnxcc_rt_image_decoder.c: images of the formats BMP, PNM, TIFF (uncompressed or PackBits), PNG
 * and JPEG (baseline) as pixels. A file is hostile data: every read is checked against its end, and
 * what cannot be decoded ends the run with ONNXCC_ERROR_UNSUPPORTED_VALUE. JPEG's inverse cosine
 * transform, upsampling and colours are rounded as libjpeg does. */
#include "onnxcc_runtime.h"

#include <string.h>

int onnxcc_rt_image_decoder(const onnxcc_call *call);

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

/* ---- BMP ---- */

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

/* ---- PNM ---- */

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

/* ---- TIFF ---- */

typedef struct {
    int64_t at; /* of the values; 0: the tag is missing */
    int64_t count;
    int bytes; /* of one */
} image_tag;

static int64_t image_tiff_number(const image_job *j, int64_t at, int bytes) {
    return j->in[0] == 'I' ? image_little(j, at, bytes) : image_big(j, at, bytes);
}

static image_tag image_find_tag(const image_job *j, int number) {
    int64_t directory = image_tiff_number(j, 4, 4), entries = image_tiff_number(j, directory, 2);
    image_tag t = {0, 0, 0};
    for (int64_t i = 0; i < entries; i++) {
        int64_t at = directory + 2 + 12 * i, kind = image_tiff_number(j, at + 2, 2);
        if (image_tiff_number(j, at, 2) != number || (kind != 1 && kind != 3 && kind != 4))
            continue;
        t.bytes = kind == 1 ? 1 : kind == 3 ? 2 : 4;
        t.count = image_tiff_number(j, at + 4, 4);
        t.at = t.count * t.bytes <= 4 ? at + 8 : image_tiff_number(j, at + 8, 4);
        return t;
    }
    return t;
}

/* Value `i` of a tag; `otherwise` where it is missing. */
static int64_t image_tag_value(const image_job *j, int number, int64_t i, int64_t otherwise) {
    image_tag t = image_find_tag(j, number);
    return t.at && i < t.count ? image_tiff_number(j, t.at + i * t.bytes, t.bytes) : otherwise;
}

/* Apple's PackBits: runs and literals. */
static int image_unpack(const image_job *j, int64_t at, int64_t bytes, uint8_t *to, int64_t count) {
    int64_t end = at + bytes;
    while (count > 0) {
        int n = image_byte(j, at);
        int64_t length = n < 128 ? n + 1 : 257 - n;
        if (at + 1 >= end || end > j->size) return 0;
        at++;
        if (n == 128) continue;
        if (length > count || (n < 128 && at + length > end)) return 0;
        for (int64_t i = 0; i < length; i++) *to++ = j->in[n < 128 ? at + i : at];
        at += n < 128 ? length : 1;
        count -= length;
    }
    return 1;
}

static int image_tiff(image_job *j) {
    enum { WIDTH = 256, HEIGHT, BITS, COMPRESSION, COLOURS = 262, OFFSETS = 273, SAMPLES = 277 };
    enum { STRIP_ROWS = 278, STRIP_BYTES, PLANES = 284 };
    int64_t samples = image_tag_value(j, SAMPLES, 0, 1), kind = image_tag_value(j, COLOURS, 0, 1);
    int64_t rows = image_tag_value(j, STRIP_ROWS, 0, j->height);
    int64_t compression = image_tag_value(j, COMPRESSION, 0, 1), stride = j->width * samples;
    int status = image_fits(j, image_tag_value(j, WIDTH, 0, 0), image_tag_value(j, HEIGHT, 0, 0));
    if (image_tag_value(j, BITS, 0, 1) != 8 || image_tag_value(j, PLANES, 0, 1) != 1 ||
        (kind == 2 ? samples < 3 : kind > 1) || samples < 1 || samples > 8 || rows < 1 ||
        (compression != 1 && compression != 32773))
        return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    if (status) return status;
    if (rows > j->height) rows = j->height;
    for (int64_t y = 0; y < j->height; y++) {
        int64_t strip = y / rows, first = image_tag_value(j, OFFSETS, strip, j->size);
        const uint8_t *row = j->scratch;
        int64_t held = y - y % rows + rows > j->height ? j->height - (y - y % rows) : rows;
        if (compression == 1) {
            if (first + held * stride > j->size) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
            row = j->in + first + y % rows * stride;
        } else {
            int64_t bytes = image_tag_value(j, STRIP_BYTES, strip, 0);
            if (held * stride > j->scratch_bytes ||
                (y % rows == 0 && !image_unpack(j, first, bytes, j->scratch, held * stride)))
                return ONNXCC_ERROR_UNSUPPORTED_VALUE;
            row = j->scratch + y % rows * stride;
        }
        for (int64_t x = 0; x < j->width; x++) {
            const uint8_t *p = row + x * samples;
            int gray = kind ? p[0] : 255 - p[0];
            if (kind == 2)
                image_put(j, x, y, p[0], p[1], p[2]);
            else
                image_put(j, x, y, gray, gray, gray);
        }
    }
    return ONNXCC_OK;
}

/* ---- inflate (RFC 1951), over the data of all IDAT chunks ---- */

typedef struct {
    image_job *j;
    int64_t left; /* bytes of the chunk that are not read yet */
    uint32_t bits;
    int count; /* bits that are read and not used */
    int ended; /* read behind the last chunk */
    uint8_t *out;
    int64_t made, room;
} image_inflater;

/* Codes of each length, and symbols in the order of their codes. */
typedef struct {
    uint16_t counts[16], symbols[288];
} image_codes;

static int image_next(image_inflater *f) {
    while (!f->left) { /* behind a chunk stand 4 bytes of checksum and the next one's head */
        int64_t next = f->j->at + 4;
        if (f->ended || image_big(f->j, next + 4, 4) != 0x49444154) {
            f->ended = 1;
            return 0;
        }
        f->left = image_big(f->j, next, 4);
        f->j->at = next + 8;
    }
    f->left--;
    return image_byte(f->j, f->j->at++);
}

static int image_bits(image_inflater *f, int count) {
    while (f->count < count) {
        f->bits |= (uint32_t)image_next(f) << f->count;
        f->count += 8;
    }
    int v = (int)(f->bits & ((1u << count) - 1));
    f->bits >>= count;
    f->count -= count;
    return v;
}

static void image_make_codes(image_codes *c, const uint8_t *lengths, int count) {
    uint16_t next[16];
    memset(c, 0, sizeof *c);
    for (int i = 0; i < count; i++) c->counts[lengths[i]]++;
    c->counts[0] = 0;
    next[1] = 0;
    for (int i = 1; i < 15; i++) next[i + 1] = (uint16_t)(next[i] + c->counts[i]);
    for (int i = 0; i < count; i++)
        if (lengths[i]) c->symbols[next[lengths[i]]++] = (uint16_t)i;
}

/* The next symbol; -1 if no code has these bits. Codes of one length follow each other. */
static int image_symbol(image_inflater *f, const image_codes *c) {
    int code = 0, first = 0, index = 0;
    for (int length = 1; length < 16; length++) {
        code |= image_bits(f, 1);
        int count = c->counts[length];
        if (code - first < count) return c->symbols[index + code - first];
        index += count;
        first = (first + count) << 1;
        code <<= 1;
    }
    return -1;
}

static int image_emit(image_inflater *f, int byte) {
    if (f->made >= f->room || f->ended) return 0;
    f->out[f->made++] = (uint8_t)byte;
    return 1;
}

static int image_stored(image_inflater *f) {
    f->bits = 0;
    f->count = 0;
    int length = image_bits(f, 16), check = image_bits(f, 16);
    if ((length ^ check) != 0xFFFF) return 0;
    while (length-- > 0)
        if (!image_emit(f, image_bits(f, 8))) return 0;
    return 1;
}

static int image_compressed(image_inflater *f, const image_codes *literals,
                            const image_codes *distances) {
    static const uint16_t base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                    31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    for (;;) {
        int symbol = image_symbol(f, literals);
        if (symbol < 0 || symbol > 285) return 0;
        if (symbol == 256) return 1;
        if (symbol < 256) {
            if (!image_emit(f, symbol)) return 0;
            continue;
        }
        int extra = symbol < 265 || symbol == 285 ? 0 : (symbol - 261) / 4;
        int length = base[symbol - 257] + image_bits(f, extra);
        int d = image_symbol(f, distances);
        if (d < 0 || d > 29) return 0;
        extra = d < 4 ? 0 : d / 2 - 1;
        int64_t back = (d < 4 ? d : (2 + d % 2) << extra) + 1 + image_bits(f, extra);
        if (back > f->made) return 0;
        while (length-- > 0)
            if (!image_emit(f, f->out[f->made - back])) return 0;
    }
}

/* Reads the codes of a block that brings its own. */
static int image_read_codes(image_inflater *f, image_codes *literals, image_codes *distances) {
    static const uint8_t order[] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                    11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[320] = {0};
    int many = 257 + image_bits(f, 5), far = 1 + image_bits(f, 5), own = 4 + image_bits(f, 4);
    if (many > 286) return 0;
    for (int i = 0; i < own; i++) lengths[order[i]] = (uint8_t)image_bits(f, 3);
    image_make_codes(literals, lengths, 19);
    memset(lengths, 0, sizeof lengths);
    for (int i = 0; i < many + far;) {
        int symbol = image_symbol(f, literals), value = 0, times = 1;
        if (symbol < 0 || f->ended || (symbol == 16 && !i)) return 0;
        if (symbol < 16) value = symbol;
        if (symbol == 16) value = lengths[i - 1];
        if (symbol == 16) times = 3 + image_bits(f, 2);
        if (symbol == 17) times = 3 + image_bits(f, 3);
        if (symbol == 18) times = 11 + image_bits(f, 7);
        if (i + times > many + far) return 0;
        while (times-- > 0) lengths[i++] = (uint8_t)value;
    }
    image_make_codes(literals, lengths, many);
    image_make_codes(distances, lengths + many, far);
    return 1;
}

static void image_fixed_codes(image_codes *literals, image_codes *distances) {
    uint8_t lengths[288];
    for (int i = 0; i < 288; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    image_make_codes(literals, lengths, 288);
    memset(lengths, 5, 30);
    image_make_codes(distances, lengths, 30);
}

static int image_inflate(image_inflater *f) {
    image_codes literals, distances;
    int last = 0;
    if (image_bits(f, 8) % 16 != 8 || (image_bits(f, 8) & 32)) return 0; /* zlib's head */
    while (!last) {
        last = image_bits(f, 1);
        int kind = image_bits(f, 2), well = kind != 3 && !f->ended;
        if (kind == 1) image_fixed_codes(&literals, &distances);
        if (kind == 2) well = well && image_read_codes(f, &literals, &distances);
        if (!well) return 0;
        if (!(kind ? image_compressed(f, &literals, &distances) : image_stored(f))) return 0;
    }
    return 1;
}

/* ---- PNG ---- */

typedef struct {
    int64_t palette, colours;
    int bits, kind, samples;
} image_png_head;

static int image_distance(int a, int b) {
    return a < b ? b - a : a - b;
}

/* Undoes the filter of one row; `above` is NULL in the first one. */
static int image_unfilter(uint8_t *row, const uint8_t *above, int64_t bytes, int step, int filter) {
    for (int64_t i = 0; i < bytes; i++) {
        int a = i < step ? 0 : row[i - step], b = above ? above[i] : 0, guess = 0;
        int c = above && i >= step ? above[i - step] : 0;
        if (filter == 1) guess = a;
        if (filter == 2) guess = b;
        if (filter == 3) guess = (a + b) / 2;
        if (filter == 4) {
            int p = a + b - c, pa = image_distance(p, a), pb = image_distance(p, b);
            int pc = image_distance(p, c);
            guess = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
        }
        row[i] = (uint8_t)(row[i] + guess);
    }
    return filter >= 0 && filter <= 4;
}

static int image_png_pixel(const image_job *j, const image_png_head *h, const uint8_t *row,
                           int64_t i, int64_t x, int64_t y) {
    int wide = h->bits == 16 ? 2 : 1;
    const uint8_t *p = row + i * h->samples * wide;
    int v = h->bits < 8 ? image_packed(row, i, h->bits) : p[0];
    if (h->kind == 3) {
        if (v >= h->colours) return 0;
        int64_t at = h->palette + 3 * v;
        image_put(j, x, y, image_byte(j, at), image_byte(j, at + 1), image_byte(j, at + 2));
    } else if (h->kind & 2) {
        image_put(j, x, y, p[0], p[wide], p[2 * wide]);
    } else {
        if (h->bits < 8) v = v * 255 / ((1 << h->bits) - 1);
        image_put(j, x, y, v, v, v);
    }
    return 1;
}

/* Every pixel, or with interlacing every dx-th of every dy-th row: one of the seven passes. */
static int image_png_pass(const image_job *j, const image_png_head *h, uint8_t **rows,
                          const uint8_t *end, const int *pass) {
    int64_t x0 = pass[0], y0 = pass[1], dx = pass[2], dy = pass[3];
    int64_t width = (j->width - x0 + dx - 1) / dx, height = (j->height - y0 + dy - 1) / dy;
    int64_t bytes = (width * h->samples * h->bits + 7) / 8;
    int step = h->samples * h->bits / 8;
    const uint8_t *above = NULL;
    if (j->width <= x0 || j->height <= y0) return 1;
    for (int64_t y = 0; y < height; y++) {
        uint8_t *row = *rows + 1;
        if (end - *rows < bytes + 1) return 0;
        if (!image_unfilter(row, above, bytes, step ? step : 1, **rows)) return 0;
        for (int64_t x = 0; x < width; x++)
            if (!image_png_pixel(j, h, row, x, x0 + x * dx, y0 + y * dy)) return 0;
        above = row;
        *rows += bytes + 1;
    }
    return 1;
}

static int image_png(image_job *j) {
    static const int samples[] = {1, 0, 3, 1, 2, 0, 4};
    static const int passes[][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                    {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}, {0, 0, 1, 1}};
    image_png_head h = {0, 0, image_byte(j, 24), image_byte(j, 25), 0};
    int interlaced = image_byte(j, 28), bad = h.kind > 6 || !samples[h.kind];
    int status = image_fits(j, image_big(j, 16, 4), image_big(j, 20, 4));
    bad |= h.bits != 1 && h.bits != 2 && h.bits != 4 && h.bits != 8 && h.bits != 16;
    bad |= (h.kind == 3 && h.bits == 16) || (h.kind != 0 && h.kind != 3 && h.bits < 8);
    if (bad || interlaced > 1) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    if (status) return status;
    h.samples = samples[h.kind];
    for (j->at = 8; image_big(j, j->at + 4, 4) != 0x49444154;) { /* IDAT */
        int64_t length = image_big(j, j->at, 4);
        if (image_big(j, j->at + 4, 4) == 0x504C5445) { /* PLTE */
            h.palette = j->at + 8;
            h.colours = length / 3;
        }
        j->at += length + 12;
        if (j->at + 12 > j->size) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    }
    image_inflater f = {j, image_big(j, j->at, 4), 0, 0, 0, j->scratch, 0, j->scratch_bytes};
    j->at += 8;
    if (!image_inflate(&f)) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    uint8_t *rows = j->scratch;
    for (int i = interlaced ? 0 : 7; i < (interlaced ? 7 : 8); i++)
        if (!image_png_pass(j, &h, &rows, j->scratch + f.made, passes[i]))
            return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    return ONNXCC_OK;
}

/* ---- all formats ---- */

static int image_starts(const image_job *j, const char *with, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (i >= j->size || j->in[i] != (uint8_t)with[i]) return 0;
    return 1;
}

/* Inputs: the file, the name of the pixel format. Outputs: pixels [height, width, 3 or 1]; scratch.
 */
int onnxcc_rt_image_decoder(const onnxcc_call *call) {
    const onnxcc_tensor *out = &call->outputs[0], *scratch = &call->outputs[1];
    const char *format = (const char *)call->inputs[1].data + 2 * sizeof(uint64_t);
    image_job j = {call->inputs[0].data,
                   call->inputs[0].dims[0],
                   0,
                   out->data,
                   out->dims[1],
                   out->dims[0],
                   IMAGE_RGB,
                   scratch->data,
                   scratch->dims[0]};
    j.format = *format == 'B' ? IMAGE_BGR : *format == 'G' ? IMAGE_GRAY : IMAGE_RGB;
    if (out->dims[2] != (j.format == IMAGE_GRAY ? 1 : 3)) return ONNXCC_ERROR_BAD_SHAPE;
    if (image_starts(&j, "BM", 2)) return image_bmp(&j);
    if (image_starts(&j, "\x89PNG\r\n\x1a\n", 8)) return image_png(&j);
    if (image_starts(&j, "II*\0", 4) || image_starts(&j, "MM\0*", 4)) return image_tiff(&j);
    if (image_starts(&j, "P", 1) && image_byte(&j, 1) >= '1' && image_byte(&j, 1) <= '6')
        return image_pnm(&j);
    return ONNXCC_ERROR_UNSUPPORTED_VALUE;
}
