"""bench.py ONNXCC FOLDER: the report of `onnxcc bench` on a test folder, as JSON and as a page, holds together."""
import json
import os
import re
import subprocess
import sys
import tempfile


def bench(onnxcc, folder, *arguments):
    command = [onnxcc, "bench", f"{folder}/model.onnx", "--test-data", folder, "--seconds", "0.05", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check_report(report):
    assert 0 < report["median_ms"] <= report["p95_ms"], report
    assert report["arena_bytes"] >= report["arena_bound_bytes"] > 0, report
    assert report["gflops"] > 0 and report["peak"]["gflops"] > 1 and report["peak"]["memory_gbytes_s"] > 0.5, report
    layers = report["layers"]
    assert len(layers) >= report["kernels"], "a kernel is missing"
    assert any(row["node"] == "/c/Conv" and row["flops"] > 0 for row in layers), layers
    for row in layers:
        # Several times the measured peak would be a wrong count of operations.
        assert row["us"] >= row["min_us"] >= 0 and row["bytes"] > 0 and 0 <= row["share_of_peak"] < 4, row
    for box in report["arena"]:
        assert 0 <= box["offset"] and box["offset"] + box["bytes"] <= report["arena_bytes"], box
        assert 0 <= box["first"] <= box["last"], box
    highest = max(box["offset"] + box["bytes"] for box in report["arena"])
    assert highest > report["arena_bytes"] - 64, "no tensor reaches the end of the arena"


def check_page(page, report):
    data = re.search(r'<script type="application/json" id="report">(.*?)</script>', page, re.S)
    inside = json.loads(data[1])
    assert inside["model"] == report["model"] and len(inside["layers"]) == len(report["layers"])
    assert "@REPORT@" not in page
    assert not re.search(r'(src|href)\s*=\s*"?https?:', page), "the page asks for something from elsewhere"


def main(onnxcc, folder):
    with tempfile.TemporaryDirectory() as scratch:
        path = f"{scratch}/page.html"
        result = bench(onnxcc, folder, "--json", "--html", path)
        assert result.returncode == 0, result.stderr
        report = json.loads(result.stdout)
        check_report(report)
        check_page(open(path).read(), report)
        text = bench(onnxcc, folder, "--layers")
        assert "share_of_peak" in text.stdout and "sum of the kernels" in text.stdout, text.stdout
        wrong = bench(onnxcc, folder, "--html", f"{scratch}/no/page.html")
        assert wrong.returncode == 1 and "no/page.html" in wrong.stderr, wrong.stderr
        missing = bench(onnxcc, folder, "--test-data", f"{scratch}/none")
        assert missing.returncode == 1 and "none" in missing.stderr, missing.stderr
        assert os.listdir(scratch) == ["page.html"]
    print("5 passed, 0 failed")


main(*sys.argv[1:])
