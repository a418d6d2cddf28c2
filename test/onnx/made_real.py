"""made_real.py: what files hold that exporters write: odd declarations, aliases, constants of one value, control flow in place
of operators, padding that is computed from shapes."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from make_made_cases import Model, node

F32, I64 = np.float32, np.int64
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
HUGE = 100_000_000


def info(name, kind, dims=None):
    return helper.make_tensor_value_info(name, kind, dims)


def constant(name, array):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(array), name))


def model(nodes, inputs, outputs, weights=(), declared=(), opsets=()):
    graph = helper.make_graph(nodes, "real", inputs, outputs, [numpy_helper.from_array(a, n) for n, a in weights], value_info=declared)
    imports = [helper.make_opsetid("", 21), *(helper.make_opsetid(*o) for o in opsets)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def numbers(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(F32)


def declarations():
    x = numbers(3, 4)
    nodes = [node("Relu", "x", "r"), node("Transpose", "r", "y", perm=[1, 0])]
    plain = model(nodes, [info("x", FLOAT, [3, 4])], [info("y", FLOAT, [4, 3])])
    yield Model("real_minus_one", model(nodes, [info("x", FLOAT, ["-1", "-1"])], [info("y", FLOAT, ["-1", "-1"])]), {"x": x})
    yield Model("real_question_mark", model(nodes, [info("x", FLOAT, ["?", ""])], [info("y", FLOAT, ["?", "?"])]), {"x": x}, plain)
    joined = [node("Concat", "x z", "y", axis=1)]
    lengths = [info("x", FLOAT, ["batch", "past + 1"]), info("z", FLOAT, ["batch", "floor(past/2)"])]
    yield Model("real_formula", model(joined, lengths, [info("y", FLOAT, ["batch", "past + 1 + floor(past/2)"])]),
                {"x": x, "z": numbers(3, 1)})
    words = [info("x", FLOAT, ["unk__12", "(h - 1)//2 mod"]), info("z", FLOAT, ["unk__12", "Resize__5_dim 1"])]
    yield Model("real_names", model(joined, words, [info("y", FLOAT, ["a b", "c*"])]), {"x": x, "z": numbers(3, 1)})
    yield Model("real_wrong_shape", model(nodes, [info("x", FLOAT, [3, 4])], [info("y", FLOAT, [1, 3])]), {"x": x}, plain)
    yield Model("real_wrong_rank", model(nodes, [info("x", FLOAT, [3, 4])], [info("y", FLOAT, [12])], declared=[info("r", FLOAT, [7, 7, 7])]),
                {"x": x}, plain)
    yield Model("real_no_shape", model(nodes, [info("x", FLOAT, ["n", 4])], [onnx.ValueInfoProto(name="y")]), {"x": x}, plain)
    yield Model("real_unused_opsets", model(nodes, [info("x", FLOAT, [3, 4])], [info("y", FLOAT, [4, 3])],
                                            opsets=[("ai.onnx.ml", 3), ("org.pytorch.aten", 1), ("com.microsoft.nchwc", 1)]), {"x": x}, plain)


def aliases():
    x, w = numbers(3, 4), numbers(4, 5)
    nodes = [node("MatMul", "x w", "m"), node("Add", "m b", "y")]
    yield Model("real_initializer_inputs",
                model(nodes, [info("w", FLOAT, [4, 5]), info("x", FLOAT, ["n", 4]), info("b", FLOAT, [5])], [info("y", FLOAT, ["n", 5])],
                      [("w", w), ("b", w[0])]), {"x": x})
    nodes, last = [], "x"
    for i in range(300):
        nodes += [constant(f"c{i}", F32(i)), node("Identity", f"c{i}", f"i{i}"), node("Identity", f"i{i}", f"j{i}")]
        nodes += [node("Identity", last, f"k{i}"), node("Add" if i % 2 else "Sub", f"k{i} j{i}", f"v{i}")]
        last = f"v{i}"
    nodes += [node("Identity", last, "y"), node("Identity", "x", "z"), node("Identity", "y", "t")]
    yield Model("real_aliases", model(nodes, [info("x", FLOAT, ["n", 4])], [info(n, FLOAT, ["n", 4]) for n in "yzt"]), {"x": x})


def repeated():
    """A hundred million times the same: a slice of it, elements by index, and what arithmetic makes of it."""
    three = [constant("three", F32(3)), constant("ends", np.array([4])), constant("zero", np.array([0]))]
    filled = helper.make_node("ConstantOfShape", ["size"], ["huge"], value=numpy_helper.from_array(np.array([3], F32)))
    makers = {"filled": [filled], "expanded": [node("Expand", "three size", "huge")],
              "computed": [filled, node("Mul", "huge huge", "s"), node("Sub", "s huge", "t"), node("Sub", "t huge", "huge_2")]}
    at = np.array([5, HUGE - 1, 0, 7])
    for name, nodes in makers.items():
        last = nodes[-1].output[0]
        ends = [node("Slice", f"{last} zero ends", "a"), node("Add", "a x", "y"), node("Gather", f"{last} at", "z")]
        inputs = [info("x", FLOAT, [4]), info("at", INT64, [4])]
        outputs = [info("y", FLOAT, [4]), info("z", FLOAT, [4])]
        whole = model([constant("size", np.array([HUGE])), *three, *nodes, *ends], inputs, outputs)
        plain = model([*three, node("Add", "three x", "y"), node("Cast", "at", "f", to=FLOAT), node("Sub", "f f", "n"), node("Add", "n three", "z")],
                      inputs, outputs)
        yield Model(f"real_repeated_{name}", whole, {"x": numbers(4), "at": at}, plain)


def control():
    gates = "ifog"
    body = [node("Gather", "x at", "xt", axis=0), node("MatMul", "xt w", "xw"), node("MatMul", "h r", "hr"), node("Add", "xw hr", "sum"),
            node("Add", "sum b", "all"), node("Split", "all", " ".join(gates), axis=1, num_outputs=4),
            *(node("Sigmoid", g, g + "s") for g in "ifo"), node("Tanh", "g", "gs"), node("Mul", "fs c", "keep"), node("Mul", "is gs", "new"),
            node("Add", "keep new", "c_next"), node("Tanh", "c_next", "ct"), node("Mul", "os ct", "h_next"), node("Identity", "h_next", "step"),
            node("Identity", "go", "go_on")]
    inner = helper.make_graph(body, "step", [info("at", INT64, []), info("go", BOOL, []), info("h", FLOAT), info("c", FLOAT)],
                              [info("go_on", BOOL, []), *(info(n, FLOAT) for n in ("h_next", "c_next", "step"))])
    nodes = [node("Shape", "x", "steps", end=1), constant("first", np.array(0)), node("Gather", "steps first", "count"), constant("true", np.array(True)),
             helper.make_node("Loop", ["count", "true", "h0", "c0"], ["h_last", "c_last", "y"], body=inner)]
    weights = [("w", numbers(4, 20) * F32(0.4)), ("r", numbers(5, 20) * F32(0.4)), ("b", numbers(20))]
    state = [info("h0", FLOAT, ["batch", 5]), info("c0", FLOAT, ["batch", 5])]
    outputs = [info("y", FLOAT, ["steps", "batch", 5]), info("h_last", FLOAT, ["batch", 5]), info("c_last", FLOAT, ["batch", 5])]
    yield Model("real_loop_lstm", model(nodes, [info("x", FLOAT, ["steps", "batch", 4]), *state], outputs, weights),
                {"x": numbers(7, 2, 4), "h0": numbers(2, 5), "c0": numbers(5, 2).reshape(2, 5)})


def padding():
    """SAME, as exporters spell it where sizes are open: max(0, (ceil(n / stride) - 1) * stride + kernel - n), halved."""
    numbers_of = [constant(n, np.array(v)) for n, v in (("stride", [2, 2]), ("kernel", [3, 3]), ("less", [1, 1]), ("none", [0, 0]), ("two", [2, 2]))]
    chain = [node("Shape", "x", "n", start=2), node("Add", "n stride", "n1"), node("Sub", "n1 less", "n2"), node("Div", "n2 stride", "steps"),
             node("Sub", "steps less", "s1"), node("Mul", "s1 stride", "s2"), node("Add", "s2 kernel", "s3"), node("Sub", "s3 n", "s4"),
             node("Max", "s4 none", "total"), node("Div", "total two", "before"), node("Sub", "total before", "after"),
             node("Concat", "none before none after", "pads", axis=0), node("Pad", "x pads", "p"), node("Conv", "p w", "y", strides=[2, 2])]
    for height, width in ((8, 9), (7, 6)):
        whole = model([*numbers_of, *chain], [info("x", FLOAT, [1, 3, "h", "w"])], [info("y", FLOAT, [1, 4, "oh", "ow"])], [("w", numbers(4, 3, 3, 3))])
        yield Model(f"real_same_{height}", whole, {"x": numbers(1, 3, height, width)})


def rows():
    for table in (declarations, aliases, repeated, control, padding):
        yield from table()
