/* regex.c: parses a pattern into a tree and prints the tree as instructions. Repetitions are
 * copies; sets of characters become sequences of byte ranges. Captures and greed do not matter: all
 * that is asked is whether the whole text matches. */
#include "ir/ops/regex.h"

#include <assert.h>
#include <string.h>

enum {
    MOST_DEPTH = 200,
    MOST_COUNT = 1000,
    MOST_INSTRUCTIONS = 1 << 16,
    MOST_VISITS = 1 << 20,
    LAST = 0x10ffff
};

typedef struct {
    int32_t low, high;
} range;

typedef LIST(range) range_list;

typedef enum {
    TREE_EMPTY,
    TREE_SET,
    TREE_BYTES,
    TREE_CAT,
    TREE_ALT,
    TREE_REPEAT,
    TREE_ASSERT
} kind;

typedef struct tree {
    kind kind;
    range_list set;      /* SET: sorted, apart */
    struct tree *a, *b;  /* CAT, ALT: both; REPEAT: a */
    int32_t least, most; /* REPEAT: -1 is no limit; ASSERT: least is which */
} tree;

typedef struct {
    arena *memory;
    const unsigned char *at, *end;
    bool fold, dot_newline, multiline;
    int depth;
    long visits; /* of trees, while instructions are made */
    const char *error;
    LIST(int32_t) words;
} parser;

static tree *fail(parser *p, const char *error) {
    if (!p->error) p->error = error;
    return NULL;
}

static tree *make(parser *p, kind k, tree *a, tree *b) {
    tree *t = ARENA_NEW(p->memory, tree);
    *t = (tree){.kind = k, .a = a, .b = b};
    return t;
}

static tree *make_assertion(parser *p, regex_assertion which) {
    tree *t = make(p, TREE_ASSERT, NULL, NULL);
    t->least = (int32_t)which;
    return t;
}

/* ---- sets ---- */

static void add_range(parser *p, range_list *set, int32_t low, int32_t high) {
    list_push(p->memory, set, ((range){low, high}));
}

/* Sorted, and those that touch joined. */
static void normalise(range_list *set) {
    size_t kept = 0;
    for (size_t i = 1; i < set->count; i++)
        for (size_t j = i; j > 0 && set->data[j].low < set->data[j - 1].low; j--) {
            range r = set->data[j];
            set->data[j] = set->data[j - 1];
            set->data[j - 1] = r;
        }
    for (size_t i = 0; i < set->count; i++) {
        range r = set->data[i];
        if (kept && r.low <= set->data[kept - 1].high + 1) {
            if (r.high > set->data[kept - 1].high) set->data[kept - 1].high = r.high;
        } else {
            set->data[kept++] = r;
        }
    }
    set->count = kept;
}

static range_list complement(parser *p, range_list set) {
    range_list out = {0};
    int32_t next = 0;
    normalise(&set);
    for (size_t i = 0; i < set.count; i++) {
        if (set.data[i].low > next) add_range(p, &out, next, set.data[i].low - 1);
        next = set.data[i].high + 1;
    }
    if (next <= LAST) add_range(p, &out, next, LAST);
    return out;
}

/* Capitals and how far their small letters are: ASCII, Latin-1, Greek, Cyrillic. */
static const struct {
    int32_t low, high, distance;
} cases[] = {{'A', 'Z', 32},     {0xc0, 0xd6, 32},   {0xd8, 0xde, 32},  {0x391, 0x3a1, 32},
             {0x3a3, 0x3ab, 32}, {0x410, 0x42f, 32}, {0x400, 0x40f, 80}};

/* Adds the other case of what is in the set. */
static void fold_set(parser *p, range_list *set) {
    const size_t count = set->count;
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
            for (int down = 0; down < 2; down++) {
                int32_t distance = down ? -cases[c].distance : cases[c].distance;
                int32_t low = cases[c].low + (down ? cases[c].distance : 0);
                int32_t high = cases[c].high + (down ? cases[c].distance : 0);
                if (low < set->data[i].low) low = set->data[i].low;
                if (high > set->data[i].high) high = set->data[i].high;
                if (low <= high) add_range(p, set, low + distance, high + distance);
            }
}

