/* onnxcc_rt_string_cast.c: numbers as strings and back. A float becomes the shortest decimal that
 * is read back as the same float; what is read is rounded to the nearest float, half to even. Both
 * by exact arithmetic on numbers of some thousand bits (Steele and White, "How to print
 * floating-point numbers accurately", 1990; Clinger, "How to read floating-point numbers
 * accurately", 1990). */
#include "onnxcc_runtime.h"

#include <string.h>

int onnxcc_rt_string_cast(const onnxcc_call *call);

enum {
    STRING_CAST_F32 = 1,
    STRING_CAST_I64 = 7,
    STRING_CAST_STRING = 8,
    STRING_CAST_BOOL = 9,
    STRING_CAST_F16 = 10,
    STRING_CAST_F64 = 11,
    STRING_CAST_U64 = 13,
    STRING_CAST_BF16 = 16,
    STRING_CAST_WORDS = 44,      /* of a number: 1408 bits */
    STRING_CAST_MOST_BYTES = 32, /* of a printed number */
    STRING_CAST_DIGITS = 40      /* that are read exactly; behind them only whether there is any */
};

/* ---- long numbers, little end first ---- */

typedef struct {
    uint32_t word[STRING_CAST_WORDS];
    int count;
} string_cast_long;

static void string_cast_set(string_cast_long *x, uint64_t v) {
    x->word[0] = (uint32_t)v;
    x->word[1] = (uint32_t)(v >> 32);
    x->count = v >> 32 ? 2 : v ? 1 : 0;
}

