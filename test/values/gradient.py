"""gradient.py ONNXCC: Gradient through every operator that has a rule, against differences of the function."""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

node = helper.make_node
FOLDER = tempfile.mkdtemp()


def slope(f, arrays, name, step=1e-5):
    out = np.zeros(arrays[name].shape)
    for at in np.ndindex(*out.shape):
        moved = [{k: v.astype(np.float64) for k, v in arrays.items()} for _ in range(2)]
        moved[0][name][at] += step
        moved[1][name][at] -= step
        out[at] = (f(**moved[0]).sum() - f(**moved[1]).sum()) / (2 * step)
    return out.astype(np.float32)


def add(name, nodes, arrays, f):
    made = node("Gradient", list(arrays), ["d" + k for k in arrays], xs=list(arrays), y="y", domain="ai.onnx.preview.training")
    inputs = [helper.make_tensor_value_info(k, TensorProto.FLOAT, v.shape) for k, v in arrays.items()]
    outputs = [helper.make_tensor_value_info("d" + k, TensorProto.FLOAT, v.shape) for k, v in arrays.items()]
    graph = helper.make_graph([*nodes, made], name, inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.preview.training", 1)]
    data = f"{FOLDER}/{name}/test_data_set_0"
    os.makedirs(data)
    onnx.save(helper.make_model(graph, opset_imports=opsets), f"{FOLDER}/{name}/model.onnx")
    for i, (k, v) in enumerate(arrays.items()):
        for stem, tensor in (("input", numpy_helper.from_array(v, k)), ("output", numpy_helper.from_array(slope(f, arrays, k), "d" + k))):
            with open(f"{data}/{stem}_{i}.pb", "wb") as file:
                file.write(tensor.SerializeToString())
    return f"{FOLDER}/{name}"


def main(onnxcc):
    random = np.random.default_rng(0)
    some = lambda *shape: (random.random(shape) + 0.5).astype(np.float32)  # noqa: E731
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    product = [node("MatMul", ["a", "b"], ["m"]), node("Add", ["m", "c"], ["n"]), node("Tanh", ["n"], ["t"]),
               node("Sigmoid", ["t"], ["s"]), node("Mul", ["s", "n"], ["q"]), node("Div", ["q", "c"], ["y"])]
    names = ["Sqrt", "Reciprocal", "Neg", "Softplus", "Sin", "Cos", "Identity"]
    chain = [node("Exp", ["a"], ["e"]), node("Log", ["b"], ["l"]), node("Sub", ["e", "l"], ["v0"])]
    chain += [node(op, [f"v{i}"], [f"v{i + 1}"]) for i, op in enumerate(names)]
    chain += [node("Sub", ["v7", "b"], ["z"]), node("Relu", ["z"], ["y"])]
    functions = lambda a, b: np.cos(np.sin(np.log1p(np.exp(-1 / np.sqrt(np.exp(a) - np.log(b)))))) - b  # noqa: E731
    cases = [add("product", product, {"a": some(3, 4), "b": some(4, 2), "c": some(2)},
                 lambda a, b, c: sigmoid(np.tanh(a @ b + c)) * (a @ b + c) / c),
             add("functions", chain, {"a": some(2, 3) + 1, "b": some(3)}, lambda a, b: np.maximum(functions(a, b), 0))]
    return subprocess.run([onnxcc, "test", "--rtol", "1e-3", "--atol", "1e-4", *cases]).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
