/* main.c: says what is in pictures of clothes (28 x 28 grey PGM files), with the library that
 * onnxcc made of model.onnx. All the memory that the network needs is the array below. */
#define _POSIX_C_SOURCE 199309L
#include "fashion.h"

#include <stdio.h>
#include <stdlib.h>
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

static int run(const float *image, float *logits) {
    fashion_inputs inputs = {.image = image};
    fashion_outputs outputs = {.logits = logits};
    return fashion_run(&inputs, &outputs, arena, NULL);
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
        run(image, logits);
        times[i] = seconds() - start;
    }
    qsort(times, RUNS, sizeof *times, compare_doubles);
    return times[RUNS / 2] * 1e6;
}

int main(int argc, char **argv) {
    unsigned char pixels[PIXELS];
    float image[PIXELS], logits[CLASSES];
    if (argc < 2) {
        fprintf(stderr, "usage: %s PICTURE.pgm...\n", argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        if (!read_picture(argv[i], pixels)) {
            fprintf(stderr, "%s: no grey PGM picture of 28 x 28\n", argv[i]);
            return 1;
        }
        for (int p = 0; p < PIXELS; p++) image[p] = (float)pixels[p] / 255.0f;
        int status = run(image, logits);
        if (status != 0) {
            fprintf(stderr, "%s: the network returned error %d\n", argv[i], status);
            return 1;
        }
        print_picture(pixels);
        printf("%s: %s\n\n", argv[i], class_names[best_class(logits)]);
    }
    printf("latency  %.1f microseconds a picture (median of %d)\n", measure(image, logits), RUNS);
    printf("arena    %d bytes\n", (int)FASHION_ARENA_BYTES);
    return 0;
}
