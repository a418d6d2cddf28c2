/* npy.c: the .npy format, as numpy.lib.format describes it: a magic number, a Python dictionary as
 * text, the elements. Only the dictionary's three keys are understood, in any order. See npy.h. */
#include "frontend/npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char MAGIC[] = "\x93NUMPY";

/* ---- the header ---- */

typedef struct {
    char kind; /* f, i, u, b, c, V, S, U */
    size_t width;
    bool fortran;
    int rank;
    int64_t dims[TENSOR_MAX_RANK];
} npy_header;

static const char *after(const char *text, const char *key) {
    const char *at = strstr(text, key);
    if (!at) return NULL;
    at += strlen(key);
    while (*at == ' ' || *at == ':') at++;
    return at;
}

static bool parse_number(const char **at, int64_t *out) {
    char *end;
    if (**at < '0' || **at > '9') return false;
    long long v = strtoll(*at, &end, 10);
    *out = v;
    *at = end;
    return v <= DIM_MAX;
}

static bool parse_shape(const char *at, npy_header *h) {
    if (*at++ != '(') return false;
    for (;;) {
        while (*at == ' ' || *at == ',') at++;
        if (*at == ')') return true;
        if (h->rank == TENSOR_MAX_RANK || !parse_number(&at, &h->dims[h->rank])) return false;
        h->rank++;
    }
}

static bool parse_header(const char *text, npy_header *h) {
    const char *descr = after(text, "'descr'"), *order = after(text, "'fortran_order'"),
               *shape = after(text, "'shape'");
    int64_t width;
    if (!descr || !order || !shape || *descr++ != '\'') return false;
    if (!*descr || !strchr("<|=", *descr)) return false; /* big-endian files are refused */
    h->kind = *++descr;
    if (!h->kind || !strchr("fiubcVSU", h->kind)) return false;
    descr++;
    if (!parse_number(&descr, &width) || *descr != '\'') return false;
    h->width = (size_t)width * (h->kind == 'U' ? 4 : 1);
    h->fortran = strncmp(order, "True", 4) == 0;
    return parse_shape(shape, h);
}

static dtype dtype_of(const npy_header *h, dtype wanted) {
    static const struct {
        char kind;
        unsigned char width;
        dtype type;
    } known[] = {{'f', 4, DTYPE_F32}, {'f', 8, DTYPE_F64},   {'f', 2, DTYPE_F16},
                 {'i', 1, DTYPE_I8},  {'i', 2, DTYPE_I16},   {'i', 4, DTYPE_I32},
                 {'i', 8, DTYPE_I64}, {'u', 1, DTYPE_U8},    {'u', 2, DTYPE_U16},
                 {'u', 4, DTYPE_U32}, {'u', 8, DTYPE_U64},   {'b', 1, DTYPE_BOOL},
                 {'c', 8, DTYPE_C64}, {'c', 16, DTYPE_C128}, {'V', 2, DTYPE_BF16}};
    if (h->kind == 'S' || h->kind == 'U') return DTYPE_STRING;
    /* Raw bytes are whatever is wanted; NumPy has no narrow integers, so bytes stand for them. */
    bool raw = h->kind == 'V' || (h->width == 1 && (h->kind == 'f' || dtype_bits(wanted) < 8));
    if (wanted != DTYPE_NONE && raw && h->width == dtype_bytes(wanted)) return wanted;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].kind == h->kind && known[i].width == h->width) return known[i].type;
    return DTYPE_NONE;
}

/* ---- strings ---- */

static size_t put_utf8(char *out, uint32_t c) {
    if (c > 0x10ffff) c = 0xfffd;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00 >> n & 0xff) | c);
    return n;
}

/* The next character; a byte that begins none is U+FFFD. */
static uint32_t take_utf8(const char **at, const char *end) {
    uint32_t c = (unsigned char)*(*at)++;
    if (c < 0x80) return c;
    int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : -1;
    if (more < 0 || end - *at < more) return 0xfffd;
    c &= 0x3f >> more;
    for (int i = 0; i < more; i++) {
        if (((unsigned char)(*at)[i] & 0xc0) != 0x80) return 0xfffd;
        c = c << 6 | ((unsigned char)(*at)[i] & 0x3f);
    }
    *at += more;
    return c;
}

