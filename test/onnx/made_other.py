"""made_other.py: earlier forms of operators, distances, words, inverses; and fused ones that ONNX Runtime has for GPUs only."""
import numpy as np

from make_made_cases import Row, node
from made_contrib import normal

F32, F64, F16, I32, I64 = np.float32, np.float64, np.float16, np.int32, np.int64


def values(*arrays):
    return lambda r: list(arrays)


def earlier():
    x = (3, 4, 5)
    yield Row("Trilu", "upper", normal((2, 4, 5)), dict(upper=1))
    yield Row("Trilu", "lower", lambda r: [*normal((4, 5))(r), np.array(1)], dict(upper=0))
    at = lambda r, t: [*normal(x)(r), r.integers(0, 3, (2, 2, 1)).astype(t)]  # noqa: E731
    yield Row("GatherND", "i64", lambda r: at(r, I64))
    yield Row("GatherND", "i32", lambda r: at(r, I32))
    yield Row("TorchEmbedding", "rows", lambda r: [*normal((9, 4))(r), r.integers(0, 9, (2, 3))],
              spelt=[node("Gather", "x0 x1", "y0")])
    for mode in ("bilinear", "nearest", "bicubic"):
        for padding in ("zeros", "border", "reflection"):
            yield Row("GridSample", f"{mode}_{padding}", lambda r: [*normal((1, 2, 5, 6))(r), r.uniform(-1.2, 1.2, (1, 3, 4, 2)).astype(F32)],
                      dict(mode=mode, padding_mode=padding, align_corners=int(padding == "border")))
    for t in (F32, F64, I32, I64):
        yield Row("Range", np.dtype(t).name, values(np.array(1, t), np.array(9, t), np.array(2, t)), weights=(0, 1, 2))
    yield Row("Range", "step_of_one", values(np.array([2.0], F32), np.array([6.0], F32)), weights=(0, 1))
    pads = np.array([0, 1, 2, 1], I64)
    for mode in ("constant", "reflect", "edge"):
        yield Row("Pad", mode, lambda r: [*normal((4, 5))(r), pads], dict(mode=mode), weights=(1,))
    yield Row("Pad", "value", lambda r: [*normal((4, 5))(r), pads.reshape(1, 4), np.array([1.5], F32)], weights=(1, 2))
    for axis in (0, 2, -1):
        yield Row("ExpandDims", f"axis_{axis % 4}", lambda r: [*normal((2, 3, 4))(r), np.array(axis, I32)], weights=(1,))
    yield Row("Unique", "f32", lambda r: [r.integers(0, 5, 12).astype(F32)], outputs=3)
    yield Row("UnfoldTensor", "middle", normal((2, 9, 3)), dict(dim=1, size=4, step=2))
    yield Row("UnfoldTensor", "last", normal((2, 8)), dict(size=3))


