"""package.py ONNXCC EXAMPLE: what ships is what the manual promises. One case a function whose name begins with test_."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

ALLOWED = re.compile(r"memcpy|memmove|memset|pthread_\w+")
HERE = os.path.dirname(os.path.abspath(__file__))


class Package:
    def __init__(self, onnxcc, example, folder):
        self.onnxcc, self.example, self.folder = onnxcc, example, folder
        self.model = f"{example}/model.onnx"
        self.compile("fixed", "--dim", "batch=1")
        self.compile("open")

    def compile(self, name, *arguments, out=None):
        out = out or f"{self.folder}/{name}"
        run([self.onnxcc, "compile", self.model, "-o", out, "--name", name, *arguments])
        return out

    def fails(self, status, *arguments):
        """The command ends with this status, one message at least, and no crash."""
        result = subprocess.run([self.onnxcc, *arguments], capture_output=True, text=True)
        assert result.returncode == status, f"{arguments}: status {result.returncode}\n{result.stderr}"
        assert result.stderr.strip(), f"{arguments}: no message"
        return result.stderr


def run(command, **keywords):
    result = subprocess.run(command, capture_output=True, text=True, **keywords)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}{result.stderr}"
    return result.stdout


def test_same_bytes(p):
    again = p.compile("fixed", "--dim", "batch=1", out=f"{p.folder}/again")
    for name in os.listdir(again):
        with open(f"{again}/{name}", "rb") as a, open(f"{p.folder}/fixed/{name}", "rb") as b:
            assert a.read() == b.read(), f"{name} differs between two compilations"


def test_undefined_symbols(p):
    """Merged into one object, the archive without its pool needs the three memory functions at most."""
    for name in ("fixed", "open"):
        listing = run(["nm", "-A", f"{p.folder}/{name}/lib{name}.a"])
        rows = [line.split() for line in listing.splitlines() if line]
        defined = {row[-1] for row in rows if row[-2] != "U"}
        foreign = {row[-1] for row in rows if row[-2] == "U"} - defined
        strange = sorted(s for s in foreign if not ALLOWED.fullmatch(s))
        assert not strange, f"lib{name}.a needs {strange}"
        threads = {row[0] for row in rows if row[-1].startswith("pthread_") and row[-2] == "U"}
        assert all("pool" in member for member in threads), f"pthreads outside of the pool: {threads}"


def test_nothing_writable(p):
    """No variable that changes: re-entrant by construction."""
    for line in run(["size", "-A", f"{p.folder}/fixed/libfixed.a"]).splitlines():
        match = re.match(r"^(\.data|\.bss|\.tdata|\.tbss|\.init_array|\.ctors)\S*\s+(\d+)", line)
        assert not match or match[2] == "0" or match[0].startswith(".data.rel.ro"), line


def test_header(p):
    flags = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
    for name in ("fixed", "open"):
        header = f"{p.folder}/{name}/{name}.h"
        run(["cc", "-std=c99", *flags, "-x", "c", header])
        run(["c++", "-std=c++11", *flags, "-x", "c++", header])


def test_hostile_names(p):
    """Names that meet each other in capitals, the header's own macros, and words of C and C++."""
    import onnx
    from onnx import TensorProto, helper

    names = ["a", "A", "a-b", "a_b", "arena", "weights", "STACK", "constexpr", "linux", "int64_t", "*/", "9", "dims"]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [i + 1]) for i, n in enumerate(names)]
    outputs = [helper.make_tensor_value_info(f"{n}+", TensorProto.FLOAT, [i + 1]) for i, n in enumerate(names)]
    nodes = [helper.make_node("Neg", [n], [f"{n}+"], name=f'{n}"??/\\') for n in names]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, f"{p.folder}/hostile.onnx")
    run([p.onnxcc, "compile", f"{p.folder}/hostile.onnx", "-o", f"{p.folder}/hostile", "--name", "hostile"])
    flags = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
    for compiler in (["cc", "-std=gnu11", "-x", "c"], ["c++", "-std=gnu++17", "-x", "c++"]):
        run([*compiler, *flags, f"{p.folder}/hostile/hostile.h"])


