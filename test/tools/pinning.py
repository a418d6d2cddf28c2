"""pinning.py ONNXCC CASES: how much of its data `onnxcc test` compiles a model for, and what it says of it; `run` and `bench` do
the same."""
import subprocess
import sys

ANY, SIZES, VALUES = "test_relu", "test_sequence_insert_at_back", "test_dft"
SAYS_SIZES = ": compiled for the sizes of its data"
SAYS_VALUES = SAYS_SIZES + " and the values that they depend on"


def main(onnxcc, cases):
    def call(*arguments):
        return subprocess.run([onnxcc, *arguments], capture_output=True, text=True)

    def verdict(name, *arguments):
        return call("test", f"{cases}/{name}", *arguments).stdout.split("\n")[0].replace(f"{cases}/{name}", "")

    def on_data(command, name):
        return call(command, f"{cases}/{name}/model.onnx", "--test-data", f"{cases}/{name}/test_data_set_0").returncode

    wanted = [
        ((ANY,), "PASS "), ((ANY, "--pin"), "PASS "), ((ANY, "--open"), "PASS "),
        ((SIZES,), "PASS " + SAYS_SIZES), ((SIZES, "--pin"), "PASS "), ((SIZES, "--open"), "FAIL "),
        ((VALUES,), "PASS " + SAYS_VALUES), ((VALUES, "--pin"), "PASS "), ((VALUES, "--open"), "FAIL "),
    ]  # fmt: skip
    wrong = [(given, verdict(*given)) for given, said in wanted if verdict(*given) != said]
    wrong += [command for command in ("run", "bench") if on_data(command, VALUES) != 0]
    if call("test", "--pin", "--open", f"{cases}/{ANY}").returncode != 2:
        wrong.append("--pin and --open together")
    for what in wrong:
        print("FAILED", what)
    print(f"{len(wanted) + 3 - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
