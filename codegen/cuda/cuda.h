/* cuda.h: the CUDA C dialect of the text printer and its schedule. */
#ifndef ONNXCC_CODEGEN_CUDA_CUDA_H
#define ONNXCC_CODEGEN_CUDA_CUDA_H

#include "codegen/target.h"
#include "codegen/text/text.h"

extern const text_dialect text_dialect_cuda;

/* Maps a kernel onto a grid: one thread an iteration of its outermost independent loops. The last
 * two of them make blocks of 16 x 16 threads, a single one blocks of 256. A kernel that is no such
 * nest runs on one thread. */
void schedule_cuda(loop_kernel *k, const target_machine *m, int rank);

#endif
