"""rewritten.py ONNXCC OUT FOLDER...: networks as ONNX Runtime writes them: optimised, and quantised in three ways.

A rewritten network must agree with what ONNX Runtime computes of it, node by node, without optimising it further. Where
activations are quantised, one last bit decides a step: such a network may differ by twice as much as ONNX Runtime's own
answer does when it optimises.
"""
import logging
import os
import shutil
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime import quantization
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType

LEVEL = onnxruntime.GraphOptimizationLevel


def session(model, level, written=None):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    if written:
        options.optimized_model_filepath = written
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def read_inputs(folder, names):
    paths = [f"{folder}/test_data_set_0/input_{i}.pb" for i in range(len(names))]
    return {name: numpy_helper.to_array(onnx.load_tensor(path)) for name, path in zip(names, paths)}


class Reader(CalibrationDataReader):
    def __init__(self, feeds):
        self.feeds = iter([feeds])

    def get_next(self):
        return next(self.feeds, None)


def optimise(source, feeds, out):
    session(source, LEVEL.ORT_ENABLE_EXTENDED, out)


def dynamic(source, feeds, out):
    quantization.quantize_dynamic(source, out)


def static(form):
    def write(source, feeds, out):
        quantization.quantize_static(
            source, out, Reader(feeds), quant_format=form, activation_type=QuantType.QUInt8, weight_type=QuantType.QUInt8
        )

    return write


WAYS = {
    "extended": optimise,
    "dynamic": dynamic,
    "qdq": static(QuantFormat.QDQ),
    "qoperator": static(QuantFormat.QOperator),
}
# The networks whose optimised form has operators of ONNX Runtime's, and how they are rewritten.
SUBJECTS = {
    "fashion": ["extended", "dynamic", "qdq", "qoperator"],
    "minilm_128": ["extended", "dynamic"],
    "deit_tiny_patch16_224": ["extended"],
    "mobilenet_v2": ["extended", "qoperator"],
    "decoder_step": ["extended"],
    "unet_160": ["extended"],
}


def write_case(folder, way, out):
    """Makes a test folder; returns the absolute tolerance of its results, 0 for the usual one."""
    data, model, basic = f"{out}/test_data_set_0", f"{out}/model.onnx", f"{out}/basic.onnx"
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(data)
    plain = session(f"{folder}/model.onnx", LEVEL.ORT_ENABLE_BASIC, basic)
    feeds = read_inputs(folder, [i.name for i in plain.get_inputs()])
    WAYS[way](basic, feeds, model)
    os.remove(basic)
    plain = session(model, LEVEL.ORT_DISABLE_ALL)
    results = plain.run(None, feeds)
    for stem, arrays in (("input", feeds.values()), ("output", results)):
        for i, array in enumerate(arrays):
            onnx.save_tensor(numpy_helper.from_array(array), f"{data}/{stem}_{i}.pb")
    if way == "extended":
        return 0
    again = session(model, LEVEL.ORT_ENABLE_EXTENDED).run(None, feeds)
    return 2 * max(float(np.abs(a - b).max()) for a, b in zip(results, again))


def is_refused(onnxcc, folder, out):
    """Whether a network in a layout that fits one processor is refused with what to do instead."""
    os.makedirs(out, exist_ok=True)
    session(f"{folder}/model.onnx", LEVEL.ORT_ENABLE_ALL, f"{out}/model.onnx")
    domains = {node.domain for node in onnx.load(f"{out}/model.onnx").graph.node}
    result = subprocess.run([onnxcc, "check", f"{out}/model.onnx"], capture_output=True, text=True)
    hinted = result.returncode == 1 and "ORT_ENABLE_EXTENDED" in result.stderr
    return hinted == ("com.microsoft.nchwc" in domains)


def main(onnxcc, out, *folders):
    logging.disable(logging.WARNING)
    passed = failed = 0
    for folder in folders:
        name = os.path.basename(folder)
        for way in SUBJECTS.get(name, []):
            case = f"{out}/{name}_{way}"
            atol = write_case(folder, way, case)
            arguments = ["--atol", str(atol)] if atol else []
            result = subprocess.run([onnxcc, "test", "--open", case, *arguments], capture_output=True, text=True)
            passed += result.returncode == 0
            failed += result.returncode != 0
            if result.returncode:
                print(f"FAILED {name} {way}: {(result.stdout + result.stderr)[-500:]}")
        if name == "fashion":
            refused = is_refused(onnxcc, folder, f"{out}/{name}_all")
            passed += refused
            failed += not refused
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
