"""schema_table.py OUT: write operator schemas as C tables (see schema.h): those of the installed onnx package, and those of
contrib.schema.

Equal parts (type sets, parameter lists, attribute lists, bodies) are written once and shared; most versions of an
operator differ from their neighbour in one of them only.
"""
import os
import re
import sys

import contrib_schema
import onnx
from onnx import defs

CONTAINERS = [
    r"tensor\((\w+)\)",
    r"seq\(tensor\((\w+)\)\)",
    r"optional\(tensor\((\w+)\)\)",
    r"optional\(seq\(tensor\((\w+)\)\)\)",
    r"map\(int64, ?(?:tensor\()?(\w+)\)*",
    r"map\(string, ?(?:tensor\()?(\w+)\)*",
    r"seq\(map\(int64, ?(?:tensor\()?(\w+)\)*",
    r"seq\(map\(string, ?(?:tensor\()?(\w+)\)*",
]
SPELT_DIFFERENTLY = {"float": "FLOAT", "double": "DOUBLE"}
ANY_NUMBER = 0xFFFF


def quote(text):
    data = text.encode() if isinstance(text, str) else text
    out = ""
    for byte in data:
        char = chr(byte)
        out += char if 32 <= byte < 127 and char not in '"\\?' else f"\\{byte:03o}"
    return f'"{out}"'


def element(name):
    return onnx.TensorProto.DataType.Value(SPELT_DIFFERENTLY.get(name, name.upper()))


class Table:
    """C definitions in order; add() returns the name of an equal one that stands already."""

    def __init__(self):
        self.lines = []
        self.names = {}

    def add(self, ctype, prefix, rows):
        if not rows:
            return "NULL"
        key = (ctype, tuple(rows))
        if key not in self.names:
            self.names[key] = f"{prefix}_{len(self.names)}"
            body = ",\n    ".join(rows)
            self.lines.append(f"static const {ctype} {self.names[key]}[] = {{\n    {body}}};\n")
        return self.names[key]

    def types(self, strings):
        masks = [0] * len(CONTAINERS)
        for text in strings:
            for i, pattern in enumerate(CONTAINERS):
                match = re.fullmatch(pattern, text)
                if match:
                    masks[i] |= 1 << element(match.group(1))
                    break
            else:
                raise SystemExit(f"schema_table: no container for type {text}")
        return self.add("schema_types", "types", ["{{" + ", ".join(f"0x{m:x}u" for m in masks) + "}}"])

    def params(self, params, constraints):
        rows = []
        for p in params:
            types = self.types(constraints.get(p.type_str, [p.type_str]))
            option = {"Single": "SCHEMA_SINGLE", "Optional": "SCHEMA_OPTIONAL", "Variadic": "SCHEMA_VARIADIC"}
            rows.append(
                f"{{{quote(p.name)}, {quote(p.type_str)}, {types}, {option[p.option.name]}, "
                f"{p.min_arity}, {str(p.is_homogeneous).lower()}}}"
            )
        return self.add("schema_param", "params", rows)

    def default(self, value):
        """The count and the initialiser of an attribute's default value."""
        got = onnx.helper.get_attribute_value(value)
        kind = value.type
        if kind == onnx.AttributeProto.INT:
            return 0, f".i = {got}"
        if kind == onnx.AttributeProto.FLOAT:
            return 0, f".f = {float(got)!r}"
        if kind == onnx.AttributeProto.STRING:
            return 0, f".s = {quote(got)}"
        if kind == onnx.AttributeProto.INTS:
            return len(got), f".ints = {self.add('int64_t', 'ints', [str(i) for i in got])}"
        if kind == onnx.AttributeProto.FLOATS:
            return len(got), f".floats = {self.add('double', 'floats', [repr(float(f)) for f in got])}"
        if kind == onnx.AttributeProto.STRINGS:
            return len(got), f".strings = {self.add('char *const', 'strings', [quote(s) for s in got])}"
        raise SystemExit(f"schema_table: no form for a default of kind {kind}")

    def attributes(self, attributes):
        rows = []
        for a in sorted(attributes.values(), key=lambda a: a.name):
            kind = onnx.AttributeProto.AttributeType.Value(a.type.name)
            has_default = a.default_value.type != 0
            count, value = self.default(a.default_value) if has_default else (0, ".i = 0")
            rows.append(
                f"{{{quote(a.name)}, {kind}, {str(a.required).lower()}, "
                f"{str(has_default).lower()}, {count}, {{{value}}}}}"
            )
        return self.add("schema_attribute", "attributes", rows)

    def functions(self, schema):
        rows = []
        for opset in sorted(schema.function_opset_versions):
            body = onnx.FunctionProto.FromString(schema.get_function_with_opset_version(opset))
            body.doc_string = ""
            for node in body.node:
                node.doc_string = ""
            data = body.SerializeToString()
            lines = [", ".join(str(b) for b in data[i : i + 24]) for i in range(0, len(data), 24)]
            rows.append(f"{{{opset}, {len(data)}, {self.add('uint8_t', 'body', lines)}}}")
        return self.add("schema_function", "functions", rows), len(rows)

    def version(self, s):
        constraints = {t.type_param_str: list(t.allowed_type_strs) for t in s.type_constraints}
        inputs = self.params(s.inputs, constraints)
        outputs = self.params(s.outputs, constraints)
        attributes = self.attributes(s.attributes)
        names = self.add(
            "schema_constraint",
            "constraints",
            [f"{{{quote(n)}, {self.types(t)}}}" for n, t in constraints.items()],
        )
        functions, function_count = self.functions(s)
        arity = ", ".join(
            str(min(n, ANY_NUMBER)) for n in (s.min_input, s.max_input, s.min_output, s.max_output)
        )
        return (
            f"{{{s.since_version}, {str(s.deprecated).lower()}, {str(s.has_context_dependent_function).lower()}, "
            f"{arity}, {len(s.inputs)}, {len(s.outputs)}, {len(s.attributes)}, {len(constraints)}, "
            f"{function_count}, {inputs}, {outputs}, {attributes}, {names}, {functions}}}"
        )


def main(out):
    ops = {}
    for s in [*defs.get_all_schemas_with_history(), *contrib_schema.load()]:
        domain = "" if s.domain == "ai.onnx" else s.domain
        ops.setdefault((domain.encode(), s.name.encode()), []).append(s)
    table = Table()
    rows = []
    for (domain, name), schemas in sorted(ops.items()):
        schemas.sort(key=lambda s: s.since_version)
        versions = table.add("schema_version", "versions", [table.version(s) for s in schemas])
        rows.append(f"    {{{quote(domain)}, {quote(name)}, {len(schemas)}, {versions}}},\n")
    with open(out + ".part", "w") as f:
        f.write(f"/* Generated by schema_table.py from onnx {onnx.__version__}. */\n")
        f.write('#include "ir/schema.h"\n\n')
        f.write(f"const int schema_newest_opset = {defs.onnx_opset_version()};\n\n")
        f.writelines(table.lines)
        f.write("const schema_op schema_ops[] = {\n" + "".join(rows) + "};\n")
        f.write(f"const size_t schema_op_count = {len(rows)};\n")
    os.replace(out + ".part", out)


if __name__ == "__main__":
    main(sys.argv[1])
