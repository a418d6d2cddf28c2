"""run.py ONNXCC FOLDER: text tests of passes. Each FOLDER/*.test is one case:

    # what is tested
    opt ARGUMENT...
    ---
    IR that goes in
    ---
    what `onnxcc opt INPUT ARGUMENT...` prints

With ONNXCC_REFRESH=1 in the environment, the last part is rewritten instead of compared.
"""
import difflib
import glob
import os
import shlex
import subprocess
import sys
import tempfile


def run(onnxcc, path, refresh):
    """What is wrong with the case, or an empty string."""
    with open(path) as f:
        parts = f.read().split("\n---\n")
    if len(parts) < 2:
        return "no line '---' between the command and the IR"
    head, source, wanted = parts[0], parts[1], parts[2] if len(parts) > 2 else ""
    command = shlex.split(next(line for line in head.splitlines() if line and not line.startswith("#")))
    with tempfile.TemporaryDirectory() as folder:
        name = f"{folder}/input.ir"
        with open(name, "w") as f:
            f.write(source + "\n")
        result = subprocess.run(
            [onnxcc, command[0], name, *command[1:]], capture_output=True, text=True, timeout=60
        )
        got = (result.stdout + result.stderr).replace(name, "input.ir").rstrip("\n")
    if refresh:
        with open(path, "w") as f:
            f.write("\n---\n".join([head, source, got]) + "\n")
        return ""
    wanted = wanted.rstrip("\n")
    return "\n".join(difflib.unified_diff(wanted.split("\n"), got.split("\n"), "wanted", "got", lineterm=""))


def main(onnxcc, folder):
    refresh = os.environ.get("ONNXCC_REFRESH") == "1"
    failed = 0
    paths = sorted(glob.glob(f"{folder}/*.test"))
    for path in paths:
        fault = run(onnxcc, path, refresh)
        if fault:
            failed += 1
            print(f"FAILED {path}\n{fault}")
    print(f"{len(paths) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
