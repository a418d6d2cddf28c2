"""embed_runtime.py OUT HEADER SOURCE=OBJECT...: the runtime as C data: its header and sources as text, its objects as bytes."""
import os
import sys


def text(path):
    lines = open(path).read().split("\n")
    kept = [line for line in lines if '#include "onnxcc_runtime.h"' not in line]
    # As numbers: a string literal may have 4095 characters only.
    return "{" + ",".join(map(str, "\n".join(kept).encode("ascii"))) + ",0}"


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
