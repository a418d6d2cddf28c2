"""ctarget.py ONNXCC ROOT CASES: NAME.c compiles without a warning and does what the library does. One case a function
whose name begins with test_, run with each compiler."""
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

import onnx
from onnx import TensorProto, helper

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
FLAGS = ["-O2", "-Wall", "-Wextra", "-Werror"]
NODE_CASES = """abs and_bcast3v1d argmax_keepdims_random averagepool_2d_default batchnorm_example cast_FLOAT_to_FLOAT16
    clip_example concat_3d_axis_1 conv_with_strides_padding cumsum_1d div_uint8 einsum_batch_diagonal erf
    gather_elements_1 gelu_tanh_1 gemm_all_attributes layer_normalization_4d_axis1 matmul_3d maxpool_2d_pads mod_int64_fmod
    mod_mixed_sign_int8 or2d pow_example quantizelinear_axis reduce_log_sum_exp_default_axes_keepdims_random
    relu sigmoid softmax_axis_1 tanh transpose_all_permutations_3 tril where_example""".split()


class Target:
    def __init__(self, compiler, onnxcc, root, cases, folder):
        self.compiler, self.onnxcc, self.root, self.cases, self.folder = compiler, onnxcc, root, cases, folder
        self.model = f"{root}/examples/fashion/model.onnx"

    def compile(self, model, name, *arguments, out=None):
        """The folder in which NAME.c, NAME.h and NAME.o lie."""
        out = out or f"{self.folder}/{name}"
        run([self.onnxcc, "compile", model, "-o", out, "--name", name, "--target", "c", *arguments])
        run([self.compiler, "-std=c99", *FLAGS, "-c", f"{out}/{name}.c", "-o", f"{out}/{name}.o"])
        return out

    def as_system_compiler(self):
        """The environment in which `cc` is this compiler, warnings as errors."""
        path = f"{self.folder}/bin"
        if not os.path.exists(path):
            os.mkdir(path)
            with open(f"{path}/cc", "w") as f:
                f.write(f'#!/bin/sh\nexec {shutil.which(self.compiler)} {" ".join(FLAGS)} "$@"\n')
            os.chmod(f"{path}/cc", 0o755)
        return dict(os.environ, PATH=f"{path}:{os.environ['PATH']}")


def run(command, **keywords):
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", **keywords)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout[-2000:]}{result.stderr[-2000:]}"
    return result.stdout


def test_calls(t):
    """The same refusals and results as a library; the application's parallel-for is the runtime's pool here."""
    fixed, several = t.compile(t.model, "fixed", "--dim", "batch=1"), t.compile(t.model, "open")
    program = f"{t.folder}/calls"
    run([t.compiler, "-std=c11", *FLAGS, f"-I{fixed}", f"-I{several}", f"-I{t.root}/runtime",
         f"{t.root}/test/package/calls.c", f"{t.root}/runtime/onnxcc_pool.c", f"{fixed}/fixed.o",
         f"{several}/open.o", "-lm", "-pthread", "-o", program])
    run([program])


def test_same_bytes(t):
    first, again = t.compile(t.model, "same"), t.compile(t.model, "same", out=f"{t.folder}/again")
    for name in ("same.c", "same.h"):
        with open(f"{first}/{name}", "rb") as a, open(f"{again}/{name}", "rb") as b:
            assert a.read() == b.read(), f"{name} differs between two compilations"


def test_weights_in_file(t):
    out = t.compile(t.model, "apart", "--weights", "file")
    assert os.path.getsize(f"{out}/apart.weights") > 100_000
    assert os.path.getsize(f"{out}/apart.c") < 100_000


def test_node_cases(t):
    folders = [f"{t.cases}/test_{name}" for name in NODE_CASES]
    folders = [folder for folder in folders if os.path.isdir(folder)]
    assert len(folders) > 20, f"only {len(folders)} of the cases exist"
    run([t.onnxcc, "test", *folders, "--target", "c", "--pin"], env=t.as_system_compiler())


def test_hostile_names(t):
    """Names from the file are no identifiers, and one is to end a comment."""
    names = ["int", "*/ #error \\", "a\nb", "0", "int ", "é", "inputs", "status", "INFINITY", "", "frame"]
    dims = ["*/;", "int", "int64_t"]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, dims) for n in names if n]
    sums, nodes = names[0], []
    for i, name in enumerate(names[1:]):
        if name:
            nodes.append(helper.make_node("Add", [sums, name], [f"% {i} */"], name=f"*/ \" \\ {name}"))
            sums = nodes[-1].output[0]
    nodes.append(helper.make_node("Softmax", [sums], ["return"], axis=-1, name="??/"))
    output = helper.make_tensor_value_info("return", TensorProto.FLOAT, dims)
    graph = helper.make_graph(nodes, "*/", inputs, [output])
    path = f"{t.folder}/1 int*-%s.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    run([t.onnxcc, "compile", path, "-o", f"{t.folder}/hostile", "--target", "c"])
    (source,) = [name for name in os.listdir(f"{t.folder}/hostile") if name.endswith(".c")]
    run([t.compiler, "-std=c99", *FLAGS, "-c", source, "-o", "hostile.o"], cwd=f"{t.folder}/hostile")
    t.compile(path, "int")
    t.compile(path, "step")


def main(*arguments):
    failed = passed = 0
    for compiler in COMPILERS:
        with tempfile.TemporaryDirectory() as folder:
            target = Target(compiler, *arguments, folder)
            for name, test in list(globals().items()):
                if not name.startswith("test_"):
                    continue
                try:
                    test(target)
                    passed += 1
                except Exception:
                    failed += 1
                    print(f"FAILED {name} with {compiler}\n{traceback.format_exc(limit=-1)}")
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
