"""made_contrib.py: operators that ONNX Runtime's optimizer makes of several (domain com.microsoft)."""
import numpy as np

from make_made_cases import Row, node

F32, F64, F16 = np.float32, np.float64, np.float16
HALF = (2e-3, 2e-3)  # float16 in, float16 out


def normal(*shapes, dtype=F32, scale=1.0):
    """Inputs that are normally distributed; a shape of None is an input left out."""
    return lambda r: [None if s is None else (scale * r.standard_normal(s)).astype(dtype) for s in shapes]


def convolutions():
    x, w, b, y = (2, 4, 9, 8), (6, 4, 3, 3), (6,), (2, 6, 9, 8)
    same = dict(kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    for name, parameters in (
        ("Relu", None),
        ("Sigmoid", None),
        ("Tanh", None),
        ("LeakyRelu", [0.2]),
        ("Clip", [-0.5, 1.0]),
        ("HardSigmoid", [0.25, 0.4]),
    ):
        given = {"activation_params": parameters} if parameters else {}
        yield Row("FusedConv", name.lower(), normal(x, w, b, scale=0.7), dict(activation=name, **same, **given), weights=(1, 2))
    yield Row("FusedConv", "sum", normal(x, w, b, y), dict(activation="Relu", **same))
    yield Row("FusedConv", "sum_without_bias", normal(x, w, None, y), dict(activation="Relu", **same))
    yield Row("FusedConv", "group", normal(x, (8, 1, 3, 3), (8,)), dict(activation="Relu", group=4, strides=[2, 1]))
    nhwc = (2, 9, 8, 4)
    last, first = dict(perm=[0, 2, 3, 1]), dict(perm=[0, 3, 1, 2])
    moved = [node("Transpose", "x0", "x", **first), node("Conv", "x x1 x2", "c", **same)]
    yield Row("NhwcConv", "bias", normal(nhwc, w, b), same, spelt=(*moved, node("Transpose", "c", "y0", **last)))
    turned = [node("Transpose", "x1", "w", **first), moved[0], node("Conv", "x w", "c", **same)]
    yield Row("NhwcConv", "channels_last", normal(nhwc, (6, 3, 3, 4)), same,
              spelt=(*turned, node("Transpose", "c", "y0", **last)))
    tail = (node("Transpose", "c", "y", **last), node("Add", "y x3", "z"), node("Relu", "z", "y0"))
    yield Row("NhwcFusedConv", "sum", normal(nhwc, w, b, (2, 9, 8, 6)), dict(activation="Relu", **same), spelt=(*moved, *tail))
    yield Row(
        "NhwcMaxPool",
        "u8",
        lambda r: [r.integers(0, 256, (1, 9, 8, 4)).astype(np.uint8)],
        dict(kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0]),
    )
    yield Row(
        "ConvTransposeWithDynamicPads",
        "pads",
        lambda r: [*normal((1, 3, 5, 4), (3, 2, 3, 3))(r), np.array([1, 1, 1, 1]), r.standard_normal(2).astype(F32)],
        dict(strides=[2, 2]),
        weights=(2,),
    )


def products():
    for transposed in (dict(), dict(transA=1), dict(transB=1), dict(transA=1, transB=1)):
        name = "".join(transposed).lower() or "plain"
        a = (2, 3, 5, 4) if transposed.get("transA") else (2, 3, 4, 5)
        b = (2, 3, 6, 5) if transposed.get("transB") else (2, 3, 5, 6)
        yield Row("FusedMatMul", name, normal(a, b), dict(alpha=0.5, **transposed))
    yield Row("FusedMatMul", "f64", normal((4, 5), (5, 3), dtype=F64), dict(alpha=2.0))
    yield Row("FusedMatMul", "batch_a", normal((4, 2, 3, 5), (2, 3, 5, 6)), dict(transBatchA=1))
    yield Row("FusedMatMul", "batch_b", normal((2, 3, 4, 5), (5, 2, 3, 6)), dict(transBatchB=1))
    yield Row("FusedMatMul", "batch_both", normal((5, 2, 3, 4), (6, 2, 3, 5)),
              dict(transA=1, transB=1, transBatchA=1, transBatchB=1))
    yield Row("FusedMatMul", "symbolic", normal((3, 4, 5), (3, 6, 5)), dict(transB=1), symbolic=True)
    yield Row("TransposeMatMul", "transa", normal((5, 4), (5, 3)), dict(transA=1, alpha=0.25))
    gemm = dict(alpha=0.5, beta=2.0)
    yield Row("FusedGemm", "relu", normal((4, 5), (5, 3), (3,)), dict(activation="Relu", **gemm))
    yield Row("FusedGemm", "leaky", normal((5, 4), (3, 5), (4, 3)),
              dict(activation="LeakyRelu", activation_alpha=0.3, transA=1, transB=1, **gemm))
    yield Row("FusedGemm", "tanh", normal((4, 5), (5, 3)), dict(activation="Tanh"))


