/* dialect.c: the words of HLS C++: plain C++ with pragmas that synthesis reads and compilers skip.
 * Buffers are memory ports, local tiles are registers. */
#include "codegen/hls/hls.h"

const text_dialect text_dialect_hls = {
    .headers = "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n\n",
    .kernel_prefix = "extern \"C\" void ",
    .helper_prefix = "static inline ",
    .restrict_word = "__restrict__ ",
    .array_pragma = "#pragma HLS array_partition variable=%s complete",
    .parameter_pragma = "#pragma HLS interface m_axi port=%s offset=slave",
    .body_pragma = {[LOOP_HLS_PIPELINE] = "#pragma HLS pipeline II=1",
                    [LOOP_HLS_UNROLL] = "#pragma HLS unroll"},
    .fail = "if (!*status) *status = %d;",
};
