"""winograd.py ONNXCC: convolutions that are large enough for Winograd's algorithm, in the shapes that its tiles have
edges in: windows of three and five along one axis or both, strides, sizes that 4 does not divide, several images,
channels that 16 does not divide, padding on some sides, few tiles and many, volumes, what follows the sum, sizes that
are not known before the call. onnx's own cases are too small for it."""
import sys

import numpy as np
from cases import Cases
from onnx import helper

node = helper.make_node


def numbers(*shape):
    return np.random.default_rng(len(shape) + sum(shape)).uniform(-1, 1, shape).astype(np.float32)


def conv(inputs, outputs, taps=(3, 3)):
    """Weights that keep the result near one, so that an absolute error means something."""
    return numbers(outputs, inputs, *taps) / np.float32(np.sqrt(inputs * np.prod(taps)))


def spread(w, dilations):
    """The dense window of a dilated one: with zeros between the taps."""
    taps = zip(w.shape[2:], dilations)
    dense = np.zeros((*w.shape[:2], *((n - 1) * d + 1 for n, d in taps)), np.float32)
    dense[(slice(None), slice(None), *(slice(None, None, d) for d in dilations))] = w
    return dense


def convolution(x, w, pads, strides=(1, 1)):
    """In doubles: the direct sum, as the standard says."""
    axes = w.ndim - 2
    around = [(0, 0), (0, 0), *zip(pads[:axes], pads[axes:])]
    x = np.pad(x.astype(np.float64), around)
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], tuple(range(2, 2 + axes)))
    windows = windows[(slice(None), slice(None), *(slice(None, None, s) for s in strides[:axes]))]
    sums = {1: "nchi,oci->noh", 2: "nchwij,ocij->nohw", 3: "ncdhwkij,ockij->nodhw"}
    return np.einsum(sums[axes], windows, w.astype(np.float64), optimize=True)


