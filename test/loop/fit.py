"""fit.py OUTPUT: computes the coefficients of ir/loop_math_table.h, minimax polynomials by the exchange algorithm of Remez
in decimal arithmetic of 70 digits. Run by hand when a degree or a range changes; the result is committed."""
import sys
from decimal import Decimal as D, getcontext

getcontext().prec = 90
GRID = 600


def series(x, first, ratio):
    """Sum of first, first*ratio(1), first*ratio(1)*ratio(2), ..."""
    total, term, n = D(0), first, 1
    while abs(term) > D(10) ** -88 and n < 4000:
        total += term
        term = term * ratio(n)
        n += 1
    return total


def sin(x):
    return series(x, x, lambda n: -x * x / ((2 * n) * (2 * n + 1)))


def cos(x):
    return series(x, D(1), lambda n: -x * x / ((2 * n - 1) * (2 * n)))


def atan(x):
    if abs(x) > D("0.2"):
        return 2 * atan(x / (1 + (1 + x * x).sqrt()))
    total, power, n = D(0), x, 0
    while abs(power) > D(10) ** -88:
        total += power / (2 * n + 1) * (-1) ** n
        power *= x * x
        n += 1
    return total


PI = 4 * atan(D(1))


def asin(x):
    return atan(x / (1 - x * x).sqrt())


def erf(x):
    total, term, n = D(0), x, 0
    while abs(term) > D(10) ** -88:
        total += term / (2 * n + 1)
        n += 1
        term = -term * x * x / n
    return total * 2 / PI.sqrt()


def sinh(x):
    return series(x, x, lambda n: x * x / ((2 * n) * (2 * n + 1)))


def expm1(x):
    return series(x, x, lambda n: x / (n + 1))


def solve(a, b):
    n = len(b)
    for i in range(n):
        p = max(range(i, n), key=lambda r: abs(a[r][i]))
        a[i], a[p], b[i], b[p] = a[p], a[i], b[p], b[i]
        for r in range(i + 1, n):
            f = a[r][i] / a[i][i]
            if f:
                a[r] = [u - f * v for u, v in zip(a[r], a[i])]
                b[r] -= f * b[i]
    x = [D(0)] * n
    for i in reversed(range(n)):
        x[i] = (b[i] - sum(a[i][j] * x[j] for j in range(i + 1, n))) / a[i][i]
    return x


def remez(g, weight, low, high, degree):
    """The polynomial p of this degree that minimises max |weight * (p - g)| over [low, high]; its error."""
    low, high = D(low), D(high)
    n = degree + 2
    middle, half = (low + high) / 2, (high - low) / 2
    grid = [middle - half * cos(PI * i / GRID) for i in range(GRID + 1)]
    target, weights = [g(x) for x in grid], [weight(x) for x in grid]
    at = [round(GRID * i / (n - 1)) for i in range(n)]
    error = D(0)
    for _ in range(12):
        rows = [[((grid[i] - middle) / half) ** j for j in range(degree + 1)] + [(-1) ** m / weights[i]]
                for m, i in enumerate(at)]
        answer = solve(rows, [target[i] for i in at])
        c = answer[:-1]

        def value(x):
            t, v = (x - middle) / half, D(0)
            for k in reversed(c):
                v = v * t + k
            return v

        errors = [w * (value(x) - t) for x, w, t in zip(grid, weights, target)]
        # One extremum of each run of equal sign.
        runs = []
        for i, e in enumerate(errors):
            if runs and (e > 0) == (errors[runs[-1]] > 0):
                if abs(e) > abs(errors[runs[-1]]):
                    runs[-1] = i
            else:
                runs.append(i)
        while len(runs) > n:
            runs.pop(0 if abs(errors[runs[0]]) < abs(errors[runs[-1]]) else -1)
        error = max(map(abs, errors))
        if len(runs) < n or runs == at:
            break
        at = runs
    # From (x - middle) / half to x.
    out = [D(0)] * (degree + 1)
    power = [D(1)]
    for k in c:
        for i, v in enumerate(power):
            out[i] += k * v
        power = [(power[i - 1] if i else 0) / half - (power[i] if i < len(power) else 0) * middle / half
                 for i in range(len(power) + 1)]
    return out, error


TINY = D(10) ** -40
LN2 = D(2).ln()


def nonzero(x):
    return x if abs(x) > D("1e-30") else D("1e-30")


def fit(name, doc, g, weight, low, high, degrees):
    """Tables for f32 and, where there is a second degree, for f64."""
    for suffix, degree in zip(("f32", "f64"), degrees):
        c, error = remez(g, weight, low, high, degree)
        print(f"{name}_{suffix}: degree {degree}, error {float(error):.3g}", file=sys.stderr)
        yield f"/* {doc}; error {float(error):.1e} */\n"
        yield f"static const double {name}_{suffix}[] = {{\n"
        for v in c:
            yield f"    {float(v)!r},\n"
        yield "};\n"


def odd(f, scale=1):
    """(f(x) - scale * x) / x^3 as a function of z = x^2."""
    def g(z):
        x = nonzero(z).sqrt()
        x = max(x, D("1e-6"))
        return (f(x) - scale * x) / (x * x * x)
    return g


