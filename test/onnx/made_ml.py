"""made_ml.py: the operators of ai.onnx.ml that have no official case."""
import numpy as np
import onnx
from make_made_cases import Model, Row
from onnx import TensorProto, helper

ML = dict(domain="ai.onnx.ml")
F32, F64, I32, I64 = np.float32, np.float64, np.int32, np.int64
SHORT = {F32: "f32", F64: "f64", I32: "i32", I64: "i64"}
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def numbers(shape, dtype=F32, low=-4, high=4):
    if np.issubdtype(dtype, np.integer):
        return lambda r: [r.integers(low, high, shape).astype(dtype)]
    return lambda r: [r.uniform(low, high, shape).astype(dtype)]


def floats(*values):
    return [float(v) for v in values]


def features():
    for t in (F32, F64, I32, I64):
        yield Row("Scaler", SHORT[t], numbers((5, 3), t), dict(offset=floats(1, -2, 0.5), scale=floats(2, 3, -0.25)), **ML)
        yield Row("Scaler", f"{SHORT[t]}_one", numbers((5, 3), t), dict(offset=floats(1.5), scale=floats(0.5)), **ML)
        for norm in ("MAX", "L1", "L2"):
            # ONNX Runtime divides by the largest number, the reference by the largest magnitude.
            low = 0 if norm == "MAX" else -4
            yield Row("Normalizer", f"{SHORT[t]}_{norm}", numbers((6, 4), t, low=low), dict(norm=norm), **ML)
        yield Row("FeatureVectorizer", f"{SHORT[t]}", lambda r, t=t: numbers((4, 3), t)(r) + numbers((4, 2), t)(r),
                  dict(inputdimensions=[3, 2]), **ML)
        yield Row("FeatureVectorizer", f"{SHORT[t]}_cut", lambda r, t=t: numbers((4, 3), t)(r) + numbers((4, 2), t)(r),
                  dict(inputdimensions=[2, 4]), **ML)
    yield Row("Binarizer", "f32", numbers((3, 4, 5)), dict(threshold=0.5), symbolic=True, **ML)

    def holes(t, hole):
        return lambda r: [np.where(r.random((6, 4)) < 0.3, hole, r.uniform(-4, 4, (6, 4))).astype(t)]

    for values in (floats(1, 2, 3, 4), floats(7.5)):
        for t in (F32, F64):
            name = f"{SHORT[t]}_{len(values)}"
            if t == F32:
                yield Row("Imputer", f"{name}_nan", holes(t, np.nan),
                          dict(imputed_value_floats=values, replaced_value_float=float("nan")), **ML)
                yield Row("Imputer", name, holes(t, -1), dict(imputed_value_floats=values, replaced_value_float=-1.0), **ML)
    yield Row("Imputer", "i64", holes(I64, -2), dict(imputed_value_int64s=[5, 6, 7, 8], replaced_value_int64=-2), **ML)
    for t in (F32, F64, I32, I64):
        for name, index in (("row", [[2, 0, 2]]), ("vector", [1, 3])):
            pick = lambda r, t=t, index=index: [*numbers((5, 4), t)(r), np.array(index, I64)]  # noqa: E731
            yield Row("ArrayFeatureExtractor", f"{SHORT[t]}_{name}", pick, **ML)


def linear():
    r = np.random.default_rng(7)
    weights = r.uniform(-1, 1, 12)
    for t in (F32, F64, I32, I64):
        if t == F32:
            for targets in (1, 2, 3):
                attributes = dict(coefficients=floats(*weights[: 4 * targets]), intercepts=floats(*weights[:targets]),
                                  targets=targets)
                yield Row("LinearRegressor", f"{SHORT[t]}_{targets}", numbers((5, 4), t), attributes, symbolic=False, **ML)
        for transform in TRANSFORMS:
            # ONNX Runtime has no model of one class, and its second class differs from the reference.
            for classes in (1, 2, 3) if t == F32 else (3,):
                if transform == "PROBIT" and (classes != 3 or t in (I32, I64)):
                    continue  # probabilities alone have a probit
                labels = [3, 5, 7][:classes] if classes > 1 else [1]
                rows = 1 if classes == 2 else classes
                attributes = dict(coefficients=floats(*weights[: 4 * rows]), intercepts=floats(*weights[:rows]),
                                  post_transform=transform, classlabels_ints=labels)
                low, high = (-0.1, 0.1) if transform == "PROBIT" else (-4, 4)
                yield Row("LinearClassifier", f"{SHORT[t]}_{transform.lower()}_{classes}", numbers((9, 4), t, low, high),
                          attributes, outputs=2, reference=classes < 3, **ML)
    attributes = dict(coefficients=floats(*weights), intercepts=floats(*weights[:3]))
    yield Row("LinearClassifier", "strings", numbers((9, 4)), dict(classlabels_strings=["no", "perhaps", "yes"], **attributes),
              outputs=2, **ML)