def test_several_machines(p):
    """The library that picks among instruction sets runs, and remembers one word: which it picked."""
    p.compile("several", "--dim", "batch=1", "--target", "multi")
    sizes = run(["size", "-A", f"{p.folder}/several/libseveral.a"])
    rows = re.findall(r"^\.(?:data|bss|tdata|tbss)\s+([1-9]\d*)", sizes, re.M)
    assert rows == ["4"], rows
    with open(f"{p.folder}/several.c", "w") as f:
        f.write(
            '#include "several.h"\n'
            "static _Alignas(64) unsigned char arena[SEVERAL_ARENA_BYTES];\n"
            "static const char *const steps[SEVERAL_STEP_COUNT] = SEVERAL_STEP_NAMES;\n"
            "int main(void) {\n"
            "    static float image[SEVERAL_IMAGE_BYTES / 4], logits[SEVERAL_LOGITS_BYTES / 4];\n"
            "    several_inputs in = {.image = image};\n"
            "    several_outputs out = {.logits = logits};\n"
            "    return !steps[0][0] || several_run(&in, &out, arena, NULL);\n"
            "}\n"
        )
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{p.folder}/several"]
    run(["cc", *flags, f"{p.folder}/several.c", f"{p.folder}/several/libseveral.a", "-o", f"{p.folder}/several_app"])
    run([f"{p.folder}/several_app"])


def test_calls(p):
    program = f"{p.folder}/calls"
    includes = [f"-I{p.folder}/fixed", f"-I{p.folder}/open"]
    libraries = [f"{p.folder}/fixed/libfixed.a", f"{p.folder}/open/libopen.a", "-pthread"]
    run(["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", *includes, f"{HERE}/calls.c", *libraries, "-o", program])
    run([program])


def test_cmake_package(p):
    app = f"{p.folder}/app"
    fashion = p.compile("fashion", "--dim", "batch=1")
    run(["cmake", "-G", "Ninja", "-S", p.example, "-B", app, f"-DCMAKE_PREFIX_PATH={fashion}"])
    run(["cmake", "--build", app])
    pictures = [f"{p.example}/images/{name}.pgm" for name in ("sandal", "bag", "trouser")]
    output = run([f"{app}/fashion_demo", *pictures])
    for name in ("sandal", "bag", "trouser"):
        assert f"{name}.pgm: {name}" in output, output
    rows = re.findall(r"^ *([\d.]+) +([\d.]+) +([\d.]+)  fashion_\d+_Conv_f32 \(/\S+/Conv\)$", run([f"{app}/fashion_demo", "--profile", *pictures]), re.M)
    assert len(rows) >= 8 and all(float(number) > 0 for row in rows for number in row), rows


def test_pkg_config(p):
    if not shutil.which("pkg-config"):
        return
    environment = dict(os.environ, PKG_CONFIG_PATH=f"{p.folder}/fixed")
    flags = run(["pkg-config", "--cflags", "--libs", "fixed"], env=environment)
    assert "-lfixed" in flags and f"{p.folder}/fixed" in flags, flags


def test_arena(p):
    figures = json.loads(
        run([p.onnxcc, "bench", p.model, "--dim", "batch=1", "--seconds", "0.1", "--json"])
    )
    arena, bound = figures["arena_bytes"], figures["arena_bound_bytes"]
    assert bound <= arena <= 1.1 * bound, f"arena {arena}, bound {bound}"


def test_bad_models(p):
    bad = f"{p.folder}/bad.onnx"
    with open(p.model, "rb") as f:
        data = f.read()
    for name, content in (("empty", b""), ("text", b"hello"), ("truncated", data[: len(data) // 2])):
        with open(bad, "wb") as f:
            f.write(content)
        out = f"{p.folder}/never"
        message = p.fails(1, "compile", bad, "-o", out)
        assert "bad.onnx" in message, f"{name}: {message}"
        assert not os.path.exists(out) or not os.listdir(out), f"{name}: something was written"
    p.fails(1, "compile", f"{p.folder}/missing.onnx", "-o", f"{p.folder}/never")
    p.fails(1, "check", bad)


def test_bad_command_lines(p):
    p.fails(2)
    p.fails(2, "nonsense")
    p.fails(2, "compile")
    p.fails(2, "compile", p.model)
    p.fails(2, "compile", p.model, "-o", f"{p.folder}/never", "--nonsense")
    p.fails(2, "compile", p.model, "-o", f"{p.folder}/never", "--target", "abacus")


def test_dims(p):
    p.fails(1, "compile", p.model, "-o", f"{p.folder}/never", "--dim", "batch=-4")
    p.fails(1, "compile", p.model, "-o", f"{p.folder}/never", "--dim", "nonsense=4")


def main(onnxcc, example):
    failed = passed = 0
    with tempfile.TemporaryDirectory() as folder:
        package = Package(onnxcc, example, folder)
        for name, test in list(globals().items()):
            if not name.startswith("test_"):
                continue
            try:
                test(package)
                passed += 1
            except Exception:
                failed += 1
                print(f"FAILED {name}\n{traceback.format_exc(limit=-1)}")
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
