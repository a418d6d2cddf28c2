/* onnxcc_rt_random_state.c: the key and half of the counter with which a random operator draws its
 * numbers, from the caller's seed and offset. Every element then is a function of these and of its
 * index (Philox 4x32 with ten rounds; Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy
 * as 1, 2, 3; SC 2011), so that neither threads nor the order of elements change the numbers. */
#include "onnxcc_runtime.h"

int onnxcc_rt_random_state(const onnxcc_call *call);

static void random_state_philox(uint32_t *c, uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t c1 = c[1], c3 = c[3];
        c[0] = (uint32_t)(b >> 32) ^ c1 ^ key0;
        c[1] = (uint32_t)b;
        c[2] = (uint32_t)(a >> 32) ^ c3 ^ key1;
        c[3] = (uint32_t)a;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

/* Attributes: seed, whether the model gives it, number of the operator, whether the node runs more
 * than once in a call. Outputs: four u32. */
int onnxcc_rt_random_state(const onnxcc_call *call) {
    const int64_t *attributes = call->attributes;
    const onnxcc_context *context = call->context;
    uint64_t seed = context ? context->random_seed : 0;
    uint64_t offset = context ? context->random_offset : 0;
    uint32_t *out = call->outputs[0].data;
    if (attributes[1]) seed = (uint64_t)attributes[0];
    out[0] = (uint32_t)offset;
    out[1] = (uint32_t)(offset >> 32);
    out[2] = (uint32_t)attributes[2];
    out[3] = attributes[3] ? ++call->state->draws : 0;
    random_state_philox(out, (uint32_t)seed, (uint32_t)(seed >> 32));
    return ONNXCC_OK;
}
