/* onnxcc_rt_regex_match.c: whether strings match a pattern as a whole. The pattern is a program for
 * an automaton that is in many states at once, so the time grows with the text's length times the
 * program's, whatever they are. The compiler makes programs; their jumps are within them. */
#include "onnxcc_runtime.h"

#include <string.h>

int onnxcc_rt_regex_match(const onnxcc_call *call);

enum { REGEX_MATCH_END, REGEX_MATCH_BYTE, REGEX_MATCH_SPLIT };

/* A set of instructions, in scratch memory. */
typedef struct {
    int32_t *at;
    int32_t count;
} regex_match_states;

typedef struct {
    const int32_t *program; /* op, x, y of each instruction */
    int32_t length;
    int32_t *stack;
    unsigned char *seen;
    const unsigned char *text;
    size_t size;
} regex_match_machine;

static int regex_match_is_word(int c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= 'a' && c <= 'z');
}

static int regex_match_holds(const regex_match_machine *m, int32_t assertion, size_t at) {
    int before = at > 0 ? m->text[at - 1] : -1, behind = at < m->size ? m->text[at] : -1;
    int border = regex_match_is_word(before) != regex_match_is_word(behind);
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
static int regex_match_add(const regex_match_machine *m, regex_match_states *s, int32_t pc,
                           size_t at) {
    int32_t waiting = 0;
    int end = 0;
    if (m->seen[pc]) return 0;
    m->seen[pc] = 1;
    m->stack[waiting++] = pc;
    while (waiting) {
        const int32_t now = m->stack[--waiting], *word = m->program + (size_t)now * 3;
        int32_t next[2] = {-1, -1};
        if (word[0] == REGEX_MATCH_BYTE) {
            s->at[s->count++] = now;
        } else if (word[0] == REGEX_MATCH_END) {
            end = 1;
        } else if (word[0] == REGEX_MATCH_SPLIT) {
            next[0] = word[1];
            next[1] = word[2];
        } else if (regex_match_holds(m, word[1], at)) {
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

static int regex_match_run(const regex_match_machine *m, regex_match_states s,
                           regex_match_states next) {
    memset(m->seen, 0, (size_t)m->length);
    int end = regex_match_add(m, &s, 0, 0);
    for (size_t at = 0; at < m->size; at++) {
        end = 0;
        next.count = 0;
        memset(m->seen, 0, (size_t)m->length);
        for (int32_t i = 0; i < s.count; i++) {
            const int32_t *word = m->program + (size_t)s.at[i] * 3;
            if (m->text[at] >= word[1] && m->text[at] <= word[2])
                end |= regex_match_add(m, &next, s.at[i] + 1, at + 1);
        }
        if (!next.count && !end) return 0;
        const regex_match_states other = s;
        s = next;
        next = other;
    }
    return end;
}

/* Inputs: strings, the program. Outputs: bools; 13 bytes for each instruction to work with. */
int onnxcc_rt_regex_match(const onnxcc_call *call) {
    const onnxcc_tensor *y = &call->outputs[0];
    const onnxcc_string *x = call->inputs[0].data;
    int64_t length = call->inputs[1].dims[0] / 3, count = 1;
    int32_t *memory = call->outputs[1].data;
    regex_match_machine m = {.program = call->inputs[1].data, .length = (int32_t)length};
    regex_match_states s = {.at = memory}, next = {.at = memory + length};
    m.stack = memory + 2 * length;
    m.seen = (unsigned char *)(memory + 3 * length);
    for (int64_t i = 0; i < y->rank; i++) count *= y->dims[i];
    for (int64_t i = 0; i < count; i++) {
        m.text = (const unsigned char *)x[i].data;
        m.size = x[i].length;
        ((unsigned char *)y->data)[i] = (unsigned char)regex_match_run(&m, s, next);
    }
    return ONNXCC_OK;
}