/* Fixed-width strings, padded with NULs. */
static blob_string *decode_strings(arena *a, const npy_header *h, const uint8_t *data,
                                   size_t count) {
    blob_string *out = ARENA_ARRAY(a, blob_string, count);
    for (size_t i = 0; i < count; i++, data += h->width) {
        size_t n = 0;
        char *text = arena_alloc(a, h->width + 1);
        if (h->kind == 'S') {
            for (n = h->width; n && !data[n - 1];) n--;
            memcpy(text, data, n);
        } else {
            size_t used = h->width / 4;
            uint32_t c;
            for (; used; used--) {
                memcpy(&c, data + 4 * (used - 1), 4);
                if (c) break;
            }
            for (size_t k = 0; k < used; k++) {
                memcpy(&c, data + 4 * k, 4);
                n += put_utf8(text + n, c);
            }
        }
        out[i] = (blob_string){text, n};
    }
    return out;
}

/* The same as UTF-32, `width` characters each. */
static void append_string(file_writer *w, blob_string s, size_t width) {
    size_t n = 0;
    for (const char *at = s.data, *end = s.data + s.length; at < end; n++) {
        uint32_t c = take_utf8(&at, end);
        file_append(w, &c, sizeof c);
    }
    for (uint32_t zero = 0; n < width; n++) file_append(w, &zero, sizeof zero);
}

static size_t longest(const blob_string *strings, size_t count) {
    size_t width = 1;
    for (size_t i = 0; i < count; i++) {
        size_t n = 0;
        const char *end = strings[i].data + strings[i].length;
        for (const char *at = strings[i].data; at < end; n++) take_utf8(&at, end);
        if (n > width) width = n;
    }
    return width;
}

/* ---- reading ---- */

/* Fortran order to C order. */
static uint8_t *reorder(arena *a, const npy_header *h, size_t width, const uint8_t *data,
                        size_t count) {
    uint8_t *out = arena_alloc_array(a, count, width);
    size_t index[TENSOR_MAX_RANK] = {0}, stride[TENSOR_MAX_RANK], from = 0;
    for (int i = 0; i < h->rank; i++) stride[i] = i ? stride[i - 1] * (size_t)h->dims[i - 1] : 1;
    for (size_t to = 0; to < count; to++) {
        memcpy(out + to * width, data + from * width, width);
        for (int i = h->rank; i-- > 0;) {
            from += stride[i];
            if (++index[i] < (size_t)h->dims[i]) break;
            from -= stride[i] * index[i];
            index[i] = 0;
        }
    }
    return out;
}

static const char *read_elements(arena *a, const npy_header *h, wire_span body,
                                 load_tensor_result *out) {
    size_t count;
    if (!load_count_elements(h->rank, h->dims, &count)) return "its shape is too large";
    bool strings = out->dtype == DTYPE_STRING;
    if (h->width ? body.size / h->width < count || body.size != count * h->width
                 : body.size != 0 || count > (size_t)1 << 24)
        return "its size does not match its shape";
    size_t width = strings ? sizeof(blob_string) : h->width;
    uint8_t *data;
    if (strings) {
        data = (uint8_t *)decode_strings(a, h, body.data, count);
    } else {
        data = arena_alloc(a, body.size);
        memcpy(data, body.data, body.size);
    }
    if (h->fortran && h->rank > 1) data = reorder(a, h, width, data, count);
    int64_t *dims = ARENA_ARRAY(a, int64_t, (size_t)h->rank);
    memcpy(dims, h->dims, (size_t)h->rank * sizeof *dims);
    out->rank = h->rank;
    out->dims = dims;
    out->data = (blob){.data = data, .bytes = count * width};
    return NULL;
}

