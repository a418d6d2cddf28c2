"""house.py ROOT: the rules of docs/internals.md that a script can check. One case a rule."""
import os
import re
import shutil
import subprocess
import sys

# Which folders' headers each folder may include, its own apart: those to its left, and ir.
MAY_INCLUDE = {
    "ir": set(),
    "frontend": {"ir"},
    "passes": {"ir", "frontend"},
    "codegen": {"ir", "frontend", "passes", "runtime"},  # the runtime's headers are the ABI that it emits
    "runtime": set(),
    "tools": {"ir", "frontend", "passes", "codegen", "runtime"},
}
# The words of each target, and the paths (by part of their name) that may hold them besides the target table. The kinds
# LOOP_HLS_... are ways in which a loop runs, as LOOP_VECTOR is.
TARGET_WORDS = {
    r"x86|avx\d*|sse\d|zmm|ymm": ["x86", "codegen/llvm/", "elf_write"],  # the emitter and its object files are x86's
    r"cuda|nvcc|nvptx|ptx|__global__": ["cuda"],
    r"hls|vitis|vivado": ["hls"],
}
TARGET_TABLE = ("codegen/target.c", "codegen/target.h", "codegen/target_table.c")
COMPILER = ("ir", "frontend", "passes", "codegen")
MAX_LINES, RULE_LINES = 1200, 600
MAX_COLUMNS = 100


def sources(root, folders):
    for folder in folders:
        for where, _, names in os.walk(os.path.join(root, folder)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(where, name), root)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


def without_comments(text):
    """Comments become blank lines of the same number."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)


def check_includes(root):
    for path in sources(root, MAY_INCLUDE):
        folder = path.split("/")[0]
        for target in re.findall(r'^\s*#\s*include "(?:\.\./)*([^"]+)"', read(root, path), re.M):
            other = target.split("/")[0]
            if other in MAY_INCLUDE and other != folder and other not in MAY_INCLUDE[folder]:
                yield f"{path} includes {target}: {folder} may not know {other}"


def check_target_names(root):
    for path in sources(root, COMPILER):
        if path in TARGET_TABLE:
            continue
        text = without_comments(read(root, path))
        for words, homes in TARGET_WORDS.items():
            if any(home in path for home in homes):
                continue
            match = re.search(rf"(?<!LOOP_)(?<![a-zA-Z])(?:{words})(?![a-zA-Z])", text, re.I)
            if match:
                line = text.count("\n", 0, match.start()) + 1
                yield f"{path}:{line}: a target's name, {match.group()!r}, outside its folder and the table"


def check_leftovers(root):
    for path in sources(root, [*MAY_INCLUDE, "test"]):
        for number, line in enumerate(read(root, path).splitlines(), 1):
            if re.search(r"\b(TODO|FIXME|XXX)\b|not implemented", line):
                yield f"{path}:{number}: unfinished: {line.strip()}"


def check_sizes(root):
    totals = {}
    for path in sources(root, [*MAY_INCLUDE, "test"]):
        lines = read(root, path).splitlines()
        folder = path.split("/")[0]
        totals[folder] = totals.get(folder, 0) + len(lines)
        if len(lines) > MAX_LINES:
            yield f"{path} has {len(lines)} lines, {MAX_LINES} is the limit"
        elif len(lines) > RULE_LINES:
            print(f"long: {path} has {len(lines)} lines")
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_COLUMNS and "http" not in line:
                yield f"{path}:{number}: {len(line)} columns"
    print("lines: " + ", ".join(f"{folder} {n}" for folder, n in totals.items()), "total", sum(totals.values()))


def check_opening(root):
    """Every file begins by saying what it is."""
    for path in sources(root, [*MAY_INCLUDE, "test"]):
        if not read(root, path).startswith(f"/* {os.path.basename(path)}: "):
            yield f"{path} does not begin with '/* {os.path.basename(path)}: '"


def check_format(root):
    tool = shutil.which("clang-format")
    if not tool:
        print("clang-format is not installed: layout not checked")
        return
    files = list(sources(root, [*MAY_INCLUDE, "test"]))
    result = subprocess.run([tool, "--dry-run", *files], cwd=root, capture_output=True, text=True)
    for path in sorted(set(re.findall(r"^([^:\n]+):\d+:\d+: warning: code should be", result.stderr, re.M))):
        yield f"{path} is not laid out as .clang-format says: run clang-format -i {path}"


def main(root):
    failed = 0
    rules = [check_includes, check_target_names, check_leftovers, check_sizes, check_opening, check_format]
    for rule in rules:
        faults = list(rule(root))
        failed += bool(faults)
        for fault in faults:
            print(f"error: {rule.__name__}: {fault}")
    print(f"{len(rules) - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
