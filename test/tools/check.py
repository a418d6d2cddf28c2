"""check.py ONNXCC: `onnxcc check` lists all that a model holds and the compiler does not take, each with its node, the reason and
a hint, and says so for machines too."""
import json
import subprocess
import sys
import tempfile

import onnx
from onnx import TensorProto, helper

X = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
# Nodes: the inputs, the operator, its attributes; and what the message has to name.
WRONG = [
    ("unknown_operator", "x", "Frobnicate", {}, ["Frobnicate"]),
    ("unknown_domain", "x", "Relu", {"domain": "org.example"}, ["org.example"]),
    ("unknown_contrib", "x", "BeamSurf", {"domain": "com.microsoft"}, ["com.microsoft"]),
    ("wrong_type", "bytes", "Sin", {}, ["u8"]),
    ("mixed_types", "x bytes", "Add", {}, ["u8"]),
    ("missing_attribute", "x", "Concat", {}, ["axis"]),
    ("unknown_attribute", "x", "Relu", {"colour": 3}, ["colour"]),
    ("attribute_kind", "x", "LeakyRelu", {"alpha": "steep"}, ["alpha"]),
    ("attribute_value", "x", "Flatten", {"axis": 7}, ["axis"]),
    ("too_few_inputs", "x", "MatMul", {}, ["input"]),
    ("too_many_inputs", "x x", "Relu", {}, ["input"]),
    ("shapes", "x x", "MatMul", {}, ["3", "2"]),
    ("no_such_value", "nowhere", "Relu", {}, ["nowhere"]),
    ("needs_a_constant", "image rois batch size", "CropAndResize", {"domain": "com.microsoft"}, ["crop_size"]),
    ("unknown_function", "x", "Selu", {"domain": "local"}, ["local"]),
]


def model(wrong):
    nodes = [helper.make_node(op, inputs.split(), [f"y_{name}"], name=name, **attributes) for name, inputs, op, attributes, _ in wrong]
    given = [("bytes", TensorProto.UINT8, [2, 3]), ("image", TensorProto.FLOAT, [1, 1, 4, 4]), ("rois", TensorProto.FLOAT, [1, 4]),
             ("batch", TensorProto.INT32, [1]), ("size", TensorProto.INT32, [2])]
    inputs = [X, *(helper.make_tensor_value_info(*g) for g in given)]
    outputs = [onnx.ValueInfoProto(name=n.output[0]) for n in nodes]
    opsets = [helper.make_opsetid(d, v) for d, v in (("", 22), ("com.microsoft", 1), ("org.example", 1), ("local", 1), ("unused", 9))]
    return helper.make_model(helper.make_graph(nodes, "wrong", inputs, outputs), opset_imports=opsets)


def check(onnxcc, proto, *arguments):
    with tempfile.NamedTemporaryFile(suffix=".onnx") as f:
        f.write(proto.SerializeToString())
        f.flush()
        return subprocess.run([onnxcc, "check", f.name, *arguments], capture_output=True, text=True)


def main(onnxcc):
    failed = 0
    proto = model(WRONG)
    text, report = check(onnxcc, proto), check(onnxcc, proto, "--json")
    assert text.returncode == report.returncode == 1 and not text.stdout, (text, report)
    problems = json.loads(report.stdout)["problems"]
    for name, _, op, _, words in WRONG:
        found = [p for p in problems if p.get("node") == name]
        lines = [line for line in text.stderr.splitlines() if name in line]
        whole = [p for p in found if op in p["op"] and p["hint"] and all(w in p["message"] + p["op"] for w in words)]
        if len(whole) != 1 or len(found) != 1 or len(lines) != 1:
            failed += 1
            print(f"FAIL {name}: {found} {lines}")
    if len(problems) != len(WRONG):
        failed += 1
        print(f"FAIL {len(problems)} problems, {len(WRONG)} expected: {problems}")
    newer = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "new", [X], [onnx.ValueInfoProto(name="y")]),
                              opset_imports=[helper.make_opsetid("", 999)])
    answer = check(onnxcc, newer)
    if answer.returncode != 0 or "warning" not in answer.stderr or "opset 999" not in answer.stderr:
        failed += 1
        print(f"FAIL newer opset: {answer}")
    print(f"{len(WRONG) + 2 - failed} passed, {failed} failed")
    return failed > 0


sys.exit(main(*sys.argv[1:]))