def activations():
    x = (3, 4, 6)
    for name, inputs in (("Gelu", (x,)), ("BiasGelu", (x, (6,))), ("FastGelu", (x,)), ("QuickGelu", (x,))):
        yield Row(name, "f32", normal(*inputs))
        yield Row(name, "symbolic", normal(*inputs), symbolic=True)
    yield Row("FastGelu", "bias", normal(x, (6,)))
    yield Row("FastGelu", "f16", normal(x, (6,), dtype=F16), tolerance=HALF)
    yield Row("Gelu", "f16", normal(x, dtype=F16), tolerance=HALF)
    yield Row("QuickGelu", "alpha", normal(x), dict(alpha=0.7))


def normalizations():
    x, h = (2, 3, 8), (8,)
    yield Row("SkipLayerNormalization", "plain", normal(x, x, h, h), outputs=1)
    yield Row("SkipLayerNormalization", "bias", normal(x, x, h, h, h), dict(epsilon=1e-3))
    yield Row("SkipLayerNormalization", "sum", normal(x, (3, 8), h, None, h), outputs="y0 _ _ y1")
    yield Row("SkipLayerNormalization", "broadcast", normal(x, (1, 3, 8), h, h), symbolic=True)
    yield Row("SkipSimplifiedLayerNormalization", "plain", normal(x, x, h))
    yield Row("SkipSimplifiedLayerNormalization", "sum", normal((6, 8), (6, 8), h, h), outputs="y0 _ _ y1")
    yield Row("SimplifiedLayerNormalization", "plain", normal(x, h), domain="")
    yield Row("SimplifiedLayerNormalization", "statistic", normal((2, 3, 4, 5), (4, 5)), dict(axis=2), outputs=2, domain="")
    rms = dict(epsilon=1e-5)
    yield Row("SimplifiedLayerNormalization", "contrib", normal(x, h), rms, spelt=(node("RMSNormalization", "x0 x1", "y0", **rms),), opset=23)
    yield Row("LayerNormalization", "opset_12", normal(x, h, h), dict(axis=-1), domain="", opset=12, outputs=3)
    tables = normal((20, 8), (16, 8), (2, 8), (8,), (8,))

    def words(r):
        return [r.integers(0, 20, (2, 5), dtype=np.int32), r.integers(0, 2, (2, 5), dtype=np.int32), *tables(r)]

    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]], np.int32)
    yield Row("EmbedLayerNormalization", "mask", lambda r: [*words(r), mask], outputs=2, weights=(2, 3, 4, 5, 6))
    yield Row("EmbedLayerNormalization", "sum", words, dict(epsilon=1e-5), outputs=3)
    yield Row("EmbedLayerNormalization", "symbolic", lambda r: [*words(r), mask], outputs=2, symbolic=True, weights=(2, 3, 4, 5, 6))
    yield Row("EmbedLayerNormalization", "positions", lambda r: [*words(r), None, r.integers(0, 16, (1, 5), dtype=np.int32)], outputs=2)

    def without_segments(r):
        ids, _, word, position, _, gamma, beta = words(r)
        return [ids, None, word, position, None, gamma, beta, mask]

    yield Row("EmbedLayerNormalization", "without_segments", without_segments, outputs=2)
    first, last = dict(perm=[0, 3, 1, 2]), dict(perm=[0, 2, 3, 1])
    group = dict(groups=2, epsilon=1e-3)
    norm = node("GroupNormalization", "n x1 x2", "m", num_groups=2, epsilon=1e-3)
    tail = (node("Transpose", "m", "l", **last), node("Sigmoid", "l", "s"), node("Mul", "l s", "y0"))
    inputs = ((2, 4, 3, 6), (6,), (6,))
    yield Row("GroupNorm", "silu", normal(*inputs), dict(activation=1, **group), spelt=(node("Transpose", "x0", "n", **first), norm, *tail))
    yield Row("GroupNorm", "channels_first", normal((2, 6, 4, 3), (6,), (6,)), dict(activation=0, channels_last=0, **group),
              spelt=(node("Identity", "x0", "n"), norm, node("Identity", "m", "y0")))
    sums = (node("Unsqueeze", "x3 axes", "u"), node("Add", "x0 u", "a"), node("Add", "a x4", "y1"))
    axes = node("Constant", "", "axes", value_ints=[1, 2])
    yield Row("SkipGroupNorm", "by_batch", normal(*inputs, (2, 6), (6,)), dict(activation=1, **group), outputs=2,
              spelt=(axes, *sums, node("Transpose", "y1", "n", **first), norm, *tail))


def rows():
    yield from convolutions()
    yield from products()
    yield from activations()
    yield from normalizations()
