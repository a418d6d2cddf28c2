"""made_ml_trees.py: ensembles of random decision trees, and models that scikit-learn, LightGBM and XGBoost export."""
import warnings

import numpy as np
from make_made_cases import Model, Row
from onnx import helper, numpy_helper

F32, F64 = np.float32, np.float64
FEATURES, TARGETS = 5, 3
COMPARISONS = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
TREE, OLD = dict(domain="ai.onnx.ml", version=5), dict(domain="ai.onnx.ml", version=3)
EXPORT = {"": 18, "ai.onnx.ml": 3}


def halves(shape, dtype=F32, holes=0.1):
    """Numbers that often equal a threshold, and some NaN."""
    return lambda r: [np.where(r.random(shape) < holes, np.nan, r.integers(-4, 5, shape) / 2).astype(dtype)]


class Trees:
    """Random trees as the older operators have them: nodes by tree and number."""

    def __init__(self, seed, count, depth, modes, targets, positive=False, several=False):
        self.r = np.random.default_rng(seed)
        self.modes, self.targets, self.positive, self.several = modes, targets, positive, several
        self.nodes, self.leaves = [], []  # (tree, id, mode, feature, value, yes, no, nan), (tree, id, target, weight)
        for tree in range(count):
            self.next = 0
            self.grow(tree, depth)

    def grow(self, tree, depth):
        own, self.next = self.next, self.next + 1
        if depth == 0 or self.r.random() < 0.2:
            self.nodes.append((tree, own, "LEAF", 0, 0.0, 0, 0, 0))
            for target in range(self.targets) if self.several else [int(self.r.integers(self.targets))]:
                low = 0 if self.positive else -1
                self.leaves.append((tree, own, target, float(self.r.uniform(low, 1) / 8)))
            return own
        place = len(self.nodes)
        self.nodes.append(None)
        test = (str(self.r.choice(self.modes)), int(self.r.integers(FEATURES)), float(self.r.integers(-4, 5) / 2))
        yes, no = self.grow(tree, depth - 1), self.grow(tree, depth - 1)
        self.nodes[place] = (tree, own, *test, yes, no, int(self.r.integers(2)))
        return own

    def attributes(self, prefix):
        names = ("treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids",
                 "missing_value_tracks_true")
        made = {f"nodes_{name}": list(column) for name, column in zip(names, zip(*self.nodes))}
        for name, column in zip(("treeids", "nodeids", "ids", "weights"), zip(*self.leaves)):
            made[f"{prefix}_{name}"] = list(column)
        return made


def ensemble(seed, dtype, modes, count=6, depth=4):
    """Attributes of a TreeEnsemble; a mode "MEMBER" tests a set."""
    old = Trees(seed, count, depth, modes, TARGETS)
    inner = [n for n in old.nodes if n[2] != "LEAF"]
    place = {n[:2]: i for i, n in enumerate(inner)}
    leaf = {n[:2]: i for i, n in enumerate(old.leaves)}
    codes = [6 if n[2] == "MEMBER" else COMPARISONS.index(n[2]) for n in inner]
    r, members = np.random.default_rng(seed), []
    for code in codes:  # no zero: the reference takes it for the end of the set
        members += [*r.permutation([-2, -1.5, -1, -0.5, 0.5, 1, 1.5, 2])[: r.integers(1, 8)], np.nan] if code == 6 else []
    tensor = lambda values, t=dtype: numpy_helper.from_array(np.array(values, t))  # noqa: E731
    made = dict(
        n_targets=TARGETS, nodes_featureids=[n[3] for n in inner], nodes_splits=tensor([n[4] for n in inner]),
        nodes_modes=tensor(codes, np.uint8), nodes_missing_value_tracks_true=[n[7] for n in inner],
        leaf_targetids=[n[2] for n in old.leaves], leaf_weights=tensor([n[3] for n in old.leaves]),
        tree_roots=[place[(t, 0)] for t in range(count) if (t, 0) in place])
    if members:
        made["membership_values"] = tensor(members)
    for name, at in (("true", 5), ("false", 6)):
        to = [(n[0], n[at]) for n in inner]
        made[f"nodes_{name}leafs"] = [int(key in leaf) for key in to]
        made[f"nodes_{name}nodeids"] = [leaf[key] if key in leaf else place[key] for key in to]
    return made


