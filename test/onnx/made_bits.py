"""made_bits.py: weights of a few bits in blocks."""
import numpy as np

from make_made_cases import Row

F32, F16, U8 = np.float32, np.float16, np.uint8
EIGHT_BITS = (2e-2, 5e-2)  # ONNX Runtime rounds the left matrix to 8 bits: 0.007 a result, in the mean


def rows():
    def operands(r, rows=5, k=64, n=12, bits=4, block=32, zeros=None, bias=False, dtype=F32):
        blocks = -(-k // block)
        a = r.standard_normal((2, rows, k) if rows > 1 else (rows, k)).astype(dtype)
        weights = r.integers(0, 256, (n, blocks, block * bits // 8)).astype(U8)
        if k % block:  # what fills the last block is zero
            weights[:, -1, (k % block) * bits // 8 :] = 0
        scales = r.uniform(0.01, 0.05, (n, blocks)).astype(dtype)
        points = None
        if zeros == "packed":
            points = r.integers(0, 256, (n, -(-blocks * bits // 8))).astype(U8)
        elif zeros:
            points = r.uniform(0, 15, (n, blocks)).astype(dtype)
        inputs = [a, weights, scales, points, None, r.standard_normal(n).astype(dtype) if bias else None]
        while inputs[-1] is None:
            inputs.pop()
        return inputs

    def row(variant, k=64, n=12, bits=4, block=32, symbolic=False, tolerance=None, accuracy=0, constant=True, **others):
        return Row("MatMulNBits", variant, lambda r: operands(r, k=k, n=n, bits=bits, block=block, **others),
                   dict(K=k, N=n, bits=bits, block_size=block, accuracy_level=accuracy),
                   weights=(1, 2, 3, 5) if constant else (), symbolic=symbolic, tolerance=tolerance)

    yield row("plain")
    yield row("one_row", rows=1)
    yield row("symbolic", symbolic=True)
    yield row("zeros", zeros="packed")
    yield row("zeros_odd", k=96, zeros="packed")
    yield row("zeros_float", zeros="float")
    yield row("bias", zeros="packed", bias=True)
    yield row("data", zeros="packed", constant=False)
    yield row("rest", k=80, zeros="packed")
    for block in (16, 64, 128):
        yield row(f"block_{block}", k=256, block=block, zeros="packed")
    yield row("bits_8", bits=8, zeros="packed")
    yield row("bits_8_plain", bits=8)
    yield row("bits_2", bits=2, zeros="packed", k=128)
    yield row("rounded", accuracy=4, zeros="packed", tolerance=EIGHT_BITS)
    yield row("f16", dtype=F16, tolerance=(5e-3, 5e-2))

    def named(r, k, n, block, dtype=F32, turned=True):
        count = k * n
        return [r.standard_normal((3, k if turned else n)).astype(dtype), r.integers(0, 256, -(-count // 2)).astype(U8),
                r.uniform(0.5, 2, -(-count // block)).astype(dtype)]

    for kind in (0, 1):
        yield Row("MatMulBnb4", f"kind_{kind}", lambda r: named(r, 64, 12, 16), dict(K=64, N=12, block_size=16, quant_type=kind), weights=(1, 2))
    yield Row("MatMulBnb4", "rest", lambda r: named(r, 15, 7, 32), dict(K=15, N=7, block_size=32, quant_type=1), weights=(1, 2))
    yield Row("MatMulBnb4", "data", lambda r: named(r, 64, 5, 64), dict(K=64, N=5, block_size=64, quant_type=1))

    def gathered(r, bits, zeros, indices):
        data = r.integers(0, 256, (20, 32 * bits // 8)).astype(U8)
        points = [r.integers(0, 256, (20, 2 * bits // 8 or 1)).astype(U8)] if zeros else []
        return [data, r.integers(0, 20, indices), r.uniform(0.01, 0.05, (20, 2)).astype(F32), *points]

    for bits in (4, 8):
        for zeros in (False, True):
            yield Row("GatherBlockQuantized", f"bits_{bits}{'_zeros' if zeros else ''}",
                      lambda r, bits=bits, zeros=zeros: gathered(r, bits, zeros, (2, 3)),
                      dict(bits=bits, block_size=16), weights=(0, 2, 3))
