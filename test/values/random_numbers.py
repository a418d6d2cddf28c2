"""random_numbers.py ONNXCC CASES: what random operators draw: exactly, where the generator is written once more here,
and by shape, type and statistics, also of the ten official cases that hold numbers of numpy's generator. All ways of
compiling and any number of threads draw the same."""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MASK = 0xFFFFFFFF


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & MASK, (a >> 32) ^ c[3] ^ k[1], a & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def uniform(seed, count):
    """What RandomUniform of this seed draws as f32."""
    bits = int(np.float64(seed).view(np.uint64))
    state = philox([0, 0, 0, 0], [bits & MASK, bits >> 32])
    words = [philox([i, 0, state[2], state[3]], state[:2])[0] for i in range(count)]
    return (np.array(words, np.uint32) >> 8).astype(np.float32) / np.float32(1 << 24)


class Models:
    def __init__(self, onnxcc):
        self.onnxcc, self.folder, self.failures = onnxcc, tempfile.mkdtemp(), 0

    def expect(self, name, right):
        print(("ok " if right else "FAILED ") + name)
        self.failures += not right

    def run(self, model, *arguments):
        """The outputs by name."""
        out = tempfile.mkdtemp(dir=self.folder)
        subprocess.run([self.onnxcc, "run", model, "--output-dir", out, *arguments], check=True, stdout=subprocess.DEVNULL)
        return {name[:-4]: np.load(f"{out}/{name}") for name in os.listdir(out)}

    def save(self, name, nodes, inputs=(), outputs=("y",), opset=22):
        graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info(*i) for i in inputs],
                                  [onnx.ValueInfoProto(name=o) for o in outputs])
        path = f"{self.folder}/{name}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]), path)
        return path

    def same_everywhere(self, name, model, wanted):
        """The results as an exact expectation for what is linked, for C, and for two threads."""
        folder = f"{self.folder}/{name}"
        os.makedirs(f"{folder}/test_data_set_0")
        os.rename(model, f"{folder}/model.onnx")
        for i, (output, value) in enumerate(sorted(wanted.items())):
            with open(f"{folder}/test_data_set_0/output_{i}.pb", "wb") as f:
                f.write(numpy_helper.from_array(value, output).SerializeToString())
        for ways in (["--via", "library"], ["--target", "c"], ["--threads", "2"], ["-O0"]):
            r = subprocess.run([self.onnxcc, "test", folder, "--rtol", "1e-6", "--atol", "1e-6", *ways], stdout=subprocess.PIPE)
            self.expect(f"{name} {' '.join(ways)}", r.returncode == 0)


def near(value, wanted, deviation, count):
    """Within five deviations of a mean of `count` numbers."""
    return abs(value - wanted) < 5 * deviation / np.sqrt(count)


def check_draws(m):
    node = helper.make_node
    m.expect("philox", philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8])
    model = m.save("uniform", [node("RandomUniform", [], ["y"], shape=[3, 41], seed=7.5)])
    y = m.run(model)["y"]
    m.expect("uniform numbers", y.dtype == np.float32 and np.array_equal(y.ravel(), uniform(7.5, 123)))
    m.same_everywhere("uniform", model, {"y": y})
    model = m.save("two", [node("RandomUniform", [], ["a"], shape=[64]), node("RandomUniform", [], ["b"], shape=[64])],
                   outputs=("a", "b"))
    both = m.run(model)
    m.expect("operators draw different numbers", not np.any(both["a"] == both["b"]))
    m.same_everywhere("two", model, both)
    n = 200000
    y = m.run(m.save("range", [node("RandomUniform", [], ["y"], shape=[n], low=-2.0, high=6.0, dtype=11)]))["y"]
    m.expect("uniform range", y.dtype == np.float64 and y.min() >= -2 and y.max() < 6 and near(y.mean(), 2, 8 / 12**0.5, n))
    for t, name in ((1, "float"), (10, "half"), (11, "double")):
        y = m.run(m.save(name, [node("RandomNormal", [], ["y"], shape=[n], mean=3.0, scale=2.0, dtype=t)]))["y"]
        z = (y.astype(np.float64) - 3) / 2
        right = near(z.mean(), 0, 1, n) and near((z**2).mean(), 1, 2**0.5, n) and near((z**3).mean(), 0, 15**0.5, n)
        m.expect(f"normal {name}", bool(right) and near((np.abs(z) < 1).mean(), 0.6826895, 0.4655, n))


