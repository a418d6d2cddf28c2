"""strings.py ONNXCC: tensors of strings through inputs, outputs, constants and operators that move elements."""
import re
import sys

import numpy as np
from cases import Cases, strings, value_info
from onnx import TensorProto, helper, numpy_helper

X = strings([["a", "bb", ""], ["dééd", "e\0e", "xyz" * 30]])
node = helper.make_node


def ints(*values):
    return np.array(values, np.int64)


def branch(name, op, source, constants=()):
    return helper.make_graph([node(op, [source], [name])], name, [], [value_info(name, X)], list(constants))


def add_movement(c):
    c.add("identity", [node("Identity", ["x"], ["y"])], {"x": X}, ["y"])
    c.add("transpose", [node("Transpose", ["x"], ["y"])], {"x": X}, ["y"])
    c.add("gather", [node("Gather", ["x", "i"], ["y"], axis=1)], {"x": X, "i": ints(2, 0, -1)}, ["y"])
    c.add("gather_nd", [node("GatherND", ["x", "i"], ["y"])], {"x": X, "i": np.array([[1, 2], [0, 1]])}, ["y"])
    c.add("split", [node("Split", ["x"], ["y", "z"], num_outputs=2, axis=1)], {"x": X}, ["y", "z"])
    c.add("reshape_slice", [node("Reshape", ["x", "s"], ["r"]), node("Slice", ["r", "b", "e"], ["y"])],
          {"x": X}, ["y"], {"s": ints(6), "b": ints(1), "e": ints(4)})
    c.add("tile_expand", [node("Tile", ["x", "r"], ["t"]), node("Unsqueeze", ["t", "a"], ["u"]),
                          node("Expand", ["u", "s"], ["y"])],
          {"x": X}, ["y"], {"r": ints(1, 2), "a": ints(0), "s": ints(2, 2, 6)})
    c.add("scatter_elements", [node("ScatterElements", ["x", "i", "u"], ["y"], axis=1)],
          {"x": X, "i": np.array([[2], [1]]), "u": strings([["new"], ["newer"]])}, ["y"])
    c.add("one_hot", [node("OneHot", ["i", "d", "v"], ["y"])], {"i": ints(1, 0), "v": strings(["off", "on"])}, ["y"],
          {"d": np.array(2)}, [strings([["off", "on"], ["on", "off"]])])


def add_constants(c):
    c.add("constant_output", [node("Identity", ["k"], ["y"])], {"x": X}, ["y"], {"k": strings(["one", "", "three"])})
    c.add("concat", [node("Concat", ["x", "k"], ["y"], axis=1)], {"x": X}, ["y"], {"k": strings([["k"], ["long" * 40]])})
    c.add("where", [node("Where", ["c", "x", "k"], ["y"])], {"c": np.array([[True], [False]]), "x": X}, ["y"],
          {"k": strings(["other"])})
    own = numpy_helper.from_array(X[:, ::-1].copy(), "k")
    for taken in (True, False):
        c.add(f"if_{taken}", [node("If", ["c"], ["y"], then_branch=branch("a", "Identity", "x"),
                                   else_branch=branch("b", "Identity", "k", [own]))],
              {"c": np.array(taken), "x": X}, ["y"])


def add_loops(c):
    """Strings that loops read, carry and stack."""
    row = helper.make_tensor_value_info("row", TensorProto.STRING, [3])
    out = [helper.make_tensor_value_info(name, TensorProto.STRING, [3]) for name in ("last", "kept")]
    body = helper.make_graph([node("Identity", ["row"], ["last"]), node("Identity", ["before"], ["kept"])], "body",
                             [helper.make_tensor_value_info("before", TensorProto.STRING, [3]), row], out)
    c.add("scan", [node("Scan", ["k", "x"], ["y", "z"], num_scan_inputs=1, body=body)], {"x": X}, ["y", "z"],
          {"k": strings(["1", "2", "3"])}, [X[1], strings([["1", "2", "3"], X[0]])])


def add_pairs(c):
    c.add("equal", [node("Equal", ["x", "k"], ["y"])], {"x": X}, ["y"], {"k": strings(["a", "bb", "xyz" * 30])})
    c.add("concat_twice", [node("StringConcat", ["x", "k"], ["z"]), node("StringConcat", ["z", "z"], ["y"])],
          {"x": X}, ["y", "z"], {"k": strings([["-é-"], [""]])})


