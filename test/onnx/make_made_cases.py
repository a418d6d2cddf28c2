"""make_made_cases.py OUT: write test folders for operators that have no official case; ONNX Runtime computes the results,
or the reference of the onnx package where the two differ.

A table of rows, module made_FAMILY.py beside this one, gives the operator, its inputs and its attributes; the numbers come
from a generator seeded by the case's name. A case that ONNX Runtime computes with less than 32 bits has a tolerance of its
own, which stands in the file TOLERANCE of its folder. Folders are made anew when a table or a package changes.
"""
import importlib
import glob
import os
import shutil
import sys
import zlib
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

HERE = os.path.dirname(os.path.abspath(__file__))
ORT_OPSET = 21


@dataclass
class Row:
    """One node as a model. `inputs` takes a random generator and returns the inputs in order, None for one left out."""

    op: str
    variant: str
    inputs: callable
    attributes: dict = field(default_factory=dict)
    outputs: object = 1  # how many, or their names: "y0 _ y1" leaves one out
    weights: tuple = ()  # numbers of the inputs that are initializers
    domain: str = "com.microsoft"
    version: int = 1  # of the domain
    opset: int = ORT_OPSET  # of the standard's domain
    symbolic: object = False  # True: every dimension is a symbol of its own; or, of each input, "batch rows 8"
    types: dict = field(default_factory=dict)  # of outputs, where ONNX Runtime cannot tell
    tolerance: tuple = None  # relative, absolute
    reference: bool = False  # the onnx package's reference computes the results
    spelt: tuple = ()  # nodes that mean the same, from x0, x1.. to y0, where ONNX Runtime cannot run the node


@dataclass
class Model:
    """A model of its own, and what it is given."""

    name: str
    model: onnx.ModelProto
    feeds: dict
    spelt: onnx.ModelProto = None  # one that gives its results as tensors
    tolerance: tuple = None
    results: list = None  # where ONNX Runtime cannot be given the input


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def dimensions(row, i, array):
    """Of input i, as the model declares them."""
    if row.symbolic is True:
        return [f"x{i}_{axis}" for axis in range(array.ndim)]
    names = row.symbolic[i].split() if row.symbolic and i < len(row.symbolic) else []
    return [int(d) if d.isdigit() else d for d in names] or array.shape


def build(row, arrays, spelt=False):
    names = [f"x{i}" if a is not None else "" for i, a in enumerate(arrays)]
    outputs = row.outputs.split() if isinstance(row.outputs, str) else [f"y{i}" for i in range(row.outputs)]
    outputs = [name.strip("_") for name in outputs]
    nodes = row.spelt if spelt else [helper.make_node(row.op, names, outputs, domain=row.domain, **row.attributes)]
    given = [(i, n, a) for i, (n, a) in enumerate(zip(names, arrays)) if a is not None]
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), dimensions(row, i, a))
        for i, n, a in given
        if i not in row.weights
    ]
    weights = [numpy_helper.from_array(a, n) for i, n, a in given if i in row.weights]
    graph = helper.make_graph(nodes, "made", inputs, [onnx.ValueInfoProto(name=n) for n in outputs if n], weights)
    for declared in graph.output:
        if declared.name in row.types:
            declared.type.tensor_type.elem_type = row.types[declared.name]
    opsets = [helper.make_opsetid("", row.opset)] + ([helper.make_opsetid(row.domain, row.version)] if row.domain else [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def compute(model, feeds, reference):
    if reference:
        return ReferenceEvaluator(model).run(None, feeds)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def make(row):
    """The model of a row, what it is given and what it gives."""
    if isinstance(row, Model):
        results = row.results or compute(row.spelt or row.model, row.feeds, False)
        return f"made_{row.name}", row.model, row.feeds, results
    name = f"made_{row.op.lower()}_{row.variant}"
    arrays = row.inputs(np.random.default_rng(zlib.crc32(name.encode())))
    model = build(row, arrays)
    feeds = {i.name: arrays[int(i.name[1:])] for i in model.graph.input}
    try:
        results = compute(build(row, arrays, spelt=bool(row.spelt)), feeds, row.reference)
    except Exception as error:
        raise SystemExit(f"{name}: {error}") from error
    for declared, array in zip(model.graph.output, results):
        shape = [None] * array.ndim if row.symbolic else array.shape
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        declared.CopyFrom(helper.make_tensor_value_info(declared.name, kind, shape))
    return name, model, feeds, results


def map_proto(pairs, name):
    """A map of integers or strings to numbers or strings."""
    proto = onnx.MapProto(name=name)
    for key, value in pairs.items():
        array = np.array(value, np.int64 if isinstance(value, int) else object if isinstance(value, str) else value.dtype)
        proto.values.tensor_values.append(numpy_helper.from_array(array))
        if isinstance(key, str):
            proto.string_keys.append(key.encode())
        else:
            proto.keys.append(key)
    proto.key_type = onnx.TensorProto.STRING if proto.string_keys else onnx.TensorProto.INT64
    proto.values.elem_type = onnx.SequenceProto.TENSOR
    return proto


def write(out, row):
    name, model, feeds, results = make(row)
    data = f"{out}/{name}/test_data_set_0"
    os.makedirs(data)
    onnx.save(model, f"{out}/{name}/model.onnx")
    for stem, tensors in (("input", feeds.items()), ("output", zip([o.name for o in model.graph.output], results))):
        for i, (tensor, array) in enumerate(tensors):
            proto = map_proto(array, tensor) if isinstance(array, dict) else numpy_helper.from_array(array, tensor)
            with open(f"{data}/{stem}_{i}.pb", "wb") as f:
                f.write(proto.SerializeToString())
    if row.tolerance:
        with open(f"{out}/{name}/TOLERANCE", "w") as f:
            f.write("--rtol {} --atol {}\n".format(*row.tolerance))


def main(out):
    tables = sorted(glob.glob(f"{HERE}/made_*.py"))
    sums = [zlib.crc32(open(path, "rb").read()) for path in [__file__, *tables]]
    stamp, version = f"{out}/VERSION", f"{onnx.__version__} {onnxruntime.__version__} {sums}"
    if os.path.exists(stamp) and open(stamp).read() == version:
        return
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    sys.path.insert(0, HERE)
    for path in tables:
        for row in importlib.import_module(os.path.basename(path)[:-3]).rows():
            write(out, row)
    print(f"{len(os.listdir(out))} cases in {out}")
    with open(stamp, "w") as f:
        f.write(version)


if __name__ == "__main__":
    sys.modules["make_made_cases"] = sys.modules["__main__"]
    main(sys.argv[1])
