"""make_cases.py OUT: write the cases of the installed onnx package as test folders (model.onnx, test_data_set_0).

They are the node cases, which the package makes, and the folders and files that it holds: simple, pytorch-converted,
pytorch-operator, light. Light models have no input data; as the package's own runner does, they get numbers that rise
evenly from 0 to 1. Transforms are expected as the files that ONNX publishes have them: of double precision, rounded at the end;
numpy 2 computes in that of the input, and noise of 1.9e-7 where zero is right is beyond the official 1e-7. The folders are made anew when the package's version or this file changes; a second run costs nothing.
"""
import glob
import math
import os
import shutil
import sys
import warnings
import zlib

import numpy
import onnx
from onnx import numpy_helper

DATA = f"{os.path.dirname(onnx.__file__)}/backend/test/data"


def to_proto(value, declared):
    """The message in which a value of a declared type is stored in a test folder."""
    if isinstance(value, onnx.TensorProto):
        return value
    kind = declared.type.WhichOneof("value")
    make = {
        "map_type": numpy_helper.from_dict,
        "sequence_type": numpy_helper.from_list,
        "optional_type": numpy_helper.from_optional,
    }.get(kind, numpy_helper.from_array)
    return make(value, declared.name)


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def write_case(folder, case):
    os.makedirs(folder)
    write(f"{folder}/model.onnx", case.model.SerializeToString())
    graph = case.model.graph
    for number, (inputs, outputs) in enumerate(case.data_sets):
        data = f"{folder}/test_data_set_{number}"
        os.makedirs(data)
        for stem, values, declared in (("input", inputs, graph.input), ("output", outputs, graph.output)):
            for i, value in enumerate(values):
                write(f"{data}/{stem}_{i}.pb", to_proto(value, declared[i]).SerializeToString())


def copy_folders(out):
    """The folders that the package holds."""
    for suite in ("simple", "pytorch-converted", "pytorch-operator"):
        for name in os.listdir(f"{DATA}/{suite}"):
            shutil.copytree(f"{DATA}/{suite}/{name}", f"{out}/{name}")


def write_light(out):
    """The models of well-known networks whose weights are one number repeated."""
    for path in glob.glob(f"{DATA}/light/*.onnx"):
        stem = path.removesuffix(".onnx")
        data = f"{out}/{os.path.basename(stem)}/test_data_set_0"
        os.makedirs(data)
        shutil.copy(path, f"{data}/../model.onnx")
        for output in glob.glob(f"{stem}_output_*.pb"):
            shutil.copy(output, data + output.removeprefix(stem).replace("_", "/", 1))
        graph = onnx.load(path).graph
        weights = {tensor.name for tensor in graph.initializer}
        for i, declared in enumerate(value for value in graph.input if value.name not in weights):
            shape = [dim.dim_value or 1 for dim in declared.type.tensor_type.shape.dim]
            count = math.prod(shape)
            value = (numpy.arange(count).reshape(shape) / count).astype(numpy.float32)
            write(f"{data}/input_{i}.pb", to_proto(value, declared).SerializeToString())


def transform_in_double():
    """numpy's transforms as they were before numpy 2, whatever the type of what they are given."""
    for name in ("fft", "ifft", "rfft", "irfft"):
        exact = getattr(numpy.fft, name)
        widen = {numpy.dtype("f4"): "f8", numpy.dtype("c8"): "c16"}

        def transform(a, *rest, exact=exact, widen=widen, **named):
            a = numpy.asarray(a)
            return exact(a.astype(widen.get(a.dtype, a.dtype)), *rest, **named)

        setattr(numpy.fft, name, transform)


def main(out):
    stamp, version = f"{out}/VERSION", f"{onnx.__version__} {zlib.crc32(open(__file__, 'rb').read())}"
    if os.path.exists(stamp) and open(stamp).read() == version:
        return
    warnings.simplefilter("ignore")
    sys.modules["PIL"] = None  # image cases are those that the package froze, whatever Pillow is here
    from onnx.backend.test.case.node import collect_testcases

    transform_in_double()
    shutil.rmtree(out, ignore_errors=True)
    cases = collect_testcases(None)
    for case in cases:
        write_case(f"{out}/{case.name}", case)
    copy_folders(out)
    write_light(out)
    print(f"{len(os.listdir(out))} cases in {out}")
    write(stamp, version.encode())


if __name__ == "__main__":
    main(sys.argv[1])
