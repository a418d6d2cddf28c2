"""make_cases.py OUT: write the node cases of the installed onnx package as test folders (model.onnx, test_data_set_0).

The folders are made anew when the package's version changes; a second run costs nothing.
"""
import os
import shutil
import sys
import warnings

import onnx
from onnx import numpy_helper


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


def main(out):
    stamp = f"{out}/VERSION"
    if os.path.exists(stamp) and open(stamp).read() == onnx.__version__:
        return
    warnings.simplefilter("ignore")
    from onnx.backend.test.case.node import collect_testcases

    shutil.rmtree(out, ignore_errors=True)
    cases = collect_testcases(None)
    for case in cases:
        write_case(f"{out}/{case.name}", case)
    write(stamp, onnx.__version__.encode())
    print(f"{len(cases)} cases in {out}")


if __name__ == "__main__":
    main(sys.argv[1])
