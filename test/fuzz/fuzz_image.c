/* fuzz_image.c: image files of any bytes, behind a byte each of width and height, through the
 * decoder that ships: it must return, and touch nothing but its memory. Start from the files of
 * the build's folder images, each with its size put before it. */
#include "runtime/onnxcc_runtime.h"

#include <stdlib.h>
#include <string.h>

int onnxcc_rt_image_decoder(const onnxcc_call *call);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes < 3) return 0;
    int64_t width = data[0] + 1, height = data[1] + 1;
    int64_t scratch = 16 * (width + 64) * (height + 64) + (1 << 17); /* as ir/ops/image.c says */
    struct {
        uint64_t offsets[2];
        char text[4];
    } format = {{16, 19}, "RGB"};
    uint8_t *file = malloc(bytes - 2), *room = malloc((size_t)scratch);
    uint8_t *pixels = malloc((size_t)(width * height * 3));
    memcpy(file, data + 2, bytes - 2);
    onnxcc_tensor in[] = {{file, 2, 1, {(int64_t)bytes - 2}}, {&format, 2, 1, {sizeof format}}};
    onnxcc_tensor out[] = {{pixels, 2, 3, {height, width, 3}}, {room, 2, 1, {scratch}}};
    onnxcc_rt_image_decoder(&(onnxcc_call){.inputs = in, .outputs = out});
    free(file);
    free(room);
    free(pixels);
    return 0;
}
