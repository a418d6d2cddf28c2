"""calls.py ONNXCC CC: a C program that calls models with sequences, optionals and strings, as library and as C."""
import os
import subprocess
import sys
import tempfile

import onnx
from onnx import TensorProto, helper

ONNXCC, CC = sys.argv[1:3]
HERE = os.path.dirname(os.path.abspath(__file__))
node = helper.make_node


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}{result.stderr}"
    return result.stdout


def save(path, nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(constants))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=9), path)


def make_lists(path):
    floats = helper.make_tensor_type_proto(TensorProto.FLOAT, ["N"])
    items = helper.make_sequence_type_proto(floats)
    optional = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [1]))
    item = helper.make_value_info("item", floats)
    body = helper.make_graph([node("Add", ["item", "added"], ["sum"])], "body", [item],
                             [helper.make_value_info("sum", floats)])
    save(path, [node("OptionalGetElement", ["b"], ["added"]), node("SequenceMap", ["x"], ["y"], body=body),
                node("SequenceLength", ["x"], ["n"])],
         [helper.make_value_info("x", items), helper.make_value_info("b", optional)],
         [helper.make_value_info("y", items), helper.make_tensor_value_info("n", TensorProto.INT64, [])])


def make_words(path):
    save(path, [node("Concat", ["k", "x"], ["y"], axis=0)], [helper.make_tensor_value_info("x", TensorProto.STRING, [2])],
         [helper.make_tensor_value_info("y", TensorProto.STRING, [3])],
         [helper.make_tensor("k", TensorProto.STRING, [1], [b"and"])])


def check_bounds(folder):
    """A size that only the data tell needs a bound, by the name that the error gives; other names are refused."""
    path = f"{folder}/parts.onnx"
    save(path, [node("StringSplit", ["x"], ["y", "z"])], [helper.make_tensor_value_info("x", TensorProto.STRING, [2])],
         [helper.make_tensor_value_info("y", TensorProto.STRING, None)])
    for settings, status, text in (([], 1, "--dim y_dim_1="), (["--dim", "y_dim_1=1..9"], 0, ""),
                                   (["--dim", "other=1..9"], 1, "no such symbol; it has: y_dim_1")):
        result = subprocess.run([ONNXCC, "compile", path, "-o", folder, *settings], capture_output=True, text=True)
        assert result.returncode == status and text in result.stderr, result.stderr


def main():
    folder = tempfile.mkdtemp()
    passed = failed = 0
    make_lists(f"{folder}/lists.onnx")
    make_words(f"{folder}/words.onnx")
    for target in ("native", "c"):
        out, ending = f"{folder}/{target}", "c" if target == "c" else "a"
        for name, settings in (("lists", ["--dim", "x_count=2"]), ("words", [])):
            run(ONNXCC, "compile", f"{folder}/{name}.onnx", "-o", out, "--target", target, *settings)
        files = [f"{out}/{'lib' if ending == 'a' else ''}{name}.{ending}" for name in ("lists", "words")]
        run(CC, "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{out}", f"{HERE}/calls.c", *files, "-lm", "-o", f"{out}/calls")
        last = run(f"{out}/calls").strip().split("\n")[-1].split()
        passed, failed = passed + int(last[0]), failed + int(last[2])
    open_length = subprocess.run([ONNXCC, "compile", f"{folder}/lists.onnx", "-o", folder], capture_output=True, text=True)
    assert open_length.returncode == 1 and "--dim x_count=3" in open_length.stderr, open_length.stderr
    check_bounds(folder)
    print(f"{passed + 2} passed, {failed} failed")
    return failed != 0


sys.exit(main())