static tree *make_set(parser *p, range_list set, bool negated) {
    tree *t = make(p, TREE_SET, NULL, NULL);
    if (p->fold) fold_set(p, &set);
    if (negated) set = complement(p, set);
    normalise(&set);
    t->set = set;
    return t;
}

static tree *make_character(parser *p, int32_t c) {
    range_list set = {0};
    add_range(p, &set, c, c);
    return make_set(p, set, false);
}

/* \d, \s, \w and their opposites: false if c is none of them. */
static bool add_perl_class(parser *p, range_list *set, int c) {
    range_list own = {0};
    switch (c) {
    case 'd':
    case 'D': add_range(p, &own, '0', '9'); break;
    case 's':
    case 'S':
        add_range(p, &own, '\t', '\n');
        add_range(p, &own, '\f', '\r');
        add_range(p, &own, ' ', ' ');
        break;
    case 'w':
    case 'W':
        add_range(p, &own, '0', '9');
        add_range(p, &own, 'A', 'Z');
        add_range(p, &own, '_', '_');
        add_range(p, &own, 'a', 'z');
        break;
    default: return false;
    }
    if (c == 'D' || c == 'S' || c == 'W') own = complement(p, own);
    for (size_t i = 0; i < own.count; i++) add_range(p, set, own.data[i].low, own.data[i].high);
    return true;
}

