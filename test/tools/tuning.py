"""tuning.py ONNXCC SCRATCH: `compile --tune`: what it measures it keeps; with the same records the library is the same, byte for byte,
and nothing is measured again; results stay right at every rank; a file that holds no records is refused."""
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_model(folder):
    """Two products and a convolution, with seeded numbers and what they give."""
    r = np.random.default_rng(5)
    w = [r.standard_normal(s).astype(np.float32) for s in ((96, 80), (80, 48))]
    x = r.standard_normal((40, 96)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w0"], ["h"]), helper.make_node("Relu", ["h"], ["a"]),
             helper.make_node("MatMul", ["a", "w1"], ["y"])]  # fmt: skip
    graph = helper.make_graph(
        nodes, "tuned", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 96])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 48])],
        [numpy_helper.from_array(v, f"w{i}") for i, v in enumerate(w)],
    )  # fmt: skip
    os.makedirs(f"{folder}/test_data_set_0")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), f"{folder}/model.onnx")
    for name, value in (("input_0", x), ("output_0", np.maximum(x @ w[0], 0) @ w[1])):
        with open(f"{folder}/test_data_set_0/{name}.pb", "wb") as f:
            f.write(numpy_helper.from_array(value, name).SerializeToString())


def main(onnxcc, out):
    shutil.rmtree(out, ignore_errors=True)
    write_model(f"{out}/model")
    model, records = f"{out}/model/model.onnx", f"{out}/cache/tuning.json"
    failed, checks = [], 0

    def check(what, good):
        nonlocal checks
        checks += 1
        if not good:
            failed.append(what)

    def call(*arguments):
        return subprocess.run([onnxcc, *arguments], capture_output=True, text=True)

    def compile_into(folder, *arguments):
        done = call("compile", model, "-o", f"{out}/{folder}", "--name", "tuned", *arguments)
        library = f"{out}/{folder}/libtuned.a"
        return done, open(library, "rb").read() if os.path.exists(library) else None

    tune = ["--tune=1", "--tune-cache", records]
    done, _ = compile_into("open", *tune)
    check("open sizes are refused, with a hint", done.returncode == 1 and "--dim" in done.stderr)
    first, tuned = compile_into("first", *tune, "--dim", "rows=40")
    said = re.search(r"(\d+) kernels measured, \d+ found something faster: ([\d.]+) ms, ([\d.]+) before", first.stdout)
    check("kernels are measured: " + first.stdout + first.stderr, said and int(said[1]) >= 2)
    check("times are no times", said and 0 < float(said[2]) <= float(said[3]))
    known = json.load(open(records))
    check("each has a record", said and len(known) == int(said[1]))
    again, same = compile_into("again", *tune, "--dim", "rows=40")
    check("nothing is measured twice", " 0 kernels measured" in again.stdout)
    check("equal records, equal bytes", tuned is not None and same == tuned)
    check("without --tune too", compile_into("read", "--tune-cache", records, "--dim", "rows=40")[1] == tuned)
    plain = compile_into("plain", "--dim", "rows=40")[1]
    libraries = set()
    for rank in range(8):
        with open(f"{out}/rank.json", "w") as f:
            json.dump({key: rank for key in known}, f)
        libraries.add(compile_into("rank", "--tune-cache", f"{out}/rank.json", "--dim", "rows=40")[1])
        done = call("test", f"{out}/model", "--pin", "--tune-cache", f"{out}/rank.json")
        check(f"rank {rank}: {done.stdout}{done.stderr}", done.returncode == 0)
        check("rank 0 is the cost model's", rank or libraries == {plain})
    check("ranks are different schedules", len(libraries) > 2)
    for text in ("{", "[]", '{"a": 99}', '{"a": "b"}'):
        with open(f"{out}/bad.json", "w") as f:
            f.write(text)
        done = compile_into("bad", "--tune-cache", f"{out}/bad.json")[0]
        check(f"{text} is refused", done.returncode == 1 and "no tuning records" in done.stderr)
        check("nothing is written then", not os.path.exists(f"{out}/bad"))
    for target in ("c", "multi"):
        check(f"tuning for {target}", compile_into(target, "--tune", "--target", target)[0].returncode == 2)
    check("--tune=soon", compile_into("soon", "--tune=soon")[0].returncode == 2)
    for what in failed:
        print("FAILED", what)
    print(f"{checks - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
