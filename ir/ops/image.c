/* image.c: ImageDecoder. The runtime's function decodes; how large the image is only the file says,
 * so that the model must declare it, and a file of another size ends the run. */
#include "ir/ops/kit.h"

#include <string.h>

static bool infer_image_decoder(graph *g, node_id n) {
    const char *format = node_attr_string(graph_node(g, n), "pixel_format", "RGB");
    bool gray = strcmp(format, "Grayscale") == 0;
    if (!gray && strcmp(format, "RGB") != 0 && strcmp(format, "BGR") != 0)
        return op_error(g, n, NULL, "there is no pixel format %s", format);
    if (!kit_need(g, n, 0, 1, 1) || !kit_set_told(g, n, DTYPE_U8, 3, DIM_NONE)) return false;
    const type y = *graph_type(g, graph_output(g, n, 0));
    return kit_agree(g, n, y.dims[2], kit_dim(g, gray ? 1 : 3), "channels");
}

/* A PNG has up to 8 bytes a pixel before its filters are undone. JPEG 2000 has 12, and what says
 * how its blocks are coded; the constants are for small images. */
static dim scratch_image_decoder(graph *g, node_id n) {
    const type y = *graph_type(g, graph_output(g, n, 0));
    dim_table *d = g->dims;
    dim width = dim_add(d, y.dims[1], kit_dim(g, 64)),
        height = dim_add(d, y.dims[0], kit_dim(g, 64));
    dim pixels = dim_mul(d, kit_dim(g, 16), dim_mul(d, width, height));
    return dim_add(d, pixels, kit_dim(g, 1 << 17));
}

const op_def ops_image[] = {
    {.domain = "",
     .name = "ImageDecoder",
     .infer = infer_image_decoder,
     .call = "image_decoder",
     .call_attributes = "pixel_format",
     .scratch = scratch_image_decoder},
};
const size_t ops_image_count = sizeof ops_image / sizeof *ops_image;
