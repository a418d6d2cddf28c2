"""graphs.py: random ONNX graphs for property tests. A graph grows node by node from a seed: each operator is a row of
OPERATORS, a function that picks operands among the values that exist and adds nodes. Dimensions may be symbolic; the
builder knows each value's concrete shape and, where it follows simply, its symbolic one. A value is `exact` where every
correct implementation computes the same bits: what jumps (rounding, comparisons, indices) is only applied to these."""
import math
import random

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
NUMPY = {FLOAT: np.float32, INT: np.int64, BOOL: np.bool_}
MOST_ELEMENTS = 20000


class Value:
    def __init__(self, name, kind, shape, exact):
        self.name, self.kind, self.shape, self.exact = name, kind, tuple(shape), exact

    @property
    def rank(self):
        return len(self.shape)


class Graph:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.nodes, self.weights, self.values, self.inputs, self.feeds = [], [], [], [], {}

    # ---- building ----

    def fresh(self):
        return f"v{len(self.nodes)}_{len(self.weights)}"

    def weight(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def floats(self, *shape, scale=1.0):
        return self.weight((self.numbers.standard_normal(shape) * scale).astype(np.float32))

    def ints(self, values):
        return self.weight(np.array(values, np.int64))

    def node(self, op, inputs, kind, shape, exact=False, **attributes):
        """Adds a node with one output; returns its value, which later nodes may use."""
        names = [i.name if isinstance(i, Value) else i for i in inputs]
        out = Value(self.fresh(), kind, shape, exact)
        self.nodes.append(helper.make_node(op, names, [out.name], **attributes))
        self.values.append(out)
        return out

    def input(self, kind, shape, symbols):
        name = f"x{len(self.inputs)}"
        if kind == FLOAT:
            array = self.numbers.standard_normal(shape)
        elif kind == INT:
            array = self.numbers.integers(-4, 5, shape)
        else:
            array = self.numbers.integers(0, 2, shape)
        dims = [symbols.get(d, d) for d in shape]
        self.inputs.append(helper.make_tensor_value_info(name, kind, dims))
        self.feeds[name] = array.astype(NUMPY[kind])
        self.values.append(Value(name, kind, shape, True))

    # ---- picking ----

    def pick(self, kind=FLOAT, low=0, high=6, exact=False):
        """A value of the kind with a rank in [low, high], recent ones more often; None if there is none."""
        found = [v for v in self.values if v.kind == kind and low <= v.rank <= high and (v.exact or not exact)]
        return found[-1 - min(int(self.random.expovariate(0.4)), len(found) - 1)] if found else None

    def choice(self, *options):
        return self.random.choice(options)

    def axis(self, x):
        return self.random.randrange(x.rank)


def size(shape):
    return math.prod(shape)


def broadcast(a, b):
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        return None


# ---- operators ----

SMOOTH = ["Relu", "Sigmoid", "Tanh", "Neg", "Abs", "Erf", "HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "Selu", "Softplus",
          "Softsign", "Sin", "Cos", "Atan", "Identity", "Gelu", "Mish", "ThresholdedRelu", "Celu"]
JUMPING = ["Floor", "Ceil", "Round", "Sign"]


def unary(g):
    x = g.pick()
    keeps = {"Relu", "Neg", "Abs", "Identity"}
    op = g.choice(*SMOOTH)
    return x and g.node(op, [x], FLOAT, x.shape, x.exact and op in keeps)


def jumping(g):
    x = g.pick(exact=True)
    return x and g.node(g.choice(*JUMPING), [x], FLOAT, x.shape, True)


def square_root(g):
    x = g.pick()
    return x and g.node("Sqrt", [g.node("Abs", [x], FLOAT, x.shape)], FLOAT, x.shape)


def binary(g):
    a, b = g.pick(), g.pick()
    if not a or not b:
        return None
    shape = broadcast(a.shape, b.shape)
    if shape is None or size(shape) > MOST_ELEMENTS:
        b = Value(g.floats(*[d if g.random.random() < 0.6 else 1 for d in a.shape]), FLOAT, a.shape, True)
        shape = a.shape
    return g.node(g.choice("Add", "Sub", "Mul", "Max", "Min"), [a, b], FLOAT, shape)


def divide(g):
    x = g.pick()
    if not x:
        return None
    under = g.node("Softplus", [x], FLOAT, x.shape)
    return g.node("Div", [x, g.node("Add", [under, g.weight(np.float32(0.5))], FLOAT, x.shape)], FLOAT, x.shape)


def many(g):
    x = g.pick()
    others = [v for v in g.values if x and v.kind == FLOAT and v.shape == x.shape][-3:]
    return x and g.node(g.choice("Sum", "Max", "Min", "Mean"), others, FLOAT, x.shape)


def clip(g):
    x = g.pick()
    low, high = sorted(g.numbers.standard_normal(2).astype(np.float32))
    return x and g.node("Clip", [x, g.weight(low), g.choice("", g.weight(high))], FLOAT, x.shape, x.exact)


def where(g):
    x, c = g.pick(), g.pick(exact=True)
    shape = x and c and broadcast(x.shape, c.shape)
    if shape is None or size(shape) > MOST_ELEMENTS:
        return None
    test = g.node(g.choice("Greater", "Less", "GreaterOrEqual", "LessOrEqual"), [c, g.floats(1)], BOOL, c.shape, True)
    return g.node("Where", [test, x, g.floats(1)], FLOAT, shape)


def logic(g):
    a = g.pick(BOOL)
    if not a:
        return None
    b = g.node("Not", [a], BOOL, a.shape, True)
    c = g.node(g.choice("And", "Or", "Xor"), [a, b], BOOL, a.shape, True)
    return g.node("Cast", [c], FLOAT, c.shape, True, to=FLOAT)


def integers(g):
    x = g.pick(INT)
    if not x:
        return None
    y = g.node(g.choice("Add", "Sub", "Mul"), [x, g.ints(g.random.randrange(1, 5))], INT, x.shape, True)
    y = g.node("Mod", [y, g.ints(g.choice(3, 5, -4))], INT, y.shape, True)
    return g.node("Cast", [y], FLOAT, y.shape, True, to=FLOAT)


def through_integers(g):
    x = g.pick(exact=True)
    return x and g.node("Cast", [x], INT, x.shape, True, to=INT)


def transpose(g):
    x = g.pick(low=2)
    if not x:
        return None
    order = g.random.sample(range(x.rank), x.rank)
    return g.node("Transpose", [x], FLOAT, [x.shape[i] for i in order], x.exact, perm=order)


def reshape(g):
    x = g.pick(low=1)
    if not x:
        return None
    way = g.random.randrange(3)
    if way == 0:
        axis = g.random.randrange(x.rank + 1)
        shape = (size(x.shape[:axis]), size(x.shape[axis:]))
        return g.node("Flatten", [x], FLOAT, shape, x.exact, axis=axis)
    if way == 1:
        axis = g.random.randrange(x.rank + 1) if x.rank < 6 else 0
        return x.rank < 6 and g.node("Unsqueeze", [x, g.ints([axis])], FLOAT, x.shape[:axis] + (1,) + x.shape[axis:], x.exact)
    axis = g.axis(x)
    part = next((p for p in (2, 3, 4) if x.shape[axis] % p == 0), 1)
    shape = x.shape[:axis] + (x.shape[axis] // part, part) + x.shape[axis + 1 :]
    asked = [0] * axis + [-1, part] + list(x.shape[axis + 1 :])
    return g.node("Reshape", [x, g.ints(asked)], FLOAT, shape, x.exact)


def cut(g):
    x = g.pick(low=1)
    if not x:
        return None
    axis, step = g.axis(x), g.choice(1, 1, 2, -1, -2)
    n = x.shape[axis]
    first, last = sorted((g.random.randrange(n), g.random.randrange(n)))
    begin, end = (first, last + 1) if step > 0 else (last, first - n - 1)
    picked = len(range(n)[begin : (end if end >= 0 or step > 0 else (None if end < -n else end)) : step])
    shape = x.shape[:axis] + (picked,) + x.shape[axis + 1 :]
    return g.node("Slice", [x, g.ints([begin]), g.ints([end]), g.ints([axis]), g.ints([step])], FLOAT, shape, x.exact)


def concat(g):
    x = g.pick(low=1)
    if not x or 2 * size(x.shape) > MOST_ELEMENTS:
        return None
    axis = g.axis(x)
    fits = [v for v in g.values if v.kind == FLOAT and v.rank == x.rank
            and all(v.shape[i] == x.shape[i] for i in range(x.rank) if i != axis)]
    parts = [g.random.choice(fits) for _ in range(g.random.randrange(1, 3))] + [x]
    shape = x.shape[:axis] + (sum(p.shape[axis] for p in parts),) + x.shape[axis + 1 :]
    return g.node("Concat", parts, FLOAT, shape, all(p.exact for p in parts), axis=axis - g.choice(0, x.rank))


def split(g):
    x = g.pick(low=1)
    axis = x and max(range(x.rank), key=lambda i: x.shape[i])
    if not x or x.shape[axis] < 2:
        return None
    first = g.random.randrange(1, x.shape[axis])
    outs = []
    for n in (first, x.shape[axis] - first):
        outs.append(Value(f"{g.fresh()}s{len(outs)}", FLOAT, x.shape[:axis] + (n,) + x.shape[axis + 1 :], x.exact))
    sizes = g.ints([first, x.shape[axis] - first])
    g.nodes.append(helper.make_node("Split", [x.name, sizes], [o.name for o in outs], axis=axis))
    g.values += outs
    return outs[0]


def pad(g):
    x = g.pick(low=1, high=4)
    if not x:
        return None
    mode = g.choice("constant", "edge", "reflect")
    pads = [g.random.randrange(0, min(3, d)) for d in x.shape + x.shape]
    shape = [d + pads[i] + pads[i + x.rank] for i, d in enumerate(x.shape)]
    if size(shape) > MOST_ELEMENTS:
        return None
    value = [g.weight(np.float32(0.25))] if mode == "constant" else []
    return g.node("Pad", [x, g.ints(pads), *value], FLOAT, shape, x.exact, mode=mode)


def expand(g):
    x = g.pick(low=1, high=3)
    if not x:
        return None
    if g.random.random() < 0.5:
        repeats = [g.choice(1, 1, 2) for _ in x.shape]
        shape = [d * r for d, r in zip(x.shape, repeats)]
        return size(shape) <= MOST_ELEMENTS and g.node("Tile", [x, g.ints(repeats)], FLOAT, shape, x.exact)
    shape = (g.choice(2, 3),) + x.shape
    return size(shape) <= MOST_ELEMENTS and g.node("Expand", [x, g.ints([shape[0]] + [1] * x.rank)], FLOAT, shape, x.exact)


def gather(g):
    x = g.pick(low=1, high=4)
    if not x:
        return None
    axis = g.axis(x)
    index = g.numbers.integers(-x.shape[axis], x.shape[axis], g.choice((), (3,), (2, 2))).astype(np.int64)
    shape = x.shape[:axis] + index.shape + x.shape[axis + 1 :]
    return size(shape) <= MOST_ELEMENTS and g.node("Gather", [x, g.weight(index)], FLOAT, shape, x.exact, axis=axis)


def reduce(g):
    x = g.pick(low=1)
    if not x:
        return None
    axes = sorted(g.random.sample(range(x.rank), g.random.randrange(1, x.rank + 1)))
    keep = g.choice(0, 1)
    shape = [1 if i in axes else d for i, d in enumerate(x.shape) if keep or i not in axes]
    op = g.choice("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp")
    return g.node(op, [x, g.ints(axes)], FLOAT, shape, keepdims=keep)


def arg(g):
    x = g.pick(low=1, exact=True)
    if not x:
        return None
    axis = g.axis(x)
    shape = x.shape[:axis] + (1,) + x.shape[axis + 1 :]
    return g.node(g.choice("ArgMax", "ArgMin"), [x], INT, shape, True, axis=axis)


def softmax(g):
    x = g.pick(low=1)
    return x and g.node(g.choice("Softmax", "LogSoftmax"), [x], FLOAT, x.shape, axis=g.axis(x))


def normalize(g):
    x = g.pick(low=3, high=4)
    if not x or x.rank < 3:
        return None
    c = x.shape[1]
    way = g.random.randrange(4)
    if way == 0:
        positive = g.weight(g.numbers.uniform(0.5, 2, c).astype(np.float32))
        return g.node("BatchNormalization", [x, g.floats(c), g.floats(c), g.floats(c), positive], FLOAT, x.shape)
    if way == 1 and size(x.shape[2:]) > 1:
        return g.node("InstanceNormalization", [x, g.floats(c), g.floats(c)], FLOAT, x.shape, epsilon=1e-2)
    last = x.shape[-1]
    if way == 2:
        return g.node("RMSNormalization", [x, g.floats(last)], FLOAT, x.shape, epsilon=1e-2)
    return last > 1 and g.node("LayerNormalization", [x, g.floats(last), g.floats(last)], FLOAT, x.shape, epsilon=1e-2)


def matmul(g):
    x = g.pick(low=2, high=4)
    if not x:
        return None
    n = g.choice(1, 3, 8, 17, 40)
    if x.shape[-1] * n > MOST_ELEMENTS or size(x.shape[:-1]) * n > MOST_ELEMENTS:
        return None
    scale = x.shape[-1] ** -0.5
    if x.rank == 2 and g.random.random() < 0.5:
        flip = g.choice(0, 1)
        w = g.floats(*((n, x.shape[1]) if flip else (x.shape[1], n)), scale=scale)
        return g.node("Gemm", [x, w, g.floats(n)], FLOAT, (x.shape[0], n), transB=flip, alpha=g.choice(1.0, 0.5), beta=g.choice(1.0, 2.0))
    batch = x.shape[:-2] if g.random.random() < 0.3 else ()
    return g.node("MatMul", [x, g.floats(*batch, x.shape[-1], n, scale=scale)], FLOAT, x.shape[:-1] + (n,))


def self_product(g):
    x = g.pick(low=2, high=4)
    if not x or size(x.shape[:-1]) * x.shape[-2] > MOST_ELEMENTS:
        return None
    order = list(range(x.rank - 2)) + [x.rank - 1, x.rank - 2]
    turned = g.node("Transpose", [x], FLOAT, [x.shape[i] for i in order], x.exact, perm=order)
    scores = g.node("MatMul", [x, turned], FLOAT, x.shape[:-1] + (x.shape[-2],))
    scaled = g.node("Mul", [scores, g.weight(np.float32(x.shape[-1] ** -0.5))], FLOAT, scores.shape)
    weights = g.node("Softmax", [scaled], FLOAT, scores.shape, axis=-1)
    return g.node("MatMul", [weights, x], FLOAT, x.shape)


def conv(g):
    x = g.pick(low=3, high=4)
    if not x or x.shape[1] > 64:
        return None
    spatial, c = x.shape[2:], x.shape[1]
    group = g.choice(1, 1, c, next((p for p in (2, 3) if c % p == 0), 1))
    kernel = [g.choice(*[k for k in (1, 2, 3, 5) if k <= d + 2]) for d in spatial]
    stride, dilation = [g.choice(1, 1, 2) for _ in spatial], [g.choice(1, 1, 2) for _ in spatial]
    pads = [g.random.randrange(0, 3) for _ in range(2 * len(spatial))]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    out = [(d + pads[i] + pads[i + len(spatial)] - reach[i]) // stride[i] + 1 for i, d in enumerate(spatial)]
    channels = group * g.choice(1, 2, 5, 16 if group == 1 else 1, 33 if group == 1 else 1)
    shape = (x.shape[0], channels, *out)
    if min(out) < 1 or size(shape) > MOST_ELEMENTS:
        return None
    w = g.floats(channels, c // group, *kernel, scale=(c // group * size(kernel)) ** -0.5)
    bias = [g.floats(channels)] if g.random.random() < 0.6 else []
    return g.node("Conv", [x, w, *bias], FLOAT, shape, group=group, strides=stride, dilations=dilation, pads=pads, kernel_shape=kernel)


def conv_transpose(g):
    x = g.pick(low=3, high=4)
    if not x or x.shape[1] > 32:
        return None
    spatial, c = x.shape[2:], x.shape[1]
    kernel, stride = [g.choice(1, 2, 3) for _ in spatial], [g.choice(1, 2) for _ in spatial]
    extra = [g.random.randrange(0, s) for s in stride]
    channels = g.choice(1, 3, 16)
    out = [(d - 1) * s + k + e for d, s, k, e in zip(spatial, stride, kernel, extra)]
    shape = (x.shape[0], channels, *out)
    if size(shape) > MOST_ELEMENTS:
        return None
    w = g.floats(c, channels, *kernel, scale=(c * size(kernel)) ** -0.5)
    return g.node("ConvTranspose", [x, w], FLOAT, shape, strides=stride, output_padding=extra)


def pool(g):
    x = g.pick(low=3, high=4)
    if not x:
        return None
    spatial = x.shape[2:]
    if g.random.random() < 0.2:
        return g.node(g.choice("GlobalAveragePool", "GlobalMaxPool"), [x], FLOAT, x.shape[:2] + (1,) * len(spatial))
    kernel = [g.choice(*[k for k in (1, 2, 3) if k <= d]) for d in spatial]
    stride = [g.choice(1, 2) for _ in spatial]
    pads = [g.random.randrange(0, k) for k in kernel + kernel]
    out = [(d + pads[i] + pads[i + len(spatial)] - kernel[i]) // stride[i] + 1 for i, d in enumerate(spatial)]
    shape = x.shape[:2] + tuple(out)
    if min(out) < 1 or size(shape) > MOST_ELEMENTS:
        return None
    attributes = dict(kernel_shape=kernel, strides=stride, pads=pads)
    if g.random.random() < 0.5:
        return g.node("MaxPool", [x], FLOAT, shape, x.exact, **attributes)
    return g.node("AveragePool", [x], FLOAT, shape, count_include_pad=g.choice(0, 1), **attributes)


def resize(g):
    x = g.pick(low=4, high=4)
    if not x or x.rank != 4 or 4 * size(x.shape) > MOST_ELEMENTS:
        return None
    shape = x.shape[:2] + (x.shape[2] * 2, x.shape[3] * 2)
    mode, place = g.choice(("nearest", "asymmetric"), ("linear", "half_pixel"), ("linear", "align_corners"))
    scales = g.weight(np.array([1, 1, 2, 2], np.float32))
    nearest = {"nearest_mode": "floor"} if mode == "nearest" else {}
    return g.node("Resize", [x, "", scales], FLOAT, shape, mode=mode, coordinate_transformation_mode=place, **nearest)


def shuffle(g):
    x = g.pick(low=4, high=4)
    if not x:
        return None
    n, c, h, w = x.shape
    if c % 4 == 0:
        return g.node("DepthToSpace", [x], FLOAT, (n, c // 4, 2 * h, 2 * w), x.exact, blocksize=2, mode=g.choice("DCR", "CRD"))
    return h % 2 == 0 and w % 2 == 0 and g.node("SpaceToDepth", [x], FLOAT, (n, 4 * c, h // 2, w // 2), x.exact, blocksize=2)


def cumulate(g):
    x = g.pick(low=1, high=4)
    return x and g.node("CumSum", [x, g.ints(g.axis(x))], FLOAT, x.shape, exclusive=g.choice(0, 1), reverse=g.choice(0, 1))


def top(g):
    x = g.pick(low=1, high=4, exact=True)
    if not x:
        return None
    axis = g.axis(x)
    k = g.random.randrange(1, x.shape[axis] + 1)
    out = Value(g.fresh(), FLOAT, x.shape[:axis] + (k,) + x.shape[axis + 1 :], True)
    g.nodes.append(helper.make_node("TopK", [x.name, g.ints([k])], [out.name, ""], axis=axis, largest=g.choice(0, 1)))
    g.values.append(out)
    return out


def recurrent(g):
    x = g.pick(low=3, high=3)
    if not x or x.rank != 3 or x.shape[2] > 64 or x.shape[0] > 12:
        return None
    op, gates = g.choice(("LSTM", 4), ("GRU", 3), ("RNN", 1))
    hidden, both = g.choice(3, 8), g.choice(1, 2)
    w, r = g.floats(both, gates * hidden, x.shape[2], scale=0.3), g.floats(both, gates * hidden, hidden, scale=0.3)
    bias = g.floats(both, 2 * gates * hidden, scale=0.3)
    direction = "bidirectional" if both == 2 else g.choice("forward", "reverse")
    return g.node(op, [x, w, r, bias], FLOAT, (x.shape[0], both, x.shape[1], hidden), hidden_size=hidden, direction=direction)


OPERATORS = [unary, unary, unary, jumping, square_root, binary, binary, binary, divide, many, clip, where, logic, integers,
             through_integers, transpose, transpose, reshape, reshape, cut, concat, split, pad, expand, gather, reduce, arg,
             softmax, normalize, normalize, matmul, matmul, self_product, conv, conv, conv, conv_transpose, pool, resize,
             shuffle, cumulate, top, recurrent]
SHAPES = [(2, 8, 7, 9), (1, 16, 6, 6), (3, 4, 10), (5, 12), (2, 3, 4), (1, 32, 5, 5), (7,), (4, 1, 6)]


def make(seed):
    """A model of 6 to 29 operators or a few more, and the data of its inputs by name."""
    g = Graph(seed)
    shape = g.random.choice(SHAPES)
    symbols = {}
    if g.random.random() < 0.6:
        symbols = {shape[0]: "batch"} if len(set(shape)) == len(shape) else {}
    g.input(FLOAT, shape, symbols)
    g.input(FLOAT, shape if g.random.random() < 0.5 else g.random.choice(SHAPES), {} if shape[0] not in symbols else symbols)
    g.input(INT, (4, 3), {})
    while len(g.nodes) < 6 + seed % 24:
        g.random.choice(OPERATORS)(g)
    used = {name for node in g.nodes for name in node.input}
    made = [v for v in g.values if v.name not in used and v.name not in g.feeds]
    outputs = [helper.make_tensor_value_info(v.name, v.kind, [None] * v.rank) for v in made]
    graph = helper.make_graph(g.nodes, f"random_{seed}", g.inputs, outputs, g.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10), g.feeds
