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

/* ---- JPEG (ITU-T T.81), baseline and extended sequential with Huffman codes ---- */

enum { JPEG_COMPONENTS = 3 };

/* A Huffman code: symbols in the order of their codes. */
typedef struct {
    int counts[17];
    uint8_t symbols[256];
} image_jpeg_codes;

typedef struct {
    int id, across, down, table; /* sampling factors; number of its quantisation table */
    int dc, ac, last;            /* numbers of its codes; the last block's first coefficient */
    int64_t width, height;       /* samples that count */
    int64_t stride;              /* of the plane, whole blocks */
    uint8_t *plane;
} image_component;

typedef struct {
    image_job *j;
    uint16_t tables[4][64];
    image_jpeg_codes codes[8]; /* four for first coefficients, four for the others */
    image_component parts[JPEG_COMPONENTS];
    int count, most_across, most_down, restart;
    int adobe; /* the colours are RGB as they are */
    uint32_t bits;
    int held;   /* bits that are read and not used */
    int marked; /* the reader stands at a marker: zeros follow */
} image_jpeg;

static const uint8_t image_zigzag[64] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

static int image_jpeg_bit(image_jpeg *p) {
    if (!p->held) {
        int byte = p->marked ? 0 : image_byte(p->j, p->j->at);
        if (!p->marked && byte == 0xFF && image_byte(p->j, p->j->at + 1)) p->marked = 1;
        if (p->j->at >= p->j->size) p->marked = 1;
        if (p->marked) byte = 0;
        if (!p->marked) p->j->at += byte == 0xFF ? 2 : 1; /* a zero is stuffed behind FF */
        p->bits = (uint32_t)byte;
        p->held = 8;
    }
    return (int)(p->bits >> --p->held & 1);
}

/* `count` bits as a number that is negative if the first of them is 0. */
static int image_jpeg_signed(image_jpeg *p, int count) {
    int v = 0;
    for (int i = 0; i < count; i++) v = v << 1 | image_jpeg_bit(p);
    return count && v < 1 << (count - 1) ? v - (1 << count) + 1 : v;
}

static int image_jpeg_symbol(image_jpeg *p, const image_jpeg_codes *c) {
    int code = 0, first = 0, index = 0;
    for (int length = 1; length <= 16; length++) {
        code |= image_jpeg_bit(p);
        if (code - first < c->counts[length]) return c->symbols[index + code - first];
        index += c->counts[length];
        first = (first + c->counts[length]) << 1;
        code <<= 1;
    }
    return -1;
}

/* ---- the inverse cosine transform ---- */

/* One row or column of 8: the method of Loeffler, Ligtenberg and Moschytz (Practical fast 1-D DCT
 * algorithms with 11 multiplications, ICASSP 1989), with 13 bits behind the point. `down` is how
 * far the results are shifted. */
static void image_cosine(const int64_t *in, int step, int64_t *out, int out_step, int down) {
    enum { ONE = 1 << 13 };
    int64_t round = (int64_t)1 << (down - 1);
    int64_t z1 = (in[2 * step] + in[6 * step]) * 4433; /* 0.541196100 */
    int64_t t2 = z1 - in[6 * step] * 15137, t3 = z1 + in[2 * step] * 6270;
    int64_t t0 = (in[0] + in[4 * step]) * ONE, t1 = (in[0] - in[4 * step]) * ONE;
    int64_t e0 = t0 + t3, e3 = t0 - t3, e1 = t1 + t2, e2 = t1 - t2;
    int64_t o0 = in[7 * step], o1 = in[5 * step], o2 = in[3 * step], o3 = in[step];
    int64_t a = o0 + o3, b = o1 + o2, c = o0 + o2, d = o1 + o3, e = (c + d) * 9633;
    a *= -7373;
    b *= -20995;
    c = c * -16069 + e;
    d = d * -3196 + e;
    o0 = o0 * 2446 + a + c;
    o1 = o1 * 16819 + b + d;
    o2 = o2 * 25172 + b + c;
    o3 = o3 * 12299 + a + d;
    out[0] = (e0 + o3 + round) >> down;
    out[7 * out_step] = (e0 - o3 + round) >> down;
    out[out_step] = (e1 + o2 + round) >> down;
    out[6 * out_step] = (e1 - o2 + round) >> down;
    out[2 * out_step] = (e2 + o1 + round) >> down;
    out[5 * out_step] = (e2 - o1 + round) >> down;
    out[3 * out_step] = (e3 + o0 + round) >> down;
    out[4 * out_step] = (e3 - o0 + round) >> down;
}