def random_trees():
    x = (11, FEATURES)
    for t in (F32, F64):
        short = "f32" if t == F32 else "f64"
        for i, modes in enumerate([*([m] for m in COMPARISONS), COMPARISONS, (*COMPARISONS, "MEMBER")]):
            # The reference alone knows what NaN is in a set.
            holes = 0 if "MEMBER" in modes else 0.1
            name = f"{short}_{'_'.join(m[-3:].strip('_').lower() for m in modes[:1]) if len(modes) == 1 else len(modes)}"
            yield Row("TreeEnsemble", name, halves(x, t, holes), ensemble(i, t, modes), reference=True, **TREE)
        for how in range(4):
            attributes = dict(ensemble(20 + how, t, COMPARISONS[:1], depth=2, count=30), aggregate_function=how)
            yield Row("TreeEnsemble", f"{short}_aggregate_{how}", halves(x, t, 0), attributes, reference=True, **TREE)
    for how in ("SUM", "AVERAGE", "MIN", "MAX"):
        for targets in (1, TARGETS):
            trees = Trees(40 + targets, 9, 4, COMPARISONS, targets, several=True)
            attributes = dict(trees.attributes("target"), n_targets=targets, aggregate_function=how)
            yield Row("TreeEnsembleRegressor", f"{how.lower()}_{targets}", halves(x), attributes, symbolic=targets == 1, **OLD)
    base = dict(base_values=[0.5, -1.0, 2.0], n_targets=TARGETS)
    one = dict(Trees(3, 20, 5, COMPARISONS[:2], TARGETS).attributes("target"), **base)
    yield Row("TreeEnsembleRegressor", "one_row", halves((1, FEATURES)), one, **OLD)
    # Their code must not grow with the trees: run_cases.py gives a case seconds.
    many = Trees(4, 1000, 6, COMPARISONS[:1], TARGETS).attributes("target")
    yield Row("TreeEnsembleRegressor", "thousand", halves(x), dict(many, **base), **OLD)
    for transform in ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"):
        for several in (False, True):
            trees = Trees(60, 9, 4, COMPARISONS[:1], TARGETS, several=several).attributes("class")
            attributes = dict(trees, classlabels_int64s=[4, 2, 9], post_transform=transform)
            yield Row("TreeEnsembleClassifier", f"{transform.lower()}_{int(several)}", halves(x), attributes, outputs=2, **OLD)
    # Two classes and the weights of one: ONNX Runtime transforms some of them in no way, all of them are here.
    for transform, positive in (("NONE", True), ("NONE", False), ("LOGISTIC", False)):
        trees = Trees(70, 7, 4, COMPARISONS[:1], 1, positive=positive).attributes("class")
        attributes = dict(trees, classlabels_strings=["no", "yes"], post_transform=transform)
        yield Row("TreeEnsembleClassifier", f"binary_{transform.lower()}_{int(positive)}", halves(x), attributes, outputs=2, **OLD)