/* x * factor + more. */
static void string_cast_scale(string_cast_long *x, uint32_t factor, uint32_t more) {
    uint64_t carry = more;
    for (int i = 0; i < x->count; i++) {
        carry += (uint64_t)x->word[i] * factor;
        x->word[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry && x->count < STRING_CAST_WORDS) x->word[x->count++] = (uint32_t)carry;
}

static void string_cast_scale10(string_cast_long *x, int power) {
    for (; power >= 9; power -= 9) string_cast_scale(x, 1000000000u, 0);
    for (; power > 0; power--) string_cast_scale(x, 10, 0);
}

static void string_cast_shift(string_cast_long *x, int bits) {
    int words = bits / 32;
    if (!x->count || x->count + words + 1 > STRING_CAST_WORDS) return;
    memmove(x->word + words, x->word, (size_t)x->count * sizeof *x->word);
    memset(x->word, 0, (size_t)words * sizeof *x->word);
    x->count += words;
    string_cast_scale(x, (uint32_t)1 << (bits % 32), 0);
}

static int string_cast_compare(const string_cast_long *x, const string_cast_long *y) {
    if (x->count != y->count) return x->count < y->count ? -1 : 1;
    for (int i = x->count - 1; i >= 0; i--)
        if (x->word[i] != y->word[i]) return x->word[i] < y->word[i] ? -1 : 1;
    return 0;
}

static void string_cast_add(string_cast_long *x, const string_cast_long *y) {
    uint64_t carry = 0;
    for (int i = 0; i < y->count || (carry && i < STRING_CAST_WORDS); i++) {
        carry += (uint64_t)(i < x->count ? x->word[i] : 0) + (i < y->count ? y->word[i] : 0);
        x->word[i] = (uint32_t)carry;
        if (i >= x->count) x->count = i + 1;
        carry >>= 32;
    }
}

/* x - y, where x is not less. */
static void string_cast_subtract(string_cast_long *x, const string_cast_long *y) {
    int64_t borrow = 0;
    for (int i = 0; i < x->count; i++) {
        borrow += (int64_t)x->word[i] - (i < y->count ? (int64_t)y->word[i] : 0);
        x->word[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
    while (x->count && !x->word[x->count - 1]) x->count--;
}

static int string_cast_bits(const string_cast_long *x) {
    int bits = x->count * 32;
    for (uint32_t top = x->count ? x->word[x->count - 1] : 0; top && !(top >> 31); top <<= 1)
        bits--;
    return bits;
}

/* ---- printing ---- */

/* A float: fraction bits, exponent bits. */
typedef struct {
    int fraction, exponent;
} string_cast_format;

static string_cast_format string_cast_format_of(int64_t type) {
    string_cast_format f = {23, 8};
    if (type == STRING_CAST_F16) f.fraction = 10, f.exponent = 5;
    if (type == STRING_CAST_BF16) f.fraction = 7;
    if (type == STRING_CAST_F64) f.fraction = 52, f.exponent = 11;
    return f;
}

/* The shortest digits of m * 2^e within half a unit, and the place of the point behind which they
 * stand; `uneven` says that the float below is nearer. Returns how many. */
static int string_cast_shortest(uint64_t m, int e, int uneven, char *digits, int *point) {
    string_cast_long r, s, above, below;
    int count = 0, even = m % 2 == 0, low, high;
    string_cast_set(&r, m);
    string_cast_set(&s, 1);
    string_cast_set(&above, 1);
    string_cast_set(&below, 1);
    string_cast_shift(&r, (e > 0 ? e : 0) + 1 + uneven);
    string_cast_shift(&s, (e < 0 ? -e : 0) + 1 + uneven);
    string_cast_shift(&above, (e > 0 ? e : 0) + uneven);
    string_cast_shift(&below, e > 0 ? e : 0);
    /* An estimate of the decimal exponent that is never too large. */
    int bits = string_cast_bits(&r) - string_cast_bits(&s);
    *point = bits > 0 ? (bits - 1) * 30102 / 100000 : bits * 30103 / 100000 - 1;
    string_cast_scale10(*point > 0 ? &s : &r, *point > 0 ? *point : -*point);
    if (*point < 0) {
        string_cast_scale10(&above, -*point);
        string_cast_scale10(&below, -*point);
    }
    for (;;) {
        string_cast_long sum = r;
        string_cast_add(&sum, &above);
        if (string_cast_compare(&sum, &s) < (even ? 0 : 1)) break;
        string_cast_scale(&s, 10, 0);
        ++*point;
    }
    do {
        string_cast_long sum;
        int digit = 0;
        string_cast_scale(&r, 10, 0);
        string_cast_scale(&above, 10, 0);
        string_cast_scale(&below, 10, 0);
        for (; string_cast_compare(&r, &s) >= 0; digit++) string_cast_subtract(&r, &s);
        sum = r;
        string_cast_add(&sum, &above);
        low = string_cast_compare(&r, &below) < (even ? 1 : 0);
        high = string_cast_compare(&sum, &s) > (even ? -1 : 0);
        if (high && low) {
            string_cast_scale(&r, 2, 0);
            high = string_cast_compare(&r, &s) >= 0;
        }
        digits[count++] = (char)('0' + digit + high);
    } while (!low && !high && count < 20);
    return count;
}

static char *string_cast_put(char *to, const char *text) {
    while (*text) *to++ = *text++;
    return to;
}

/* Digits with a point at `point`: plain between 1e-4 and 1e16, else with an exponent. */
static char *string_cast_layout(char *to, const char *digits, int count, int point) {
    int exponent = point - 1;
    if (exponent >= -4 && exponent < 16) {
        if (point <= 0) to = string_cast_put(to, "0.");
        for (int i = point; i < 0; i++) *to++ = '0';
        for (int i = 0; i < count || i < point; i++) {
            if (i == point && point > 0) *to++ = '.';
            *to++ = i < count ? digits[i] : '0';
        }
        return count <= point ? string_cast_put(to, ".0") : to;
    }
    *to++ = digits[0];
    if (count > 1) *to++ = '.';
    for (int i = 1; i < count; i++) *to++ = digits[i];
    to = string_cast_put(to, exponent < 0 ? "e-" : "e+");
    if (exponent < 0) exponent = -exponent;
    if (exponent >= 100) *to++ = (char)('0' + exponent / 100);
    *to++ = (char)('0' + exponent / 10 % 10);
    *to++ = (char)('0' + exponent % 10);
    return to;
}

static char *string_cast_print_float(char *to, int64_t type, uint64_t bits) {
    const string_cast_format f = string_cast_format_of(type);
    uint64_t fraction = bits & (((uint64_t)1 << f.fraction) - 1);
    int most = (1 << f.exponent) - 1, exponent = (int)(bits >> f.fraction) & most, point;
    int minus = (int)(bits >> (f.fraction + f.exponent)) & 1;
    char digits[24];
    if (exponent == most && fraction) return string_cast_put(to, "nan");
    if (minus) *to++ = '-';
    if (exponent == most) return string_cast_put(to, "inf");
    if (!exponent && !fraction) return string_cast_put(to, "0.0");
    int uneven = exponent > 1 && !fraction;
    if (exponent)
        fraction |= (uint64_t)1 << f.fraction;
    else
        exponent = 1;
    int count =
        string_cast_shortest(fraction, exponent - most / 2 - f.fraction, uneven, digits, &point);
    return string_cast_layout(to, digits, count, point);
}

static char *string_cast_print_integer(char *to, uint64_t v, int minus) {
    char digits[20];
    int count = 0;
    do digits[count++] = (char)('0' + v % 10);
    while (v /= 10);
    if (minus) *to++ = '-';
    while (count) *to++ = digits[--count];
    return to;
}

static char *string_cast_print(char *to, const onnxcc_tensor *x, int64_t at) {
    uint32_t bits32;
    uint64_t bits64;
    switch (x->element_type) {
    case STRING_CAST_BOOL:
        return string_cast_put(to, ((const unsigned char *)x->data)[at] ? "True" : "False");
    case STRING_CAST_I64: {
        int64_t v = ((const int64_t *)x->data)[at];
        return string_cast_print_integer(to, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0);
    }
    case STRING_CAST_U64: return string_cast_print_integer(to, ((const uint64_t *)x->data)[at], 0);
    case STRING_CAST_F64:
        memcpy(&bits64, (const char *)x->data + at * 8, 8);
        return string_cast_print_float(to, x->element_type, bits64);
    case STRING_CAST_F32:
        memcpy(&bits32, (const char *)x->data + at * 4, 4);
        return string_cast_print_float(to, x->element_type, bits32);
    default: return string_cast_print_float(to, x->element_type, ((const uint16_t *)x->data)[at]);
    }
}

/* ---- reading ---- */

/* What stands in a string: digits * 10^power, with something behind them if `inexact`. */
typedef struct {
    string_cast_long digits;
    uint64_t integer;                                 /* the digits, if they fit and `whole` */
    int power, count, minus, inexact, whole, special; /* special: 1 infinity, 2 not a number */
} string_cast_number;

static int string_cast_is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Whether the text is the word, whose letters are small ones. */
static int string_cast_is(const char *at, const char *end, const char *word) {
    for (; at < end && *word; at++, word++)
        if ((*at >= 'A' && *at <= 'Z' ? *at + 32 : *at) != *word) return 0;
    return at == end && !*word;
}

static void string_cast_digit(string_cast_number *n, int digit, int behind_point) {
    if (n->count || digit) n->count++;
    if (n->count > STRING_CAST_DIGITS) {
        n->inexact |= digit != 0;
        n->power += !behind_point;
        return;
    }
    string_cast_scale(&n->digits, 10, (uint32_t)digit);
    n->power -= behind_point;
    if (n->integer > (UINT64_MAX - (uint64_t)digit) / 10) n->whole = 0;
    n->integer = n->integer * 10 + (uint64_t)digit;
}

/* Behind the e; nonzero if it is none. */
static int string_cast_exponent(string_cast_number *n, const char *at, const char *end) {
    int minus = at < end && *at == '-', power = 0;
    if (at < end && (*at == '-' || *at == '+')) at++;
    if (at == end) return 1;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        power = power > 100000 ? power : power * 10 + (*at - '0');
    n->power += minus ? -power : power;
    n->whole = 0;
    return at < end;
}

/* Nonzero if the text is no number. */
static int string_cast_parse(const onnxcc_string *s, string_cast_number *n) {
    const char *at = s->data, *end = at + s->length;
    int seen = 0, behind_point = 0;
    *n = (string_cast_number){.whole = 1};
    string_cast_set(&n->digits, 0);
    if (!s->length) return 1;
    while (at < end && string_cast_is_space(*at)) at++;
    while (end > at && string_cast_is_space(end[-1])) end--;
    if (at < end && (*at == '-' || *at == '+')) n->minus = *at++ == '-';
    if (string_cast_is(at, end, "inf") || string_cast_is(at, end, "infinity")) n->special = 1;
    if (string_cast_is(at, end, "nan")) n->special = 2;
    if (n->special) return 0;
    for (; at < end; at++) {
        if (*at == '.' && !behind_point) {
            behind_point = 1;
            n->whole = 0;
        } else if (*at >= '0' && *at <= '9') {
            seen = 1;
            string_cast_digit(n, *at - '0', behind_point);
        } else {
            break;
        }
        if (n->power > (1 << 30) || n->power < -(1 << 30)) return 1;
    }
    if (!seen) return 1;
    if (at < end && (*at == 'e' || *at == 'E')) return string_cast_exponent(n, at + 1, end);
    return at < end;
}

/* The bits of the nearest float. */
static uint64_t string_cast_round(string_cast_number *n, string_cast_format f) {
    const uint64_t infinity = (((uint64_t)1 << f.exponent) - 1) << f.fraction;
    const int least = 2 - (1 << (f.exponent - 1)), guard = 60;
    string_cast_long *x = &n->digits, y;
    int kept = n->count > STRING_CAST_DIGITS ? STRING_CAST_DIGITS : n->count;
    uint64_t q = 0;
    if (n->special) return n->special == 1 ? infinity : infinity | (infinity >> 1 & ~infinity);
    if (!x->count || kept + n->power < -330) return 0;
    if (kept + n->power > 310) return infinity;
    string_cast_set(&y, 1);
    string_cast_scale10(n->power < 0 ? &y : x, n->power < 0 ? -n->power : n->power);
    /* x * 2^shift / y has f.fraction + 3 or 4 bits. */
    int shift = f.fraction + 3 - (string_cast_bits(x) - string_cast_bits(&y));
    string_cast_shift(shift > 0 ? x : &y, shift > 0 ? shift : -shift);
    string_cast_shift(&y, guard);
    for (int i = 0; i <= guard; i++) {
        q <<= 1;
        if (string_cast_compare(x, &y) >= 0) {
            string_cast_subtract(x, &y);
            q |= 1;
        }
        string_cast_scale(x, 2, 0);
    }
    int inexact = n->inexact || x->count, bits = 0;
    while (q >> bits) bits++;
    int exponent = bits - 1 - shift, keep = f.fraction + 1;
    if (exponent < least) keep -= least - exponent;
    if (keep < 0) return 0;
    uint64_t half = (uint64_t)1 << (bits - keep - 1), rest = q & (2 * half - 1);
    uint64_t m = bits - keep < 64 ? q >> (bits - keep) : 0;
    m += rest > half || (rest == half && (inexact || (m & 1)));
    if (exponent > least) m += (uint64_t)(exponent - least) << f.fraction;
    return m > infinity || exponent > -least + 1 ? infinity : m;
}

static int string_cast_read_float(const onnxcc_tensor *y, int64_t at, string_cast_number *n) {
    const string_cast_format f = string_cast_format_of(y->element_type);
    uint64_t bits = string_cast_round(n, f) | (uint64_t)n->minus << (f.fraction + f.exponent);
    uint32_t bits32 = (uint32_t)bits;
    if (y->element_type == STRING_CAST_F64)
        memcpy((char *)y->data + at * 8, &bits, 8);
    else
        memcpy((char *)y->data + at * 4, &bits32, 4);
    return ONNXCC_OK;
}

/* Integers may be written with a point or an exponent: what stands behind the point is cut off. */
static int string_cast_read_integer(const onnxcc_tensor *y, int64_t at, string_cast_number *n) {
    int is_signed = y->element_type == STRING_CAST_I64;
    uint64_t v = n->integer, most = is_signed ? (uint64_t)1 << 63 : UINT64_MAX;
    if (!n->whole) {
        double d;
        const string_cast_format f = {52, 11};
        uint64_t bits = string_cast_round(n, f);
        memcpy(&d, &bits, 8);
        if (!(d < 18446744073709551616.0)) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
        v = (uint64_t)d;
    }
    if (v > most || (v == most && is_signed && !n->minus) || (v && n->minus && !is_signed))
        return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    ((uint64_t *)y->data)[at] = n->minus ? 0 - v : v;
    return ONNXCC_OK;
}

static int string_cast_read(const onnxcc_tensor *y, int64_t at, const onnxcc_string *s) {
    string_cast_number n;
    const char *end = s->length ? s->data + s->length : s->data;
    unsigned char *truth = (unsigned char *)y->data;
    if (y->element_type == STRING_CAST_BOOL) {
        int yes = string_cast_is(s->data, end, "true");
        if (yes || string_cast_is(s->data, end, "false")) {
            truth[at] = (unsigned char)yes;
            return ONNXCC_OK;
        }
    }
    if (string_cast_parse(s, &n)) return ONNXCC_ERROR_UNSUPPORTED_VALUE;
    if (y->element_type == STRING_CAST_BOOL) {
        truth[at] = n.special || n.digits.count || n.inexact;
        return ONNXCC_OK;
    }
    if (y->element_type == STRING_CAST_F32 || y->element_type == STRING_CAST_F64)
        return string_cast_read_float(y, at, &n);
    return n.special ? ONNXCC_ERROR_UNSUPPORTED_VALUE : string_cast_read_integer(y, at, &n);
}

/* Inputs: x. Outputs: y; where that is strings, bytes for them, 32 each. A string that is no number
 * or out of an integer's range ends the run. */
int onnxcc_rt_string_cast(const onnxcc_call *call) {
    const onnxcc_tensor *x = &call->inputs[0], *y = &call->outputs[0];
    int64_t count = 1;
    for (int64_t i = 0; i < y->rank; i++) count *= y->dims[i];
    for (int64_t i = 0; i < count; i++) {
        if (y->element_type == STRING_CAST_STRING) {
            char *to = (char *)call->outputs[1].data + i * STRING_CAST_MOST_BYTES;
            onnxcc_string *s = (onnxcc_string *)y->data + i;
            s->data = to;
            s->length = (size_t)(string_cast_print(to, x, i) - to);
        } else {
            int status = string_cast_read(y, i, (const onnxcc_string *)x->data + i);
            if (status != ONNXCC_OK) return status;
        }
    }
    return ONNXCC_OK;
}
