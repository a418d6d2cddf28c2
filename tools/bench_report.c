/* bench_report.c: the report of `onnxcc bench`. Operations and bytes are those of the loops at the
 * dimensions of the call; shares are of the rates that this processor was measured at. */
#include "tools/bench_report.h"

#include "tools/bench_page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static double quantile(const bench_samples *s, double q) {
    return s->ns[(size_t)(q * (double)(s->count - 1))];
}

static double at_call(const bench_result *r, dim d) {
    return (double)dim_eval(r->driver->program->dims, d, r->call->symbols);
}

/* ---- gathering ---- */

static double total_flops(const bench_result *r, const program_step *s) {
    double flops = 0;
    for (; s; s = s->next) {
        if (s->kind == STEP_CALL)
            flops += at_call(r, r->driver->program->kernels.data[s->kernel].exact_flops);
        flops += total_flops(r, s->body);
    }
    return flops;
}

static json_t *layer_row(const bench_result *r, const program_step *s) {
    const program *p = r->driver->program;
    const program_kernel *k = s->kind == STEP_CALL ? &p->kernels.data[s->kernel] : NULL;
    double us = (double)r->layers->total[s->profile] / (double)r->layers->runs / 1e3;
    double least = (double)r->layers->least[s->profile] / 1e3;
    double flops = k ? at_call(r, k->exact_flops) : 0, bytes = k ? at_call(r, k->exact_bytes) : 0;
    double rate = us > 0 ? 1e-3 / us : 0, gflops = flops * rate;
    json_t *row = json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f}", "kernel",
                            k ? k->loops->name : s->callee, "node", s->label ? s->label : "", "us",
                            us, "min_us", least, "flops", flops, "bytes", bytes, "gflops", gflops,
                            "gbytes_s", bytes * rate);
    if (r->peak)
        json_object_set_new(row, "share_of_peak",
                            json_real(gflops / (r->peak->gflops * (double)r->threads)));
    return row;
}

static json_t *layer_rows(const bench_result *r, const program_step *s, json_t *rows) {
    for (; s; s = s->next) {
        if (s->kind == STEP_CALL || s->kind == STEP_RUNTIME)
            json_array_append_new(rows, layer_row(r, s));
        layer_rows(r, s->body, rows);
        layer_rows(r, s->otherwise, rows);
    }
    return rows;
}

static json_t *arena_rows(const bench_result *r) {
    json_t *rows = json_array();
    const program *p = r->driver->program;
    for (size_t i = 0; i < p->buffers.count; i++) {
        const program_buffer *b = &p->buffers.data[i];
        if (b->place != PLACE_ARENA || !b->offset) continue;
        json_array_append_new(rows, json_pack("{s:s, s:f, s:f, s:i, s:i}", "name",
                                              b->name ? b->name : "", "offset",
                                              at_call(r, b->offset), "bytes", at_call(r, b->bytes),
                                              "first", (int)b->first, "last", (int)b->last));
    }
    return rows;
}

json_t *bench_report(const bench_result *r) {
    const program *p = r->driver->program;
    double median = quantile(r->samples, 0.5) / 1e6, flops = total_flops(r, p->steps);
    double gflops = flops / (median * 1e6);
    json_t *report = json_pack(
        "{s:s, s:s, s:I, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:I}", "model",
        r->driver->name, "target", r->driver->machine.name, "threads", (json_int_t)r->threads,
        "median_ms", median, "min_ms", quantile(r->samples, 0) / 1e6, "p95_ms",
        quantile(r->samples, 0.95) / 1e6, "arena_bytes", (json_int_t)r->call->arena_bytes,
        "arena_bound_bytes", (json_int_t)program_arena_bound(p, r->call->symbols), "weights_bytes",
        (json_int_t)p->weight_bytes, "code_bytes", (json_int_t)r->driver->code_bytes, "compile_s",
        r->driver->seconds, "gflops", gflops, "runs", (json_int_t)r->samples->count, "kernels",
        (json_int_t)p->kernels.count);
    if (r->peak) {
        const peak_rates *top = r->peak;
        json_object_set_new(report, "share_of_peak",
                            json_real(gflops / (top->gflops * (double)r->threads)));
        json_object_set_new(report, "peak",
                            json_pack("{s:f, s:f, s:f}", "gflops", top->gflops, "cache_gbytes_s",
                                      top->cache_gbytes, "memory_gbytes_s", top->memory_gbytes));
    }
    if (r->layers->count) {
        json_object_set_new(report, "layers", layer_rows(r, p->steps, json_array()));
        json_object_set_new(report, "arena", arena_rows(r));
    }
    return report;
}

/* ---- printing ---- */

static void print_scalar(const char *key, const json_t *value) {
    if (json_is_string(value))
        printf("%-18s %s\n", key, json_string_value(value));
    else if (json_is_integer(value))
        printf("%-18s %lld\n", key, (long long)json_integer_value(value));
    else if (json_is_real(value))
        printf("%-18s %.4f\n", key, json_real_value(value));
}

static double real(const json_t *row, const char *key) {
    return json_number_value(json_object_get(row, key));
}

static const char *text(const json_t *row, const char *key) {
    return json_string_value(json_object_get(row, key));
}

static void print_layers(const json_t *layers, const json_t *peak) {
    double total = 0;
    size_t i;
    json_t *row;
    json_array_foreach(layers, i, row) total += real(row, "us");
    if (peak)
        printf(
            "\nthis processor, one thread: %.1f GFLOP/s on registers, %.1f GB/s from L2, %.1f GB/s "
            "from memory\n",
            real(peak, "gflops"), real(peak, "cache_gbytes_s"), real(peak, "memory_gbytes_s"));
    printf("\n%10s %6s %9s %6s %8s  kernel, node\n", "us", "time", "GFLOP/s", "peak", "GB/s");
    json_array_foreach(layers, i, row) {
        double us = real(row, "us");
        printf("%10.1f %5.1f%% %9.1f %5.1f%% %8.1f  %s, %s\n", us, total > 0 ? 100 * us / total : 0,
               real(row, "gflops"), 100 * real(row, "share_of_peak"), real(row, "gbytes_s"),
               text(row, "kernel"), text(row, "node"));
    }
    printf("%10.1f  sum of the kernels\n", total);
}

void bench_print(const json_t *report) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)report, key, value) print_scalar(key, value);
    const json_t *layers = json_object_get(report, "layers");
    if (layers) print_layers(layers, json_object_get(report, "peak"));
}

/* The page's script reads the report from an element of its own: no tag may end it early. */
static void write_data(FILE *f, const json_t *report) {
    char *data = json_dumps(report, JSON_REAL_PRECISION(6));
    for (const char *c = data; c && *c; c++) fputs(*c == '<' ? "\\u003c" : (char[]){*c, 0}, f);
    free(data);
}

bool bench_write_page(const json_t *report, const char *path, diag *d) {
    static const char mark[] = "@REPORT@";
    const char *place = strstr(bench_page, mark);
    FILE *f = fopen(path, "w");
    if (f) {
        fwrite(bench_page, 1, (size_t)(place - bench_page), f);
        write_data(f, report);
        fputs(place + sizeof mark - 1, f);
    }
    bool ok = f && !ferror(f);
    if (f && fclose(f)) ok = false;
    return ok || diag_error(d, path, NULL, NULL, "cannot write the page: %s", strerror(errno));
}
