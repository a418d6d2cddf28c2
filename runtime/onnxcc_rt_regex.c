/* onnxcc_rt_regex.c: patterns in strings: whether one matches a string as a whole, and the tokens
 * between matches or the matches themselves. A pattern is a program for an automaton that is in
 * many states at once, so a match takes time by the text's length times the program's, whatever
 * they are. The compiler makes programs; their jumps are within them. */
#include "onnxcc_runtime.h"

#include <string.h>

int onnxcc_rt_regex(const onnxcc_call *call);

enum { REGEX_END, REGEX_BYTE, REGEX_SPLIT };

/* A set of instructions, in scratch memory. */
typedef struct {
    int32_t *at;
    int32_t count;
} regex_states;

typedef struct {
    const int32_t *program; /* op, x, y of each instruction */
    int32_t length;
    int32_t *states, *stack;
    unsigned char *seen;
    const unsigned char *text;
    size_t size;
} regex_machine;

static int regex_is_word(int c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= 'a' && c <= 'z');
}

static int regex_holds(const regex_machine *m, int32_t assertion, size_t at) {
    int before = at > 0 ? m->text[at - 1] : -1, behind = at < m->size ? m->text[at] : -1;
    int border = regex_is_word(before) != regex_is_word(behind);
    switch (assertion) {
    case 0: return before < 0;
    case 1: return behind < 0;
    case 2: return before < 0 || before == '\n';
    case 3: return behind < 0 || behind == '\n';
    case 4: return border;
    default: return !border;
    }
}

/* Adds an instruction and all that it leads to without a byte; nonzero if the end is among them. */
static int regex_add(const regex_machine *m, regex_states *s, int32_t pc, size_t at) {
    int32_t waiting = 0;
    int end = 0;
    if (m->seen[pc]) return 0;
    m->seen[pc] = 1;
    m->stack[waiting++] = pc;
    while (waiting) {
        const int32_t now = m->stack[--waiting], *word = m->program + (size_t)now * 3;
        int32_t next[2] = {-1, -1};
        if (word[0] == REGEX_BYTE) {
            s->at[s->count++] = now;
        } else if (word[0] == REGEX_END) {
            end = 1;
        } else if (word[0] == REGEX_SPLIT) {
            next[0] = word[1];
            next[1] = word[2];
        } else if (regex_holds(m, word[1], at)) {
            next[0] = now + 1;
        }
        for (int i = 0; i < 2; i++) {
            if (next[i] < 0 || next[i] >= m->length || m->seen[next[i]]) continue;
            m->seen[next[i]] = 1;
            m->stack[waiting++] = next[i];
        }
    }
    return end;
}

/* Where the longest match that begins at `from` ends; -1 if none does. */
static int64_t regex_longest(const regex_machine *m, size_t from) {
    regex_states s = {.at = m->states}, next = {.at = m->states + m->length};
    int64_t longest = -1;
    memset(m->seen, 0, (size_t)m->length);
    if (regex_add(m, &s, 0, from)) longest = (int64_t)from;
    for (size_t at = from; at < m->size && s.count; at++) {
        int end = 0;
        next.count = 0;
        memset(m->seen, 0, (size_t)m->length);
        for (int32_t i = 0; i < s.count; i++) {
            const int32_t *word = m->program + (size_t)s.at[i] * 3;
            if (m->text[at] >= word[1] && m->text[at] <= word[2])
                end |= regex_add(m, &next, s.at[i] + 1, at + 1);
        }
        if (end) longest = (int64_t)at + 1;
        const regex_states other = s;
        s = next;
        next = other;
    }
    return longest;
}

/* ---- tokens ---- */

/* What is asked of the strings; programs: how many, the instructions of each, then all of them. */
typedef struct {
    const int32_t *programs;
    int32_t *memory;
    int64_t mode, shortest, mark;
    onnxcc_string *tokens;
    int64_t room, count; /* tokens beyond the room are counted */
} regex_task;

enum { REGEX_WHOLE, REGEX_SEPARATORS, REGEX_TOKENS, REGEX_CHARACTERS };

static int regex_inside_character(unsigned char c) {
    return (c & 0xc0) == 0x80;
}

/* The character of UTF-8 behind the one at `at`. */
static size_t regex_next(const unsigned char *text, size_t size, size_t at) {
    for (at++; at < size && regex_inside_character(text[at]);) at++;
    return at;
}

static void regex_put(regex_task *t, const unsigned char *text, size_t size) {
    int64_t characters = 0;
    for (size_t i = 0; i < size; i++) characters += !regex_inside_character(text[i]);
    if (characters < t->shortest) return;
    if (t->count < t->room) {
        t->tokens[t->count].data = (const char *)text;
        t->tokens[t->count].length = size;
    }
    t->count++;
}

