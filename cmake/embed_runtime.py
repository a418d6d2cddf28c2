"""embed_runtime.py OUT HEADER SOURCE=OBJECT...: the runtime as C data: its header and sources as text, its objects as bytes."""
import os
import re
import sys


def expand(path, seen):
    """The text of a source, its parts in place of their includes; the runtime's header stands before it anyway."""
    lines = []
    for line in open(path).read().split("\n"):
        part = re.fullmatch(r'#include "(.*)"', line)
        name = part and os.path.normpath(os.path.join(os.path.dirname(path), part[1]))
        if not part:
            lines.append(line)
        elif name not in seen and os.path.basename(name) != "onnxcc_runtime.h":
            seen.add(name)
            lines += expand(name, seen)
    return lines


def text(path):
    # As numbers: a string literal may have 4095 characters only.
    return "{" + ",".join(map(str, "\n".join(expand(path, set())).encode("ascii"))) + ",0}"


def main(out, header, *pairs):
    parts = ['/* Made by cmake/embed_runtime.py. */', '#include "codegen/package/runtime_files.h"', "",
             "const char runtime_header[] =", text(header) + ";", ""]
    rows = []
    for number, pair in enumerate(sorted(pairs)):
        source, obj = pair.split("=")
        data = open(obj, "rb").read()
        rows.append(f'    {{"{os.path.basename(source)[:-2]}.o", object_{number}, object_{number} + {len(data)}, source_{number}}},')
        parts += [f"static const unsigned char object_{number}[] = {{", ",".join(map(str, data)), "};",
                  f"static const char source_{number}[] =", text(source) + ";", ""]
    parts += ["const runtime_file runtime_files[] = {", *rows, "};",
              "const size_t runtime_file_count = sizeof runtime_files / sizeof *runtime_files;", ""]
    with open(out, "w") as f:
        f.write("\n".join(parts))


main(*sys.argv[1:])
