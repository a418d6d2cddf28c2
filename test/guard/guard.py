"""guard.py ONNXCC FIGURES: speed without a clock. Small models, compiled for one fixed instruction set: the instructions
of a call, counted by valgrind's callgrind; the operations and bytes of the kernels; the arena and its bound; the bytes of
code. Each is compared with the figure recorded in FIGURES, and may be at most 2 % above it. With ONNXCC_REFRESH=1 the
figures are written anew: a commit that does so says why."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import helper, numpy_helper

TARGET = "x86-64-v3"  # what valgrind understands
ROOM = 1.02
DRIVER = """
#include "%(name)s.h"
static float x[%(inputs)d], y[%(outputs)d];
static _Alignas(64) unsigned char arena[%(upper)s_ARENA_BYTES + 64];
int main(int argc, char **argv) {
    (void)argv;
    for (int i = 0; i < %(inputs)d; i++) x[i] = (float)(i %% 13 - 6) / 7;
    for (int i = 0; i < argc; i++)
        if (%(name)s_run(&(%(name)s_inputs){.x = x}, &(%(name)s_outputs){.y = y}, arena, NULL)) return 1;
    return 0;
}
"""
numbers = np.random.default_rng(7)


class Case:
    """One input x, one output y; weights as inputs are added."""

    def __init__(self, name, shape, out):
        self.name, self.shape, self.out, self.nodes, self.weights = name, shape, out, [], []

    def weight(self, *shape):
        name = f"w{len(self.weights)}"
        array = (numbers.standard_normal(shape) * 0.1).astype(np.float32)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def ints(self, *values):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def add(self, op, inputs, output=None, **attributes):
        output = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def save(self, path):
        io = [[helper.make_tensor_value_info(n, 1, s)] for n, s in (("x", self.shape), ("y", self.out))]
        graph = helper.make_graph(self.nodes, self.name, *io, self.weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def convolution(name, channels, outputs, size, kernel, stride=1, group=1, axes=2):
    pad = kernel // 2
    after = (size + 2 * pad - kernel) // stride + 1
    c = Case(name, [1, channels] + [size] * axes, [1, outputs] + [after] * axes)
    w, b = c.weight(outputs, channels // group, *[kernel] * axes), c.weight(outputs)
    conv = c.add("Conv", ["x", w, b], pads=[pad] * 2 * axes, strides=[stride] * axes, group=group)
    c.add("Relu", [conv], "y")
    return c


def product(name, rows, inner, columns):
    c = Case(name, [rows, inner], [rows, columns])
    c.add("Gelu", [c.add("Add", [c.add("MatMul", ["x", c.weight(inner, columns)]), c.weight(columns)])], "y")
    return c


def block(name, images):
    """A block of MobileNetV2: expansion, depthwise, projection, sum."""
    c = Case(name, [images, 16, 14, 14], [images, 16, 14, 14])
    zero, six = c.weight(), c.weight()
    wide = c.add("Clip", [c.add("Conv", ["x", c.weight(64, 16, 1, 1), c.weight(64)]), zero, six])
    deep = c.add("Conv", [wide, c.weight(64, 1, 3, 3), c.weight(64)], pads=[1] * 4, group=64)
    flat = c.add("Conv", [c.add("Clip", [deep, zero, six]), c.weight(16, 64, 1, 1), c.weight(16)])
    c.add("Add", ["x", flat], "y")
    return c


def attention():
    c = Case("attention", [1, 32, 64], [1, 32, 64])
    heads = [c.add("Transpose", [c.add("Reshape", [c.add("MatMul", ["x", c.weight(64, 64)]), c.ints(1, 32, 4, 16)])], perm=p)
             for p in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])]
    weights = c.add("Softmax", [c.add("MatMul", heads[:2])], axis=-1)
    mixed = c.add("Transpose", [c.add("MatMul", [weights, heads[2]])], perm=[0, 2, 1, 3])
    joined = c.add("Add", ["x", c.add("Reshape", [mixed, c.ints(1, 32, 64)])])
    c.add("LayerNormalization", [joined, c.weight(64), c.weight(64)], "y", axis=-1)
    return c


def recurrent():
    c = Case("lstm", [8, 1, 32], [8, 1, 1, 64])
    c.add("LSTM", ["x", c.weight(1, 256, 32), c.weight(1, 256, 64), c.weight(1, 512)], "y", hidden_size=64)
    return c


def elementwise():
    c = Case("softmax", [16, 100], [16, 100])
    c.add("Softmax", [c.add("Tanh", [c.add("Sigmoid", ["x"])])], "y", axis=-1)
    return c


CASES = [convolution("conv_3x3", 32, 32, 16, 3), convolution("conv_first", 3, 32, 32, 3, 2),
         convolution("conv_1x1", 64, 64, 14, 1), convolution("depthwise", 32, 32, 16, 3, 1, 32),
         convolution("conv_few", 2, 5, 9, 3), convolution("conv_volume", 32, 32, 8, 3, axes=3), convolution("conv_border", 16, 32, 8, 3, 3, axes=3),
         product("one_row", 1, 256, 256), product("rows", 100, 64, 96), product("batch", 32, 300, 1024),
         block("inverted_residual", 1), block("images", 8),
         attention(), recurrent(), elementwise()]


def run(command):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}"
    return result.stdout


def instructions(program, calls):
    out = run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, *["call"] * (calls - 1)])
    return int(re.search(r"Collected : (\d+)", out)[1])


def measure(onnxcc, case, folder):
    model, out = f"{folder}/{case.name}.onnx", f"{folder}/{case.name}"
    case.save(model)
    run([onnxcc, "compile", model, "-o", out, "--target", TARGET])
    with open(f"{out}/main.c", "w") as f:
        f.write(DRIVER % dict(name=case.name, upper=case.name.upper(), inputs=np.prod(case.shape), outputs=np.prod(case.out)))
    run(["cc", "-O1", f"-I{out}", f"{out}/main.c", f"{out}/lib{case.name}.a", "-lpthread", "-o", f"{out}/main"])
    report = json.loads(run([onnxcc, "bench", model, "--target", TARGET, "--layers", "--json", "--seconds", "0.01"]))
    return {
        "instructions": (instructions(f"{out}/main", 3) - instructions(f"{out}/main", 1)) // 2,
        "operations": int(sum(row["flops"] for row in report["layers"])),
        "bytes_moved": int(sum(row["bytes"] for row in report["layers"])),
        "arena_bytes": report["arena_bytes"],
        "arena_over_bound": round(report["arena_bytes"] / max(report["arena_bound_bytes"], 64), 3),
        "code_bytes": report["code_bytes"],
    }


def main(onnxcc, path):
    if not shutil.which("valgrind"):
        print("SKIP: there is no valgrind")
        return False
    with tempfile.TemporaryDirectory() as folder:
        found = {case.name: measure(onnxcc, case, folder) for case in CASES}
    if os.environ.get("ONNXCC_REFRESH") == "1":
        with open(path, "w") as f:
            json.dump(found, f, indent=1)
            f.write("\n")
    recorded, passed, failed = json.load(open(path)), 0, 0
    for name, figures in found.items():
        for key, value in figures.items():
            limit = recorded[name][key] * ROOM
            passed, failed = passed + (value <= limit), failed + (value > limit)
            if value > limit:
                print(f"FAILED {name}: {key} is {value}, was {recorded[name][key]}")
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