def main(onnxcc):
    # The algorithm's own error is some 5e-6 of the largest results, which are near one.
    cases = Cases(onnxcc, ["--rtol", "1e-5", "--atol", "1e-5"])
    for name, x, outputs, pads in [
        ("whole_tiles", (1, 32, 16, 32), 32, (1, 1, 1, 1)),
        ("odd_sizes", (1, 32, 19, 23), 48, (1, 1, 1, 1)),
        ("several_images", (3, 32, 9, 14), 32, (1, 1, 1, 1)),
        ("part_blocks", (2, 40, 13, 13), 24, (1, 1, 1, 1)),
        ("no_padding", (1, 16, 22, 18), 64, (0, 0, 0, 0)),
        ("one_side", (1, 64, 15, 17), 32, (2, 0, 0, 1)),
        ("few_tiles", (1, 96, 7, 7), 64, (1, 1, 1, 1)),
        ("many_channels", (1, 144, 14, 14), 80, (1, 1, 1, 1)),
        # weights large enough for tiles of 2x2
        ("small_tiles", (1, 512, 7, 7), 512, (1, 1, 1, 1)),
        ("small_tiles_odd", (1, 400, 6, 7), 640, (1, 0, 2, 1)),
    ]:
        data, w = numbers(*x), conv(x[1], outputs)
        expected = [convolution(data, w, pads).astype(np.float32)]
        nodes = [node("Conv", ["x", "w"], ["y"], pads=pads)]
        cases.add(name, nodes, {"x": data}, {"y": None}, {"w": w}, expected)
    for name, x, outputs, taps, strides, pads in [
        ("line", (2, 64, 70), 64, (3,), (1,), (1, 1)),
        ("line_of_five", (1, 64, 203), 96, (5,), (1,), (0, 3)),
        ("column", (1, 64, 101, 1), 128, (5, 1), (1, 1), (2, 0, 2, 0)),
        ("row", (2, 48, 3, 50), 64, (1, 3), (1, 1), (0, 1, 0, 1)),
        ("window_of_five", (1, 48, 17, 19), 64, (5, 5), (1, 1), (2, 2, 2, 2)),
        ("window_of_both", (1, 48, 17, 19), 64, (3, 5), (1, 1), (1, 2, 1, 2)),
        ("steps", (1, 64, 28, 28), 96, (3, 3), (2, 2), (1, 1, 1, 1)),
        ("steps_odd", (2, 72, 21, 27), 128, (3, 3), (2, 2), (1, 0, 0, 1)),
        ("steps_down", (1, 64, 33, 30), 128, (3, 3), (2, 1), (1, 1, 1, 1)),
        ("steps_large", (1, 128, 29, 31), 128, (3, 3), (2, 2), (0, 0, 1, 1)),
    ]:
        data, w = numbers(*x), conv(x[1], outputs, taps)
        expected = [convolution(data, w, pads, strides).astype(np.float32)]
        nodes = [node("Conv", ["x", "w"], ["y"], pads=pads, strides=strides)]
        cases.add(name, nodes, {"x": data}, {"y": None}, {"w": w}, expected)
        dims = {"x": ["batch", x[1], *(f"size{i}" for i in range(len(x) - 2))]}
        cases.add(f"{name}_open", nodes, {"x": data}, {"y": None}, {"w": w}, expected, dims=dims)
    # Dilations: each tile is of results that lie so far apart; the last of them have fewer rows, or none.
    for name, x, outputs, taps, dilations, pads in [
        ("apart", (1, 64, 28, 30), 64, (3, 3), (2, 2), (2, 2, 2, 2)),
        ("apart_odd", (2, 48, 29, 31), 72, (3, 3), (4, 3), (4, 0, 3, 3)),
        ("apart_columns", (1, 64, 20, 37), 64, (3, 3), (1, 5), (1, 5, 1, 5)),
        ("apart_line", (1, 64, 200), 64, (3,), (8,), (8, 8)),
        ("apart_line_of_five", (2, 64, 131), 48, (5,), (3,), (12, 0)),
        ("far_apart", (1, 64, 40, 40), 64, (3, 3), (12, 12), (12, 12, 12, 12)),
    ]:
        data, w = numbers(*x), conv(x[1], outputs, taps)
        expected = [convolution(data, spread(w, dilations), pads).astype(np.float32)]
        nodes = [node("Conv", ["x", "w"], ["y"], pads=pads, dilations=dilations)]
        dims = {"x": [x[0], x[1], *(f"size{i}" for i in range(len(x) - 2))]}
        cases.add(name, nodes, {"x": data}, {"y": None}, {"w": w}, expected)
        cases.add(f"{name}_open", nodes, {"x": data}, {"y": None}, {"w": w}, expected, dims=dims)
    # Volumes: planes at the ends meet padding, steps and holes along the depth, one tap, windows of five.
    for name, x, outputs, taps, strides, dilations, pads in [
        ("volume", (1, 32, 4, 16, 18), 32, (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1, 1, 1, 1)),
        ("volume_odd", (2, 40, 5, 13, 11), 72, (3, 3, 3), (1, 1, 1), (1, 1, 1), (2, 0, 1, 0, 1, 2)),
        ("volume_steps", (2, 48, 7, 14, 14), 64, (3, 3, 3), (2, 1, 1), (1, 1, 1), (1, 1, 1, 1, 1, 1)),
        ("volume_steps_all", (1, 64, 6, 28, 28), 96, (3, 3, 3), (2, 2, 2), (1, 1, 1), (1, 1, 1, 1, 1, 1)),
        ("volume_holes", (1, 48, 9, 12, 14), 64, (3, 3, 3), (1, 1, 1), (4, 1, 2), (4, 1, 2, 3, 1, 2)),
        ("volume_planes", (1, 64, 3, 20, 20), 64, (1, 3, 3), (1, 1, 1), (1, 1, 1), (0, 1, 1, 0, 1, 1)),
        ("volume_of_five", (1, 48, 6, 15, 17), 64, (2, 5, 5), (1, 1, 1), (1, 1, 1), (0, 2, 2, 1, 2, 2)),
        ("volume_thin", (1, 64, 1, 14, 14), 64, (3, 3, 3), (1, 1, 1), (1, 1, 1), (2, 1, 1, 2, 1, 1)),
    ]:
        data, w = numbers(*x), conv(x[1], outputs, taps)
        expected = [convolution(data, spread(w, dilations), pads, strides).astype(np.float32)]
        nodes = [node("Conv", ["x", "w"], ["y"], pads=pads, strides=strides, dilations=dilations)]
        cases.add(name, nodes, {"x": data}, {"y": None}, {"w": w}, expected)
        for end, sizes in [("open", ["batch", x[1], x[2], "height", "width"]), ("open_depth", [x[0], x[1], "depth", *x[3:]])]:
            cases.add(f"{name}_{end}", nodes, {"x": data}, {"y": None}, {"w": w}, expected, dims={"x": sizes})
    x, w, v = numbers(2, 48, 11, 13), conv(48, 48), conv(48, 48)
    bias = numbers(48)
    first = np.maximum(convolution(x, w, (1, 1, 1, 1)) + bias[:, None, None], 0)
    second = np.maximum(convolution(first, v, (1, 1, 1, 1)) + x, 0)
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], pads=(1, 1, 1, 1)),
        node("Relu", ["c"], ["first"]),
        node("Conv", ["first", "v"], ["d"], pads=(1, 1, 1, 1)),
        node("Add", ["x", "d"], ["e"]),
        node("Relu", ["e"], ["y"]),
    ]
    constants, expected = {"w": w, "v": v, "b": bias}, [second.astype(np.float32)]
    cases.add("residual", nodes, {"x": x}, {"y": None}, constants, expected)
    dims = {"x": ["batch", 48, "height", "width"]}
    cases.add("open_sizes", nodes, {"x": x}, {"y": None}, constants, expected, dims=dims)
    nodes = [node("Conv", ["x", "w", "b"], ["y"], auto_pad="SAME_UPPER")]
    expected = [(convolution(x, w, (1, 1, 1, 1)) + bias[:, None, None]).astype(np.float32)]
    cases.add("auto_pad", nodes, {"x": x}, {"y": None}, {"w": w, "b": bias}, expected, dims=dims)
    return cases.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