def encoders():
    strings = lambda r: [np.array([["b", "a", "zz"], ["", "cc", "b"]], object)]  # noqa: E731
    ints = lambda r: [r.integers(-2, 9, (4, 5)).astype(I64)]  # noqa: E731
    halves = lambda r: [np.append(r.integers(-3, 9, 30) / 2, np.nan).astype(F32)]  # noqa: E731
    words, numbers_of_words = ["cc", "b", "a", "long word"], dict(values_int64s=[7, -3, 5, 2])
    texts = dict(values_strings=words, default_string="none")
    label = dict(domain="ai.onnx.ml", version=4)
    yield Row("LabelEncoder", "string_int", strings, dict(keys_strings=words, **numbers_of_words, default_int64=-7), **label)
    yield Row("LabelEncoder", "string_float", strings, dict(keys_strings=words, values_floats=floats(1, 2, 3, 4)), **label)
    yield Row("LabelEncoder", "string_string", strings, dict(keys_strings=words, **texts), **label)
    yield Row("LabelEncoder", "int_string", ints, dict(keys_int64s=[4, 8, -1, 0], **texts), **label)
    yield Row("LabelEncoder", "int_int", ints, dict(keys_int64s=[4, 8, -1], values_int64s=[1, 2, 3]), **label)
    yield Row("LabelEncoder", "int_float", ints, dict(keys_int64s=[5], values_floats=[2.5]), symbolic=True, **label)
    keys = [1.5, -1.0, float("nan"), 3.0]
    yield Row("LabelEncoder", "float_float", halves, dict(keys_floats=keys, values_floats=floats(9, 8, 7, 6)), **label)
    yield Row("LabelEncoder", "float_int", halves, dict(keys_floats=keys[:2], values_int64s=[1, 2]), **label)
    yield Row("LabelEncoder", "float_string", halves, dict(keys_floats=keys, **texts), **label)
    many = np.random.default_rng(3).permutation(1000)
    yield Row("LabelEncoder", "many", lambda r: [r.integers(-100, 1100, 500)],
              dict(keys_int64s=[int(v) for v in many], values_int64s=list(range(1000))), **label)
    for name, array in (("string", strings), ("int", ints)):
        yield Row("CategoryMapper", name, array, dict(cats_strings=words, cats_int64s=[3, 1, 8, 5]), **ML)
    yield Row("LabelEncoder", "first_string", strings, dict(classes_strings=words), **ML)
    yield Row("LabelEncoder", "first_int", ints, dict(classes_strings=words), **ML)
    yield Row("OneHotEncoder", "string", strings, dict(cats_strings=words), **ML)
    for t in (F32, F64, I32, I64):
        for shape in ((6,), (3, 4)):
            cats = dict(cats_int64s=[4, -1, 2, 0])
            yield Row("OneHotEncoder", f"{SHORT[t]}_{len(shape)}", lambda r, t=t, s=shape: [r.integers(-2, 6, s).astype(t)],
                      cats, reference=t == I32, **ML)
    yield Row("OneHotEncoder", "known", lambda r: [r.choice([4, -1], (3, 2))], dict(cats_int64s=[4, -1], zeros=0), **ML)


def map_model(op, key, value, result, attributes, flat, size):
    """Declared as ONNX Runtime has it, one row, or flat as the standard says: then reshaped from the row."""
    x = helper.make_value_info("x", helper.make_map_type_proto(key, helper.make_tensor_type_proto(value, [])))
    y = helper.make_tensor_value_info("y", result, [None] if flat else [1, size])
    nodes = [helper.make_node(op, ["x"], ["y"], domain="ai.onnx.ml", **attributes)]

    def model(nodes, weights=()):
        graph = helper.make_graph(nodes, "made", [x], [y], weights)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 1)], ir_version=10
        )

    reshaped = [
        helper.make_node(op, ["x"], ["row"], domain="ai.onnx.ml", **attributes),
        helper.make_node("Reshape", ["row", "shape"], ["y"]),
    ]
    shape = helper.make_tensor("shape", TensorProto.INT64, [1], [-1])
    return model(nodes), model(reshaped, [shape]) if flat else None


