/* test_operators.c: run as test_operators FILE: the manual's page of operators, made from the
 * operator table and the schemas. Compares it with FILE; with ONNXCC_REFRESH=1 in the environment
 * it writes FILE. */
#include "ir/dtype.h"
#include "ir/file.h"
#include "ir/op.h"
#include "ir/schema.h"
#include "test/unit.h"

#include <limits.h>
#include <stdlib.h>

static arena *memory;
static const char *page_path;

typedef struct {
    char *data;
    size_t count, capacity;
} text;

static void put(text *t, const char *s) {
    for (; *s; s++) list_push(memory, t, *s);
}

/* How an operator is computed, by the hooks of its row. NULL: not at all. */
static const char *path_of(const schema_op *s, const op_def *op) {
    if (!op && schema_find_function(&s->versions[s->version_count - 1], INT_MAX))
        return "the standard's expansion";
    if (!op) return strcmp(s->name, "Constant") == 0 ? "the importer" : NULL;
    if (op->formula) return "formula";
    if (op->element && op->nest) return "element, loops";
    if (op->element) return "element";
    if (op->nest) return op->expand ? "expansion, loops" : "loops";
    if (op->call) return "runtime call";
    if (op->expand) return "expansion";
    return "built in";
}

static const char *opsets_of(const schema_op *s) {
    const char *out = "";
    for (size_t i = 0; i < s->version_count; i++)
        out = arena_printf(memory, "%s%s%d", out, i ? ", " : "", s->versions[i].since);
    return out;
}

/* The element types that the newest version allows its first parameter, in short. */
static const char *types_of(const schema_op *s) {
    const schema_version *v = &s->versions[s->version_count - 1];
    const schema_param *p = v->input_count ? v->inputs : v->outputs;
    uint32_t mask = p ? p->types->elements[SCHEMA_IS_TENSOR] : 0;
    const char *out = "";
    for (int t = 1; t < DTYPE_COUNT; t++)
        if (mask >> t & 1)
            out = arena_printf(memory, "%s%s%s", out, *out ? " " : "", dtype_name(t));
    return out;
}

static const char *shown_domain(const char *domain) {
    return *domain ? domain : "ai.onnx";
}

/* The rows of one domain; the schemas are sorted by name. Returns how many there are. */
static size_t put_domain(text *t, const char *domain, const char **missing) {
    size_t count = 0;
    *missing = "";
    for (size_t i = 0; i < schema_op_count; i++) {
        const schema_op *s = &schema_ops[i];
        const op_def *op = op_find(s->domain, s->name);
        if (strcmp(s->domain, domain) != 0) continue;
        if (s->versions[s->version_count - 1].deprecated && !op) continue;
        if (!path_of(s, op)) {
            *missing = arena_printf(memory, "%s%s%s", *missing, **missing ? ", " : "", s->name);
            continue;
        }
        if (!count++)
            put(t, arena_printf(memory,
                                "\n## %s\n\n| operator | opsets | types of the first input | "
                                "computed by |\n|---|---|---|---|\n",
                                shown_domain(domain)));
        put(t, arena_printf(memory, "| %s | %s | %s | %s |\n", s->name, opsets_of(s), types_of(s),
                            path_of(s, op)));
    }
    return count;
}

static text make_page(void) {
    text t = {0};
    put(&t,
        "# Operators\n\n"
        "This page is made from the operator table; do not edit it. Every opset of an operator is "
        "taken: the numbers\nare those at which its definition changed. The types are those that "
        "the standard allows.\n\n"
        "An operator is computed by a *formula* (one line, elementwise), an *element* function "
        "(the element at an\nindex), *loops* of its own, an *expansion* into other operators, or a "
        "*runtime call*.\n");
    const char *missing_all = "";
    for (size_t i = 0; i < schema_op_count; i++) {
        const char *missing;
        if (i && strcmp(schema_ops[i - 1].domain, schema_ops[i].domain) == 0) continue;
        put_domain(&t, schema_ops[i].domain, &missing);
        if (*missing)
            missing_all = arena_printf(memory, "%s- %s: %s\n", missing_all,
                                       shown_domain(schema_ops[i].domain), missing);
    }
    if (*missing_all) put(&t, arena_printf(memory, "\n## Not supported\n\n%s", missing_all));
    return t;
}

static void test_page(void) {
    text t = make_page();
    diag d;
    file_view file;
    const char *error, *refresh = getenv("ONNXCC_REFRESH");
    diag_init(&d, memory, NULL);
    if (refresh && strcmp(refresh, "1") == 0)
        CHECK(file_write(page_path, t.data, t.count, memory, &d));
    CHECK(file_map(page_path, &file, &error));
    CHECK(file.size == t.count && memcmp(file.data, t.data, t.count) == 0);
    if (file.size != t.count || memcmp(file.data, t.data, t.count) != 0)
        printf("error: %s is out of date; ONNXCC_REFRESH=1 writes it\n", page_path);
    file_unmap(file);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    memory = arena_create();
    page_path = argv[1];
    RUN(test_page);
    arena_destroy(memory);
    return unit_finish();
}
