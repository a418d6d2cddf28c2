"""made_early.py: operators of the standard without an official case, and first versions of operators that have changed since."""
import numpy as np

from make_made_cases import Row, node
from made_contrib import normal

F32 = np.float32


def standard(op, variant, inputs, attributes=None, **more):
    return Row(op, variant, inputs, attributes or {}, domain="", **more)


def doubles(shape):
    return lambda r: [r.standard_normal(shape)]


def without_case():
    for p in (1, 2, 3):
        yield standard("GlobalLpPool", f"p{p}", normal((2, 3, 4, 5)), dict(p=p))
        yield standard("LpPool", f"p{p}", normal((2, 3, 7, 6)), dict(p=p, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]))
    yield standard("GlobalLpPool", "line", normal((2, 3, 9)), symbolic=True)
    rois = np.array([[0, 0, 0, 6, 6], [1, 2, 1, 5, 7], [0, 3, 3, 4, 4]], F32)
    for scale in (1.0, 0.5):
        yield standard("MaxRoiPool", f"scale_{scale}".replace(".", "_"), lambda r: [*normal((2, 3, 8, 8))(r), rois],
                       dict(pooled_shape=[2, 3], spatial_scale=scale))
    yield standard("Scatter", "rows", lambda r: [*normal((3, 4))(r), np.array([[2, 0], [1, 1]]), *normal((2, 2))(r)], opset=10)
    for n in (8, 12, 49, 67, 134):
        yield standard("DFT", f"length_{n}", doubles((2, n, 3, 2)), dict(axis=1), opset=17, reference=True)
        yield standard("DFT", f"inverse_{n}", doubles((1, n, 2)), dict(axis=1, inverse=1), opset=17, reference=True)
    yield standard("DFT", "onesided_double", doubles((3, 15, 1)), dict(axis=1, onesided=1), opset=17, reference=True)
    yield standard("DFT", "longer", lambda r: [r.standard_normal((2, 10, 1)), np.array(16)], dict(axis=1), opset=17, weights=(1,), reference=True)
    yield standard("DFT", "shorter", lambda r: [r.standard_normal((2, 10, 1)), np.array(7)], dict(axis=1), opset=17, weights=(1,), reference=True)
    yield standard("DFT", "symbolic", doubles((2, 6, 3, 2)), dict(axis=1), opset=17, symbolic=True, reference=True)
    yield standard("Det", "double", doubles((2, 3, 5, 5)), reference=True)
    yield standard("Det", "singular", lambda r: [np.arange(16, dtype=F32).reshape(4, 4)], tolerance=(1e-3, 1e-4))


def early():
    sized = dict(opset=9)
    yield standard("Upsample", "nearest", lambda r: [*normal((1, 2, 3, 4))(r), np.array([1, 1, 2, 3], F32)], dict(mode="nearest"),
                   weights=(1,), **sized)
    yield standard("Upsample", "attribute", normal((1, 2, 3, 4)), dict(mode="linear", scales=[1.0, 1.0, 2.0, 2.0]), opset=7)
    rois = lambda r: [*normal((2, 3, 8, 8))(r), np.array([[0, 0, 6, 6], [2, 1, 5, 7.5]], F32), np.array([1, 0])]  # noqa: E731
    yield standard("RoiAlign", "opset_10", rois, dict(output_height=3, output_width=2, sampling_ratio=2), opset=10)
    affine = lambda n: lambda r: [*normal((2, 6, 4))(r), *normal((n,))(r), *normal((n,))(r)]  # noqa: E731
    yield standard("GroupNormalization", "opset_18", affine(3), dict(num_groups=3), opset=18, reference=True)
    per_element = lambda r: [*normal((2, 3, 4))(r), *(np.abs(normal((3, 4))(r)[0]) + 0.1 for _ in range(4))]  # noqa: E731
    small = node("Constant", "", "e", value_float=1e-5)
    yield standard("BatchNormalization", "per_element", per_element, dict(spatial=0), opset=7,
                   spelt=[small, node("Sub", "x0 x3", "a"), node("Add", "x4 e", "b"), node("Sqrt", "b", "c"), node("Div", "a c", "d"),
                          node("Mul", "d x1", "f"), node("Add", "f x2", "y0")])
    for op, of in (("Add", "x0 u"), ("Mul", "x0 u")):
        yield standard(op, "axis_1", lambda r: [*normal((2, 3, 4))(r), *normal((3,))(r)], dict(axis=1, broadcast=1), opset=6, reference=True,
                       spelt=[node("Unsqueeze", "x1", "u", axes=[1]), node(op, of, "y0")])


def rows():
    yield from without_case()
    yield from early()