def maps():
    """ONNX Runtime's Python takes maps to float alone: the results of the others are what the standard says."""
    I, F, D, S = TensorProto.INT64, TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.STRING
    kinds = {I: (I64, 0), F: (F32, 0), D: (F64, 0), S: (object, "")}
    words, places = ["a", "c", "b", "z"], [7, -1, 4, 30]

    def vectorizer(name, key, value, feed, flat):
        vocabulary = words if key == S else places
        attributes = {"string_vocabulary" if key == S else "int64_vocabulary": vocabulary}
        model, spelt = map_model("DictVectorizer", key, value, value, attributes, flat, len(vocabulary))
        kind, none = kinds[value]
        row = np.array([feed.get(k, none) for k in vocabulary], kind)
        results = None if value == F else [row if flat else row[None]]
        return Model(f"dictvectorizer_{name}{'_flat' if flat else ''}", model, {"x": feed}, spelt, results=results)

    for flat in (False, True):
        yield vectorizer("string_i64", S, I, {"a": 4, "c": 8}, flat)
        yield vectorizer("string_f32", S, F, {"z": F32(1.5), "b": F32(-2)}, flat)
        yield vectorizer("string_f64", S, D, {"b": F64(0.1)}, flat)
        yield vectorizer("i64_f32", I, F, {4: F32(8.5), -1: F32(2.5)}, flat)
        yield vectorizer("i64_f64", I, D, {30: F64(3), 7: F64(1), 4: F64(2), -1: F64(9)}, flat)
        yield vectorizer("i64_string", I, S, {30: "thirty", 7: ""}, flat)
    yield vectorizer("unknown", S, F, {"a": F32(4), "elsewhere": F32(5)}, False)

    texts, floats_ = {5: "15", 0: "2", 3: "-4"}, {2: F32(1), 6: F32(7), 1: F32(-3)}
    convert = {F: float, S: str, I: int}
    for to, result in (("TO_FLOAT", F), ("TO_STRING", S), ("TO_INT64", I)):
        for form, size in (("DENSE", 1), ("SPARSE", 8)):
            attributes = dict(cast_to=to, map_form=form, max_map=size)
            stem = f"castmap_{form.lower()}_{to.lower()}"
            kind, none = kinds[result]
            keys = sorted(texts) if form == "DENSE" else range(size)
            row = np.array([[convert[result](texts[k]) if k in texts else none for k in keys]], kind)
            model, _ = map_model("CastMap", I, S, result, attributes, False, row.size)
            yield Model(f"{stem}_string", model, {"x": texts}, results=[row])
            if to != "TO_STRING":
                model, spelt = map_model("CastMap", I, F, result, attributes, True, 0)
                yield Model(f"{stem}_f32", model, {"x": floats_}, spelt)


def machines():
    r = np.random.default_rng(11)
    vectors, weights = r.uniform(-1, 1, 8 * 5), r.uniform(-1, 1, 4 * 8)
    for kernel in ("LINEAR", "POLY", "RBF", "SIGMOID"):
        common = dict(kernel_type=kernel, kernel_params=floats(0.3, 0.2, 2), support_vectors=floats(*vectors))
        for one in (0, 1):
            yield Row("SVMRegressor", f"{kernel.lower()}_{one}", numbers((7, 5)),
                      dict(n_supports=8, one_class=one, coefficients=floats(*weights[:8]), rho=[0.1], **common), **ML)
        for t in (F32, F64, I32, I64) if kernel == "RBF" else (F32,):
            for sizes in ((3, 5), (3, 0, 5), (2, 1, 3, 2)):
                count = len(sizes)
                pairs = count * (count - 1) // 2
                model = dict(coefficients=floats(*weights[: 8 * (count - 1)]), rho=floats(*weights[:pairs]),
                             classlabels_ints=[4, 2, 9, 1][:count], vectors_per_class=list(sizes), **common)
                yield Row("SVMClassifier", f"{kernel.lower()}_{SHORT[t]}_{count}", numbers((7, 5), t), model, outputs=2, **ML)
                coupled = dict(prob_a=floats(*-abs(weights[:pairs])), prob_b=floats(*weights[1 : pairs + 1]))
                yield Row("SVMClassifier", f"{kernel.lower()}_{SHORT[t]}_{count}_probability", numbers((7, 5), t),
                          dict(**coupled, **model), outputs=2, **ML)
    linear = dict(coefficients=floats(*weights[:15]), rho=[0.25], kernel_type="LINEAR", kernel_params=floats(0, 0, 0))
    yield Row("SVMRegressor", "no_vectors", numbers((7, 5)), dict(linear, coefficients=floats(*weights[:5])), **ML)
    for transform in TRANSFORMS[:4]:
        yield Row("SVMClassifier", f"no_vectors_{transform.lower()}", numbers((7, 5)),
                  dict(classlabels_strings=["a", "b", "c"], post_transform=transform, **linear), outputs=2, **ML)


def rows():
    yield from features()
    yield from linear()
    yield from encoders()
    yield from machines()
    yield from maps()
