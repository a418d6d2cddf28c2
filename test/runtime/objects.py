"""objects.py CC CXX RUNTIME OBJECTS: what ships asks nothing of the system but memory functions and, in the pool, threads;
its header stands alone in C and C++. One case a check."""
import glob
import os
import re
import subprocess
import sys

MEMORY = re.compile(r"memcpy|memmove|memset|_GLOBAL_OFFSET_TABLE_")
THREADS = re.compile(r"pthread_\w+")
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]


def run(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}{result.stderr}"
    return result.stdout


def check_undefined(path):
    """Undefined symbols, object by object."""
    for line in run("nm", "-u", path).splitlines():
        symbol = line.split()[-1]
        threads = os.path.basename(path) == "onnxcc_pool.o" and THREADS.fullmatch(symbol)
        assert MEMORY.fullmatch(symbol) or threads, f"{path} needs {symbol}"


def check_names(path):
    """Everything global is ours by its name."""
    for line in run("nm", "-g", "--defined-only", path).splitlines():
        symbol = line.split()[-1]
        assert symbol.startswith("onnxcc_"), f"{path} defines {symbol}"


def main(cc, cxx, runtime, objects):
    header = f"{runtime}/onnxcc_runtime.h"
    checks = [(run, (cc, f"-std={std}", *WARNINGS, "-x", "c", header)) for std in ("c99", "c11")]
    checks += [(run, (cxx, f"-std={std}", *WARNINGS, "-x", "c++", header)) for std in ("c++11", "c++17")]
    paths = sorted(glob.glob(f"{objects}/*.o"))
    assert paths, f"no objects in {objects}"
    checks += [(check, (path,)) for path in paths for check in (check_undefined, check_names)]
    failed = 0
    for check, arguments in checks:
        try:
            check(*arguments)
        except AssertionError as e:
            failed += 1
            print(f"FAILED {check.__name__}: {e}")
    print(f"{len(checks) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