def computed():
    for metric in ("sqeuclidean", "euclidean"):
        for t in (F32, F64):
            yield Row("CDist", f"{metric}_{np.dtype(t).name}", normal((5, 7), (4, 7), dtype=t), dict(metric=metric))
    for op, a, b in (("ComplexMul", "Sub", "Add"), ("ComplexMulConj", "Add", "Sub")):
        halves = [node("Split", f"x{i}", f"r{i} i{i}", axis=-1, num_outputs=2) for i in range(2)]
        products = [node("Mul", f"{p}0 {q}1", p + q) for p in "ri" for q in "ri"]
        yield Row(op, "f32", normal((3, 4, 2), (4, 2)), spelt=(*halves, *products, node(a, "rr ii", "re"), node(b, "ir ri", "im"),
                                                               node("Concat", "re im", "y0", axis=-1)))
    for t, shape in ((F32, (4, 4)), (F32, (2, 3, 3)), (F64, (5, 5))):
        yield Row("Inverse", f"{np.dtype(t).name}_{len(shape)}d", normal(shape, dtype=t))
    yield Row("Inverse", "f16", lambda r: [(np.eye(3) * 3 + r.standard_normal((3, 3))).astype(F16)], tolerance=(2e-3, 2e-3))
    yield Row("Inverse", "symbolic", normal((2, 3, 3)), symbolic=True)

    regions = lambda r, t: [*normal((2, 3, 6, 7), dtype=t)(r), r.uniform(-0.1, 1.1, (4, 4)).astype(t),  # noqa: E731
                            np.array([1, 0, 1, 1], I32)]
    for mode in ("bilinear", "nearest"):
        for size in ((3, 4), (1, 5)):
            yield Row("CropAndResize", f"{mode}_{size[0]}", lambda r: [*regions(r, F32), np.array(size, I32)],
                      dict(mode=mode, extrapolation_value=-2.5), weights=(3,))
    yield Row("CropAndResize", "symbolic", lambda r: [*regions(r, F32), np.array((2, 2), I32)], weights=(3,), symbolic=True)

    def words(r):
        letters = r.integers(1, 20, (4, 8)).astype(I32)
        for word, length in enumerate((8, 5, 2, 1)):
            letters[word, length:] = 0
        return [letters, *normal((6, 1, 3, 5), (6,), (20, 5), scale=0.4)(r)]

    yield Row("WordConvEmbedding", "words", words, weights=(1, 2, 3))
    for size in (1, 2, 3):
        yield Row("NGramRepeatBlock", f"size_{size}", lambda r: [r.integers(0, 4, (3, 9)), *normal((3, 6))(r)], dict(ngram_size=size))
    yield Row("NGramRepeatBlock", "short", lambda r: [r.integers(0, 4, (3, 2)), *normal((3, 6))(r)], dict(ngram_size=4))
    yield Row("NGramRepeatBlock", "symbolic", lambda r: [r.integers(0, 3, (3, 7)), *normal((3, 6))(r)], dict(ngram_size=2), symbolic=True)


def for_gpus():
    x, h = (2, 3, 8), (8,)
    add = node("Add", "x0 x1", "a")
    yield Row("BiasAdd", "f32", normal(x, h, x), spelt=(add, node("Add", "a x2", "y0")))
    yield Row("BiasSplitGelu", "f32", normal(x, h),
              spelt=(add, node("Split", "a", "l r", axis=-1, num_outputs=2), node("Gelu", "r", "g"), node("Mul", "l g", "y0")))
    yield Row("BiasDropout", "residual", normal(x, h, x), spelt=(add, node("Add", "a x2", "y0")))
    yield Row("GemmFastGelu", "bias", normal((4, 5), (5, 3), (3,)),
              spelt=(node("MatMul", "x0 x1", "m"), node("Add", "m x2", "a"), node("Gelu", "a", "y0", approximate="tanh")))
    yield Row("FusedMatMulActivation", "relu", normal((4, 5), (3, 5)), dict(activation="Relu", transB=1, alpha=0.5),
              spelt=(node("FusedMatMul", "x0 x1", "m", domain="com.microsoft", transB=1, alpha=0.5), node("Relu", "m", "y0")))
    softmax = node("Softmax", "a", "y0", axis=-1)
    yield Row("BiasSoftmax", "outer", normal((2, 3, 4, 5), (1, 1, 4, 5)), dict(axis=3, is_inner_broadcast=0), spelt=(add, softmax))
    yield Row("BiasSoftmax", "inner", normal((2, 3, 4, 5), (2, 1, 1, 5)), dict(axis=3, is_inner_broadcast=1), spelt=(add, softmax))


def tokens():
    lines = ["I love computer science !", "Hello  World", "", "a", "caf\u00e9 au lait, s'il vous pla\u00eet"]
    flat = lambda r: [np.array(lines, object)]  # noqa: E731
    table = lambda r: [np.array([lines[:2], lines[3:]], object)]  # noqa: E731
    ways = dict(
        words=dict(separators=[" "]),
        separators=dict(separators=["[ ,]+", "'", "o"]),
        long=dict(separators=["\\s"], mincharnum=3),
        expression=dict(tokenexp="\\w+"),
        letters=dict(tokenexp="[a-z]|[A-Z]+", mincharnum=1),
        characters=dict(separators=[""]),
        dot=dict(tokenexp="."),
        nothing=dict(tokenexp="#"),
    )
    for name, way in ways.items():
        for mark in (0, 1):
            attributes = dict(dict(mark=mark, mincharnum=1, pad_value="<pad>"), **way)
            yield Row("Tokenizer", f"{name}{'_marked' if mark else ''}", table if mark else flat, attributes)


def rows():
    for table in (earlier, computed, for_gpus, tokens):
        yield from table()
