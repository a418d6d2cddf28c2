"""run.py ONNXCC SCRATCH COUNT: properties of random graphs. For each seed below COUNT a graph is made and run by ONNX Runtime; then
`onnxcc test` must agree with it in every way of compiling: optimised and plain, dimensions open and pinned, one thread and
two. A graph that ONNX Runtime refuses, or whose numbers run away, is left out and counted as skipped."""
import concurrent.futures
import os
import shutil
import subprocess
import sys

import graphs
import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

WAYS = [["-O3", "--pin"], ["-O3", "--open", "--threads", "2"], ["-O0", "--open"], ["-O0", "--pin"], ["-O3", "--pin", "--target", "x86-64-v2"]]
LARGEST = 1e4


def expect(model, feeds):
    """The outputs by ONNX Runtime; None if it does not take the model or numbers run away."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        results = session.run(None, {i.name: feeds[i.name] for i in session.get_inputs()})
    except Exception:
        return None
    tame = all(np.isfinite(r).all() and np.abs(r).max(initial=0) < LARGEST for r in results if r.dtype == np.float32)
    return results if tame else None


def write_case(folder, model, feeds, results):
    data = f"{folder}/test_data_set_0"
    os.makedirs(data)
    onnx.save(model, f"{folder}/model.onnx")
    for stem, arrays in (("input", [feeds[i.name] for i in model.graph.input]), ("output", results)):
        for number, array in enumerate(arrays):
            with open(f"{data}/{stem}_{number}.pb", "wb") as f:
                f.write(numpy_helper.from_array(array).SerializeToString())


def check(onnxcc, folders, way):
    """What is wrong, a list of lines a failure. A batch that dies is run again, folder by folder."""
    result = subprocess.run([onnxcc, "test", *folders, *way], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode == 0:
        return []
    if len(folders) > 1:
        return [wrong for folder in folders for wrong in check(onnxcc, [folder], way)]
    return [f"FAILED {' '.join(way)} {folders[0]}: exit status {result.returncode}\n{result.stdout.strip()}"]


def main(onnxcc, scratch, count):
    shutil.rmtree(scratch, ignore_errors=True)
    folders, skipped = [], 0
    for seed in range(int(count)):
        model, feeds = graphs.make(seed)
        results = expect(model, feeds)
        if results is None:
            skipped += 1
            continue
        folders.append(f"{scratch}/seed_{seed}")
        write_case(folders[-1], model, feeds, results)
    failures = []
    batches = [(folders[i : i + 25], way) for way in WAYS for i in range(0, len(folders), 25)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for wrong in pool.map(lambda batch: check(onnxcc, *batch), batches):
            failures += wrong
    print(*failures, sep="\n")
    print(f"{len(folders) * len(WAYS) - len(failures)} passed, {len(failures)} failed, {skipped * len(WAYS)} skipped")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
