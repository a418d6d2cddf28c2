/* onnxcc_rt_suppress.c: NonMaxSuppression. Boxes of a class are taken in the order of their scores;
 * one that overlaps a taken one too much is left out. */
#include "onnxcc_runtime.h"

typedef struct {
    float low[2], high[2];
} suppress_box;

static suppress_box suppress_read(const float *p, int64_t centre) {
    suppress_box b;
    for (int i = 0; i < 2; i++) {
        float first = centre ? p[i] - p[i + 2] / 2 : p[i];
        float second = centre ? p[i] + p[i + 2] / 2 : p[i + 2];
        b.low[i] = centre || first < second ? first : second;
        b.high[i] = centre || first < second ? second : first;
    }
    return b;
}

static float suppress_area(const suppress_box *b) {
    return (b->high[0] - b->low[0]) * (b->high[1] - b->low[1]);
}

/* Whether the intersection is more than `most` of the union. */
static int suppress_overlap(const suppress_box *x, const suppress_box *y, float most) {
    suppress_box common;
    for (int i = 0; i < 2; i++) {
        common.low[i] = x->low[i] > y->low[i] ? x->low[i] : y->low[i];
        common.high[i] = x->high[i] < y->high[i] ? x->high[i] : y->high[i];
        if (!(common.high[i] > common.low[i])) return 0;
    }
    float shared = suppress_area(&common), a = suppress_area(x), b = suppress_area(y);
    float together = a + b - shared;
    return shared > 0 && a > 0 && b > 0 && together > 0 && shared / together > most;
}

/* Whether box i goes behind box j: by score, then by number. A NaN goes behind all numbers. */
static int suppress_behind(const float *scores, int64_t i, int64_t j) {
    int i_is_nan = scores[i] != scores[i], j_is_nan = scores[j] != scores[j];
    if (i_is_nan != j_is_nan) return i_is_nan;
    if (!i_is_nan && scores[i] != scores[j]) return scores[i] < scores[j];
    return i > j;
}

/* Restores the heap of `count` boxes, the first of all on top, below `at`. */
static void suppress_sink(const float *scores, int64_t *heap, int64_t at, int64_t count) {
    for (;;) {
        int64_t child = 2 * at + 1, moved = heap[at];
        if (child >= count) return;
        if (child + 1 < count && suppress_behind(scores, heap[child], heap[child + 1])) child++;
        if (!suppress_behind(scores, moved, heap[child])) return;
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

/* The boxes that may be taken, as a heap; returns how many. */
static int64_t suppress_collect(const float *scores, int64_t boxes, const float *least,
                                int64_t *heap) {
    int64_t count = 0;
    for (int64_t i = 0; i < boxes; i++)
        if (!least || scores[i] > *least) heap[count++] = i;
    for (int64_t i = count / 2; i-- > 0;) suppress_sink(scores, heap, i, count);
    return count;
}

int onnxcc_rt_suppress(const onnxcc_call *call);

/* Inputs: boxes [batch, boxes, 4], scores [batch, classes, boxes], and as scalars or one element
 * each, or left out: how many of a class (i64), overlap, least score. Attributes:
 * center_point_box. Outputs: the selected as [batch, class, box], how many there are, scratch. */
int onnxcc_rt_suppress(const onnxcc_call *call) {
    const onnxcc_tensor *in = call->inputs;
    const float *boxes = in[0].data, *scores = in[1].data, *most_overlap = in[3].data;
    const int64_t *most = in[2].data;
    int64_t *selected = call->outputs[0].data, *heap = call->outputs[2].data, total = 0;
    int64_t batches = in[1].dims[0], classes = in[1].dims[1], count = in[1].dims[2];
    int64_t room = call->outputs[0].dims[0] / 3, centre = call->attributes[0];
    if (in[0].dims[0] != batches || in[0].dims[1] != count || in[0].dims[2] != 4)
        return ONNXCC_ERROR_BAD_SHAPE;
    for (int64_t c = 0; most && c < batches * classes; c++) {
        const float *own = scores + c * count, *corners = boxes + c / classes * count * 4;
        int64_t first = total, left = suppress_collect(own, count, in[4].data, heap);
        while (left > 0 && total - first < *most) {
            int64_t next = heap[0];
            const suppress_box box = suppress_read(corners + next * 4, centre);
            int taken = 1;
            heap[0] = heap[--left];
            suppress_sink(own, heap, 0, left);
            for (int64_t i = first; i < total && taken; i++) {
                const suppress_box other = suppress_read(corners + selected[3 * i + 2] * 4, centre);
                taken = !suppress_overlap(&box, &other, most_overlap ? *most_overlap : 0);
            }
            if (!taken) continue;
            if (total == room) return ONNXCC_ERROR_BAD_SHAPE;
            selected[3 * total] = c / classes;
            selected[3 * total + 1] = c % classes;
            selected[3 * total++ + 2] = next;
        }
    }
    *(int64_t *)call->outputs[1].data = total;
    return ONNXCC_OK;
}