static int image_clamp(int v) {
    return v < 0 ? 0 : v > 255 ? 255 : v;
}

static void image_jpeg_block(const int64_t *coefficients, uint8_t *to, int64_t stride) {
    int64_t half[64], row[8];
    for (int i = 0; i < 8; i++) image_cosine(coefficients + i, 8, half + i, 8, 11);
    for (int y = 0; y < 8; y++) {
        image_cosine(half + 8 * y, 1, row, 1, 18);
        for (int x = 0; x < 8; x++) to[y * stride + x] = (uint8_t)image_clamp((int)row[x] + 128);
    }
}

/* ---- segments ---- */

static int image_jpeg_tables(image_jpeg *p, int64_t at, int64_t end) {
    while (at < end) {
        int head = image_byte(p->j, at++), wide = head >> 4 ? 2 : 1;
        if ((head & 15) > 3 || at + 64 * wide > end) return 0;
        for (int i = 0; i < 64; i++)
            p->tables[head & 15][image_zigzag[i]] = (uint16_t)image_big(p->j, at + i * wide, wide);
        at += 64 * wide;
    }
    return 1;
}

static int image_jpeg_read_codes(image_jpeg *p, int64_t at, int64_t end) {
    while (at < end) {
        int head = image_byte(p->j, at), total = 0;
        if ((head & 15) > 3 || head >> 4 > 1) return 0;
        image_jpeg_codes *c = &p->codes[4 * (head >> 4) + (head & 15)];
        for (int i = 1; i <= 16; i++) total += c->counts[i] = image_byte(p->j, at + i);
        if (total > 256 || at + 17 + total > end) return 0;
        for (int i = 0; i < total; i++) c->symbols[i] = p->j->in[at + 17 + i];
        at += 17 + total;
    }
    return 1;
}

/* Sizes of the planes, and the planes in the scratch. */
static int image_jpeg_planes(image_jpeg *p) {
    image_job *j = p->j;
    int64_t used = 0;
    int64_t columns = (j->width + 8 * p->most_across - 1) / (8 * p->most_across);
    int64_t rows = (j->height + 8 * p->most_down - 1) / (8 * p->most_down);
    for (int i = 0; i < p->count; i++) {
        image_component *c = &p->parts[i];
        c->width = (j->width * c->across + p->most_across - 1) / p->most_across;
        c->height = (j->height * c->down + p->most_down - 1) / p->most_down;
        c->stride = columns * c->across * 8;
        c->plane = j->scratch + used;
        used += c->stride * rows * c->down * 8;
    }
    return used <= j->scratch_bytes;
}

static int image_jpeg_frame(image_jpeg *p, int64_t at, int64_t end) {
    image_job *j = p->j;
    int status = image_fits(j, image_big(j, at + 3, 2), image_big(j, at + 1, 2));
    p->count = image_byte(j, at + 5);
    if (image_byte(j, at) != 8 || (p->count != 1 && p->count != 3) || at + 6 + 3 * p->count > end)
        return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    if (status) return status;
    p->most_across = p->most_down = 1;
    for (int i = 0; i < p->count; i++) {
        image_component *c = &p->parts[i];
        c->id = image_byte(j, at + 6 + 3 * i);
        c->across = image_byte(j, at + 7 + 3 * i) >> 4;
        c->down = image_byte(j, at + 7 + 3 * i) & 15;
        c->table = image_byte(j, at + 8 + 3 * i);
        if (p->count == 1) c->across = c->down = 1; /* of no meaning there */
        if (c->across < 1 || c->across > 2 || c->down < 1 || c->down > 2 || c->table > 3)
            return ONNXCC_ERROR_UNSUPPORTED_VALUE;
        if (c->across > p->most_across) p->most_across = c->across;
        if (c->down > p->most_down) p->most_down = c->down;
    }
    return image_jpeg_planes(p) ? ONNXCC_OK : ONNXCC_ERROR_UNSUPPORTED_VALUE;
}

