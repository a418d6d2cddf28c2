"""recurrent.py ONNXCC: RNN, GRU and LSTM over batches of many sizes, which run as whole blocks and a rest, in both directions, with
sequences that end early, initial states and peepholes. What is right is computed entry by entry, in double precision."""
import itertools
import sys

import numpy as np
from cases import Cases
from onnx import helper

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(op, x, h, c, w, r, b, p, linear):
    """One step of one entry, as the equations of the standard have it: the new h and c."""
    n = len(h)
    wb, rb = b[: len(w)], b[len(w) :]
    if op == "RNN":
        return np.tanh(w @ x + r @ h + wb + rb), c
    if op == "GRU":
        z, t = (sigmoid(g) for g in np.split((w @ x + r @ h + wb + rb)[: 2 * n], 2))
        wx, rh, own = w[2 * n :] @ x + wb[2 * n :], r[2 * n :], rb[2 * n :]
        g = np.tanh(wx + (t * (rh @ h + own) if linear else rh @ (t * h) + own))
        return (1 - z) * g + z * h, c
    i, o, f, g = np.split(w @ x + r @ h + wb + rb, 4)
    pi, po, pf = np.split(p, 3)
    c_new = sigmoid(f + pf * c) * c + sigmoid(i + pi * c) * np.tanh(g)
    return sigmoid(o + po * c_new) * np.tanh(c_new), c_new


def reference(op, x, w, r, b, lengths, h0, c0, p, order, linear):
    steps, batch, _ = x.shape
    directions, hidden = r.shape[0], r.shape[2]
    y = np.zeros((steps, directions, batch, hidden))
    hs, cs = np.array(h0, float), np.array(c0, float)
    for d, e in itertools.product(range(directions), range(batch)):
        places = range(lengths[e])
        for t in reversed(places) if d == 1 or order == "reverse" else places:
            hs[d, e], cs[d, e] = step(op, x[t, e], hs[d, e], cs[d, e], w[d], r[d], b[d], p[d], linear)
            y[t, d, e] = hs[d, e]
    return [v.astype(np.float32) for v in ((y, hs, cs) if op == "LSTM" else (y, hs))]


def add(c, op, batch, hidden, order, ends, linear=0):
    g = np.random.default_rng([batch, hidden, GATES[op]])

    def floats(*shape):
        return (g.standard_normal(shape) * 0.2).astype(np.float32)

    steps, width, directions = 4, 6, 1 + (order == "bidirectional")
    x = floats(steps, batch, width)
    w, r = floats(directions, GATES[op] * hidden, width), floats(directions, GATES[op] * hidden, hidden)
    b, p = floats(directions, 2 * GATES[op] * hidden), floats(directions, 3 * hidden)
    h0, c0 = floats(directions, batch, hidden), floats(directions, batch, hidden)
    lengths = g.integers(0, steps + 1, batch).astype(np.int32) if ends else np.full(batch, steps, np.int32)
    inputs, constants = {"x": x}, {"w": w, "r": r, "b": b, "h": h0}
    names = ["x", "w", "r", "b", "lengths" if ends else "", "h"]
    if ends:
        inputs["lengths"] = lengths
    if op == "LSTM":
        constants.update(c=c0, p=p)
        names += ["c", "p"]
    attributes = dict(hidden_size=hidden, direction=order)
    if op == "GRU":
        attributes["linear_before_reset"] = linear
    outputs = ["y", "y_h", "y_c"][: 3 if op == "LSTM" else 2]
    expected = reference(op, x, w, r, b, lengths, h0, c0, p, order, linear)
    name = f"{op}_{batch}_{hidden}_{order}_{'lengths' if ends else 'whole'}_{linear}"
    c.add(name, [helper.make_node(op, names, outputs, **attributes)], inputs, outputs, constants, expected)


def main(onnxcc):
    c = Cases(onnxcc, ["--rtol", "1e-4", "--atol", "1e-6"])
    for op, order in itertools.product(GATES, ("forward", "reverse", "bidirectional")):
        for batch, hidden in ((1, 32), (2, 5), (3, 16), (7, 32), (8, 64), (9, 32), (16, 33), (17, 32)):
            add(c, op, batch, hidden, order, ends=batch % 2 == 1)
        add(c, op, 10, 32, order, ends=True, linear=1)
    return c.run(sample=3)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