/* The inside of [:alpha:] and its like, [:^alpha:] too; false if there is no such class. */
static bool add_posix_class(parser *p, range_list *set, const char *name, size_t length) {
    static const struct {
        const char *name;
        range ranges[4];
    } classes[] = {{"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
                   {"alpha", {{'A', 'Z'}, {'a', 'z'}}},
                   {"ascii", {{0, 127}}},
                   {"blank", {{'\t', '\t'}, {' ', ' '}}},
                   {"cntrl", {{0, 31}, {127, 127}}},
                   {"digit", {{'0', '9'}}},
                   {"graph", {{'!', '~'}}},
                   {"lower", {{'a', 'z'}}},
                   {"print", {{' ', '~'}}},
                   {"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}},
                   {"space", {{'\t', '\r'}, {' ', ' '}}},
                   {"upper", {{'A', 'Z'}}},
                   {"word", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
                   {"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}}};
    bool negated = length && *name == '^';
    for (size_t c = 0; c < sizeof classes / sizeof *classes; c++) {
        range_list own = {0};
        if (strlen(classes[c].name) != length - negated ||
            memcmp(classes[c].name, name + negated, length - negated) != 0)
            continue;
        for (int i = 0; i < 4 && classes[c].ranges[i].high; i++)
            add_range(p, &own, classes[c].ranges[i].low, classes[c].ranges[i].high);
        if (negated) own = complement(p, own);
        for (size_t i = 0; i < own.count; i++) add_range(p, set, own.data[i].low, own.data[i].high);
        return true;
    }
    return false;
}

/* ---- characters ---- */

static bool more(const parser *p) {
    return p->at < p->end && !p->error;
}

static bool accept(parser *p, char c) {
    if (!more(p) || *p->at != (unsigned char)c) return false;
    p->at++;
    return true;
}

/* One character of UTF-8. */
static int32_t next_character(parser *p) {
    static const int32_t least[] = {0, 0x80, 0x800, 0x10000};
    int32_t c = *p->at++;
    int rest = c < 0x80 ? 0 : c < 0xc2 ? -1 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : c < 0xf5 ? 3 : -1;
    if (rest > 0) c &= 0x3f >> rest;
    for (int i = 0; i < rest; i++) {
        if (p->at == p->end || (*p->at & 0xc0) != 0x80) rest = -1;
        if (rest > 0) c = c << 6 | (*p->at++ & 0x3f);
    }
    if (rest < 0 || c < least[rest] || c > LAST) {
        fail(p, "it is no UTF-8");
        return 0;
    }
    return c;
}

static int digit_of(int c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/* Behind \x: two digits, or any number of them in braces. */
static int32_t hexadecimal(parser *p) {
    bool braces = accept(p, '{');
    int32_t v = 0;
    int digits = 0;
    while (more(p) && digits < (braces ? 8 : 2) && digit_of(*p->at) < 16) {
        v = v > LAST ? v : v * 16 + digit_of(*p->at);
        p->at++;
        digits++;
    }
    if (!digits || (!braces && digits < 2) || v > LAST || (braces && !accept(p, '}')))
        fail(p, "a malformed \\x");
    return v;
}

/* The character that an escape stands for, behind its backslash. */
static int32_t escaped(parser *p) {
    static const char letters[] = "afnrtv", meanings[] = "\a\f\n\r\t\v";
    if (!more(p)) {
        fail(p, "it ends in a backslash");
        return 0;
    }
    int32_t c = next_character(p);
    const char *letter = c < 128 && c ? strchr(letters, c) : NULL;
    if (letter) return meanings[letter - letters];
    if (c == 'x') return hexadecimal(p);
    if (c >= '0' && c <= '7') {
        bool octal = c == '0' || (more(p) && *p->at >= '0' && *p->at <= '7');
        if (!octal) fail(p, "references to groups are not supported");
        c -= '0';
        for (int i = 0; i < 2 && more(p) && *p->at >= '0' && *p->at <= '7'; i++)
            c = c * 8 + (*p->at++ - '0');
        return c;
    }
    bool word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (word) fail(p, c == 'p' || c == 'P' ? "\\p is not supported" : "an unknown escape");
    return c;
}

/* What stands in a class before ']' : a class, or a range of characters. */
static void parse_class_item(parser *p, range_list *set) {
    if (p->end - p->at > 1 && p->at[0] == '[' && p->at[1] == ':') {
        const unsigned char *name = p->at + 2, *end = name;
        while (end + 1 < p->end && !(end[0] == ':' && end[1] == ']')) end++;
        if (end + 1 < p->end && end[0] == ':') {
            if (!add_posix_class(p, set, (const char *)name, (size_t)(end - name)))
                fail(p, "an unknown class of characters");
            p->at = end + 2;
            return;
        }
    }
    if (p->end - p->at > 1 && p->at[0] == '\\' && add_perl_class(p, set, p->at[1])) {
        p->at += 2;
        return;
    }
    int32_t low = accept(p, '\\') ? escaped(p) : next_character(p), high = low;
    if (!p->error && p->end - p->at > 1 && p->at[0] == '-' && p->at[1] != ']') {
        p->at++;
        high = accept(p, '\\') ? escaped(p) : next_character(p);
    }
    if (high < low) fail(p, "a range that is upside down");
    add_range(p, set, low, high);
}

static tree *parse_class(parser *p) {
    enum { MOST_RANGES = 2048 };
    range_list set = {0};
    bool negated = accept(p, '^'), first = true;
    while (more(p) && (first || *p->at != ']')) {
        parse_class_item(p, &set);
        first = false;
        if (set.count > MOST_RANGES) return fail(p, "a class of too many ranges");
    }
    if (!accept(p, ']')) return fail(p, "a class without its ]");
    return make_set(p, set, negated);
}

/* ---- the grammar ---- */

static tree *parse_alternatives(parser *p);

/* "i", "s-m" and their like, up to : or ). */
static bool parse_flags(parser *p) {
    bool on = true;
    while (more(p) && *p->at != ':' && *p->at != ')') {
        switch (*p->at++) {
        case '-': on = false; break;
        case 'i': p->fold = on; break;
        case 's': p->dot_newline = on; break;
        case 'm': p->multiline = on; break;
        case 'U': break; /* greed does not matter */
        default: return fail(p, "an unknown flag of a group") != NULL;
        }
    }
    return more(p) || fail(p, "a group without its )") != NULL;
}

/* Behind "(": flags alone stay in force for the rest of the group around. */
static tree *parse_group(parser *p) {
    const parser outer = *p;
    bool scoped = true;
    if (accept(p, '?')) {
        bool named = more(p) && (*p->at == 'P' || *p->at == '<');
        if (named) {
            if (accept(p, 'P') && !(more(p) && *p->at == '<')) return fail(p, "an unknown group");
            if (p->end - p->at > 1 && (p->at[1] == '=' || p->at[1] == '!'))
                return fail(p, "looking behind is not supported");
            while (more(p) && *p->at != '>') p->at++;
            if (!accept(p, '>')) return fail(p, "a name without its >");
        } else {
            if (more(p) && (*p->at == '=' || *p->at == '!'))
                return fail(p, "looking ahead is not supported");
            if (!parse_flags(p)) return NULL;
            scoped = accept(p, ':');
        }
    }
    if (!scoped) {
        p->at++;
        return make(p, TREE_EMPTY, NULL, NULL);
    }
    tree *t = parse_alternatives(p);
    if (!accept(p, ')')) return fail(p, "a group without its )");
    p->fold = outer.fold;
    p->dot_newline = outer.dot_newline;
    p->multiline = outer.multiline;
    return t;
}

/* Between \Q and \E. */
static tree *parse_literal(parser *p) {
    tree *t = make(p, TREE_EMPTY, NULL, NULL);
    while (more(p)) {
        if (p->end - p->at > 1 && p->at[0] == '\\' && p->at[1] == 'E') {
            p->at += 2;
            break;
        }
        t = make(p, TREE_CAT, t, make_character(p, next_character(p)));
    }
    return t;
}

static tree *parse_escape(parser *p) {
    range_list set = {0};
    if (!more(p)) return fail(p, "it ends in a backslash");
    int c = *p->at;
    if (add_perl_class(p, &set, c)) {
        p->at++;
        return make_set(p, set, false);
    }
    static const char marks[] = "AzbB";
    static const regex_assertion meanings[] = {REGEX_BEGIN_TEXT, REGEX_END_TEXT, REGEX_WORD,
                                               REGEX_NOT_WORD};
    const char *mark = c ? strchr(marks, c) : NULL;
    if (mark) {
        p->at++;
        return make_assertion(p, meanings[mark - marks]);
    }
    if (c == 'C') {
        p->at++;
        return make(p, TREE_BYTES, NULL, NULL);
    }
    if (c == 'Q') {
        p->at++;
        return parse_literal(p);
    }
    return make_character(p, escaped(p));
}

static tree *parse_atom(parser *p) {
    range_list set = {0};
    switch (*p->at) {
    case '(': p->at++; return parse_group(p);
    case '[': p->at++; return parse_class(p);
    case '\\': p->at++; return parse_escape(p);
    case '^': p->at++; return make_assertion(p, p->multiline ? REGEX_BEGIN_LINE : REGEX_BEGIN_TEXT);
    case '$': p->at++; return make_assertion(p, p->multiline ? REGEX_END_LINE : REGEX_END_TEXT);
    case '.':
        p->at++;
        if (!p->dot_newline) add_range(p, &set, '\n', '\n');
        return make_set(p, set, true);
    case '*':
    case '+':
    case '?': return fail(p, "nothing stands before a *, + or ?");
    default: return make_character(p, next_character(p));
    }
}

static bool parse_count(parser *p, int32_t *out) {
    const unsigned char *from = p->at;
    *out = 0;
    while (more(p) && *p->at >= '0' && *p->at <= '9') {
        *out = *out > MOST_COUNT ? *out : *out * 10 + (*p->at - '0');
        p->at++;
    }
    return p->at > from;
}

/* {n}, {n,} or {n,m}; anything else in braces is text. */
static bool parse_braces(parser *p, int32_t *least, int32_t *most) {
    const unsigned char *from = p->at;
    bool ok = accept(p, '{') && parse_count(p, least);
    *most = *least;
    if (ok && accept(p, ',') && !parse_count(p, most)) *most = -1;
    if (ok && accept(p, '}')) return true;
    p->at = from;
    return false;
}

static tree *parse_repeated(parser *p) {
    tree *t = parse_atom(p);
    while (more(p)) {
        int32_t least = 0, most = -1;
        if (accept(p, '+'))
            least = 1;
        else if (accept(p, '?'))
            most = 1;
        else if (!accept(p, '*') && !parse_braces(p, &least, &most))
            break;
        if (least > MOST_COUNT || most > MOST_COUNT || (most >= 0 && most < least))
            return fail(p, "a count that is over 1000 or upside down");
        (void)accept(p, '?');
        t = make(p, TREE_REPEAT, t, NULL);
        t->least = least;
        t->most = most;
    }
    return t;
}

static tree *parse_alternatives(parser *p) {
    tree *all = NULL;
    if (++p->depth > MOST_DEPTH) return fail(p, "groups that are nested too deeply");
    do {
        tree *t = make(p, TREE_EMPTY, NULL, NULL);
        while (more(p) && *p->at != '|' && *p->at != ')')
            t = make(p, TREE_CAT, t, parse_repeated(p));
        all = all ? make(p, TREE_ALT, all, t) : t;
    } while (accept(p, '|'));
    p->depth--;
    return all;
}

/* ---- instructions ---- */

static int32_t here(const parser *p) {
    return (int32_t)(p->words.count / 3);
}

static int32_t put(parser *p, regex_op op, int32_t x, int32_t y) {
    if (here(p) >= MOST_INSTRUCTIONS) {
        fail(p, "it is too large");
        return 0;
    }
    list_push(p->memory, &p->words, (int32_t)op);
    list_push(p->memory, &p->words, x);
    list_push(p->memory, &p->words, y);
    return here(p) - 1;
}

static void patch(parser *p, int32_t at, int operand, int32_t target) {
    if (!p->error) p->words.data[at * 3 + operand] = target;
}

/* A jump: a split whose ways are one. */
static int32_t put_jump(parser *p) {
    return put(p, REGEX_SPLIT, 0, 0);
}

static void land(parser *p, int32_t jump) {
    patch(p, jump, 1, here(p));
    patch(p, jump, 2, here(p));
}

typedef LIST(int32_t) jump_list;

/* One alternative of a set: bytes [low[i], high[i]] one after the other. */
static void put_bytes(parser *p, const unsigned char *low, const unsigned char *high, int count,
                      jump_list *ends) {
    int32_t split = put(p, REGEX_SPLIT, here(p) + 1, 0);
    for (int i = 0; i < count; i++) put(p, REGEX_BYTE, low[i], high[i]);
    int32_t end = put_jump(p);
    list_push(p->memory, ends, end);
    patch(p, split, 2, here(p));
}

static int encode(int32_t c, unsigned char *out) {
    if (c < 0x80) {
        out[0] = (unsigned char)c;
        return 1;
    }
    int rest = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const int marks[] = {0, 0xc0, 0xe0, 0xf0};
    for (int i = rest; i > 0; i--, c >>= 6) out[i] = (unsigned char)(0x80 | (c & 0x3f));
    out[0] = (unsigned char)(marks[rest] | c);
    return rest + 1;
}

/* A range of characters as sequences of byte ranges: cut where the length changes, and where the
 * last bytes do not run through all that they can be. */
static void put_range(parser *p, int32_t low, int32_t high, jump_list *ends) {
    static const int32_t borders[] = {0x7f, 0x7ff, 0xd7ff, 0xdfff, 0xffff};
    unsigned char from[4], to[4];
    for (size_t i = 0; i < sizeof borders / sizeof *borders; i++)
        if (low <= borders[i] && high > borders[i]) {
            put_range(p, low, borders[i], ends);
            put_range(p, borders[i] + 1, high, ends);
            return;
        }
    if (low >= 0xd800 && high <= 0xdfff) return; /* halves of pairs are no characters */
    for (int i = 1; i < 4; i++) {
        int32_t mask = (1 << (6 * i)) - 1;
        if (low < 0x80 || (low | mask) == (high | mask)) continue;
        int32_t cut = low & mask ? low | mask : (high & mask) != mask ? (high & ~mask) - 1 : -1;
        if (cut < 0) continue;
        put_range(p, low, cut, ends);
        put_range(p, cut + 1, high, ends);
        return;
    }
    int count = encode(low, from);
    encode(high, to);
    put_bytes(p, from, to, count, ends);
}

static void put_tree(parser *p, const tree *t);

static void put_set(parser *p, const tree *t) {
    jump_list ends = {0};
    for (size_t i = 0; i < t->set.count && !p->error; i++)
        put_range(p, t->set.data[i].low, t->set.data[i].high, &ends);
    put(p, REGEX_BYTE, 1, 0); /* none of them: no byte is in this range */
    for (size_t i = 0; i < ends.count; i++) land(p, ends.data[i]);
}

static void put_repeat(parser *p, const tree *t) {
    jump_list ends = {0};
    for (int32_t i = 0; i < t->least && !p->error; i++) put_tree(p, t->a);
    if (t->most < 0) {
        int32_t split = put(p, REGEX_SPLIT, here(p) + 1, 0);
        put_tree(p, t->a);
        int32_t back = put_jump(p);
        patch(p, back, 1, split);
        patch(p, back, 2, split);
        patch(p, split, 2, here(p));
        return;
    }
    for (int32_t i = t->least; i < t->most && !p->error; i++) {
        int32_t split = put(p, REGEX_SPLIT, here(p) + 1, 0);
        list_push(p->memory, &ends, split);
        put_tree(p, t->a);
    }
    for (size_t i = 0; i < ends.count; i++) patch(p, ends.data[i], 2, here(p));
}

static void put_alternatives(parser *p, const tree *t) {
    int32_t split = put(p, REGEX_SPLIT, here(p) + 1, 0);
    put_tree(p, t->a);
    int32_t end = put_jump(p);
    patch(p, split, 2, here(p));
    put_tree(p, t->b);
    land(p, end);
}

static void put_tree(parser *p, const tree *t) {
    if (!t || p->error) return;
    if (++p->visits > MOST_VISITS) fail(p, "it is too large");
    switch (t->kind) {
    case TREE_EMPTY: break;
    case TREE_SET: put_set(p, t); break;
    case TREE_BYTES: put(p, REGEX_BYTE, 0, 255); break;
    case TREE_CAT:
        put_tree(p, t->a);
        put_tree(p, t->b);
        break;
    case TREE_ALT: put_alternatives(p, t); break;
    case TREE_REPEAT: put_repeat(p, t); break;
    case TREE_ASSERT: put(p, REGEX_ASSERT, t->least, 0); break;
    }
}

regex_program regex_compile(arena *a, const char *pattern, size_t length) {
    enum { MOST_LENGTH = 1 << 12 };
    const unsigned char *at = (const unsigned char *)pattern;
    parser p = {.memory = a, .at = at, .end = at + length};
    if (length > MOST_LENGTH) return (regex_program){.error = "it is too long"};
    tree *t = parse_alternatives(&p);
    if (!p.error && p.at < p.end) fail(&p, "a ) without its group");
    put_tree(&p, t);
    put(&p, REGEX_MATCH, 0, 0);
    return (regex_program){p.words.data, p.words.count / 3, p.error};
}
