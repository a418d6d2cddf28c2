"""quantised.py ONNXCC: products and convolutions of bytes, against sums of 64-bit integers: every pair of signs, zero points
of data and weights, one a column too, padding, strides, dilations, channels and columns that blocks do not divide, the
extreme bytes, matrices of data, channels apart; float operators between DequantizeLinear and what follows; and QuantizeLinear
where a quotient is halfway between two integers, or next to it. Each on every instruction set."""
import sys

import numpy as np
from cases import WAYS, Cases
from onnx import helper

node = helper.make_node
LEVELS = ["x86-64-v2", "x86-64-v3", "x86-64-v3-vnni", "x86-64-v4", "x86-64-v4-vnni"]


def numbers(kind, *shape):
    """Bytes of which many are the extremes, where 16-bit sums would saturate."""
    info, draw = np.iinfo(kind), np.random.default_rng(sum(shape))
    values = draw.integers(info.min, info.max + 1, shape)
    return np.where(draw.random(shape) < 0.3, draw.choice([info.min, info.max], shape), values).astype(kind)


def convolution(x, w, zero, pads, stride, dilation):
    x = np.pad(x.astype(np.int64) - zero, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    reach = [dilation * (k - 1) + 1 for k in w.shape[2:]]
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, (2, 3))
    windows = windows[:, :, ::stride, ::stride, ::dilation, ::dilation]
    return np.einsum("nchwij,ocij->nohw", windows, w, optimize=True)


def add_products(cases, name, kinds, rows, inner, columns):
    x, w = numbers(kinds[0], *rows, inner), numbers(kinds[1], inner, columns)
    one, many = np.array(kinds[1](3)), numbers(kinds[1], columns)
    for which, zero in [("zero", one), ("zeros", many)]:
        expected = [((x.astype(np.int64) - 7) @ (w.astype(np.int64) - zero)).astype(np.int32)]
        constants = {"w": w, "wz": zero}
        data = {"x": x, "xz": np.array(kinds[0](7))}
        cases.add(f"{name}_{which}", [node("MatMulInteger", ["x", "w", "xz", "wz"], ["y"])], data, {"y": None}, constants,
                  expected)


def add_data_products(exact, floats, name, kinds):
    """Matrices that are both data, in rows and columns that words and vectors do not divide."""
    for which, shapes in [("words", ((3, 5, 64), (3, 64, 48))), ("parts", ((2, 3, 7, 22), (2, 3, 22, 37)))]:
        a, b = numbers(kinds[0], *shapes[0]), numbers(kinds[1], *shapes[1])
        zeros = {"az": np.array(kinds[0](7)), "bz": np.array(kinds[1](3))}
        sums = (a.astype(np.int64) - 7) @ (b.astype(np.int64) - 3)
        nodes = [node("MatMulInteger", ["a", "b", "az", "bz"], ["y"])]
        exact.add(f"{name}_{which}", nodes, {"a": a, "b": b}, {"y": None}, zeros, [sums.astype(np.int32)])
        nodes = [
            node("DequantizeLinear", ["a", "as", "az"], ["f"]),
            node("DequantizeLinear", ["b", "bs", "bz"], ["g"]),
            node("MatMul", ["f", "g"], ["y"]),
        ]
        scales = {"as": np.array(np.float32(0.125)), "bs": np.array(np.float32(0.25))}
        expected = [(sums * 0.03125).astype(np.float32)]
        floats.add(f"{name}_{which}_floats", nodes, {"a": a, "b": b}, {"y": None}, {**zeros, **scales}, expected)


def add_depthwise(exact, name, kinds, x, kernel, pads, stride, dilation):
    """Every channel by a window of its own; one zero point of the weights a channel."""
    x, w = numbers(kinds[0], *x), numbers(kinds[1], x[1], 1, *kernel)
    zeros = numbers(kinds[1], x.shape[1])
    centred = w.astype(np.int64) - zeros[:, None, None, None]
    each = [convolution(x[:, c : c + 1], centred[c : c + 1], 9, pads, stride, dilation) for c in range(x.shape[1])]
    window = {"pads": pads, "strides": (stride,) * 2, "dilations": (dilation,) * 2, "group": x.shape[1]}
    constants = {"w": w, "wz": zeros, "xz": np.array(kinds[0](9))}
    nodes = [node("ConvInteger", ["x", "w", "xz", "wz"], ["y"], **window)]
    exact.add(name, nodes, {"x": x}, {"y": None}, constants, [np.concatenate(each, 1).astype(np.int32)])


def add_rounding(exact):
    """Around every half of the scale, and far beyond what bytes hold; NaN is the lowest."""
    beyond = np.array([np.inf, -np.inf, np.nan, 3e38, -3e38, 0, -0.0, 1e-40], np.float32)
    for kind, zero in [(np.uint8, 0), (np.uint8, 131), (np.int8, -5), (np.uint16, 700), (np.int16, 0)]:
        info = np.iinfo(kind)
        for i, scale in enumerate(np.float32([0.0123, 1 / 3, 7.7, 0.25, 1e-30, 2e30])):
            halves = (np.arange(-400, 400) + 0.5) * np.float64(scale)
            near = halves.astype(np.float32).view(np.int32)[:, None] + np.arange(-2, 3, dtype=np.int32)
            x = np.concatenate([near.ravel().view(np.float32), beyond])
            with np.errstate(over="ignore"):
                y = np.clip(np.rint(x / scale) + np.float32(zero), info.min, info.max)
            expected = [np.where(np.isnan(y), info.min, y).astype(kind)]
            constants = {"s": np.array(scale), "z": np.array(kind(zero))}
            nodes = [node("QuantizeLinear", ["x", "s", "z"], ["y"])]
            exact.add(f"rounding_{kind.__name__}_{zero}_{i}", nodes, {"x": x}, {"y": None}, constants, expected, opset=21)


