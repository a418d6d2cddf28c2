"""opt.py ONNXCC MODEL: every stage at which `onnxcc opt` can stop prints what it is named after."""
import subprocess
import sys

STAGES = {
    "import": "Conv(",
    "fold": "Conv(",
    "loops": "kernel ",
    "schedule": " vector ",
    "llvm": "define ",
    "optimized": "define ",
    "assembly": ".text",
}


def main(onnxcc, model):
    for stage, sign in STAGES.items():
        result = subprocess.run([onnxcc, "opt", model, "--stop-after", stage], capture_output=True, text=True)
        assert result.returncode == 0 and sign in result.stdout, (stage, result.stdout[:300], result.stderr)
    refused = subprocess.run([onnxcc, "opt", model, "--stop-after", "llvm", "--target", "c"], capture_output=True, text=True)
    assert refused.returncode == 1 and "no LLVM code" in refused.stderr and not refused.stdout, refused
    print(f"{len(STAGES) + 1} passed, 0 failed")


main(*sys.argv[1:])
