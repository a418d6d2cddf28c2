"""sizes.py ONNXCC: results whose sizes only the data tell, with and without declared sizes."""
import subprocess
import sys

import numpy as np
from cases import WAYS, Cases, strings
from onnx import helper

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


def add_shapes(c):
    """Shapes and axes that are inputs; the sizes that follow have a bound, or the model declares them."""
    x = sparse(4, 6)
    free = {"x": ["A", "B"]}
    for name, shape in (("flat", ints(-1)), ("kept", ints(0, -1, 2)), ("split", ints(2, 2, 3, 2))):
        c.add(f"reshape_{name}", [node("Reshape", ["x", "s"], ["r"]), node("Mul", ["r", "r"], ["y"])], {"x": x, "s": shape},
              ["y"], dims=free)
    c.add("reshape_zero", [node("Reshape", ["x", "s"], ["y"], allowzero=1)], {"x": sparse(0, 6), "s": ints(0, 0)}, ["y"])
    for name, start, end, step in (("part", [1, 1], [3, 9], [1, 2]), ("back", [-1, 9], [-9, 0], [-2, -1])):
        c.add(f"slice_{name}", [node("Slice", ["x", "b", "e", "a", "s"], ["y"])],
              {"x": x, "b": ints(*start), "e": ints(*end), "a": ints(1, 0), "s": ints(*step)}, ["y"], dims=free)
    c.add("top", [node("TopK", ["x", "k"], ["y", "i"])], {"x": x, "k": ints(3)}, ["y", "i"], dims=free)
    c.add("unsqueeze", [node("Unsqueeze", ["x", "a"], ["y"])], {"x": x, "a": ints(0, -1)}, ["y"], dims=free)
    c.add("squeeze", [node("Squeeze", ["x", "a"], ["y"])], {"x": sparse(1, 4, 1, 2), "a": ints(2, 0)}, ["y"])
    for keep in (0, 1):
        for op in ("ReduceSum", "ReduceMean", "ReduceLogSumExp"):
            c.add(f"{op}_{keep}", [node(op, ["x", "a"], ["y"], keepdims=keep)], {"x": x, "a": ints(-1)}, ["y"], dims=free)
    known = {"tile": (node("Tile", ["x", "s"], ["y"]), ints(2, 3), [8, 18]),
             "pad": (node("Pad", ["x", "s"], ["y"]), ints(1, 0, 0, 2), [5, 8]),
             "expand": (node("Expand", ["x", "s"], ["y"]), ints(2, 1, 6), [2, 4, 6]),
             "resize": (node("Resize", ["x", "", "", "s"], ["y"], mode="linear"), ints(8, 3), [8, 3])}
    for name, (one, given, dims) in known.items():
        c.add(name, [one], {"x": x, "s": given}, ["y"], dims={"y": dims})
    c.add("range", [node("Range", ["b", "e", "s"], ["y"])],
          {"b": np.array(2.0, np.float32), "e": np.array(3.0, np.float32), "s": np.array(0.3, np.float32)}, ["y"], dims={"y": [4]})


def refused(onnxcc):
    """Sizes that the data tell otherwise than the model declares, or that have no bound, are named errors."""
    c = Cases(onnxcc)
    c.add("declared", [node("ConstantOfShape", ["s"], ["y"])], {"s": ints(2, 3)}, ["y"], dims={"y": [2, 4]})
    c.add("elements", [node("Reshape", ["x", "s"], ["y"])], {"x": sparse(3, 4), "s": ints(5, 2)}, ["y"],
          expected=[sparse(5, 2)])
    c.add("step", [node("Slice", ["x", "b", "e", "a", "s"], ["y"])],
          {"x": sparse(3, 4), "b": ints(0), "e": ints(1), "a": ints(0), "s": ints(0)}, ["y"], expected=[sparse(1, 4)])
    fold = {"x": sparse(1, 4, 9), "i": ints(4, 4)}
    for name, block in (("block_of_none", ints(0, 2)), ("block_too_large", ints(2**40, 2**40)), ("block_of_others", ints(2, 1))):
        c.add(name, [node("Col2Im", ["x", "i", "b"], ["y"])], {**fold, "b": block}, ["y"], expected=[sparse(1, 1, 4, 4)],
              dims={"y": [1, 1, 4, 4]})
    c.add("step_back", [node("STFT", ["x", "s", "", "l"], ["y"])],
          {"x": sparse(1, 16, 1), "s": np.array(-3), "l": np.array(8)}, ["y"], expected=[sparse(1, 3, 5, 2)])
    c.add("unbounded", [node("ConstantOfShape", ["s"], ["y"])], {"s": ints(2, 3)}, ["y"])
    wanted = {"declared": "bad shape", "elements": "bad shape", "step": "bad shape", "block_of_none": "bad shape",
              "block_too_large": "bad shape", "block_of_others": "bad shape", "step_back": "bad shape", "unbounded": "--dim y_dim_0=1..1000"}
    wrong = 0
    bounds = ["--dim", "y_dim_0=0..8", "--dim", "y_dim_1=3"]
    result = subprocess.run([onnxcc, "test", "--open", *bounds, c.names[-1]], capture_output=True, text=True)
    if result.returncode:
        wrong += 1
        print(f"bounds that --dim gives: {result.stdout}{result.stderr}")
    for folder, message in zip(c.names, wanted.values()):
        for way in WAYS:
            result = subprocess.run([onnxcc, "test", "--open", *way, folder], capture_output=True, text=True)
            if result.returncode != 1 or message not in result.stdout + result.stderr:
                wrong += 1
                print(f"{folder} {way}: no word of {message}\n{result.stdout}{result.stderr}")
    return wrong


def add_chains(c):
    """Sizes as exporters of detectors compute them: from constants, by way of floats."""
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "last"], ["side"]),
        node("Cast", ["side"], ["as_float"], to=1),
        node("ReduceMax", ["as_float"], ["longest"], keepdims=0),
        node("Div", ["wanted", "longest"], ["factor"]),
        node("Mul", ["factor", "as_float"], ["scaled"]),
        node("Floor", ["scaled"], ["whole"]),
        node("Cast", ["whole"], ["sides"], to=7),
        node("Concat", ["front", "sides"], ["sizes"], axis=0),
        node("Resize", ["x", "", "", "sizes"], ["y"], mode="nearest"),
    ]
    constants = {"last": ints(2, 3), "wanted": np.float32(21.5), "front": ints(1, 2)}
    # what a shape leaves open, beside a size that the data tell
    picked = [node("NonZero", ["m"], ["p"]), node("Transpose", ["p"], ["t"]), node("Shape", ["t"], ["ts"]),
              node("Gather", ["ts", "first"], ["n"]), node("GatherND", ["x", "t"], ["rows"]),
              node("Concat", ["n", "rest"], ["to"], axis=0), node("Reshape", ["rows", "to"], ["y"])]
    for name, m in (("some", ints(0, 1, 1, 0, 1)), ("none", ints(0, 0, 0))):
        x = sparse(5, 3, 4)
        c.add(f"left_open_{name}", picked, {"m": m, "x": x}, ["y"], {"first": ints(0), "rest": ints(-1, 2)},
              [x[m.nonzero()].reshape(len(m.nonzero()[0]), 6, 2)], dims={"m": ["A"]})
    c.add("sizes_by_floats", nodes, {"x": sparse(1, 2, 5, 8)}, ["y"], constants)


cases = Cases(sys.argv[1])
add_selection(cases)
add_unique(cases)
add_boxes(cases)
add_shapes(cases)
add_chains(cases)
sys.exit(refused(sys.argv[1]) or cases.run())
