/* layers.c: runs a model with a profiler that adds up. See layers.h. */
#include "tools/layers.h"

#include <time.h>

double layers_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void record_layer(void *user, int step, uint64_t begin_ns, uint64_t end_ns) {
    layer_times *l = user;
    if (step >= 0 && (size_t)step < l->count) l->run[step] += end_ns - begin_ns;
}

static void end_run(layer_times *l) {
    for (size_t i = 0; i < l->count; i++) {
        l->total[i] += l->run[i];
        if (l->runs == 0 || l->run[i] < l->least[i]) l->least[i] = l->run[i];
        l->run[i] = 0;
    }
    l->runs++;
}

layer_times layers_measure(driver *d, instance_call *call, onnxcc_context context, double seconds) {
    layer_times l = {.count = d->program->profile_count};
    uint64_t **lists[] = {&l.run, &l.total, &l.least};
    for (size_t i = 0; i < 3; i++) *lists[i] = ARENA_ARRAY(d->memory, uint64_t, l.count + 1);
    context.profile = record_layer;
    context.profile_user = &l;
    double begin = layers_now_ns();
    do {
        instance_run(call, &context);
        end_run(&l);
    } while (layers_now_ns() - begin < seconds * 1e9 || l.runs < 3);
    return l;
}
