"""sequences.py ONNXCC: sequences inside of models, whose lengths are known when the model is compiled, or need not be."""
import sys

import numpy as np
from cases import Cases
from onnx import TensorProto, helper

node = helper.make_node
X = np.arange(30, dtype=np.float32).reshape(5, 2, 3)


def info(name, element, shape):
    return helper.make_tensor_value_info(name, element, shape)


def loop_body(nodes, inputs, outputs):
    flag, number = info("go_on", TensorProto.BOOL, []), info("i", TensorProto.INT64, [])
    return helper.make_graph(nodes, "body", [number, flag, *inputs], [info("go_on_out", TensorProto.BOOL, []), *outputs])


def items(name):
    return helper.make_tensor_sequence_value_info(name, TensorProto.FLOAT, None)


def grow(*before):
    """A loop over x that puts 2 * x[i] behind a sequence, and what goes before that in its body."""
    body = loop_body(
        [node("Identity", ["go_on"], ["go_on_out"]), node("Gather", ["x", "i"], ["p"]), node("Add", ["p", "p"], ["t"]),
         *before, node("SequenceInsert", ["q", "t"], ["u"])],
        [items("q")], [items("u")])
    return [node("Shape", ["x"], ["shape"], start=0, end=1), node("Squeeze", ["shape"], ["trips"]),
            node("SequenceEmpty", [], ["none"]), node("Loop", ["trips", "yes", "none"], ["all"], body=body)]


def add_grown(c):
    """Read in every way, in which the number of items does not matter."""
    constants = {"yes": np.array(True), "last": np.array(-1)}
    t = X + X
    for axis in (0, 1, -1):
        c.add(f"joined_{axis}", [*grow(), node("ConcatFromSequence", ["all"], ["y"], axis=axis)], {"x": X}, ["y"], constants,
              [np.concatenate(list(t), axis)])
        c.add(f"stacked_{axis}", [*grow(), node("ConcatFromSequence", ["all"], ["y"], axis=axis, new_axis=1)], {"x": X},
              ["y"], constants, [np.stack(list(t), axis)])
    c.add("picked", [*grow(), node("SequenceAt", ["all", "last"], ["y"]), node("SequenceLength", ["all"], ["n"])],
          {"x": X}, ["y", "n"], constants, [t[-1], np.array(5)])


def add_written_out(c):
    """Items of different sizes, positions, and a sequence that is also read while it grows."""
    constants = {"yes": np.array(True), "last": np.array(-1), "sizes": np.array([1, 3, 1]), "at": np.array(1)}
    parts = np.split(X, [1, 4])
    c.add("parts", [node("SplitToSequence", ["x", "sizes"], ["s"]), node("SequenceAt", ["s", "at"], ["y"]),
                    node("SequenceErase", ["s", "at"], ["e"]), node("ConcatFromSequence", ["e"], ["z"], axis=0)],
          {"x": X}, ["y", "z"], constants, [parts[1], np.concatenate([parts[0], parts[2]])])
    c.add("watched", [*grow(node("SequenceLength", ["q"], ["n"])), node("ConcatFromSequence", ["all"], ["y"], axis=0)],
          {"x": X}, ["y"], constants, [np.concatenate(list(X + X))])
    c.add("position_at_run_time", [*grow(), node("SequenceInsert", ["all", "first", "at"], ["more"]),
                                   node("SequenceAt", ["more", "where"], ["y"])],
          {"x": X, "first": X[0], "where": np.array(2)}, ["y"], constants, [(X + X)[1]])


def add_carried(c):
    """A sequence that keeps its length through a loop whose trip count is an input."""
    body = loop_body(
        [node("Identity", ["go_on"], ["go_on_out"]), node("SequenceAt", ["q", "zero"], ["first"]),
         node("Add", ["first", "first"], ["twice"]), node("SequenceErase", ["q", "zero"], ["rest"]),
         node("SequenceInsert", ["rest", "twice"], ["u"])],
        [items("q")], [items("u")])
    nodes = [node("SequenceConstruct", ["a", "b"], ["start"]), node("Loop", ["trips", "yes", "start"], ["end"], body=body),
             node("ConcatFromSequence", ["end"], ["y"], axis=0)]
    a, b = X[0], X[1]
    for trips, wanted in ((0, [a, b]), (1, [b, 2 * a]), (2, [2 * a, 2 * b]), (5, [4 * b, 8 * a])):
        c.add(f"carried_{trips}", nodes, {"a": a, "b": b, "trips": np.array(trips)}, ["y"],
              {"yes": np.array(True), "zero": np.array(0)}, [np.concatenate(wanted)])


def add_many(c):
    """More items than a kernel takes parameters."""
    inputs = {f"x{i}": np.full(1 + i % 2, i, np.float32) for i in range(300)}
    c.add("many", [node("SequenceConstruct", list(inputs), ["s"]), node("ConcatFromSequence", ["s"], ["y"], axis=0)], inputs,
          ["y"], None, [np.concatenate(list(inputs.values()))])


cases = Cases(sys.argv[1])
add_many(cases)
add_carried(cases)
add_grown(cases)
add_written_out(cases)
sys.exit(cases.run())
