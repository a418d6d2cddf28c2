/* check.c: `onnxcc check`: whether a model can be compiled, and everything that stands in the way,
 * at once. */
#include "tools/tool.h"

#include <jansson.h>
#include <string.h>

static const char help[] =
    "usage: onnxcc check MODEL [--target T] [--json]\n\n"
    "Imports the model and prepares its kernels without generating code. Prints everything that "
    "is\n"
    "not supported: node, operator, reason, what to do; or, if all is well, sizes and cost.\n\n"
    "  --json               for machines\n"
    "  --target, --dim, -O  as in `onnxcc compile`\n\n"
    "example:\n"
    "  onnxcc check model.onnx --dim batch=1\n";

static json_t *describe(const driver *d, bool ok) {
    json_t *problems = json_array();
    for (size_t i = 0; i < d->diag.items.count; i++) {
        const diag_item *x = &d->diag.items.data[i];
        json_array_append_new(problems, json_pack("{s:s, s:s?, s:s?, s:s, s:s?}", "severity",
                                                  x->severity == DIAG_ERROR ? "error" : "warning",
                                                  "node", x->node, "op", x->op, "message",
                                                  x->message, "hint", x->hint));
    }
    json_t *r = json_pack("{s:b, s:o}", "ok", ok, "problems", problems);
    if (!ok) return r;
    const program *p = d->program;
    int64_t flops = 0;
    for (const program_step *s = p->steps; s; s = s->next)
        if (s->kind == STEP_CALL) flops += p->kernels.data[s->kernel].flops;
    json_object_set_new(r, "kernels", json_integer((json_int_t)p->kernels.count));
    json_object_set_new(r, "steps", json_integer((json_int_t)p->profile_count));
    json_object_set_new(r, "weights_bytes", json_integer((json_int_t)p->weight_bytes));
    json_object_set_new(r, "gflop", json_real((double)flops / 1e9));
    json_object_set_new(r, "arena", json_string(dim_text(p->dims, d->memory, p->arena_bytes)));
    return r;
}

static void print_summary(const json_t *r) {
    printf("ok: %lld kernels, %lld steps, %.3f GFLOP, weights %lld bytes, arena %s bytes\n",
           (long long)json_integer_value(json_object_get(r, "kernels")),
           (long long)json_integer_value(json_object_get(r, "steps")),
           json_real_value(json_object_get(r, "gflop")),
           (long long)json_integer_value(json_object_get(r, "weights_bytes")),
           json_string_value(json_object_get(r, "arena")));
}

static int run(int argc, char **argv) {
    tool_compile_options o = {0};
    bool json = false;
    tool_list rest = {.count = 0};
    tool_option options[18] = {{"--json", NULL, NULL, &json}};
    size_t count = 1 + tool_compile_table(&o, options + 1);
    int status = tool_parse(&tool_check, argc, argv, options, count, &rest);
    if (status) return status < 0 ? EXIT_DONE : status;
    if (rest.count != 1) return tool_usage(&tool_check, "one model is needed");
    if ((status = tool_compile_finish(&tool_check, &o))) return status;
    driver d;
    bool ok = driver_compile(&d, rest.items[0], &o.driver);
    json_t *r = describe(&d, ok);
    if (json) {
        json_dumpf(r, stdout, JSON_INDENT(1));
        putchar('\n');
    } else {
        tool_print_diagnostics(&d.diag);
        if (ok) print_summary(r);
    }
    json_decref(r);
    driver_close(&d);
    return ok ? EXIT_DONE : EXIT_INPUT;
}

const tool tool_check = {"check", "everything that keeps a model from being compiled", help, run};