def odd_weight(f):
    """Relative error of x + x^3 p(x^2) against f."""
    def w(z):
        x = max(z.sqrt() if z > 0 else D(0), D("1e-6"))
        return x * x * x / f(x)
    return w


def main(path):
    h = LN2 / 2 * D("1.001")
    quarter = PI / 4 * D("1.001")
    lines = ["/* loop_math_table.h: coefficients of minimax polynomials, lowest power first, as test/loop/fit.py computes\n"
             " * them. Each says what it stands for and its largest error, relative to the function. Only loop_math.c\n"
             " * includes it. */\n#ifndef ONNXCC_IR_LOOP_MATH_TABLE_H\n#define ONNXCC_IR_LOOP_MATH_TABLE_H\n\n"]

    def add(*args):
        lines.extend(fit(*args))
        lines.append("\n")

    def away(x, least="1e-9"):
        return x if abs(x) > D(least) else D(least)

    add("exp_table", "(exp(r) - 1 - r) / r^2 for |r| <= ln(2)/2",
        lambda r: (expm1(away(r)) - away(r)) / away(r) ** 2, lambda r: away(r) ** 2 / away(r).exp(), -h, h, (4, 10))
    add("expm1_table", "(expm1(r) - r) / r^2 for |r| <= ln(2)/2",
        lambda r: (expm1(away(r)) - away(r)) / away(r) ** 2,
        lambda r: abs(away(r) ** 2 / expm1(away(r))), -h, h, (4, 10))
    low, high = D("0.5").sqrt() - 1, D(2).sqrt() - 1
    add("log_table", "(log(1 + f) - f + f^2/2) / f^3 for 1 + f in [sqrt(1/2), sqrt(2)]",
        lambda f: ((1 + away(f)).ln() - away(f) + away(f) ** 2 / 2) / away(f) ** 3,
        lambda f: abs(away(f) ** 3 / (1 + away(f)).ln()), low, high, (7, 19))
    square = quarter * quarter
    add("sin_table", "(sin(x) - x) / x^3 in x^2, |x| <= pi/4", odd(sin), odd_weight(sin), 0, square, (2, 5))
    add("cos_table", "(cos(x) - 1 + x^2/2) / x^4 in x^2, |x| <= pi/4",
        lambda z: (cos(nonzero(z).sqrt()) - 1 + nonzero(z) / 2) / nonzero(z) ** 2,
        lambda z: nonzero(z) ** 2 / cos(nonzero(z).sqrt()), 0, square, (2, 5))
    add("asin_table", "(asin(x) - x) / x^3 in x^2, |x| <= 1/2", odd(asin), odd_weight(asin), 0, D("0.2505"), (4, 12))
    limit = (D(2).sqrt() - 1) ** 2 * D("1.001")
    add("atan_table", "(atan(x) - x) / x^3 in x^2, |x| <= tan(pi/8)", odd(atan), odd_weight(atan), 0, limit, (3, 10))
    add("sinh_table", "(sinh(x) - x) / x^3 in x^2, |x| <= 1", odd(sinh), odd_weight(sinh), 0, D("1.001"), (2, 6))
    slope = 2 / PI.sqrt()
    add("erf_table", "(erf(x) - x) / x in x^2, |x| <= 1",
        lambda z: erf(nonzero(z).sqrt()) / nonzero(z).sqrt() - 1,
        lambda z: nonzero(z).sqrt() / erf(nonzero(z).sqrt()), 0, D("1.001"), (5, 11))
    # erf = 1 - exp(p(x)): an error d of p is one of erfc * d in erf.
    for suffix, top, degree in (("f32", "3.95", 5), ("f64", "6.0", 17)):
        centre = (1 + D(top)) / 2
        c, error = remez(lambda t: (1 - erf(t + centre)).ln(), lambda t: 1 - erf(t + centre),
                         1 - centre, D(top) - centre, degree)
        print(f"erfc_table_{suffix}: error {float(error):.3g}", file=sys.stderr)
        lines.append(f"/* log(erfc(x + {float(centre)!r})) for x + {float(centre)!r} in [1, {top}]; error of erf "
                     f"{float(error):.1e} */\nstatic const double erfc_table_{suffix}[] = {{\n")
        lines.extend(f"    {float(v)!r},\n" for v in c)
        lines.append("};\n\n")
    # 2^p(x): an error d of p is one of d ln(2), relative; far down the tail less counts.
    top, root = D("8.9"), D(2).sqrt()
    c, error = remez(lambda x: ((1 - erf(x / root)) / 2).ln() / LN2,
                     lambda x: ((1 - erf(x / root)).ln() * D("0.75")).exp(), 0, top, 8)
    print(f"normal_tail_table_f32: error {float(error):.3g}", file=sys.stderr)
    lines.append(f"/* log2(erfc(x / sqrt(2)) / 2) for x in [0, {top}]; error {float(error):.1e} / (tail of x)^(3/4) */\n"
                 "static const double normal_tail_table_f32[] = {\n")
    lines.extend(f"    {float(v)!r},\n" for v in c)
    lines.append("};\n\n")
    add("exp2_table", "2^r for |r| <= 1/2", lambda r: (r * LN2).exp(), lambda r: (-r * LN2).exp(),
        D("-0.5005"), D("0.5005"), (5,))
    lines.append("#endif\n")
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(lines)


if __name__ == "__main__":
    main(sys.argv[1])
