"""convolution.py ONNXCC: chains of convolutions, whose layouts onnx's cases of single nodes do not reach: few results a
pixel behind blocks of channels, transposed convolutions with windows of one stride and of two,
concatenations, groups, wide dilations."""
import sys

import numpy as np
from cases import Cases
from onnx import helper

node = helper.make_node


def numbers(*shape):
    return np.random.default_rng(len(shape) + sum(shape)).uniform(-1, 1, shape).astype(np.float32)


def main(onnxcc):
    cases = Cases(onnxcc, ["--rtol", "1e-5", "--atol", "1e-5"])
    x = numbers(2, 3, 9, 11)
    dims = {"x": ["batch", 3, "height", "width"]}
    first = node("Conv", ["x", "w", "b"], ["c"], pads=(1, 1, 1, 1))
    constants = {"w": numbers(24, 3, 3, 3) / 5, "b": numbers(24)}
    for name, last, weights in [
        ("narrow_pointwise", node("Conv", ["c", "v"], ["d"]), (1, 24, 1, 1)),
        ("narrow_window", node("Conv", ["c", "v"], ["d"], pads=(1, 1, 1, 1)), (3, 24, 3, 3)),
        ("narrow_transposed", node("ConvTranspose", ["c", "v"], ["d"], strides=(2, 2)), (24, 1, 2, 2)),
        ("transposed", node("ConvTranspose", ["c", "v"], ["d"], strides=(2, 3)), (24, 20, 2, 3)),
        ("transposed_overlap", node("ConvTranspose", ["c", "v"], ["d"], strides=(2, 2), pads=[1] * 4), (24, 20, 4, 4)),
        ("transposed_rest", node("ConvTranspose", ["c", "v"], ["d"], strides=(2, 2)), (24, 20, 3, 3)),
        ("transposed_cut", node("ConvTranspose", ["c", "v"], ["d"], strides=(3, 2), pads=[3, 2, 1, 0]), (24, 20, 5, 4)),
        ("transposed_more", node("ConvTranspose", ["c", "v"], ["d"], strides=(3, 2), pads=[1] * 4, output_padding=(2, 1)),
         (24, 20, 4, 3)),
        ("transposed_wide", node("ConvTranspose", ["c", "v"], ["d"], dilations=(2, 1), strides=(1, 2), pads=[1] * 4), (24, 20, 3, 3)),
    ]:
        nodes = [first, last, node("Sigmoid", ["d"], ["y"])]
        constants["v"] = numbers(*weights) / 5
        cases.add(name, nodes, {"x": x}, {"y": None}, constants)
        cases.add(f"{name}_open", nodes, {"x": x}, {"y": None}, constants, dims=dims)
    # Concatenations of channels whose blocks do not meet, and of those that no vector divides.
    for name, channels in [("joined_blocks", (16, 32)), ("joined_halves", (24, 8, 24)), ("joined_fours", (20, 12, 4, 24)),
                           ("joined_odd", (17, 24))]:
        parts = [f"p{i}" for i in range(len(channels))]
        constants = {f"w_{p}": numbers(c, 3, 3, 3) / 5 for p, c in zip(parts, channels)}
        constants["v"] = numbers(24, sum(channels), 3, 3) / 20
        nodes = [node("Conv", ["x", f"w_{p}"], [p], pads=[1] * 4) for p in parts]
        nodes += [
            node("Concat", parts, ["all"], axis=1),
            node("Relu", ["all"], ["above"]),
            node("Conv", ["above", "v"], ["y"], pads=[1] * 4),
        ]
        cases.add(name, nodes, {"x": x}, {"y": None}, constants)
        cases.add(f"{name}_open", nodes, {"x": x}, {"y": None}, constants, dims=dims)
    # Concatenations that their operands' kernels write into: of blocks of channels, with halos or not, within each other, as
    # neighbours in a larger one, with operands that others read before and behind it; of rows.
    one = x[:1]
    three = dict(pads=[1] * 4)
    constants = {"w": numbers(16, 3, 3, 3) / 5, "u": numbers(32, 16, 3, 3) / 9, "v": numbers(16, 48, 3, 3) / 20, "t": numbers(8, 64, 1, 1) / 9,
                 "s": numbers(8, 112, 3, 3) / 30, "rows": np.array([6, -1])}
    dense = [
        node("Conv", ["x", "w"], ["a"], **three),
        node("Conv", ["a", "u"], ["b"], **three),
        node("Concat", ["a", "b"], ["ab"], axis=1),
        node("Conv", ["ab", "v"], ["c"], **three),
        node("Relu", ["ab"], ["over"]),
        node("Concat", ["a", "b", "c"], ["abc"], axis=1),
        node("Conv", ["abc", "t"], ["d"]),
        node("Concat", ["abc", "over"], ["all"], axis=1),
        node("Conv", ["all", "s"], ["e"], **three),
        node("Sigmoid", ["a"], ["f"]),
        node("Add", ["d", "e"], ["y"]),
    ]
    rows = [
        node("Relu", ["x"], ["a"]),
        node("Sigmoid", ["x"], ["b"]),
        node("Concat", ["a", "b"], ["ab"], axis=1),
        node("Tanh", ["ab"], ["c"]),
        node("Reshape", ["ab", "rows"], ["d"]),
        node("Neg", ["d"], ["e"]),
        node("Add", ["c", "ab"], ["y"]),
        node("Mul", ["a", "a"], ["f"]),
    ]
    for name, nodes, results, data in [("joined_dense", dense, "yf", one), ("joined_rows", rows, "yef", numbers(1, 3, 16, 16))]:
        cases.add(name, nodes, {"x": data}, dict.fromkeys(results), constants)
        cases.add(f"{name}_open", nodes, {"x": data}, dict.fromkeys(results), constants, dims={"x": [1, 3, "height", "width"]})
    # Groups narrower than a block of channels, as wide, wider; behind and before convolutions of one group.
    for channels, groups, outputs in [(32, 8, 32), (64, 8, 64), (64, 4, 64), (96, 4, 96), (64, 2, 64), (96, 3, 48), (48, 3, 96), (40, 5, 40),
                                      (104, 13, 104), (24, 3, 24), (72, 3, 72), (48, 4, 48), (60, 5, 60)]:
        constants = {"w": numbers(channels, 3, 3, 3) / 5, "u": numbers(outputs, channels // groups, 3, 3) / 9, "b": numbers(outputs)}
        constants["v"] = numbers(24, outputs, 1, 1) / 9
        nodes = [
            node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
            node("Conv", ["c", "u", "b"], ["d"], pads=[1] * 4, strides=(1, 2), group=groups),
            node("Relu", ["d"], ["e"]),
            node("Conv", ["e", "v"], ["y"]),
        ]
        name = f"groups_{channels}_{groups}_{outputs}"
        cases.add(name, nodes, {"x": x}, {"y": None}, constants)
        cases.add(f"{name}_open", nodes, {"x": x}, {"y": None}, constants, dims=dims)
    # Slices of channels from the start of a block, and not; of pixels too, backwards; channels that are split.
    constants = {"w": numbers(52, 3, 3, 3) / 5, "starts": np.array([16, -1]), "ends": np.array([52, -99]), "axes": np.array([1, 3]),
                 "steps": np.array([1, -2]), "sizes": np.array([32, 4, 16]), "v": numbers(8, 36, 3, 3) / 9, "u": numbers(24, 16, 1, 1) / 9}
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        node("Slice", ["c", "starts", "ends", "axes", "steps"], ["s"]),
        node("Conv", ["s", "v"], ["y"], pads=[1] * 4),
        node("Split", ["c", "sizes"], ["p", "q", "r"], axis=1),
        node("Conv", ["r", "u"], ["z"]),
        node("MaxPool", ["p"], ["m"], kernel_shape=[2, 2]),
        node("Relu", ["q"], ["n"]),
    ]
    for name, sizes in [("slices", None), ("slices_open", dims)]:
        cases.add(name, nodes, {"x": x}, dict.fromkeys("yzmn"), constants, dims=sizes)
    # Normalisation of channels and of groups of them, as operators and as exporters write them.
    constants = {"w": numbers(24, 3, 3, 3) / 5, "scale": numbers(24), "bias": numbers(24), "v": numbers(24, 24, 1, 1) / 5, "ones": np.ones(6, np.float32),
                 "zeros": np.zeros(6, np.float32), "apart": np.array([0, 6, -1]), "scales": numbers(24, 1, 1), "biases": numbers(24, 1, 1)}
    groups = [
        node("Shape", ["c"], ["whole"]),
        node("Reshape", ["c", "apart"], ["r"]),
        node("InstanceNormalization", ["r", "ones", "zeros"], ["i"], epsilon=1e-3),
        node("Reshape", ["i", "whole"], ["b"]),
        node("Mul", ["b", "scales"], ["m"]),
        node("Add", ["m", "biases"], ["d"]),
    ]
    for name, middle in [
        ("instance", [node("InstanceNormalization", ["c", "scale", "bias"], ["d"])]),
        ("groups", [node("GroupNormalization", ["c", "scale", "bias"], ["d"], num_groups=4)]),
        ("one_group", [node("GroupNormalization", ["c", "scale", "bias"], ["d"], num_groups=1)]),
        ("reshaped", groups),
    ]:
        nodes = [node("Conv", ["x", "w"], ["c"], pads=[1] * 4), *middle, node("Relu", ["d"], ["e"]), node("Conv", ["e", "v"], ["y"])]
        for end, sizes in [("", None), ("_open", dims)]:
            cases.add(f"normalised_{name}{end}", nodes, {"x": x}, {"y": None}, constants, dims=sizes, opset=21)
    # A mean of 100,000 pixels, with what 100,000 roundings of a float would make of it beyond the tolerance.
    constants = {"w": numbers(16, 3, 1, 1, 1) + 0.5, "scale": numbers(16), "bias": numbers(16)}
    volume = numbers(1, 3, 24, 64, 64) + 1
    sums = np.einsum("ncdhw,oc->nodhw", volume.astype(np.float64), constants["w"][:, :, 0, 0, 0])
    apart = sums - sums.mean((2, 3, 4), keepdims=True)
    scaled = apart / np.sqrt((apart**2).mean((2, 3, 4), keepdims=True) + 1e-5) * constants["scale"][:, None, None, None]
    expected = [(scaled + constants["bias"][:, None, None, None]).astype(np.float32)]
    nodes = [node("Conv", ["x", "w"], ["c"]), node("InstanceNormalization", ["c", "scale", "bias"], ["y"])]
    cases.add("normalised_volume", nodes, {"x": volume}, {"y": None}, constants, expected)
    cases.add("normalised_volume_open", nodes, {"x": volume}, {"y": None}, constants, expected, dims={"x": [1, 3, "depth", "height", "width"]})
    # Dilations as wide as the data: taps that meet padding alone.
    for name, dilations, pads in [("far", (9, 11), (9, 11, 9, 11)), ("near", (8, 6), (8, 6, 8, 6)), ("lower", (9, 2), (9, 2, 9, 0))]:
        constants = {"w": numbers(32, 3, 3, 3) / 5, "v": numbers(24, 32, 3, 3) / 9}
        nodes = [
            node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
            node("Conv", ["c", "v"], ["y"], pads=pads, dilations=dilations),
        ]
        cases.add(f"dilation_{name}", nodes, {"x": x}, {"y": None}, constants)
    # Small volumes and images, most of whose border taps meet padding, on either side or both.
    for name, size, kernel, more in [
        ("thin", (2, 5, 9), (3, 3, 3), dict(pads=[1] * 6)),
        ("uneven", (4, 3, 8), (3, 5, 3), dict(pads=[0, 4, 2, 2, 1, 0])),
        ("strided", (5, 6, 9), (3, 3, 2), dict(pads=[1, 2, 1, 1, 0, 1], strides=(2, 3, 1))),
        ("holes", (7, 6, 9), (3, 3, 3), dict(pads=[3, 5, 2, 2, 4, 1], dilations=(3, 5, 2))),
        ("groups", (2, 4, 7), (3, 3, 3), dict(pads=[1] * 6, group=2)),
        ("image", (4, 6), (5, 5), dict(pads=[2] * 4, group=2)),
        ("beyond", (2, 6), (2, 3), dict(pads=[3, 1, 4, 1])),
        # padding that no memory is set aside for, around a window of one row
        ("row_far", (5, 9), (1, 3), dict(pads=[70, 1, 70, 1])),
        ("row_far_strided", (3, 30), (1, 1), dict(pads=[90, 0, 0, 0], strides=(3, 1))),
        ("planes_far", (3, 4, 9), (1, 1, 3), dict(pads=[70, 1, 1, 3, 70, 1])),
    ]:
        constants = {"w": numbers(32, 3, *[1] * len(size)) / 5, "v": numbers(48, 32 // more.get("group", 1), *kernel) / 9, "b": numbers(48)}
        nodes = [node("Conv", ["x", "w"], ["c"]), node("Conv", ["c", "v", "b"], ["d"], **more), node("Relu", ["d"], ["y"])]
        data = numbers(2, 3, *size)
        cases.add(f"border_{name}", nodes, {"x": data}, {"y": None}, constants)
        cases.add(f"border_{name}_open", nodes, {"x": data}, {"y": None}, constants, dims={"x": ["batch", 3, *size]})
    return cases.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
