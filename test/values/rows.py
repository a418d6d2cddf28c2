"""rows.py ONNXCC: Softmax and LogSoftmax over rows of many lengths, two at a time and one alone, with numbers so large that their
difference is all that fits, infinities, and NaN of whatever bits; Gelu from one end of the numbers to the other. What is right is
computed in double precision."""
import math
import sys

import numpy as np
from cases import Cases
from onnx import helper


def odd_rows(columns):
    """Seven rows that are hard on exponentials: NaN with payloads, nothing but -inf, one inf, equal numbers."""
    x = np.random.default_rng(columns).standard_normal((7, columns)).astype(np.float32) * 30
    x[0, columns // 2] = np.uint32(0x7FFFFFFF).view(np.float32)
    x[1] = -np.inf
    x[2, 0] = -np.inf
    x[3, columns // 3] = np.inf
    x[4, -1] = np.uint32(0xFFC12345).view(np.float32)
    x[5], x[6] = 1e30, -1e30
    return x


def softmax(x, logarithm):
    with np.errstate(invalid="ignore", divide="ignore"):
        shifted = x.astype(np.float64) - x.max(-1, keepdims=True)
        total = np.exp(shifted).sum(-1, keepdims=True)
        return (shifted - np.log(total) if logarithm else np.exp(shifted) / total).astype(np.float32)


def gelu(x):
    return np.array([v * 0.5 * math.erfc(-v / math.sqrt(2)) for v in x.astype(np.float64)]).astype(np.float32)


def main(onnxcc):
    c = Cases(onnxcc, ["--rtol", "1e-5", "--atol", "1e-7"])
    for columns in (1, 5, 16, 33, 197, 3000):
        plain = np.random.default_rng(columns).standard_normal((3, columns)).astype(np.float32) * 30
        for name, x in (("plain", plain), ("odd", odd_rows(columns))):
            for op in ("Softmax", "LogSoftmax"):
                nodes = [helper.make_node(op, ["x"], ["y"], axis=-1)]
                c.add(f"{op}_{name}_{columns}", nodes, {"x": x}, ["y"], expected=[softmax(x, op == "LogSoftmax")])
    ends = [np.inf, 3e38, -3e38, np.nan, 0, -0.0, 1e-40, -1e-40]
    x = np.concatenate([np.linspace(-20, 20, 40001), ends]).astype(np.float32)
    c.add("gelu", [helper.make_node("Gelu", ["x"], ["y"])], {"x": x}, ["y"], expected=[gelu(x)])
    return c.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