/* NULL, or what is wrong. */
static const char *read_bytes(wire_span file, dtype wanted, arena *a, load_tensor_result *out) {
    size_t start = 10, length;
    if (file.size < 12 || memcmp(file.data, MAGIC, 6) != 0) return "no .npy file";
    if (file.data[6] < 1 || file.data[6] > 3) return "its version is unknown";
    length = file.data[8] | (size_t)file.data[9] << 8;
    if (file.data[6] > 1) {
        length |= (size_t)file.data[10] << 16 | (size_t)file.data[11] << 24;
        start = 12;
    }
    if (length > file.size - start) return "it is truncated";
    npy_header h = {0};
    const char *text = arena_strndup(a, (const char *)file.data + start, length);
    if (!parse_header(text, &h)) return "its header is not understood";
    *out = (load_tensor_result){.name = "", .dtype = dtype_of(&h, wanted)};
    if (out->dtype == DTYPE_NONE) return "its element type is not supported";
    return read_elements(a, &h, (wire_span){file.data + start + length, file.size - start - length},
                         out);
}

bool npy_read(const char *path, dtype wanted, arena *a, diag *d, load_tensor_result *out) {
    file_view file;
    const char *error;
    if (file_map(path, &file, &error)) {
        error = read_bytes(file, wanted, a, out);
        file_unmap(file);
    }
    if (!error) return true;
    diag_item item = {.severity = DIAG_ERROR,
                      .file = arena_strdup(d->memory, path),
                      .message = arena_printf(d->memory, "cannot read: %s", error)};
    return diag_add(d, item);
}

/* ---- writing ---- */

static const char *descr_of(arena *a, dtype t, size_t string_width) {
    size_t bytes = dtype_bytes(t);
    switch (t) {
    case DTYPE_STRING: return arena_printf(a, "<U%zu", string_width);
    case DTYPE_BOOL: return "|b1";
    case DTYPE_C64:
    case DTYPE_C128: return arena_printf(a, "<c%zu", bytes);
    case DTYPE_F16:
    case DTYPE_F32:
    case DTYPE_F64: return arena_printf(a, "<f%zu", bytes);
    default: break;
    }
    if (dtype_is_float(t)) return arena_printf(a, "|V%zu", bytes);
    return arena_printf(a, "%s%c%zu", bytes == 1 ? "|" : "<",
                        dtype_class_of(t) == DTYPE_CLASS_UINT ? 'u' : 'i', bytes);
}

static const char *header_text(arena *a, const load_tensor_result *t, size_t string_width) {
    const char *shape = "";
    for (int i = 0; i < t->rank; i++)
        shape = arena_printf(a, "%s%s%lld%s", shape, i ? " " : "", (long long)t->dims[i],
                             i + 1 < t->rank || t->rank == 1 ? "," : "");
    const char *text = arena_printf(a, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
                                    descr_of(a, t->dtype, string_width), shape);
    /* The elements begin at a multiple of 64. */
    size_t padded = (10 + strlen(text) + 1 + 63) / 64 * 64 - 10;
    return arena_printf(a, "%-*s\n", (int)padded - 1, text);
}

bool npy_write(const char *path, const load_tensor_result *t, arena *a, diag *d) {
    size_t count = 0, string_width = 0;
    bool fits = load_count_elements(t->rank, t->dims, &count);
    const blob_string *strings = t->dtype == DTYPE_STRING && fits ? t->data.data : NULL;
    if (strings) string_width = longest(strings, t->data.splat ? 1 : count);
    const char *header = header_text(a, t, string_width);
    size_t length = strlen(header);
    const uint8_t prefix[] = {1, 0, length & 0xff, length >> 8 & 0xff};
    file_writer *w = file_create(path, a);
    file_append(w, MAGIC, 6);
    file_append(w, prefix, sizeof prefix);
    file_append(w, header, length);
    for (size_t i = 0; strings && i < count; i++)
        append_string(w, strings[t->data.splat ? 0 : i], string_width);
    for (size_t i = 0; !strings && i < (t->data.splat ? count : 1); i++)
        file_append(w, t->data.data, t->data.bytes);
    return file_commit(w, d);
}
