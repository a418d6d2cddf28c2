"""element_types.py ONNXCC CASES LIST: every element type that an operator's schema allows is taken.

A case of one node is rewritten: the inputs and results of one type variable get another type, for each that the newest
schema allows, and `onnxcc check` has to take the model. The pairs that are refused stand in LIST; ONNXCC_REFRESH=1 writes
it anew. A few are rightly refused: BitCast to another width, LabelEncoder against its attributes. Operators whose cases
hold more than one node, or are of an opset before the newest meaning, are counted.
"""
import glob
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import onnx
from onnx import TensorProto, defs

KINDS = {
    "float": "FLOAT", "double": "DOUBLE", "bool": "BOOL", "string": "STRING", "float16": "FLOAT16", "bfloat16": "BFLOAT16",
    "complex64": "COMPLEX64", "complex128": "COMPLEX128",
}  # fmt: skip


def element(text):
    """The number of "tensor(float)"; None for what is no tensor."""
    if not text.startswith("tensor("):
        return None
    name = text[len("tensor(") : -1]
    return getattr(TensorProto, KINDS.get(name, name.upper()), None)


def parameters(formal, actual):
    """Pairs of parameter and name."""
    for i, name in enumerate(actual):
        if formal and name:
            yield formal[min(i, len(formal) - 1)], name


def retyped(model, schema, variable, kind):
    """The model with the variable's tensors of that kind; None if it has none."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    node, changed = made.graph.node[0], False
    names = {name for p, name in [*parameters(schema.inputs, node.input), *parameters(schema.outputs, node.output)] if p.type_str == variable}
    for tensor in [*made.graph.input, *made.graph.output]:
        if tensor.name in names:
            if not tensor.type.HasField("tensor_type"):
                return None
            changed = True
            tensor.type.tensor_type.elem_type = kind
    return made if changed else None


def refused(onnxcc, model):
    """The first line of what is wrong with it."""
    with tempfile.NamedTemporaryFile(suffix=".onnx") as f:
        f.write(model.SerializeToString())
        f.flush()
        run = subprocess.run([onnxcc, "check", f.name], capture_output=True, text=True)
    return run.returncode and (run.stderr.split("error: ", 1)[-1].splitlines() or ["crashed"])[0]


def subjects(cases):
    """Operator -> models of that one node, the smallest first."""
    found = {}
    for path in sorted(glob.glob(f"{cases}/*/model.onnx"), key=os.path.getsize):
        model = onnx.load(path)
        if len(model.graph.node) != 1 or model.functions or any(a.type in (5, 10) for a in model.graph.node[0].attribute):
            continue
        node = model.graph.node[0]
        found.setdefault((node.domain, node.op_type), []).append(model)
    return found


def pairs_of(onnxcc, subject):
    """Of one operator: its pairs, and of those refused the reason."""
    (domain, op), models = subject
    schema = defs.get_schema(op, domain=domain)
    newest = [m for m in models if schema.since_version <= max(o.version for o in m.opset_import if o.domain == domain)]
    models = [m for m in newest[:6] if not refused(onnxcc, m)][:2]
    total, bad = 0, {}
    for constraint in schema.type_constraints if models else []:
        for text in constraint.allowed_type_strs:
            kind = element(text)
            if kind is None:
                continue
            tries = [m for m in (retyped(m, schema, constraint.type_param_str, kind) for m in models) if m]
            total += bool(tries)
            reason = bool(tries)
            for m in tries:
                reason = reason and refused(onnxcc, m)
            if reason:
                bad[f"{domain or 'ai.onnx'} {op} {constraint.type_param_str} {text[7:-1]}"] = reason
    return total, bad, not models


def main(onnxcc, cases, path):
    total, bad, without = 0, {}, 0
    with ThreadPoolExecutor(2) as pool:
        for count, reasons, none in pool.map(lambda s: pairs_of(onnxcc, s), sorted(subjects(cases).items(), key=lambda s: s[0])):
            total += count
            bad.update(reasons)
            without += none
    if os.environ.get("ONNXCC_REFRESH"):
        with open(path, "w") as f:
            f.writelines(f"{pair}\n" for pair in sorted(bad))
    with open(path) as f:
        known = set(f.read().splitlines())
    for pair in sorted(set(bad) - known):
        print(f"FAIL {pair}: {bad[pair]}")
    for pair in sorted(known - set(bad)):
        print(f"STALE {pair}: taken now, or not tried; ONNXCC_REFRESH=1 takes it off the list")
    failed = len(set(bad) ^ known)
    print(f"{without} operators without a case that can be retyped; {len(bad)} pairs of {total} are refused")
    print(f"{total - len(bad)} passed, {failed} failed, {len(bad)} skipped")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
