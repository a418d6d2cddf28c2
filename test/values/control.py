"""control.py ONNXCC: loops that end by their condition, at a trip count that is an input, states that change their shape, Scan
of opset 8, and If whose branches differ in size."""
import sys

import numpy as np
from cases import Cases
from onnx import TensorProto, helper

node = helper.make_node
X = np.arange(12, dtype=np.float32).reshape(2, 3, 2)


def info(name, element, shape):
    return helper.make_tensor_value_info(name, element, shape)


def body(shape):
    """Doubles s while its sum is below `most`; its results are s, s before, and how often it went round before."""
    nodes = [node("Add", ["s", "s"], ["t"]), node("Identity", ["s"], ["before"]), node("Identity", ["i"], ["at"]),
             node("ReduceSum", ["t"], ["sum"], keepdims=0), node("Less", ["sum", "most"], ["go_on_out"])]
    return helper.make_graph(
        nodes, "body",
        [info("i", TensorProto.INT64, []), info("go_on", TensorProto.BOOL, []), info("s", TensorProto.FLOAT, shape)],
        [info("go_on_out", TensorProto.BOOL, []), info("t", TensorProto.FLOAT, shape),
         info("before", TensorProto.FLOAT, shape), info("at", TensorProto.INT64, [])])


def add_loops(c):
    start = np.array([[1, 2, 3]], np.float32)
    for name, most, rounds in (("none", 8, 0), ("some", 6 * 2**4, 4), ("all", 1e9, 9)):
        flag = {"yes": np.array(rounds > 0)}
        expected = [start * 2**rounds, np.array([start * 2**i for i in range(rounds)], np.float32).reshape(rounds, 1, 3),
                    np.arange(rounds)]
        loop = node("Loop", ["trips", "yes", "x"], ["last", "stacked", "at"], body=body([1, 3]))
        inputs = {"x": start, "most": np.array(most, np.float32)}
        c.add(f"ends_{name}", [loop], inputs, ["last", "stacked", "at"], {**flag, "trips": np.array(9)}, expected)
        if name == "some":  # what reads the result; bounds that the model declares
            c.add("read", [loop, node("ReduceSum", ["stacked"], ["sum"], keepdims=0)], inputs, ["sum"],
                  {**flag, "trips": np.array(9)}, [expected[1].sum()])
        c.add(f"declared_{name}", [node("Loop", ["trips", "yes", "x"], ["", "stacked", ""], body=body([1, 3]))],
              {**inputs, "trips": np.array(9)}, ["stacked"], flag, expected[1:2], dims={"stacked": [rounds, 1, 3]})


def add_growing(c):
    """States with a shape of their own in each iteration: one grows, one is a slice up to the iteration; a constant trip
    count, none, and a condition that is a constant too."""
    nodes = [node("Concat", ["s", "x"], ["t"], axis=0), node("Add", ["i", "one"], ["end"]), node("Unsqueeze", ["end", "zero"], ["ends"]),
             node("Slice", ["t", "zero", "ends"], ["u"]), node("ReduceSum", ["v"], ["sum"], keepdims=0),
             node("Identity", ["go_on"], ["go_on_out"])]
    grow = helper.make_graph(
        nodes, "body",
        [info("i", TensorProto.INT64, []), info("go_on", TensorProto.BOOL, []), info("s", TensorProto.FLOAT, None),
         info("v", TensorProto.FLOAT, None)],
        [info("go_on_out", TensorProto.BOOL, []), info("t", TensorProto.FLOAT, None), info("u", TensorProto.FLOAT, None),
         info("sum", TensorProto.FLOAT, [])])
    x, start = X[0], np.array([[7, 8]], np.float32)
    for trips in (0, 1, 5):
        s, v, sums = start, start, []
        for i in range(trips):
            sums.append(v.sum())
            s = np.concatenate([s, x])
            v = s[: i + 1]
        results = 3 if trips else 2
        c.add(f"grows_{trips}", [node("Loop", ["trips", "yes", "start", "start"], ["s", "v", "sums" if trips else ""], body=grow)],
              {"x": x, "start": start}, ["s", "v", "sums"][:results],
              {"trips": np.array(trips), "yes": np.array(True), "one": np.array(1), "zero": np.array([0])},
              [s, v, np.array(sums, np.float32)][:results])


def add_scans(c):
    """With a batch of two, forward and backward."""
    scan = helper.make_graph(
        [node("Add", ["s", "e"], ["t"]), node("Identity", ["t"], ["z"])], "body",
        [info("s", TensorProto.FLOAT, [2]), info("e", TensorProto.FLOAT, [2])],
        [info("t", TensorProto.FLOAT, [2]), info("z", TensorProto.FLOAT, [2])])
    start = np.array([[1, 2], [3, 4]], np.float32)
    for backward in (0, 1):
        z = start[:, None] + np.cumsum(X[:, ::-1] if backward else X, axis=1)
        c.add(f"scan_{backward}", [node("Scan", ["", "s", "x"], ["t", "z"], num_scan_inputs=1, directions=[backward], body=scan)],
              {"s": start, "x": X}, ["t", "z"], expected=[z[:, -1], z], opset=8)


def branch(name, nodes, shape, element=TensorProto.FLOAT):
    return helper.make_graph(nodes, name, [], [info(nodes[-1].output[0], element, shape)])


def choice(condition, result, then, otherwise):
    return node("If", [condition], [result], then_branch=then, else_branch=otherwise)


def add_choices(c):
    """The condition is an input; the result goes on to other operators."""
    x = np.array([[3, -1, 2], [0, 5, -2]], np.float32)
    found = [node("Greater", ["x", "zero"], ["m"]), node("NonZero", ["m"], ["p"]), node("Transpose", ["p"], ["at"])]
    constants = {"zero": np.float32(0), "empty": np.zeros((0, 2), np.int64), "one": np.array([1], np.int64),
                 "two": np.array([2], np.int64), "axis": np.array([0], np.int64)}
    places = np.argwhere(x > 0)
    for flag in (True, False):
        inputs = {"x": x, "flag": np.array(flag)}
        # detectors: nothing at all, or as many as the data tell
        nothing = branch("nothing", [node("Identity", ["empty"], ["none"])], [0, 2], TensorProto.INT64)
        some = branch("some", found, ["n", 2], TensorProto.INT64)
        nodes = [choice("flag", "y", nothing, some), node("Add", ["y", "y"], ["z"]), node("Shape", ["y"], ["s"])]
        y = np.zeros((0, 2), np.int64) if flag else places
        c.add(f"nothing_or_some_{flag}", nodes, inputs, ["y", "z", "s"], constants, [y, y + y, np.array(y.shape)])
        # one row, or two; a branch within a branch
        row = branch("row", [node("Slice", ["x", "one", "two", "axis"], ["r"])], [1, 3])
        twice = branch("twice", [node("Concat", ["x", "x"], ["w"], axis=0)], [4, 3])
        inner = branch("inner", [choice("other", "i", row, branch("all", [node("Neg", ["x"], ["g"])], [2, 3]))], ["k", 3])
        nodes = [choice("flag", "y", twice, inner), node("ReduceSum", ["y"], ["z"], keepdims=0)]
        for other in (True, False):
            y = np.concatenate([x, x]) if flag else x[1:] if other else -x
            c.add(f"rows_{flag}_{other}", nodes, {**inputs, "other": np.array(other)}, ["y", "z"], constants, [y, y.sum()])


cases = Cases(sys.argv[1])
add_choices(cases)
add_loops(cases)
add_growing(cases)
add_scans(cases)
sys.exit(cases.run())
