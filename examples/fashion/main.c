/* main.c: says what is in pictures of clothes (28 x 28 grey PGM files), with the library that
 * onnxcc made of model.onnx. All the memory that the network needs is the array below. With
 * --profile it also says where the time goes, kernel by kernel. */
#define _POSIX_C_SOURCE 199309L
#include "fashion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIDE = 28, PIXELS = SIDE * SIDE, CLASSES = 10, RUNS = 1000 };

static _Alignas(FASHION_ARENA_ALIGN) unsigned char arena[FASHION_ARENA_BYTES];

static const char *const class_names[CLASSES] = {"T-shirt", "trouser",   "pullover", "dress",
                                                 "coat",    "sandal",    "shirt",    "sneaker",
                                                 "bag",     "ankle boot"};

static int read_picture(const char *path, unsigned char *pixels) {
    int width, height, white, ok;
    FILE *f = fopen(path, "rb");
    if (!f) return 0;
    ok = fscanf(f, "P5 %d %d %d", &width, &height, &white) == 3 && width == SIDE &&
         height == SIDE && white == 255 && fgetc(f) != EOF && fread(pixels, 1, PIXELS, f) == PIXELS;
    fclose(f);
    return ok;
}

/* Two rows of pixels a line: a character is about twice as high as wide. */
static void print_picture(const unsigned char *pixels) {
    static const char shades[] = " .:-=+*#%@";
    for (int y = 0; y < SIDE; y += 2) {
        printf("    ");
        for (int x = 0; x < SIDE; x++) {
            int grey = (pixels[y * SIDE + x] + pixels[(y + 1) * SIDE + x]) / 2;
            putchar(shades[grey * (int)(sizeof shades - 1) / 256]);
        }
        putchar('\n');
    }
}

static int best_class(const float *logits) {
    int best = 0;
    for (int i = 1; i < CLASSES; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static int run(const float *image, float *logits, const onnxcc_context *context) {
    fashion_inputs inputs = {.image = image};
    fashion_outputs outputs = {.logits = logits};
    return fashion_run(&inputs, &outputs, arena, context);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median time of a call, in microseconds. */
static double measure(const float *image, float *logits) {
    static double times[RUNS];
    for (int i = 0; i < RUNS; i++) {
        double start = seconds();
        run(image, logits, NULL);
        times[i] = seconds() - start;
    }
    qsort(times, RUNS, sizeof *times, compare_doubles);
    return times[RUNS / 2] * 1e6;
}

/* ---- the profile: the library calls record() behind every step ---- */

static uint64_t step_ns[FASHION_STEP_COUNT];

static uint64_t clock_ns(void *user) {
    struct timespec t;
    (void)user;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void record(void *user, int step, uint64_t begin_ns, uint64_t end_ns) {
    (void)user;
    step_ns[step] += end_ns - begin_ns;
}

static void print_profile(const float *image, float *logits) {
    static const char *const names[] = FASHION_STEP_NAMES, *const nodes[] = FASHION_STEP_NODES;
    static const double operations[] = FASHION_STEP_OPERATIONS, bytes[] = FASHION_STEP_BYTES;
    const onnxcc_context context = {.profile = record, .clock = clock_ns};
    for (int i = 0; i < RUNS; i++) run(image, logits, &context);
    printf("microseconds  GFLOP/s     GB/s  kernel (node)\n");
    for (int i = 0; i < FASHION_STEP_COUNT; i++) {
        double ns = (double)(step_ns[i] ? step_ns[i] : 1) / RUNS;
        printf("%12.2f %8.2f %8.2f  %s (%s)\n", ns / 1e3, operations[i] / ns, bytes[i] / ns,
               names[i], nodes[i]);
    }
}

int main(int argc, char **argv) {
    int profile = argc > 1 && strcmp(argv[1], "--profile") == 0;
    unsigned char pixels[PIXELS];
    float image[PIXELS], logits[CLASSES];
    if (argc < 2 + profile) {
        fprintf(stderr, "usage: %s [--profile] PICTURE.pgm...\n", argv[0]);
        return 2;
    }
    for (int i = 1 + profile; i < argc; i++) {
        if (!read_picture(argv[i], pixels)) {
            fprintf(stderr, "%s: no grey PGM picture of 28 x 28\n", argv[i]);
            return 1;
        }
        for (int p = 0; p < PIXELS; p++) image[p] = (float)pixels[p] / 255.0f;
        int status = run(image, logits, NULL);
        if (status != 0) {
            fprintf(stderr, "%s: the network returned error %d\n", argv[i], status);
            return 1;
        }
        print_picture(pixels);
        printf("%s: %s\n\n", argv[i], class_names[best_class(logits)]);
    }
    if (profile) print_profile(image, logits);
    printf("latency  %.1f microseconds a picture (median of %d)\n", measure(image, logits), RUNS);
    printf("arena    %d bytes\n", (int)FASHION_ARENA_BYTES);
    return 0;
}