/* ---- the scan ---- */

static int image_jpeg_read_block(image_jpeg *p, image_component *c, int64_t x, int64_t y) {
    int64_t coefficients[64] = {0};
    const uint16_t *table = p->tables[c->table];
    int size = image_jpeg_symbol(p, &p->codes[c->dc]);
    if (size < 0 || size > 11) return 0;
    c->last += image_jpeg_signed(p, size);
    if (c->last < -32768 || c->last > 32767) return 0;
    coefficients[0] = c->last * table[0];
    for (int i = 1; i < 64; i++) {
        int symbol = image_jpeg_symbol(p, &p->codes[4 + c->ac]);
        if (symbol < 0) return 0;
        if (symbol == 0) break;
        i += symbol >> 4;
        if (i > 63) return 0;
        if (symbol & 15) {
            int at = image_zigzag[i];
            coefficients[at] = image_jpeg_signed(p, symbol & 15) * table[at];
        }
    }
    for (int i = 0; i < 64; i++) { /* no honest file is beyond */
        if (coefficients[i] > 8191) coefficients[i] = 8191;
        if (coefficients[i] < -8192) coefficients[i] = -8192;
    }
    image_jpeg_block(coefficients, c->plane + y * 8 * c->stride + x * 8, c->stride);
    return 1;
}

/* Goes on behind a restart marker. */
static int image_jpeg_restart(image_jpeg *p) {
    image_job *j = p->j;
    p->held = p->marked = 0;
    if (image_byte(j, j->at) != 0xFF || (image_byte(j, j->at + 1) & 0xF8) != 0xD0) return 0;
    j->at += 2;
    for (int i = 0; i < p->count; i++) p->parts[i].last = 0;
    return 1;
}

/* All components in one scan; with one of them its blocks stand alone. */
static int image_jpeg_scan(image_jpeg *p, int64_t at) {
    image_job *j = p->j;
    if (image_byte(j, at) != p->count) return 0;
    for (int i = 0; i < p->count; i++) {
        int tables = image_byte(j, at + 2 + 2 * i);
        if (image_byte(j, at + 1 + 2 * i) != p->parts[i].id || (tables >> 4) > 3 ||
            (tables & 15) > 3)
            return 0;
        p->parts[i].dc = tables >> 4;
        p->parts[i].ac = tables & 15;
    }
    int64_t columns = (j->width + 8 * p->most_across - 1) / (8 * p->most_across);
    int64_t rows = (j->height + 8 * p->most_down - 1) / (8 * p->most_down);
    j->at = at + 4 + 2 * p->count;
    for (int64_t m = 0; m < columns * rows; m++) {
        if (p->restart && m && m % p->restart == 0 && !image_jpeg_restart(p)) return 0;
        for (int i = 0; i < p->count; i++) {
            image_component *c = &p->parts[i];
            for (int b = 0; b < c->across * c->down; b++)
                if (!image_jpeg_read_block(p, c, m % columns * c->across + b % c->across,
                                           m / columns * c->down + b / c->across))
                    return 0;
        }
    }
    return 1;
}

/* ---- pixels ---- */

/* A sample of the component at a pixel of the image. Where it has half of the samples along an axis
 * they lie between the pixels: a pixel takes three parts of the nearer and one of the farther, and
 * halves are rounded down and up in turn. */
