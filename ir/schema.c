/* schema.c: look-ups in the generated operator-schema table. See schema.h. */
#include "ir/schema.h"

#include <string.h>

static int compare(const schema_op *op, const char *domain, const char *name) {
    int c = strcmp(op->domain, domain);
    return c ? c : strcmp(op->name, name);
}

const schema_op *schema_find(const char *domain, const char *name) {
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    size_t low = 0, high = schema_op_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int c = compare(&schema_ops[middle], domain, name);
        if (c == 0) return &schema_ops[middle];
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const schema_version *schema_at(const schema_op *op, int opset) {
    for (size_t i = op->version_count; i-- > 0;)
        if (op->versions[i].since <= opset) return &op->versions[i];
    return NULL;
}

const schema_attribute *schema_find_attribute(const schema_version *v, const char *name) {
    for (size_t i = 0; i < v->attribute_count; i++)
        if (strcmp(v->attributes[i].name, name) == 0) return &v->attributes[i];
    return NULL;
}

const schema_function *schema_find_function(const schema_version *v, int opset) {
    for (size_t i = v->function_count; i-- > 0;)
        if (v->functions[i].opset <= opset) return &v->functions[i];
    return NULL;
}
