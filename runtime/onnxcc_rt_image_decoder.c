/* onnxcc_rt_image_decoder.c: an image file as pixels. Which format it is its first bytes say; each
 * format is a file of image_decoder/. What cannot be decoded, or is damaged, ends the run with
 * ONNXCC_ERROR_UNSUPPORTED_VALUE, an image of another size with ONNXCC_ERROR_BAD_SHAPE. */
#include "image_decoder/bmp.h"
#include "image_decoder/jp2.h"
#include "image_decoder/jpeg.h"
#include "image_decoder/png.h"
#include "image_decoder/pnm.h"
#include "image_decoder/tiff.h"
#include "image_decoder/webp.h"

int onnxcc_rt_image_decoder(const onnxcc_call *call);

static int image_starts(const image_job *j, const char *with, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (i >= j->size || j->in[i] != (uint8_t)with[i]) return 0;
    return 1;
}

/* Inputs: the file, the name of the pixel format. Outputs: pixels [height, width, 3 or 1]; scratch.
 */
int onnxcc_rt_image_decoder(const onnxcc_call *call) {
    const onnxcc_tensor *out = &call->outputs[0], *scratch = &call->outputs[1];
    const char *format = (const char *)call->inputs[1].data + 2 * sizeof(uint64_t);
    image_job j = {call->inputs[0].data,
                   call->inputs[0].dims[0],
                   0,
                   out->data,
                   out->dims[1],
                   out->dims[0],
                   IMAGE_RGB,
                   scratch->data,
                   scratch->dims[0],
                   0};
    j.format = *format == 'B' ? IMAGE_BGR : *format == 'G' ? IMAGE_GRAY : IMAGE_RGB;
    if (out->dims[2] != (j.format == IMAGE_GRAY ? 1 : 3)) return ONNXCC_ERROR_BAD_SHAPE;
    if (image_starts(&j, "BM", 2)) return image_bmp(&j);
    if (image_starts(&j, "\x89PNG\r\n\x1a\n", 8)) return image_png(&j);
    if (image_starts(&j, "\xff\xd8\xff", 3)) return image_jpeg_file(&j);
    if (image_starts(&j, "\0\0\0\fjP  ", 8) || image_starts(&j, "\xff\x4f\xff\x51", 4))
        return image_jp2_file(&j);
    if (image_starts(&j, "RIFF", 4)) return image_webp(&j);
    if (image_starts(&j, "II*\0", 4) || image_starts(&j, "MM\0*", 4)) return image_tiff(&j);
    if (image_starts(&j, "P", 1) && image_byte(&j, 1) >= '1' && image_byte(&j, 1) <= '6')
        return image_pnm(&j);
    return ONNXCC_ERROR_UNSUPPORTED_VALUE;
}
