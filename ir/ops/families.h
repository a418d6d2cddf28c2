/* families.h: the list of operator families. Each is a file ir/ops/FAMILY.c that defines ops_FAMILY
 * and ops_FAMILY_count. */
#define OP_FAMILIES(X)                                                                             \
    X(attention)                                                                                   \
    X(contrib_attention)                                                                           \
    X(contrib_bits)                                                                                \
    X(contrib_fused)                                                                               \
    X(contrib_grouped)                                                                             \
    X(contrib_norm)                                                                                \
    X(contrib_other)                                                                               \
    X(contrib_quant)                                                                               \
    X(control)                                                                                     \
    X(convolution)                                                                                 \
    X(einsum)                                                                                      \
    X(elementwise)                                                                                 \
    X(flex_attention)                                                                              \
    X(fold)                                                                                        \
    X(fusion)                                                                                      \
    X(gather)                                                                                      \
    X(generate)                                                                                    \
    X(gradient)                                                                                    \
    X(internal)                                                                                    \
    X(loss)                                                                                        \
    X(matmul)                                                                                      \
    X(ml)                                                                                          \
    X(ml_numeric)                                                                                  \
    X(movement)                                                                                    \
    X(normalization)                                                                               \
    X(order)                                                                                       \
    X(pooling)                                                                                     \
    X(quantize)                                                                                    \
    X(random)                                                                                      \
    X(recurrence)                                                                                  \
    X(recurrent)                                                                                   \
    X(reduction)                                                                                   \
    X(resize)                                                                                      \
    X(roi)                                                                                         \
    X(sample)                                                                                      \
    X(select)                                                                                      \
    X(sequence)                                                                                    \
    X(state)                                                                                       \
    X(softmax)                                                                                     \
    X(string)                                                                                      \
    X(tfidf)                                                                                       \
    X(signal)                                                                                      \
    X(slice)                                                                                       \
    X(training)                                                                                    \
    X(winograd)
