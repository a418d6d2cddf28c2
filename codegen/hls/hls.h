/* hls.h: the HLS C++ dialect of the text printer and its schedule. */
#ifndef ONNXCC_CODEGEN_HLS_HLS_H
#define ONNXCC_CODEGEN_HLS_HLS_H

#include "codegen/target.h"
#include "codegen/text/text.h"

extern const text_dialect text_dialect_hls;

/* Innermost loops become pipelines; short constant ones inside of others are replicated into
 * hardware. */
void schedule_hls(loop_kernel *k, const target_machine *m, int rank);

#endif
