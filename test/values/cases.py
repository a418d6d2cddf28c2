"""cases.py: ONNX test folders made on the spot, and run by jit, library and target c."""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

WAYS = [["--via", "jit"], ["--via", "library"], ["--target", "c"]]


def strings(nested):
    return np.array(nested, dtype=object)


def element_type(array):
    return TensorProto.STRING if array.dtype == object else helper.np_dtype_to_tensor_dtype(array.dtype)


def value_info(name, array, shape=True, dims=None):
    return helper.make_tensor_value_info(name, element_type(array), (dims or array.shape) if shape else None)


class Cases:
    def __init__(self, onnxcc, options=()):
        """`options` of `onnxcc test`: tolerances, say."""
        self.onnxcc, self.folder, self.names, self.options = onnxcc, tempfile.mkdtemp(), [], options

    def add(self, name, nodes, inputs, outputs, constants=None, expected=None, opset=20, dims=None):
        """`outputs` maps names to results, or to None where the reference evaluator computes them. `dims` are those that
        inputs and outputs declare, where they are not the inputs' own and none."""
        initializers = [numpy_helper.from_array(v, k) for k, v in (constants or {}).items()]
        untyped = [onnx.ValueInfoProto(name=k) for k in outputs]
        typed = [value_info(k, v, dims=(dims or {}).get(k)) for k, v in inputs.items()]
        graph = helper.make_graph(nodes, name, typed, untyped, initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
        if expected is None:
            expected = [np.asarray(v) for v in ReferenceEvaluator(model).run(None, inputs)]
        expected = [v.astype(object) if v.dtype.kind in "US" else v for v in expected]
        for info, array in zip(graph.output, expected):
            own = (dims or {}).get(info.name)
            info.CopyFrom(value_info(info.name, array, shape=own is not None, dims=own))
        model.graph.CopyFrom(graph)
        data = f"{self.folder}/{name}/test_data_set_0"
        os.makedirs(data)
        onnx.save(model, f"{self.folder}/{name}/model.onnx")
        for kind, arrays in (("input", inputs.values()), ("output", expected)):
            for i, array in enumerate(arrays):
                with open(f"{data}/{kind}_{i}.pb", "wb") as f:
                    f.write(numpy_helper.from_array(array).SerializeToString())
        self.names.append(f"{self.folder}/{name}")

    def run(self, ways=WAYS, sample=1):
        """All cases by the first way, every `sample`-th by the others."""
        passed = failed = 0
        for way in ways:
            names = self.names[:: 1 if way is ways[0] else sample]
            command = [self.onnxcc, "test", "--quiet", "--open", *way, *self.options, *names]
            result = subprocess.run(command, capture_output=True, text=True)
            last = result.stdout.strip().split("\n")[-1].split()
            sys.stdout.write(" ".join(way) + "\n" + result.stdout + result.stderr)
            passed, failed = passed + int(last[0]), failed + int(last[2])
        print(f"{passed} passed, {failed} failed")
        return 1 if failed else 0
