"""sizes.py ONNXCC: results whose sizes only the data tell, with and without declared sizes."""
import sys

import numpy as np
from cases import Cases, strings
from onnx import TensorProto, helper

node = helper.make_node
random = np.random.default_rng(7)


def ints(*values):
    return np.array(values, np.int64)


def sparse(*shape):
    return (random.random(shape) * (random.random(shape) > 0.6)).astype(np.float32)


def add_selection(c):
    x = sparse(4, 5)
    c.add("non_zero", [node("NonZero", ["x"], ["y"])], {"x": x}, ["y"])
    c.add("non_zero_none", [node("NonZero", ["x"], ["y"])], {"x": np.zeros((3, 2), np.int32)}, ["y"], dims={"y": [2, "found"]})
    picked = [node("NonZero", ["x"], ["p"]), node("Transpose", ["p"], ["t"]), node("GatherND", ["x", "t"], ["v"])]
    c.add("pick", [*picked, node("Mul", ["v", "v"], ["y"]), node("ReduceSum", ["y"], ["z"]), node("Shape", ["y"], ["s"])],
          {"x": x}, ["y", "z", "s"], dims={"x": ["A", "B"], "y": ["found"]})
    c.add("product", [*picked, node("Unsqueeze", ["v", "one"], ["u"]), node("MatMul", ["u", "row"], ["m"]),
                      node("Softmax", ["m"], ["y"])],
          {"x": x}, ["y"], {"one": ints(1), "row": sparse(1, 6)}, dims={"x": ["A", "B"]})
    condition = np.array([True, False, True, True])
    c.add("compress", [node("Compress", ["x", "c"], ["y"], axis=0), node("Compress", ["x", "c"], ["z"])],
          {"x": x, "c": condition}, ["y", "z"], dims={"x": ["A", "B"], "c": ["C"]})
    c.add("compress_strings", [node("Compress", ["x", "c"], ["y"])],
          {"x": strings(["a", "b", "c", "d"]), "c": condition}, ["y"], expected=[strings(["a", "c", "d"])])


def add_unique(c):
    names = ["y", "i", "n", "k"]
    for kind in (np.float32, np.float64, np.int8, np.uint16, np.int64, np.uint64):
        x = random.integers(0, 5, 17).astype(kind)
        for ordered in (0, 1):
            c.add(f"unique_{kind.__name__}_{ordered}", [node("Unique", ["x"], names, sorted=ordered)], {"x": x}, names,
                  dims={"x": ["N"]})
    x = random.integers(0, 2, (3, 6, 2)).astype(np.float32)
    c.add("unique_axis", [node("Unique", ["x"], names, axis=1)], {"x": x}, names)
    c.add("unique_numbers", [node("Unique", ["x"], ["y", "", "n"])], {"x": x}, ["n"])
    words = strings(["b", "a", "", "b", "ab", "a"])
    c.add("unique_strings", [node("Unique", ["x"], names)], {"x": words}, names,
          expected=[strings(["", "a", "ab", "b"]), ints(2, 1, 4, 0), ints(3, 1, 0, 3, 2, 1), ints(1, 2, 1, 2)])


def add_boxes(c):
    corners = random.random((2, 12, 4)).astype(np.float32)
    corners[..., 2:] += corners[..., :2]
    c.add("suppression", [node("NonMaxSuppression", ["b", "s", "m", "o"], ["y"]), node("Gather", ["y", "last"], ["g"], axis=1),
                          node("Gather", ["first", "g"], ["z"], axis=0)],
          {"b": corners, "s": random.random((2, 3, 12)).astype(np.float32)}, ["y", "z"],
          {"m": ints(4), "o": np.array([0.3], np.float32), "last": np.array(2), "first": corners[0]},
          dims={"b": [2, "N", 4], "s": [2, 3, "N"], "y": ["found", 3]})


cases = Cases(sys.argv[1])
add_selection(cases)
add_unique(cases)
add_boxes(cases)
sys.exit(cases.run())
