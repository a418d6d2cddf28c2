"""made_quant.py: operators on 8-bit tensors that ONNX Runtime's quantiser writes."""
import numpy as np

from make_made_cases import Row, node

# Rounding of the state to 8 bits in every step multiplies the last bit of the activations.
EIGHT_BITS = (1e-3, 1e-3)

F32, U8, I8 = np.float32, np.uint8, np.int8
SHORT = {U8: "u8", I8: "i8", np.uint16: "u16", np.int16: "i16", np.int32: "i32"}


def whole(r, shape, dtype):
    """Integers over all of their type."""
    info = np.iinfo(dtype)
    return r.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def point(r, dtype, low=0.01, high=0.05):
    """A scale and a zero point near the middle of the type."""
    middle = (np.iinfo(dtype).min + np.iinfo(dtype).max + 1) // 2
    return [np.array(r.uniform(low, high), F32), np.array(middle + r.integers(-9, 10), dtype)]


def operand(shape, dtype, **scale):
    return lambda r: [whole(r, shape, dtype), *point(r, dtype, **scale)]


def result(dtype, **scale):
    return lambda r: point(r, dtype, **scale)


def joined(*parts):
    return lambda r: [array for part in parts for array in part(r)]


MEAN = (
    node("DequantizeLinear", "x0 x1 x2", "x"),
    node("Constant", "", "axes", value_ints=[1]),
    node("ReduceMean", "x axes", "y", keepdims=0),
    node("QuantizeLinear", "y x3 x4", "y0"),
)
SUM = (
    node("Cast", "x0", "x", to=6),
    node("Constant", "", "axes", value_ints=[1]),
    node("ReduceSum", "x axes", "y", keepdims=1),
    node("Cast", "y", "y0", to=12),
)
PRODUCT = (
    *(node("Cast", f"x{i}", f"i{i}", to=6) for i in range(4)),
    node("Sub", "i0 i1", "a"),
    node("Sub", "i2 i3", "b"),
    node("Mul", "a b", "y0"),
)


def elementwise():
    x = (3, 4, 5)
    for t in (U8, I8):
        name = SHORT[t]
        yield Row("QLinearAdd", name, joined(operand(x, t), operand(x, t), result(t)))
        yield Row("QLinearAdd", f"{name}_broadcast", joined(operand(x, t), operand((5,), t), result(t)), symbolic=True)
        yield Row("QLinearMul", name, joined(operand(x, t), operand(x, t), result(t)))
        yield Row("QLinearMul", f"{name}_scalar", joined(operand(x, t), operand((), t), result(t)), weights=(3, 4, 5))
        yield Row("QLinearSigmoid", name, joined(operand(x, t), result(t, low=0.003, high=0.005)), weights=(1, 2, 3, 4))
        yield Row("QLinearLeakyRelu", name, joined(operand(x, t), result(t)), dict(alpha=0.2), weights=(1, 2, 3, 4))
        yield Row("QLinearReduceMean", name, joined(operand(x, t), result(t)), dict(axes=[1], keepdims=0), spelt=MEAN)
        condition = lambda r: [r.integers(0, 2, x).astype(bool)]  # noqa: E731
        yield Row("QLinearWhere", name, joined(condition, operand(x, t), operand((5,), t), result(t)),
                  weights=(2, 3, 5, 6, 7, 8))
        parts = (operand((2, 3, 4), t), operand((2, 2, 4), t), operand((2, 1, 4), t))
        yield Row("QLinearConcat", name, joined(result(t), *parts), dict(axis=1), weights=(0, 1, 3, 4, 6, 7, 9, 10))
        # With opset 13 ONNX Runtime rounds probabilities down, where the specification says to the nearest.
        for opset, axis in ((13, -1), (13, 1), (11, 1)):
            spelt = (
                node("DequantizeLinear", "x0 x1 x2", "x"),
                node("Softmax", "x", "y", axis=axis),
                node("QuantizeLinear", "y x3 x4", "y0"),
            )
            yield Row("QLinearSoftmax", f"{name}_opset_{opset}_axis_{axis % 3}",
                      joined(operand(x, t), result(t, low=0.003, high=0.005)), dict(opset=opset, axis=axis),
                      weights=(1, 2, 3, 4), spelt=spelt if opset == 13 else ())


def pools():
    last, first = (1, 7, 8, 3), (1, 3, 7, 8)
    for t in (U8, I8):
        pool = dict(kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0])
        yield Row("QLinearAveragePool", SHORT[t], joined(operand(first, t), result(t)), pool)
        yield Row("QLinearAveragePool", f"{SHORT[t]}_last", joined(operand(last, t), result(t)),
                  dict(channels_last=1, count_include_pad=1, **pool))
        yield Row("QLinearGlobalAveragePool", SHORT[t], joined(operand(first, t), result(t)), dict(channels_last=0))
        yield Row("QLinearGlobalAveragePool", f"{SHORT[t]}_last", joined(operand(last, t), result(t)),
                  dict(channels_last=1))


