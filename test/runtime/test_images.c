/* test_images.c: ImageDecoder under the address and undefined-behaviour sanitizers, each file in
 * memory of its own size: those that make_images.py made must give its pixels, those that are cut
 * or changed any status, and no more. */
#include "onnxcc_runtime.h"
#include "test/unit.h"

#include <stdlib.h>

int onnxcc_rt_image_decoder(const onnxcc_call *call);

enum { MUTANTS = 60, CUTS = 12 };

typedef struct {
    char name[128];
    int64_t width, height;
    uint8_t *file, *pixels;
    int64_t bytes;
} image;

static const char *folder;
static image images[256];
static size_t image_count;

static uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

static uint8_t *read_file(const char *name, const char *ending, int64_t *bytes) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s%s", folder, name, ending);
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    *bytes = ftell(f);
    rewind(f);
    uint8_t *data = malloc((size_t)*bytes);
    if (fread(data, 1, (size_t)*bytes, f) != (size_t)*bytes) *bytes = 0;
    fclose(f);
    return data;
}

static void read_images(void) {
    int64_t size;
    FILE *f = NULL;
    char path[1024];
    snprintf(path, sizeof path, "%s/LIST", folder);
    f = fopen(path, "r");
    while (f && image_count < sizeof images / sizeof *images) {
        image *i = &images[image_count];
        long width, height;
        if (fscanf(f, "%127s %ld %ld", i->name, &width, &height) != 3) break;
        i->width = width;
        i->height = height;
        i->file = read_file(i->name, "", &i->bytes);
        i->pixels = read_file(i->name, ".pixels", &size);
        CHECK(i->file && i->bytes && i->pixels && size == width * height * 3);
        image_count++;
    }
    if (f) fclose(f);
    CHECK(image_count > 0);
}

/* Decodes `bytes` of a copy of the file into `pixels`, with so much scratch. */
static int decode(const image *i, const uint8_t *file, int64_t bytes, int64_t width,
                  int64_t scratch, uint8_t *pixels) {
    struct {
        uint64_t offsets[2];
        char text[4];
    } format = {{16, 19}, "RGB"};
    uint8_t *copy = malloc((size_t)bytes), *room = malloc((size_t)scratch);
    memcpy(copy, file, (size_t)bytes);
    onnxcc_tensor in[] = {{copy, 2, 1, {bytes}}, {&format, 2, 1, {sizeof format}}};
    onnxcc_tensor out[] = {{pixels, 2, 3, {i->height, width, 3}}, {room, 2, 1, {scratch}}};
    int status = onnxcc_rt_image_decoder(&(onnxcc_call){.inputs = in, .outputs = out});
    free(copy);
    free(room);
    return status;
}

/* As much as the operator's row asks for (ir/ops/image.c). */
static int64_t scratch_of(const image *i) {
    return 16 * (i->width + 64) * (i->height + 64) + (1 << 17);
}

static void test_pixels(void) {
    for (size_t n = 0; n < image_count; n++) {
        const image *i = &images[n];
        int64_t size = i->width * i->height * 3, wide = (i->width + 1) * i->height * 3, most = 0;
        uint8_t *pixels = calloc((size_t)wide, 1);
        int errors = unit_errors;
        CHECK(decode(i, i->file, i->bytes, i->width, scratch_of(i), pixels) == ONNXCC_OK);
        for (int64_t k = 0; k < size; k++)
            if (abs(pixels[k] - i->pixels[k]) > most) most = abs(pixels[k] - i->pixels[k]);
        CHECK(most == 0);
        CHECK(decode(i, i->file, i->bytes, i->width + 1, scratch_of(i), pixels) ==
              ONNXCC_ERROR_BAD_SHAPE);
        if (unit_errors > errors) printf("image %s\n", i->name);
        free(pixels);
    }
}

static void test_cut_files(void) {
    for (size_t n = 0; n < image_count; n++) {
        const image *i = &images[n];
        uint8_t *pixels = malloc((size_t)(i->width * i->height * 3));
        for (int64_t k = 1; k < CUTS; k++) {
            int64_t bytes = i->bytes * k / CUTS;
            int status = decode(i, i->file, bytes, i->width, scratch_of(i), pixels), ok = !status;
            if (ok) printf("image %s of %d bytes is decoded\n", i->name, (int)bytes);
            CHECK(status == ONNXCC_ERROR_UNSUPPORTED_VALUE || status == ONNXCC_ERROR_BAD_SHAPE);
        }
        free(pixels);
    }
}

static void test_little_scratch(void) {
    for (size_t n = 0; n < image_count; n++) {
        const image *i = &images[n];
        uint8_t *pixels = malloc((size_t)(i->width * i->height * 3));
        for (int64_t k = 1; k <= 16; k++)
            decode(i, i->file, i->bytes, i->width, scratch_of(i) >> k, pixels);
        free(pixels);
    }
}

/* Most changes are made near the beginning, where the structure stands. */
static void test_mutants(void) {
    uint64_t state = 5;
    for (size_t n = 0; n < image_count; n++) {
        const image *i = &images[n];
        uint8_t *pixels = malloc((size_t)(i->width * i->height * 3)),
                *file = malloc((size_t)i->bytes);
        for (int k = 0; k < MUTANTS; k++) {
            int changes = 1 + (int)(next_random(&state) % 4);
            memcpy(file, i->file, (size_t)i->bytes);
            while (changes-- > 0) {
                int64_t reach = next_random(&state) % 2 && i->bytes > 200 ? 200 : i->bytes;
                uint8_t *at = &file[next_random(&state) % (uint64_t)reach];
                uint8_t value = (uint8_t)next_random(&state), how = next_random(&state) % 4;
                *at = how == 0   ? *at ^ (uint8_t)(1 << value % 8)
                      : how == 1 ? value
                      : how == 2 ? 255
                                 : 0;
            }
            decode(i, file, i->bytes, i->width, scratch_of(i), pixels);
        }
        free(pixels);
        free(file);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    folder = argv[1];
    RUN(read_images);
    RUN(test_pixels);
    RUN(test_cut_files);
    RUN(test_little_scratch);
    RUN(test_mutants);
    for (size_t n = 0; n < image_count; n++) {
        free(images[n].file);
        free(images[n].pixels);
    }
    return unit_finish();
}
