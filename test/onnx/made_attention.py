"""made_attention.py: ONNX Runtime's forms of attention: masks, pasts, packed heads, grouped queries, rotation."""
import numpy as np

from make_made_cases import Row, node

F32, F16, I32, I64 = np.float32, np.float16, np.int32, np.int64
HALF = (5e-3, 5e-3)  # float16 in, float16 out
B, S, P, N, D = 2, 4, 3, 2, 8
H, T = N * D, P + S


def numbers(r, *shape, scale=1.0, dtype=F32):
    return (scale * r.standard_normal(shape)).astype(dtype)


def ints(*values):
    return np.array(values, I32)


def mask_of(r, *shape):
    """Keys that are seen; the first one always."""
    mask = r.integers(0, 2, shape).astype(I32)
    mask[..., 0] = 1
    return mask


X = "batch rows 12"


def projections():
    def operands(r, mask=None, past=None, bias=None, v=H):
        weights = [numbers(r, B, S, 12), numbers(r, 12, 2 * H + v, scale=0.4), numbers(r, 2 * H + v)]
        return [*weights, mask(r) if mask else None, numbers(r, 2, B, N, past, D) if past else None,
                numbers(r, *bias) if bias else None]

    def row(variant, attributes=None, outputs=1, symbolic=False, **inputs):
        while_trailing = lambda r: trimmed(operands(r, **inputs))  # noqa: E731
        return Row("Attention", variant, while_trailing, dict(num_heads=N, **(attributes or {})), outputs=outputs,
                   symbolic=symbolic, weights=(1, 2))

    yield row("plain")
    yield row("symbolic", symbolic=[X])
    yield row("causal", dict(unidirectional=1))
    yield row("scale", dict(scale=0.3))
    yield row("value_size", dict(qkv_hidden_sizes=[H, H, 2 * H]), v=2 * H)
    yield row("mask_2d", mask=lambda r: mask_of(r, B, S))
    yield row("mask_2d_symbolic", mask=lambda r: mask_of(r, B, S), symbolic=[X, "", "", "batch rows"])
    yield row("mask_2d_causal", dict(unidirectional=1), mask=lambda r: mask_of(r, B, S))
    yield row("mask_of_nothing", mask=lambda r: np.zeros((B, S), I32))
    yield row("mask_filter", dict(mask_filter_value=-3.0), mask=lambda r: mask_of(r, B, S))
    yield row("mask_3d", mask=lambda r: mask_of(r, B, S, S))
    yield row("mask_lengths", mask=lambda r: ints(2, 4))
    yield row("mask_lengths_symbolic", mask=lambda r: ints(2, 4), symbolic=[X, "", "", "batch"])
    yield row("mask_ends", mask=lambda r: ints(3, 4, 0, 1))
    yield row("bias", bias=(B, N, S, S))
    yield row("bias_mask", bias=(1, 1, S, S), mask=lambda r: mask_of(r, B, S))
    yield row("past", dict(unidirectional=1), past=P, outputs=2)
    yield row("past_mask", dict(unidirectional=1), past=P, outputs=2, mask=lambda r: mask_of(r, B, T))
    yield row("past_symbolic", dict(unidirectional=1), past=P, outputs=2,
              symbolic=[X, "", "", "", f"2 batch {N} past {D}"])

    def quantised(r, signed=True, past=None, mask=None):
        info = np.iinfo(np.int8 if signed else np.uint8)
        weights = r.integers(info.min, info.max, (12, 3 * H)).astype(info.dtype)
        zero = np.array(1 if signed else 127, info.dtype)
        return trimmed([r.integers(0, 256, (B, S, 12)).astype(np.uint8), weights, numbers(r, 3 * H),
                        np.array(0.02, F32), np.array(0.01, F32), mask, np.array(128, np.uint8), zero,
                        numbers(r, 2, B, N, past, D) if past else None])

    yield Row("QAttention", "i8", quantised, dict(num_heads=N), weights=(1, 2, 3, 4, 6, 7))
    yield Row("QAttention", "u8", lambda r: quantised(r, False, mask=ints(2, 3)), dict(num_heads=N), weights=(1, 2, 3, 4, 6, 7))
    yield Row("QAttention", "past", lambda r: quantised(r, past=P), dict(num_heads=N, unidirectional=1), outputs=2,
              weights=(1, 2, 3, 4, 6, 7))