/* Program `which`, on a text. */
static regex_machine regex_begin(const regex_task *t, int32_t which, const unsigned char *text,
                                 size_t size) {
    const int32_t *lengths = t->programs + 1, *program = lengths + t->programs[0];
    for (int32_t i = 0; i < which; i++) program += (size_t)lengths[i] * 3;
    const int32_t length = lengths[which];
    const regex_machine m = {.program = program,
                             .length = length,
                             .states = t->memory,
                             .stack = t->memory + 2 * (size_t)length,
                             .seen = (unsigned char *)(t->memory + 3 * (size_t)length),
                             .text = text,
                             .size = size};
    return m;
}

/* What is left between the matches of separator `which` and those behind it. */
static void regex_separate(regex_task *t, int32_t which, const unsigned char *text, size_t size) {
    size_t begin = 0, at = 0;
    if (!size) return;
    if (which == t->programs[0]) {
        regex_put(t, text, size);
        return;
    }
    while (at < size) {
        const regex_machine m = regex_begin(t, which, text, size);
        int64_t end = regex_longest(&m, at);
        if (end > (int64_t)at) {
            regex_separate(t, which + 1, text + begin, at - begin);
            begin = at = (size_t)end;
        } else {
            at = regex_next(text, size, at);
        }
    }
    regex_separate(t, which + 1, text + begin, size - begin);
}

static void regex_collect(regex_task *t, const unsigned char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        size_t next = regex_next(text, size, at);
        if (t->mode == REGEX_TOKENS) {
            const regex_machine m = regex_begin(t, 0, text, size);
            int64_t end = regex_longest(&m, at);
            if (end > (int64_t)at) regex_put(t, text + at, (size_t)end - at);
            if (end > (int64_t)at) next = (size_t)end;
        } else {
            regex_put(t, text + at, next - at);
        }
        at = next;
    }
}

static int64_t regex_tokenize(regex_task *t, const onnxcc_string *s) {
    t->count = 0;
    if (t->mode == REGEX_SEPARATORS)
        regex_separate(t, 0, (const unsigned char *)s->data, s->length);
    else
        regex_collect(t, (const unsigned char *)s->data, s->length);
    return t->count;
}

static onnxcc_string regex_constant(const uint64_t *table, int which) {
    const onnxcc_string s = {(const char *)table + table[which],
                             (size_t)(table[which + 1] - table[which])};
    return s;
}

/* A row: the mark of the beginning, tokens, the mark of the end, padding. */
static void regex_fill_row(regex_task *t, const onnxcc_string *s, const uint64_t *table,
                           onnxcc_string *row, int64_t width) {
    int64_t marks = t->mark && width >= 2, filled;
    t->tokens = row + marks;
    t->room = width - 2 * marks;
    filled = regex_tokenize(t, s);
    filled = marks + (filled < t->room ? filled : t->room);
    if (marks) row[0] = regex_constant(table, 1);
    if (marks) row[filled++] = regex_constant(table, 2);
    while (filled < width) row[filled++] = regex_constant(table, 0);
}

/* Inputs: strings, the programs; for tokens, a table of the padding and both marks. Attributes: the
 * mode, the fewest characters of a token, whether rows are marked. Outputs: bools; or the size of
 * the longest row of tokens; or the rows; then 13 bytes for each instruction to work with. */
int onnxcc_rt_regex(const onnxcc_call *call) {
    const onnxcc_tensor *x = &call->inputs[0], *y = &call->outputs[0];
    const onnxcc_string *strings = x->data;
    int64_t count = 1, largest = 0;
    regex_task t = {.programs = call->inputs[1].data, .memory = call->outputs[1].data};
    t.mode = call->attributes[0];
    t.shortest = call->attributes[1];
    t.mark = call->attributes[2];
    for (int64_t i = 0; i < x->rank; i++) count *= x->dims[i];
    for (int64_t i = 0; i < count; i++) {
        if (t.mode == REGEX_WHOLE) {
            const unsigned char *text = (const unsigned char *)strings[i].data;
            const regex_machine m = regex_begin(&t, 0, text, strings[i].length);
            ((unsigned char *)y->data)[i] = regex_longest(&m, 0) == (int64_t)strings[i].length;
        } else if (y->element_type == 8) {
            int64_t width = y->dims[y->rank - 1];
            onnxcc_string *rows = y->data;
            regex_fill_row(&t, &strings[i], call->inputs[2].data, rows + i * width, width);
        } else {
            int64_t tokens = regex_tokenize(&t, &strings[i]);
            if (tokens > largest) largest = tokens;
        }
    }
    if (t.mode != REGEX_WHOLE && y->element_type != 8)
        *(int64_t *)y->data = largest && t.mark ? largest + 2 : largest;
    return ONNXCC_OK;
}