def check_others(m):
    node, n = helper.make_node, 100000
    x = ("x", TensorProto.FLOAT, [n])
    model = m.save("like", [node("RandomNormalLike", ["x"], ["y"]), node("RandomUniformLike", ["x"], ["z"], dtype=11)],
                   [x], ["y", "z"])
    made = m.run(model)
    m.expect("like", made["y"].shape == (n,) and near(made["y"].mean(), 0, 1, n) and made["z"].dtype == np.float64)
    np.save(f"{m.folder}/logits.npy", np.log(np.array([[1, 2, 5], [4, 0, 4]], np.float32) + 1e-30))
    model = m.save("multinomial", [node("Multinomial", ["x"], ["y"], sample_size=n, dtype=7)],
                   [("x", TensorProto.FLOAT, [2, 3])])
    y = m.run(model, "--input", f"x={m.folder}/logits.npy")["y"]
    share = np.stack([(y == k).mean(axis=1) for k in range(3)], axis=1)
    wanted = np.array([[0.125, 0.25, 0.625], [0.5, 0, 0.5]])
    m.expect("multinomial", y.dtype == np.int64 and np.all(np.abs(share - wanted) < 5 * 0.5 / np.sqrt(n)))
    body = helper.make_graph([node("RandomUniform", [], ["r"], shape=[50]), node("Identity", ["c"], ["d"])], "body",
                             [helper.make_tensor_value_info(*i) for i in (("i", 7, []), ("c", 9, []))],
                             [helper.make_tensor_value_info("d", 9, []), helper.make_tensor_value_info("r", 1, [50])])
    trips = node("Constant", [], ["t"], value_int=4)
    y = m.run(m.save("loop", [trips, node("Loop", ["t", ""], ["y"], body=body)]))["y"]
    m.expect("iterations draw different numbers", y.shape == (4, 50) and len(np.unique(y)) > 190)


def check_official(m, cases):
    """Shape and type as the data have them, and each element one that can be drawn."""
    for name in sorted(os.listdir(cases)):
        if not name.startswith(("test_bernoulli", "test_training_dropout")) or "zero_ratio" in name:
            continue
        data = f"{cases}/{name}/test_data_set_0"
        files = sorted(f for f in os.listdir(data) if f.endswith(".pb"))
        tensors = {f: numpy_helper.to_array(onnx.load_tensor(f"{data}/{f}")) for f in files}
        made = m.run(f"{cases}/{name}/model.onnx", "--test-data", data)
        graph = onnx.load(f"{cases}/{name}/model.onnx").graph
        right = True
        for i, output in enumerate(graph.output):
            wanted = tensors[f"output_{i}.pb"]
            right &= made[output.name].shape == wanted.shape and made[output.name].dtype == wanted.dtype
        x, y = tensors["input_0.pb"], made[graph.output[0].name]
        if "bernoulli" in name:
            right &= bool(np.all((y == 0) | (y == 1)))
        else:
            ratio = float(tensors["input_1.pb"]) if "input_1.pb" in tensors and "default" not in name else 0.5
            kept = y != 0
            right &= bool(np.allclose(y[kept], x[kept] / (1 - ratio), rtol=1e-5))
            right &= near(kept.mean(), 1 - ratio, np.sqrt(ratio * (1 - ratio)), kept.size)
            if len(graph.output) > 1:
                right &= bool(np.array_equal(made[graph.output[1].name], kept))
        m.expect(name, right)


def main(onnxcc, cases):
    m = Models(onnxcc)
    check_draws(m)
    check_others(m)
    check_official(m, cases)
    return m.failures != 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