def trimmed(inputs):
    while inputs[-1] is None:
        inputs = inputs[:-1]
    return inputs


def multi_head():
    def operands(r, q=(B, S, H), k=(B, S, H), v=(B, S, H), bias=None, mask=None, scores=None, past=None):
        return trimmed([numbers(r, *q), numbers(r, *k) if k else None, numbers(r, *v) if v else None,
                        numbers(r, bias) if bias else None, mask(r) if mask else None,
                        numbers(r, *scores) if scores else None,
                        *([numbers(r, B, N, past, D), numbers(r, B, N, past, D)] if past else [])])

    def row(variant, attributes=None, outputs=1, symbolic=False, spelt=(), types=None, **inputs):
        return Row("MultiHeadAttention", variant, lambda r: operands(r, **inputs), dict(num_heads=N, **(attributes or {})),
                   outputs=outputs, symbolic=symbolic, spelt=spelt, types=types or {})

    # Packed heads are not for ONNX Runtime's CPU: taken apart there.
    def unpacked(packed, names):
        yield node("Split", packed, " ".join(f"{x}5" for x in names), axis=3, num_outputs=len(names))
        for x in names:
            yield node("Reshape", f"{x}5 shape", x)

    shape = node("Constant", "", "shape", value_ints=[0, 0, H])

    def attention(inputs):
        return node("MultiHeadAttention", inputs, "y0", domain="com.microsoft", num_heads=N)

    longer = dict(k=(B, 6, H), v=(B, 6, H))
    yield row("plain")
    yield row("bias", bias=3 * H)
    yield row("cross", **longer)
    yield row("cross_symbolic", symbolic=[f"batch rows {H}", f"batch keys {H}", f"batch keys {H}"], **longer)
    yield row("value_size", k=(B, 6, H), v=(B, 6, 2 * H))
    yield row("causal", dict(unidirectional=1))
    yield row("scale", dict(scale=0.2), bias=3 * H)
    yield row("packed_qkv", q=(B, S, N, 3, D), k=None, v=None, spelt=(shape, *unpacked("x0", "qkv"), attention("q k v")))
    yield row("packed_kv", k=(B, 6, N, 2, D), v=None, spelt=(shape, *unpacked("x1", "kv"), attention("x0 k v")))
    yield row("heads_first", k=(B, N, 6, D), v=(B, N, 6, D))
    yield row("mask_2d", mask=lambda r: mask_of(r, B, 6), **longer)
    yield row("mask_lengths", mask=lambda r: ints(3, 6), **longer)
    yield row("mask_3d", mask=lambda r: mask_of(r, B, S, 6), **longer)
    yield row("scores", scores=(1, N, S, 6), **longer)
    yield row("scores_mask", scores=(B, 1, S, 6), mask=lambda r: mask_of(r, B, 6), **longer)
    yield row("past", past=P, outputs=3)
    yield row("past_symbolic", past=P, outputs=3,
              symbolic=[*3 * [f"batch rows {H}"], "", "", "", *2 * [f"batch {N} past {D}"]])
    yield row("past_causal", dict(unidirectional=1), past=P, outputs=3, bias=3 * H)
    yield row("past_mask", past=P, outputs=3, mask=lambda r: mask_of(r, B, T))
    yield row("scores_out", outputs="y0 _ _ y1", types={"y1": 1}, mask=lambda r: mask_of(r, B, S))


