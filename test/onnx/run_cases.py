"""run_cases.py ONNXCC CASES LIST [ARGUMENT...]: run the cases of the onnx package through `onnxcc test`.

LIST names the cases that do not pass yet, one a line; they count as skipped. A case that fails and is not on it is a
failure, for what has passed once may not fall back, and so is one that is on it and passes. Arguments go to
`onnxcc test`: `--target c` runs the cases by way of C. A case's file TOLERANCE holds arguments for that case
alone. With ONNXCC_REFRESH=1 the list is written anew.
"""
import concurrent.futures
import os
import re
import subprocess
import sys

BATCH = 32
SECONDS_A_CASE = 120  # large networks by way of the C compiler, on a busy machine
# Their data hold numbers of numpy's generator; test/values/random_numbers.py checks shape, type and statistics instead.
DRAWN = re.compile(r"test_bernoulli(_double|_seed)?(_expanded)?|test_training_dropout(_default)?(_mask)?")
LINE = re.compile(r"^(PASS|FAIL|SKIP) ([^\s:]+)(: .*)?$")


def run_batch(onnxcc, folders, arguments):
    """Name to the reason of its failure, empty if it passed, None if it was skipped. A batch that dies is run again, case
    by case."""
    found, name = {}, None
    try:
        result = subprocess.run(
            [onnxcc, "test", *folders, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=SECONDS_A_CASE * (1 if len(folders) == 1 else 4),
        )
        output, ended = result.stdout, result.returncode in (0, 1)
        reason = f"exit status {result.returncode}: {output.strip()[-300:]}"
    except subprocess.TimeoutExpired:
        output, ended, reason = "", False, "no answer in time"
    for line in output.splitlines():
        match = LINE.match(line)
        if match:
            name = os.path.basename(match[2])
            found[name] = {"PASS": "", "FAIL": "failed", "SKIP": None}[match[1]]
        elif name and found[name] == "failed":
            found[name] = line  # the first diagnostic, which follows the verdict
    if ended and len(found) == len(folders):
        return found
    if len(folders) == 1:
        return {os.path.basename(folders[0]): reason}
    merged = {}
    for folder in folders:
        merged.update(run_batch(onnxcc, [folder], arguments))
    return merged


def make_batches(folders):
    """Folders that are run at once, with the arguments that they share."""
    groups = {}
    for folder in folders:
        path = f"{folder}/TOLERANCE"
        groups.setdefault(open(path).read() if os.path.exists(path) else "", []).append(folder)
    for own, group in groups.items():
        yield from ((group[i : i + BATCH], own.split()) for i in range(0, len(group), BATCH))


def main(onnxcc, cases, list_path, *arguments):
    folders = sorted(f"{cases}/{name}" for name in os.listdir(cases) if os.path.isdir(f"{cases}/{name}"))
    drawn = [folder for folder in folders if DRAWN.fullmatch(os.path.basename(folder))]
    folders = [folder for folder in folders if folder not in drawn]
    verdicts = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in pool.map(lambda batch: run_batch(onnxcc, batch[0], [*arguments, *batch[1]]), make_batches(folders)):
            verdicts.update(part)
    failing = {name for name, reason in verdicts.items() if reason}
    if os.environ.get("ONNXCC_REFRESH") == "1":
        with open(list_path, "w") as f:
            f.writelines(f"{name}\n" for name in sorted(failing))
    known = set()
    if os.path.exists(list_path):
        known = set(open(list_path).read().split())
    for name in sorted(failing - known):
        print(f"FAILED {name}: {verdicts[name]}")
    mended = sorted(name for name in known if verdicts.get(name) == "")
    for name in mended:
        print(f"FAILED {name}: it passes, and is to be taken off the list (ONNXCC_REFRESH=1)")
    fallen, skipped = len(failing - known) + len(mended), [name for name, reason in verdicts.items() if reason is None]
    passed = len(verdicts) - len(failing) - len(skipped) - len(mended)
    if drawn:
        print(f"{len(drawn)} cases hold random numbers: checked by shape, type and statistics elsewhere")
    print(f"{passed} passed, {fallen} failed, {len(failing & known) + len(skipped)} skipped")
    return fallen != 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