def convolution(r):
    scales = r.uniform(0.01, 0.05, 6).astype(F32)
    return [whole(r, (1, 7, 8, 4), U8), *point(r, U8), r.integers(-60, 60, (6, 4, 3, 3)).astype(I8), scales,
            np.zeros(6, I8), *point(r, U8, low=0.2, high=0.4), r.integers(-900, 900, 6).astype(np.int32)]


def linear():
    for t in (U8, I8, np.uint16, np.int16):
        wide = t in (np.uint16, np.int16)
        scale = dict(low=1e-4, high=2e-4) if wide else {}
        numbers = lambda r: [(2 * r.standard_normal((3, 4, 5))).astype(F32)]  # noqa: E731
        yield Row("QuantizeLinear", SHORT[t], joined(numbers, result(t, **scale)))
        yield Row("DequantizeLinear", SHORT[t], operand((3, 4, 5), t, **scale))

        def by_axis(r, t=t):
            return [whole(r, (3, 4, 5), t), r.uniform(0.01, 0.1, 4).astype(F32), whole(r, 4, t)]

        yield Row("DequantizeLinear", f"{SHORT[t]}_axis", by_axis, dict(axis=1))


def products():
    a, b = (4, 16), (16, 6)
    for ta, tb in ((U8, I8), (U8, U8), (I8, I8)):
        name = f"{SHORT[ta]}_{SHORT[tb]}"
        inputs = joined(operand(a, ta), operand(b, tb))
        order = lambda x: [x[0], x[3], x[1], x[4], x[2], x[5]]  # noqa: E731
        yield Row("MatMulIntegerToFloat", name, lambda r, f=inputs: order(f(r)))
        yield Row("MatMulIntegerToFloat", f"{name}_bias", lambda r, f=inputs: [*order(f(r)), r.standard_normal(6).astype(F32)],
                  weights=(1, 3, 5, 6))
        c = lambda r: [r.integers(-5000, 5000, 6).astype(np.int32)]  # noqa: E731
        yield Row("QGemm", name, joined(inputs, c, result(ta, low=0.2, high=0.5)), dict(alpha=0.5), weights=(3, 4, 5, 6))
        yield Row("QGemm", f"{name}_float", joined(inputs, c), dict(alpha=2.0))
    turned = joined(operand((16, 4), U8), operand((6, 16), I8))
    yield Row("QGemm", "transposed", turned, dict(transA=1, transB=1))

    def by_column(r):
        return [whole(r, (2, 4, 16), U8), whole(r, b, I8), np.array(0.02, F32), r.uniform(0.01, 0.05, 6).astype(F32),
                np.array(120, U8), r.integers(-5, 5, 6).astype(I8)]

    yield Row("MatMulIntegerToFloat", "by_column", by_column, weights=(1, 3, 5))
    for t in (U8, I8):
        def dynamic(r, t=t):
            return [r.standard_normal((2, 4, 16)).astype(F32), whole(r, b, t), *point(r, t), r.standard_normal(6).astype(F32)]

        def dynamic_by_column(r, t=t):
            return [r.standard_normal((4, 16)).astype(F32), whole(r, b, t), r.uniform(0.01, 0.05, 6).astype(F32)]

        yield Row("DynamicQuantizeMatMul", SHORT[t], dynamic, weights=(1, 2, 3, 4))
        yield Row("DynamicQuantizeMatMul", f"{SHORT[t]}_by_column", dynamic_by_column, weights=(1, 2))
    yield Row("ReduceSumInteger", "u8", lambda r: [whole(r, (3, 4, 5), U8)], dict(axes=[1], keepdims=1), spelt=SUM)
    yield Row("MatMulInteger16", "i16", lambda r: [r.integers(-999, 999, s).astype(np.int16) for s in (a, b)])
    yield Row("MulInteger", "u8", lambda r: [whole(r, (3, 4), U8), np.array(7, U8), whole(r, (4,), U8), np.array(9, U8)],
              spelt=PRODUCT)
    yield Row("QLinearConv", "channels_last", convolution, dict(channels_last=1, pads=[1, 1, 1, 1]), weights=(1, 2, 3, 4, 5, 6, 7, 8))


def recurrent():
    hidden, width = 6, 5

    def lstm(r, directions=1, t=U8):
        gates = 4 * hidden
        return [
            r.standard_normal((4, 2, width)).astype(F32), whole(r, (directions, width, gates), t),
            whole(r, (directions, hidden, gates), t), (r.standard_normal((directions, 2 * gates)) * 0.2).astype(F32),
            None, None, None, None, r.uniform(0.002, 0.004, directions).astype(F32), np.full(directions, 128 if t == U8 else 0, t),
            r.uniform(0.002, 0.004, directions).astype(F32), np.full(directions, 128 if t == U8 else 0, t),
        ]

    weights = (1, 2, 3, 8, 9, 10, 11)
    yield Row("DynamicQuantizeLSTM", "u8", lstm, dict(hidden_size=hidden), outputs=3, weights=weights, tolerance=EIGHT_BITS)
    yield Row("DynamicQuantizeLSTM", "bidirectional", lambda r: lstm(r, 2, I8),
              dict(hidden_size=hidden, direction="bidirectional"), outputs=3, weights=weights,
              tolerance=EIGHT_BITS)


def rows():
    for table in (elementwise, pools, linear, products, recurrent):
        yield from table()
