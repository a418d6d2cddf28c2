/* recurrent.h: what the recurrent operators and the internal operators that run their time steps
 * share: settings read from the attributes. */
#ifndef ONNXCC_IR_OPS_RECURRENT_H
#define ONNXCC_IR_OPS_RECURRENT_H

#include "ir/ops/kit.h"

typedef enum { RECURRENT_RNN, RECURRENT_GRU, RECURRENT_LSTM } recurrent_kind;

enum { RECURRENT_MAX_ACTIVATIONS = 6 };

/* An activation function: a formula of x, alpha and beta. */
typedef struct {
    const char *formula;
    double alpha, beta;
} recurrent_activation;

typedef struct {
    recurrent_kind kind;
    int gates;      /* 1, 3 or 4 */
    int directions; /* 1 or 2 */
    bool reverse;   /* the only direction runs backwards */
    int functions;  /* activations of one direction */
    recurrent_activation activations[RECURRENT_MAX_ACTIVATIONS];
    double clip; /* 0: none */
    bool input_forget, linear_before_reset;
} recurrent_settings;

/* Reads and checks direction, activations, clip and the flags of node n. */
bool recurrent_read(graph *g, node_id n, recurrent_kind kind, recurrent_settings *s);

/* Inputs of the internal operators LstmRecurrence, GruRecurrence and RnnRecurrence, which run the
 * time steps: products of the input and the weights are done before, for all steps at once. */
enum {
    RECURRENCE_X,         /* [time, batch, directions * gates * hidden], the bias of W added */
    RECURRENCE_R,         /* [directions, gates * hidden, hidden]; LstmRecurrenceInteger:
                             [directions, hidden, gates * hidden] of 8-bit integers */
    RECURRENCE_BIAS,      /* [directions, gates * hidden], of R; optional, as all that follow */
    RECURRENCE_LENGTHS,   /* [batch] */
    RECURRENCE_H,         /* [directions, batch, hidden] */
    RECURRENCE_C,         /* [directions, batch, hidden] */
    RECURRENCE_PEEPHOLES, /* [directions, 3 * hidden] */
    RECURRENCE_SCALE,     /* of integers R: [directions] or [directions, gates * hidden] */
    RECURRENCE_ZERO,
    RECURRENCE_INPUTS
};

#endif