def add_parts(c):
    texts = strings([["a,b,,c", ""], [",x", "é, ü,日本"]])
    for name, text in (("comma", ","), ("word", ", ü"), ("space", "")):
        c.add(f"split_{name}", [node("StringSplit", ["x"], ["y", "z"], delimiter=text, maxsplit=2)], {"x": texts},
              ["y", "z"])
    c.add("split_spaces", [node("StringSplit", ["x"], ["y", "z"], maxsplit=3)],
          {"x": strings([" a  b\tc d e ", "", "  ", "one"])}, ["y", "z"])
    words = strings(["Straße", "ÄRGER", "the", "Жук", "THE", "", "Ÿσ", "ĳ"])
    for action, sensitive, wanted in (("LOWER", 1, ["straße", "ärger", "жук", "the", "", "ÿσ", "ĳ"]),
                                      ("UPPER", 0, ["STRAßE", "ÄRGER", "ЖУК", "", "ŸΣ", "Ĳ"]),
                                      ("NONE", 0, ["Straße", "ÄRGER", "Жук", "", "Ÿσ", "ĳ"])):
        c.add(f"normalize_{action}", [node("StringNormalizer", ["x"], ["y"], case_change_action=action,
                                           is_case_sensitive=sensitive, stopwords=["the", "absent"])],
              {"x": words}, ["y"], expected=[strings(wanted)])
    c.add("normalize_nothing_left", [node("StringNormalizer", ["x"], ["y"], stopwords=["a"])],
          {"x": strings([["A", "a"]])}, ["y"], expected=[strings([[""]])])
    c.add("normalize_all", [node("StringNormalizer", ["x"], ["y"], case_change_action="LOWER")],
          {"x": strings([["A", "b"]])}, ["y"], expected=[strings([["a", "b"]])])


PATTERNS = [r"", r"a*", r"(a|b)*c{2,3}", r"[^a-c]+", r"é.?", r"[é-ü\d]+", r"\bab\b", r"^a|b$", r"(?i:Ab)c", r"\w+@\w+\.(com|org)",
            r"(a*)*b", r"a{0}", r"(?s:.)\n", r".\n", r"[[:alpha:]_]+", r"\x61\x{62}", r"\Qa.b\E", r"日本?", r"(?P<n>a)\Bb"]
TEXTS = ["", "a", "aaa", "abcc", "ccc", "é", "éx", "ü7", "ab", "ABc", "aBc", "me@site.org", "aaab", "b", "x\n", "\nx", "_", "A_z",
         "a.b", "axb", "日", "日本", "ab\n"]


def add_patterns(c):
    # Python's spelling of what RE2 writes otherwise.
    python = {r"[[:alpha:]_]+": "[A-Za-z_]+", r"\x61\x{62}": "ab", r"\Qa.b\E": r"a\.b", r"^a|b$": r"\Aa|b\Z"}
    for number, pattern in enumerate(PATTERNS):
        wanted = [bool(re.fullmatch(python.get(pattern, pattern), t, re.ASCII)) for t in TEXTS]
        c.add(f"pattern_{number}", [node("RegexFullMatch", ["x"], ["y"], pattern=pattern)], {"x": strings(TEXTS)}, ["y"],
              expected=[np.array(wanted)])


def add_ngrams(c):
    words = strings([["a", "b", "a", "c"], ["b", "b", "", "a"]])
    for mode in ("TF", "IDF", "TFIDF"):
        for skips in (0, 2):
            c.add(f"ngrams_{mode}_{skips}",
                  [node("TfIdfVectorizer", ["x"], ["y"], mode=mode, min_gram_length=1, max_gram_length=3,
                        max_skip_count=skips, ngram_counts=[0, 3, 7], ngram_indexes=[4, 0, 1, 2, 3, 5],
                        weights=[0.5, 1.0, 2.0, 3.0, 4.0, 5.0],
                        pool_strings=["a", "b", "zz", "a", "b", "b", "a", "a", "b", "a"])], {"x": words}, ["y"])


def add_casts(c):
    def cast(name, x, to, expected=None):
        c.add(f"cast_{name}", [node("Cast", ["x"], ["y"], to=to)], {"x": x}, ["y"], expected=expected)

    floats = [0.0, -0.0, 1.0, 0.1, -2.5, 1e16, 123456.0, 1e-5, 1.5e-4, 5e-324, 1.7976931348623157e308, np.inf, -np.inf, np.nan]
    cast("f64_string", np.array(floats), TensorProto.STRING)
    with np.errstate(all="ignore"):
        cast("f32_string", np.array(floats, np.float32), TensorProto.STRING)
        cast("f16_string", np.array(floats, np.float16), TensorProto.STRING)
    cast("i8_string", np.array([-128, 0, 127], np.int8), TensorProto.STRING)
    cast("u64_string", np.array([0, 2**64 - 1], np.uint64), TensorProto.STRING)
    cast("bool_string", np.array([True, False]), TensorProto.STRING)
    texts = ["0", "-1.5", "1e10", " 3.25 ", "+INF", "-inf", "NaN", "1.17549435082228750797e-38", "2.4703282292062328e-324", "7e-46"]
    read = np.array([float(t) for t in texts])
    cast("string_f64", strings(texts), TensorProto.DOUBLE, [read])
    with np.errstate(all="ignore"):
        cast("string_f32", strings(texts), TensorProto.FLOAT, [np.array([np.float32(t) for t in texts])])
        cast("string_f16", strings(texts[:7]), TensorProto.FLOAT16, [read[:7].astype(np.float16)])
    cast("string_i32", strings(["12", "-7", "3.9", "-2e1"]), TensorProto.INT32, [np.array([12, -7, 3, -20], np.int32)])
    cast("string_i64", strings([str(-2**63), str(2**63 - 1)]), TensorProto.INT64, [np.array([-2**63, 2**63 - 1])])


cases = Cases(sys.argv[1])
add_casts(cases)
add_movement(cases)
add_constants(cases)
add_loops(cases)
add_pairs(cases)
add_parts(cases)
add_patterns(cases)
add_ngrams(cases)
sys.exit(cases.run())
