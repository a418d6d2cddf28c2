/* fuzz_loop.c: any bytes as a kernel's text form: read, checked, decomposed and printed if that
 * goes well. */
#include "ir/loop_math.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    arena *a = arena_create();
    diag d;
    diag_init(&d, a, NULL);
    loop_kernel *k = loop_parse(a, dim_table_create(a), &d, (const char *)data, size);
    if (k) {
        loop_text(k, a);
        if (loop_verify(k, &d, "fuzz")) loop_decompose(k);
    }
    arena_destroy(a);
    return 0;
}
