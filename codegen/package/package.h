/* package.h: what the user gets: NAME.h, libNAME.a (or NAME.c), NAME.weights where they are kept
 * outside, NAMEConfig.cmake and NAME.pc. Everything is written under temporary names and renamed at
 * the end: a failure leaves nothing. */
#ifndef ONNXCC_CODEGEN_PACKAGE_PACKAGE_H
#define ONNXCC_CODEGEN_PACKAGE_PACKAGE_H

#include "codegen/package/archive_write.h"
#include "codegen/program.h"

typedef struct {
    const program *program;
    const char *target; /* name, for the header's comment */
    const archive_member
        *objects; /* machine code; of the library without the weights and the runtime */
    size_t object_count;
    const char *c_source; /* target c: the text of NAME.c, in place of objects */
    size_t c_source_bytes;
    bool weights_in_file;
    size_t stack_bytes; /* largest stack use of a kernel */
} package_content;

/* Makes the folder if need be. */
bool package_write(const package_content *p, const char *folder, arena *a, diag *d);

/* The header's text. */
const char *package_header(const package_content *p, arena *a);

/* C identifiers for what the header declares, such as symbols: `names[i]` for element i of the
 * list, unique within it, in capitals too. */
const char **package_names(arena *a, const char *const *wanted, size_t count);

/* The members of NAME_inputs and NAME_outputs. Whoever writes code against the header asks here:
 * the two are named together, since macros bear the names of both. */
void package_tensor_names(const program *g, arena *a, const char ***inputs, const char ***outputs);
/* How C reaches the tensors within these structs: "x", or "x[2]" in a sequence. */
void package_tensor_members(const program *g, arena *a, const char ***inputs,
                            const char ***outputs);

/* By output: the member of NAME_outputs that points to where its dimensions go; NULL for outputs
 * whose dimensions the caller knows. */
const char **package_open_names(const program *g, arena *a);

#endif