def add_convolution(exact, floats, name, kinds, x, w, pads=(0, 0, 0, 0), stride=1, dilation=1):
    x, w = numbers(kinds[0], *x), numbers(kinds[1], *w)
    sums = convolution(x, w.astype(np.int64) - 5, 9, pads, stride, dilation).astype(np.int32)
    window = {"pads": pads, "strides": (stride,) * 2, "dilations": (dilation,) * 2}
    data, constants = {"x": x, "xz": np.array(kinds[0](9))}, {"w": w, "wz": np.array(kinds[1](5))}
    nodes = [node("ConvInteger", ["x", "w", "xz", "wz"], ["y"], **window)]
    exact.add(name, nodes, data, {"y": None}, constants, [sums])
    scales = np.linspace(0.01, 0.02, w.shape[0]).astype(np.float32)
    bias = np.linspace(-1, 1, w.shape[0]).astype(np.float32)
    constants = {"w": w, "xz": data["xz"], "wz": np.full(w.shape[0], 5, kinds[1]), "ws": scales, "b": bias,
                 "xs": np.array(np.float32(0.125))}
    nodes = [
        node("DequantizeLinear", ["x", "xs", "xz"], ["f"]),
        node("DequantizeLinear", ["w", "ws", "wz"], ["g"], axis=0),
        node("Conv", ["f", "g", "b"], ["y"], **window),
    ]
    scaled = sums * (0.125 * scales.astype(np.float64))[:, None, None] + bias[:, None, None]
    floats.add(f"{name}_floats", nodes, {"x": x}, {"y": None}, constants, [scaled.astype(np.float32)])


def add_gemm(cases):
    x, w = numbers(np.uint8, 9, 22), numbers(np.int8, 18, 22)
    bias = np.linspace(-1, 1, 18).astype(np.float32)
    scales = np.linspace(0.01, 0.02, 18).astype(np.float32)
    nodes = [
        node("DequantizeLinear", ["x", "xs", "xz"], ["f"]),
        node("DequantizeLinear", ["w", "ws"], ["g"], axis=0),
        node("Gemm", ["f", "g", "b"], ["y"], transB=1),
        node("Transpose", ["g"], ["h"], perm=[1, 0]),
        node("MatMul", ["f", "h"], ["z"]),
    ]
    product = ((x.astype(np.int64) - 130) @ w.T.astype(np.int64)) * (0.25 * scales.astype(np.float64))
    constants = {"xs": np.array(np.float32(0.25)), "xz": np.array(np.uint8(130)), "w": w, "ws": scales, "b": bias}
    expected = [(product + bias).astype(np.float32), product.astype(np.float32)]
    cases.add("gemm", nodes, {"x": x}, {"y": None, "z": None}, constants, expected)


def main(onnxcc):
    failed = 0
    for options, ways in [([], WAYS)] + [(["--target", level], WAYS[:1]) for level in LEVELS]:
        exact = Cases(onnxcc, ["--rtol", "0", "--atol", "0", *options])
        floats = Cases(onnxcc, ["--rtol", "1e-5", "--atol", "1e-3", *options])
        for kinds in [(a, b) for a in (np.uint8, np.int8) for b in (np.uint8, np.int8)]:
            name = f"{kinds[0].__name__}_{kinds[1].__name__}"
            add_products(exact, f"product_{name}", kinds, (2, 15), 46, 37)
            add_convolution(exact, floats, f"window_{name}", kinds, (2, 21, 11, 9), (20, 21, 3, 3), (1, 0, 1, 2))
            add_data_products(exact, floats, f"data_{name}", kinds)
            add_depthwise(exact, f"depthwise_{name}", kinds, (1, 19, 9, 11), (3, 3), (1, 0, 1, 2), 1, 1)
            add_convolution(exact, floats, f"few_{name}", kinds, (1, 3, 9, 12), (18, 3, 3, 3), (1, 1, 1, 1))
        add_rounding(exact)
        kinds = (np.uint8, np.int8)
        add_depthwise(exact, "depthwise_strided", kinds, (2, 32, 15, 13), (5, 3), (2, 1, 2, 1), 2, 1)
        add_depthwise(exact, "depthwise_dilated", kinds, (1, 16, 15, 13), (3, 3), (2, 2, 2, 2), 1, 2)
        add_products(exact, "product_whole", kinds, (33,), 256, 64)
        add_convolution(exact, floats, "pointwise", kinds, (1, 32, 14, 14), (48, 32, 1, 1))
        add_convolution(exact, floats, "strided", kinds, (1, 3, 19, 19), (32, 3, 3, 3), (1, 1, 1, 1), stride=2)
        around = (2, 2, 2, 2)
        add_convolution(exact, floats, "dilated", kinds[::-1], (1, 16, 15, 15), (16, 16, 3, 3), around, dilation=2)
        add_gemm(floats)
        failed += exact.run(ways) + floats.run(ways)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
