"""tally.py LOG: add up the cases of a verbose CTest log.

A test that prints `N passed, N failed[, N skipped]` on a line of its own counts as that many cases (its last such line
does); any other is one case by its exit status. A test that says nothing failed and still exits with an error is one
failed case. The last line printed is `N passed, N failed`; the exit status is 1 if any failed.
"""
import re
import sys

TOTALS = re.compile(r"^(\d+): (\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$")
RESULT = re.compile(r"^\s*\d+/\d+ Test +#(\d+): (\S+) \.* *(Passed|.*)")


def main(path):
    totals, names, verdicts = {}, {}, {}
    for line in open(path, errors="replace"):
        match = TOTALS.match(line)
        if match:
            totals[match[1]] = [int(n or 0) for n in match.groups()[1:]]
            continue
        match = RESULT.match(line)
        if match:
            names[match[1]], verdicts[match[1]] = match[2], match[3].startswith("Passed")
    passed = failed = 0
    for number, name in sorted(names.items(), key=lambda item: int(item[0])):
        good, bad, skipped = totals.get(number, [int(verdicts[number]), 0, 0])
        if not verdicts[number] and not bad:
            bad = 1
        passed, failed = passed + good, failed + bad
        note = f", {skipped} skipped" if skipped else ""
        print(f"{'ok    ' if not bad else 'FAILED'} {name}: {good} passed, {bad} failed{note}")
    if not names:
        print("no test ran")
        failed = 1
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
