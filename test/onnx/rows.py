"""rows.py PAGE VALUES CASES...: every operator of the table (docs/operators.md, which is made from it) has a case: a node in a
folder of CASES, or its name in one of the scripts of VALUES, which build models of their own."""
import glob
import re
import sys

import onnx


def operators(page):
    """(domain, operator) for each row of the page's tables, up to the chapter of what is not supported."""
    domain = None
    for line in open(page):
        if line.startswith("## "):
            domain = line[3:].strip()
            if domain == "Not supported":
                return
        row = re.match(r"\| (\w+) \| [\d, ]+ \|", line)
        if row:
            yield ("" if domain == "ai.onnx" else domain), row[1]


def uses(nodes):
    for node in nodes:
        yield ("" if node.domain == "ai.onnx" else node.domain), node.op_type
        for attribute in node.attribute:
            for graph in [attribute.g, *attribute.graphs]:
                yield from uses(graph.node)


def main(page, values, *cases):
    used = set()
    for folder in cases:
        for path in glob.glob(f"{folder}/*/model.onnx"):
            model = onnx.load(path, load_external_data=False)
            for body in [model.graph, *model.functions]:
                used.update(uses(body.node))
    scripts = "".join(open(path).read() for path in glob.glob(f"{values}/*.py"))
    rows = list(operators(page))
    without = [row for row in rows if row not in used and f'node("{row[1]}"' not in scripts]
    for domain, name in without:
        print(f"FAILED {domain or 'ai.onnx'} {name}: no case")
    print(f"{len(rows) - len(without)} passed, {len(without)} failed")
    return bool(without) or len(rows) < 200


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
