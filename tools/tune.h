/* tune.h: schedules that are measured on this machine, and the file that keeps what was found. */
#ifndef ONNXCC_TOOLS_TUNE_H
#define ONNXCC_TOOLS_TUNE_H

#include "tools/tool.h"

/* tuning.json in the user's cache folder. */
const char *tune_default_path(arena *a);
/* Adds the records of a file; a file that is not there has none. False and a diagnostic if it holds
 * something else. */
bool tune_read(const char *path, tuning *t, diag *d);
/* Replaces the file; makes the folders above it. */
bool tune_write(const char *path, const tuning *t, arena *a, diag *d);

/* The records of a file (NULL: none), for driver_options.tuning; tune_close releases them. False
 * after diagnostics on standard error. */
bool tune_open(tuning *t, const char *path);
void tune_close(tuning *t);

typedef struct {
    size_t kernels, faster;   /* that were measured; that found something better */
    double first_ns, best_ns; /* one call of each, by the cost model and by what was found */
} tune_result;

/* Measures the kernels of a model that have no record yet, for about so many seconds, and adds
 * theirs. False after diagnostics on standard error. */
bool tune_model(const char *model, const driver_options *options, double seconds, tuning *t,
                tune_result *out);

#endif