def exported():
    """Names, inputs, functions that give the file of a trained model, and of one that gives its results as tensors."""
    import onnxmltools
    from lightgbm import LGBMClassifier, LGBMRegressor
    from onnxmltools.convert.common.data_types import FloatTensorType
    from sklearn import cluster, ensemble, linear_model, preprocessing, svm
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from skl2onnx import to_onnx
    from skl2onnx.common import _container
    from xgboost import XGBClassifier, XGBRegressor

    def make_node(*args, plain=_container.make_node, **attributes):
        """onnx.helper takes no numpy.bool, which the histogram booster's attributes hold."""
        lists = {n: np.array(v).tolist() for n, v in attributes.items() if isinstance(v, list)}
        return plain(*args, **{**attributes, **lists})

    _container.make_node = make_node

    def sklearn(model):
        options = {id(model): {"zipmap": False}} if hasattr(model, "classes_") else None
        return lambda x: to_onnx(model, x[:1], options=options, target_opset=EXPORT)

    def zipped(model):
        """With its probabilities as maps, which onnxcc has as the tensor of their values."""
        return lambda x: to_onnx(model, x[:1], target_opset=EXPORT)

    def other(convert, model):
        kind = [("x", FloatTensorType([None, FEATURES]))]
        options = dict(zipmap=False) if convert is onnxmltools.convert_lightgbm else {}
        return lambda x: convert(model, initial_types=kind, target_opset=15, **options)

    r = np.random.default_rng(5)
    x = r.normal(size=(300, FEATURES)).astype(F32)
    y = x[:, 0] + x[:, 1] * x[:, 2]
    four, two = np.digitize(y, [-1, 0, 1]), (y > 0).astype(np.int64)
    trees = dict(n_estimators=12, max_depth=4, random_state=0)
    boost = dict(max_iter=12, max_depth=4, random_state=0)
    for name, labels in (("two", two), ("four", four), ("words", np.array(["a", "bb", "c", "dd"])[four])):
        for model in (ensemble.RandomForestClassifier(**trees), linear_model.LogisticRegression(),
                      ensemble.GradientBoostingClassifier(**trees), svm.SVC(probability=True, random_state=0), svm.SVC()):
            kind = type(model).__name__.lower() + ("_p" if getattr(model, "probability", 0) is True else "")
            yield f"sklearn_{kind}_{name}", x, sklearn(model.fit(x, labels)), None
        yield f"sklearn_zipmap_{name}", x, zipped(model), sklearn(model)
    for model in (ensemble.RandomForestRegressor(**trees), ensemble.GradientBoostingRegressor(**trees),
                  ensemble.HistGradientBoostingRegressor(**boost), linear_model.LinearRegression(), svm.SVR(),
                  cluster.KMeans(4, random_state=0, n_init=1), preprocessing.StandardScaler()):
        yield f"sklearn_{type(model).__name__.lower()}", x, sklearn(model.fit(x, y)), None
    for step in (preprocessing.StandardScaler(), preprocessing.MinMaxScaler(), preprocessing.Binarizer(threshold=0.3)):
        model = make_pipeline(step, linear_model.LogisticRegression()).fit(x, four)
        yield f"sklearn_pipeline_{type(step).__name__.lower()}", x, sklearn(model), None
    cats = np.column_stack([r.integers(0, 4, 300), x[:, 0]]).astype(F32)
    encode = ColumnTransformer([("c", preprocessing.OneHotEncoder(sparse_output=False), [0]), ("n", "passthrough", [1])])
    model = make_pipeline(encode, linear_model.LinearRegression()).fit(cats, y)
    yield "sklearn_pipeline_onehotencoder", cats, sklearn(model), None
    small = dict(n_estimators=8, max_depth=4, random_state=0)
    for name, labels in (("two", two), ("four", four)):
        model = LGBMClassifier(**small, verbose=-1, n_jobs=1).fit(x, labels)
        yield f"lightgbm_{name}", x, other(onnxmltools.convert_lightgbm, model), None
        yield f"xgboost_{name}", x, other(onnxmltools.convert_xgboost, XGBClassifier(**small, n_jobs=1).fit(x, labels)), None
    yield "lightgbm_number", x, other(onnxmltools.convert_lightgbm, LGBMRegressor(**small, verbose=-1, n_jobs=1).fit(x, y)), None
    yield "xgboost_number", x, other(onnxmltools.convert_xgboost, XGBRegressor(**small, n_jobs=1).fit(x, y)), None


def rows():
    yield from random_trees()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, x, export, spelt in exported():
            model = export(x)
            yield Model(name, model, {model.graph.input[0].name: x[:40]}, spelt and spelt(x))