static int image_jpeg_sample(const image_jpeg *p, const image_component *c, int64_t x, int64_t y) {
    int wide = c->across < p->most_across, tall = c->down < p->most_down;
    int64_t column = wide ? x / 2 : x, row = tall ? y / 2 : y;
    int64_t aside = column + (x % 2 ? 1 : -1), beside = row + (y % 2 ? 1 : -1);
    if (wide && c->width <= 2) wide = tall = 0;
    if (beside < 0 || beside >= c->height) beside = row;
    const uint8_t *near = c->plane + row * c->stride, *far = c->plane + beside * c->stride;
    if (!wide && !tall) return near[column];
    if (!wide) return (3 * near[column] + far[column] + (y % 2 ? 2 : 1)) >> 2;
    if (aside < 0 || aside >= c->width) aside = column;
    if (!tall) {
        if (aside == column) return near[column];
        return (3 * near[column] + near[aside] + (x % 2 ? 2 : 1)) >> 2;
    }
    int here = 3 * near[column] + far[column], there = 3 * near[aside] + far[aside];
    return (3 * here + there + (x % 2 ? 7 : 8)) >> 4;
}

static void image_jpeg_pixels(const image_jpeg *p) {
    const image_job *j = p->j;
    for (int64_t y = 0; y < j->height; y++)
        for (int64_t x = 0; x < j->width; x++) {
            int v[3];
            for (int i = 0; i < p->count; i++) v[i] = image_jpeg_sample(p, &p->parts[i], x, y);
            if (p->count == 1) v[1] = v[2] = v[0];
            if (p->count == 1 || p->adobe) {
                image_put(j, x, y, v[0], v[1], v[2]);
                continue;
            }
            int blue = v[1] - 128, red = v[2] - 128; /* 16 bits behind the point */
            int r = v[0] + ((91881 * red + 32768) >> 16);
            int g = v[0] + ((-22554 * blue - 46802 * red + 32768) >> 16);
            int b = v[0] + ((116130 * blue + 32768) >> 16);
            image_put(j, x, y, image_clamp(r), image_clamp(g), image_clamp(b));
        }
}

static int image_jpeg_file(image_job *j) {
    image_jpeg p;
    memset(&p, 0, sizeof p);
    p.j = j;
    for (int64_t at = 2; at + 4 <= j->size;) {
        int marker = image_byte(j, at + 1), status = ONNXCC_OK, well = 1;
        int64_t first = at + 4, end = at + 2 + image_big(j, at + 2, 2);
        if (image_byte(j, at) != 0xFF || end < first || end > j->size) break;
        if (marker == 0xFF) { /* filling */
            at++;
            continue;
        }
        if (marker == 0xC0 || marker == 0xC1) {
            if (p.count) break;
            status = image_jpeg_frame(&p, first, end);
        } else if (marker == 0xC4) {
            well = image_jpeg_read_codes(&p, first, end);
        } else if (marker == 0xDB) {
            well = image_jpeg_tables(&p, first, end);
        } else if (marker == 0xDD) {
            p.restart = (int)image_big(j, first, 2);
        } else if (marker == 0xEE && image_big(j, first, 4) == 0x41646F62) { /* Adobe */
            p.adobe = image_byte(j, first + 11) == 0;
        } else if (marker == 0xDA) {
            if (!p.count || !image_jpeg_scan(&p, first)) break;
            image_jpeg_pixels(&p);
            return ONNXCC_OK;
        } else if (marker > 0xC1 && marker < 0xD0 && marker != 0xC8 && marker != 0xCC) {
            break; /* another process: progressive, lossless, arithmetic */
        }
        if (status) return status;
        if (!well) break;
        at = end;
    }
    return ONNXCC_ERROR_UNSUPPORTED_VALUE;
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
    if (image_starts(&j, "\xff\xd8\xff", 3)) return image_jpeg_file(&j);
    if (image_starts(&j, "II*\0", 4) || image_starts(&j, "MM\0*", 4)) return image_tiff(&j);
    if (image_starts(&j, "P", 1) && image_byte(&j, 1) >= '1' && image_byte(&j, 1) <= '6')
        return image_pnm(&j);
    return ONNXCC_ERROR_UNSUPPORTED_VALUE;
}
