/* families.h: the list of operator families. Each is a file ir/ops/FAMILY.c that defines ops_FAMILY
 * and ops_FAMILY_count. */
#define OP_FAMILIES(X)                                                                             \
    X(attention)                                                                                   \
    X(control)                                                                                     \
    X(convolution)                                                                                 \
    X(einsum)                                                                                      \
    X(fusion)                                                                                      \
    X(internal)                                                                                    \
    X(matmul)                                                                                      \
    X(normalization)                                                                               \
    X(pooling)                                                                                     \
    X(recurrence)                                                                                  \
    X(recurrent)                                                                                   \
    X(resize)                                                                                      \
    X(roi)                                                                                         \
    X(sample)                                                                                      \
    X(softmax)                                                                                     \
    X(elementwise)                                                                                 \
    X(movement)                                                                                    \
    X(gather)                                                                                      \
    X(generate)                                                                                    \
    X(quantize)                                                                                    \
    X(reduction)                                                                                   \
    X(order)
