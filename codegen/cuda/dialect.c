/* dialect.c: the words of CUDA C. A kernel is an extern "C" __global__ function; NAME_geometry, on
 * the host, says how to launch it. */
#include "codegen/cuda/cuda.h"

const text_dialect text_dialect_cuda = {
    .headers = "#include <math.h>\n#include <stdint.h>\n#include <string.h>\n\n",
    .kernel_prefix = "extern \"C\" __global__ void ",
    .helper_prefix = "static __device__ inline ",
    .restrict_word = "__restrict__ ",
    .fused = true,
    .grid = {"blockIdx.x", "blockIdx.y", "blockIdx.z", "threadIdx.x", "threadIdx.y", "threadIdx.z"},
    .geometry_prefix = "extern \"C\" ",
    .shared_prefix = "__shared__ ",
    .barrier = "__syncthreads();",
    .loop_pragma = {[LOOP_UNROLL] = "#pragma unroll", [LOOP_VECTOR] = "#pragma unroll"},
    .fail = "atomicCAS(status, 0, %d);",
};
