"""contrib_schema.py: the declarations of contrib.schema as onnx.defs.OpSchema objects.

They are what the onnx package does not declare: the operators that ONNX Runtime adds to ONNX. schema_table.py puts them
beside the standard's, and the tests register them so that the onnx package knows the operators too. A declaration is

    DOMAIN::Name-SINCE(input: T, optional?: T, variadic*: T) -> (output: T)
      attribute: kind [required | = default]
      T = type type ...

where a variadic parameter of mixed types has two stars, and the domain of the standard is empty.
"""
import ast
import os
import re

import onnx
from onnx.defs import OpSchema

PATH = f"{os.path.dirname(os.path.abspath(__file__))}/contrib.schema"
HEAD = re.compile(r"(?P<domain>[\w.]*)::(?P<name>\w+)-(?P<since>\d+)\((?P<inputs>.*)\) -> \((?P<outputs>.*)\)")
ATTRIBUTE = re.compile(r"(?P<name>\w+): (?P<kind>\w+)(?P<required> required)?(?: = (?P<default>.+))?")
TYPES = re.compile(r"(?P<name>\w+) = (?P<types>.+)")
PARAMETER = re.compile(r"(?P<name>\w+)(?P<mark>\?|\*{0,2}): (?P<type>[\w()]+)")


def parameter(text):
    found = PARAMETER.fullmatch(text)
    mark, option = found["mark"], OpSchema.FormalParameterOption
    kind = option.Optional if mark == "?" else option.Variadic if mark else option.Single
    return OpSchema.FormalParameter(
        found["name"], found["type"], param_option=kind, is_homogeneous=mark != "**", min_arity=1
    )


def parameters(text):
    return [parameter(part) for part in text.split(", ") if part]


def attribute(found):
    kind = OpSchema.AttrType[found["kind"].upper()]
    if found["default"] is None:
        return OpSchema.Attribute(found["name"], kind, required=found["required"] is not None)
    return OpSchema.Attribute(
        found["name"], onnx.helper.make_attribute(found["name"], ast.literal_eval(found["default"]))
    )


def type_name(text):
    return text if "(" in text else f"tensor({text})"


def declaration(lines):
    head = HEAD.fullmatch(lines[0])
    if not head:
        raise SystemExit(f"contrib.schema: what is meant by {lines[0]}")
    attributes, constraints = [], []
    for line in lines[1:]:
        types = TYPES.fullmatch(line)
        found = ATTRIBUTE.fullmatch(line)
        if types:
            constraints.append((types["name"], [type_name(t) for t in types["types"].split()], ""))
        elif found:
            attributes.append(attribute(found))
        else:
            raise SystemExit(f"contrib.schema: what is meant by {line}")
    return OpSchema(
        head["name"],
        head["domain"],
        int(head["since"]),
        inputs=parameters(head["inputs"]),
        outputs=parameters(head["outputs"]),
        type_constraints=constraints,
        attributes=attributes,
    )


def load():
    blocks = []
    with open(PATH) as f:
        for line in f:
            if not line.strip() or line.startswith("#"):
                continue
            if not line.startswith(" "):
                blocks.append([])
            blocks[-1].append(line.strip())
    return [declaration(block) for block in blocks]
