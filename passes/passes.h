/* passes.h: the list of passes. Each is a file NAME.c that defines pass_NAME; this is its one row.
 */
#ifndef ONNXCC_PASSES_PASSES_H
#define ONNXCC_PASSES_PASSES_H

#include "passes/pass.h"

#define PASS_LIST(X)                                                                               \
    X(algebra)                                                                                     \
    X(canonicalise)                                                                                \
    X(channel_norm)                                                                                \
    X(convolution)                                                                                 \
    X(cse)                                                                                         \
    X(dce)                                                                                         \
    X(dot)                                                                                         \
    X(expand)                                                                                      \
    X(fold)                                                                                        \
    X(fuse)                                                                                        \
    X(fuse_batch_norm)                                                                             \
    X(inline_if)                                                                                   \
    X(layout)                                                                                      \
    X(narrow)                                                                                      \
    X(pack)                                                                                        \
    X(recognise)                                                                                   \
    X(sequences)                                                                                   \
    X(winograd)

#define DECLARE_PASS(name) extern const pass_def pass_##name;
PASS_LIST(DECLARE_PASS)
#undef DECLARE_PASS

#endif
