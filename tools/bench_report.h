/* bench_report.h: what `onnxcc bench` says, gathered as JSON and printed from it: as text, as JSON,
 * or as a page. */
#ifndef ONNXCC_TOOLS_BENCH_REPORT_H
#define ONNXCC_TOOLS_BENCH_REPORT_H

#include "codegen/peak.h"
#include "tools/layers.h"
#include "tools/tool.h"

#include <jansson.h>

/* Times of single runs in nanoseconds, in ascending order. */
typedef struct {
    double *ns;
    size_t count;
} bench_samples;

typedef struct {
    const driver *driver;
    const instance_call *call;
    const bench_samples *samples;
    const layer_times *layers; /* count 0: none were measured */
    const peak_rates *peak;    /* NULL: not measured */
    long threads;
} bench_result;

/* The report; the caller releases it with json_decref. */
json_t *bench_report(const bench_result *r);
void bench_print(const json_t *report);
/* One self-contained page: the report with the template of bench_page.html around it. False and a
 * diagnostic if it cannot be written. */
bool bench_write_page(const json_t *report, const char *path, diag *d);

#endif
