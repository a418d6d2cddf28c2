/* text_lexer.c: see text_lexer.h. */
#include "ir/text_lexer.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool text_fail(text_lexer *x, const char *format, ...) {
    if (x->failed) return false;
    x->failed = true;
    size_t line = 1;
    const char *begin = x->start;
    for (const char *p = x->start; p < x->at; p++)
        if (*p == '\n') {
            line++;
            begin = p + 1;
        }
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(x->memory, format, args);
    va_end(args);
    return diag_error(
        x->diag, arena_printf(x->memory, "line %zu, column %zu", line, (size_t)(x->at - begin) + 1),
        NULL, NULL, "%s", message);
}

void text_skip(text_lexer *x) {
    for (;; x->at++) {
        if (*x->at == ';')
            while (x->at[1] && x->at[1] != '\n') x->at++;
        else if (!isspace((unsigned char)*x->at))
            return;
    }
}

static bool is_name(const char *p) {
    if (isalnum((unsigned char)*p)) return true;
    if (*p == ':') return isalnum((unsigned char)p[1]) || (p[1] && strchr("_.$-/:", p[1]));
    return *p && strchr("_.$-/", *p);
}

bool text_peek(text_lexer *x, const char *token) {
    size_t n = strlen(token);
    text_skip(x);
    if (x->failed || strncmp(x->at, token, n) != 0) return false;
    return !isalnum((unsigned char)token[n - 1]) || !is_name(x->at + n);
}

bool text_accept(text_lexer *x, const char *token) {
    if (!text_peek(x, token)) return false;
    x->at += strlen(token);
    return true;
}

bool text_expect(text_lexer *x, const char *token) {
    return text_accept(x, token) || text_fail(x, "\"%s\" is missing", token);
}

const char *text_name(text_lexer *x) {
    const char *name;
    size_t n = 0;
    if (text_peek(x, "\"")) {
        if (!text_string(x, &name, &n)) return NULL;
        if (strlen(name) == n && n) return name;
        text_fail(x, "a name is not empty and holds no NUL");
        return NULL;
    }
    name = x->at;
    while (is_name(x->at)) x->at++;
    if (x->at == name || x->failed) {
        text_fail(x, "a name is missing");
        return NULL;
    }
    return arena_strndup(x->memory, name, (size_t)(x->at - name));
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool text_string(text_lexer *x, const char **out, size_t *length) {
    if (!text_expect(x, "\"")) return false;
    size_t most = 0;
    while (x->at[most] && x->at[most] != '"')
        most += x->at[most] == '\\' && x->at[most + 1] ? 2 : 1;
    char *text = arena_alloc(x->memory, most + 1);
    size_t n = 0;
    while (*x->at && *x->at != '"') {
        char c = *x->at++;
        if (c == '\\' && *x->at == 'x') {
            int high = hex_digit(x->at[1]), low = high < 0 ? -1 : hex_digit(x->at[2]);
            if (low < 0) return text_fail(x, "\\x takes two digits");
            c = (char)(high * 16 + low);
            x->at += 3;
        } else if (c == '\\') {
            if (!*x->at) break;
            c = *x->at++;
        }
        text[n++] = c;
    }
    *out = text;
    *length = n;
    return text_expect(x, "\"");
}

bool text_int(text_lexer *x, int64_t *out) {
    char *end;
    text_skip(x);
    errno = 0;
    if (isspace((unsigned char)*x->at) || *x->at == '+') return text_fail(x, "a number is missing");
    *out = strtoll(x->at, &end, 10);
    if (end == x->at || errno || x->failed) return text_fail(x, "a whole number is missing");
    x->at = end;
    return true;
}

bool text_float(text_lexer *x, double *out) {
    char *end;
    text_skip(x);
    *out = strtod(x->at, &end);
    if (end == x->at || x->failed) return text_fail(x, "a number is missing");
    x->at = end;
    return true;
}

bool text_hex(text_lexer *x, unsigned char **out, size_t *bytes) {
    if (!text_expect(x, "\"")) return false;
    size_t n = 0;
    while (hex_digit(x->at[n]) >= 0) n++;
    if (n % 2) return text_fail(x, "the digits do not make bytes");
    *out = arena_alloc(x->memory, n / 2);
    *bytes = n / 2;
    for (size_t i = 0; i < n / 2; i++)
        (*out)[i] = (unsigned char)(hex_digit(x->at[2 * i]) * 16 + hex_digit(x->at[2 * i + 1]));
    x->at += n;
    return text_expect(x, "\"");
}
