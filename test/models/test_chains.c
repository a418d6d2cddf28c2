/* test_chains.c: run as test_chains FOLDER...: calls that run without a barrier need nothing of
 * each other's slices. Each model runs on its test data in order, and with a parallel_for that
 * takes iterations one by one from the last to the first: a slice that reads what another should
 * have made, or writes what another still needs, changes the results, which must be the same bit by
 * bit. The arena holds NaNs before every run. */
#include "codegen/driver.h"
#include "frontend/load.h"
#include "test/unit.h"

#include <string.h>

static int64_t chains, launches;

static void backwards(void *user, onnxcc_task task, const int64_t *frame, int64_t count) {
    (void)user;
    launches++;
    for (int64_t i = count; i-- > 0;) task(frame, i, i + 1);
}

/* The test data of every input; NULL where one is no tensor. */
static load_tensor_result *load_inputs(driver *d, const char *data) {
    const program *p = d->program;
    load_tensor_result *inputs = ARENA_ARRAY(d->memory, load_tensor_result, p->inputs.count + 1);
    for (size_t i = 0; i < p->inputs.count; i++) {
        load_value v;
        const char *path = arena_printf(d->memory, "%s/input_%zu.pb", data, i);
        if (p->input_ports.count != p->inputs.count ||
            !load_value_file(path, TYPE_TENSOR, d->memory, &d->diag, &v))
            return NULL;
        inputs[i] = v.tensor;
    }
    return inputs;
}

/* All results of a run, one behind the other. */
static unsigned char *run(driver *d, instance_call *call, const onnxcc_context *context,
                          size_t *bytes) {
    memset(call->arena, 0xff, call->arena_bytes);
    CHECK(instance_run(call, context) == ONNXCC_OK);
    *bytes = 0;
    for (size_t i = 0; i < d->program->outputs.count; i++) *bytes += call->results[i].data.bytes;
    unsigned char *all = arena_alloc(d->memory, *bytes), *at = all;
    for (size_t i = 0; i < d->program->outputs.count; i++) {
        memcpy(at, call->results[i].data.data, call->results[i].data.bytes);
        at += call->results[i].data.bytes;
    }
    return all;
}

static void compare(driver *d, instance *made, const load_tensor_result *inputs) {
    instance_call call;
    if (!instance_bind(made, inputs, d->program->inputs.count, d->memory, &d->diag, &call)) {
        CHECK(!"the data fit");
        return;
    }
    size_t bytes, again;
    onnxcc_context threads = {.parallel_for = backwards};
    const unsigned char *plain = run(d, &call, NULL, &bytes);
    const unsigned char *reversed = run(d, &call, &threads, &again);
    CHECK(bytes == again && memcmp(plain, reversed, bytes) == 0);
}

static const char *folder;

static void test_model(void) {
    driver d;
    driver_begin(&d);
    const char *data = arena_printf(d.memory, "%s/test_data_set_0", folder);
    driver_options options = {.optimize = 3, .pin_folder = data};
    bool ok = driver_compile(&d, arena_printf(d.memory, "%s/model.onnx", folder), &options);
    const load_tensor_result *inputs = ok ? load_inputs(&d, data) : NULL;
    instance *made = inputs ? driver_jit(&d) : NULL;
    CHECK(ok);
    if (made) {
        for (const program_step *s = d.program->steps; s; s = s->next)
            chains += s->kind == STEP_CHAIN;
        compare(&d, made, inputs);
        instance_close(made);
    }
    if (unit_errors) printf("%s\n", folder);
    driver_close(&d);
}

/* The models above have chains, and they ran. */
static void test_there_are_some(void) {
    CHECK(chains > 0 && launches > chains);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        folder = argv[i];
        RUN(test_model);
    }
    if (argc > 1) RUN(test_there_are_some);
    return unit_finish();
}