def rotary():
    def operands(r, shape=(B, S, H), width=D // 2, one=False, dtype=F32):
        angles = r.uniform(-3, 3, (16, width))
        positions = np.array([3], I64) if one else r.integers(0, 16, (shape[0], S))
        return [numbers(r, *shape, dtype=dtype), positions, np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)]

    for interleaved in (0, 1):
        yield Row("RotaryEmbedding", f"flat_{interleaved}", operands, dict(interleaved=interleaved))
        yield Row("RotaryEmbedding", f"heads_{interleaved}", lambda r: operands(r, (B, N, S, D)), dict(interleaved=interleaved),
                  symbolic=interleaved == 1 and [f"batch {N} rows {D}", "batch rows"])
        yield Row("RotaryEmbedding", f"partial_{interleaved}", lambda r: operands(r, width=2),
                  dict(interleaved=interleaved, num_heads=N, rotary_embedding_dim=4))
    yield Row("RotaryEmbedding", "one_position", lambda r: operands(r, one=True))
    yield Row("RotaryEmbedding", "one_position_symbolic", lambda r: operands(r, one=True), weights=(2, 3),
              symbolic=[f"batch rows {H}"])
    yield Row("RotaryEmbedding", "f16", lambda r: operands(r, dtype=F16), tolerance=HALF)


def grouped():
    heads, shared, most = 4, 2, 16

    def operands(r, rows, past, totals, batch=None, size=2 * D, capacity=None, packed=False, rotate=False, more=(), dtype=F32):
        batch = batch or len(totals)
        q = numbers(r, batch, rows, (heads + 2 * shared if packed else heads) * size, dtype=dtype)
        kv = [None, None] if packed else [numbers(r, batch, rows, shared * size, dtype=dtype) for _ in "kv"]
        cache = (batch, shared, capacity or past, size)
        pasts = [numbers(r, *cache, dtype=dtype) for _ in "kv"] if past else [None, None]
        angles = r.uniform(-3, 3, (most, size // 2))
        caches = [np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)] if rotate else [None, None]
        total = np.array(max(totals), I32)
        return trimmed([q, *kv, *pasts, np.array(totals, I32) - 1, total, *caches, *(part(r) if part else None for part in more)])

    def row(variant, attributes=None, symbolic=False, tolerance=None, outputs=3, **inputs):
        attributes = dict(num_heads=heads, kv_num_heads=shared, **(attributes or {}))
        return Row("GroupQueryAttention", variant, lambda r: operands(r, **inputs), attributes, outputs=outputs,
                   weights=(6, 7, 8), symbolic=symbolic, tolerance=tolerance)

    prompt = dict(rows=S, past=0, totals=[S, S])
    step = dict(rows=1, past=5, totals=[6, 6])
    yield row("prompt", **prompt)
    widths = [f"batch rows {heads * 2 * D}", *2 * [f"batch rows {shared * 2 * D}"]]
    yield row("prompt_symbolic", symbolic=[*widths, "", "", "batch"], **prompt)
    yield row("packed", packed=True, **prompt)
    yield row("packed_rotary", dict(do_rotary=1), packed=True, rotate=True, **prompt)
    yield row("step", **step)
    yield row("step_rotary", dict(do_rotary=1), rotate=True, **step)
    yield row("step_interleaved", dict(do_rotary=1, rotary_interleaved=1), rotate=True, **step)
    yield row("step_rotary_symbolic", dict(do_rotary=1), rotate=True,
              symbolic=[*widths, *2 * [f"batch {shared} past {2 * D}"], "batch"], **step)
    yield row("chunk", dict(do_rotary=1), rotate=True, rows=3, past=5, totals=[8])
    yield row("lengths_differ", dict(do_rotary=1), rotate=True, rows=1, past=5, totals=[6, 4])
    yield row("window", dict(local_window_size=3), **step)
    yield row("window_prompt", dict(local_window_size=2), **prompt)
    yield row("softcap", dict(softcap=2.0), **step)
    yield row("scale", dict(scale=0.2), **prompt)
    yield row("smooth", dict(smooth_softmax=1), **step)
    yield row("bias", more=(None, lambda r: numbers(r, 2, heads, 1, 6)), **step)
    yield row("sink", more=(None, None, lambda r: numbers(r, heads)), **step)
    yield row("positions", dict(do_rotary=1), rotate=True, more=(lambda r: np.full((2, 1), 5, I64),), **step)
    yield row("f16", dict(do_rotary=1), rotate=True, dtype=F16, tolerance=HALF, **step)


def rows():
    for table in (projections, multi_head, rotary, grouped):
        yield from table()
