"""images.py ONNXCC: image files of the simple formats, written here in every form that the decoder knows, and one each of the
formats that Pillow writes (test/runtime has the others)."""
import io
import struct
import sys
import zlib

import numpy as np
from cases import Cases
from onnx import helper
from PIL import Image

RNG = np.random.default_rng(7)
H, W = 13, 21


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def pack(samples, bits):
    """Rows of samples as bytes."""
    if bits == 16:
        return samples.astype(">u2").reshape(len(samples), -1).view(np.uint8)
    flat = samples.reshape(len(samples), -1).astype(np.uint8)
    if bits == 8:
        return flat
    each = np.unpackbits(flat[..., None], axis=-1)[..., 8 - bits:].reshape(len(flat), -1)
    return np.packbits(each, axis=1)


def filtered(rows, step):
    """Each row by another filter."""
    out, above = b"", np.zeros(rows.shape[1], int)
    for y, row in enumerate(rows.astype(int)):
        left = np.concatenate([np.zeros(step, int), row])[: len(row)]
        corner = np.concatenate([np.zeros(step, int), above])[: len(row)]
        p = left + above - corner
        d = [abs(p - left), abs(p - above), abs(p - corner)]
        paeth = np.where((d[0] <= d[1]) & (d[0] <= d[2]), left, np.where(d[1] <= d[2], above, corner))
        guess = [0 * row, left, above, (left + above) // 2, paeth][y % 5]
        out += bytes([y % 5]) + ((row - guess) % 256).astype(np.uint8).tobytes()
        above = row
    return out


def png(samples, bits, kind, palette=None, interlaced=False, level=6, split=1):
    step = max(1, samples.shape[2] * bits // 8)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in passes] if interlaced else [samples]
    data = zlib.compress(b"".join(filtered(pack(p, bits), step) for p in parts if p.size), level)
    pieces = [data[i : i + (len(data) + split - 1) // split] for i in range(0, len(data), (len(data) + split - 1) // split)]
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, bits, kind, 0, 0, int(interlaced)))
    colours = chunk(b"PLTE", palette.tobytes()) if palette is not None else b""
    return b"\x89PNG\r\n\x1a\n" + head + colours + b"".join(chunk(b"IDAT", p) for p in pieces) + chunk(b"IEND", b"")


def samples(bits, channels):
    a = RNG.integers(0, 1 << bits, (H, W, channels))
    a[3:9, 4:17] = a[0, 0]
    return a


def as_rgb(a):
    return np.repeat(a, 3, axis=2) if a.shape[2] < 3 else a[:, :, :3]


def png_files():
    for bits in (1, 2, 4, 8, 16):
        a = samples(bits, 1)
        yield f"png_gray_{bits}", png(a, bits, 0), as_rgb(a >> 8 if bits == 16 else a * 255 // ((1 << bits) - 1))
    for bits in (1, 2, 4, 8):
        a, palette = samples(bits, 1), RNG.integers(0, 256, (1 << bits, 3), np.uint8)
        yield f"png_palette_{bits}", png(a, bits, 3, palette), palette[a[:, :, 0]]
    for kind, channels in ((2, 3), (4, 2), (6, 4)):
        for bits in (8, 16):
            a = samples(bits, channels)
            yield f"png_{kind}_{bits}", png(a, bits, kind), as_rgb((a >> (bits - 8))[:, :, : 1 if channels == 2 else 3])
    a = samples(8, 3)
    yield "png_interlaced", png(a, 8, 2, interlaced=True), a
    b = samples(1, 1)
    yield "png_interlaced_bits", png(b, 1, 0, interlaced=True), as_rgb(b * 255)
    yield "png_stored", png(a, 8, 2, level=0, split=5), a
    flat = np.full((H, W, 3), 77)
    yield "png_fixed_codes", png(flat, 8, 2, level=1), flat


def bmp(rows, bits, palette=b"", height=H):
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    rows = rows[::-1] if height > 0 else rows
    start = 54 + len(palette)
    return struct.pack("<2sIIIIiiHHIIiiII", b"BM", start + rows.size, 0, start, 40, W, height, 1, bits, 0, 0, 0, 0,
                       len(palette) // 4, 0) + palette + rows.tobytes()


def other_files():
    a = samples(8, 3)
    yield "bmp_24", bmp(pack(a[:, :, ::-1], 8), 24), a
    yield "bmp_down", bmp(pack(a[:, :, ::-1], 8), 24, height=-H), a
    yield "bmp_32", bmp(pack(np.dstack([a[:, :, ::-1], a[:, :, :1]]), 8), 32), a
    for bits in (1, 4, 8):
        i, palette = samples(bits, 1), RNG.integers(0, 256, (1 << bits, 4), np.uint8)
        yield f"bmp_{bits}", bmp(pack(i, bits), bits, palette.tobytes()), palette[i[:, :, 0], 2::-1]
    yield "ppm", b"P6 # made\n%d %d\n255\n" % (W, H) + pack(a, 8).tobytes(), a
    yield "ppm_text", b"P3\n%d %d 255\n" % (W, H) + b" ".join(b"%d" % v for v in a.ravel()) + b"\n", a
    g = samples(8, 1)
    yield "pgm", b"P5 %d %d 255\n" % (W, H) + pack(g, 8).tobytes(), as_rgb(g)
    wide = samples(16, 1)
    yield "pgm_16", b"P5 %d %d 65535\n" % (W, H) + pack(wide, 16).tobytes(), as_rgb((wide * 255 + 32767) // 65535)
    b = samples(1, 1)
    yield "pbm", b"P4 %d %d\n" % (W, H) + pack(b, 1).tobytes(), as_rgb(255 - 255 * b)
    yield "pbm_text", b"P1 %d %d\n" % (W, H) + b"".join(b"%d" % v for v in b.ravel()), as_rgb(255 - 255 * b)
    for order in "<>":
        yield f"tiff_{'little' if order == '<' else 'big'}", tiff(a, order, 5), a
    yield "tiff_packed", tiff(a, "<", 4, packed=True), a
    yield "tiff_gray", tiff(g, ">", H), as_rgb(g)


def packbits(data):
    out, i = b"", 0
    while i < len(data):
        run = 1
        while i + run < len(data) and run < 128 and data[i + run] == data[i]:
            run += 1
        literal = data[i : i + 3]
        out += bytes([257 - run, data[i]]) if run > 1 else bytes([len(literal) - 1]) + literal
        i += run if run > 1 else len(literal)
    return out


def tiff(a, order, rows, packed=False):
    strips = [pack(a[y : y + rows], 8).tobytes() for y in range(0, H, rows)]
    strips = [packbits(s) for s in strips] if packed else strips
    channels, count = a.shape[2], len(strips)
    lists = 8 + 2 + 9 * 12 + 4
    data = lists + 6 + 8 * count
    offsets = [data + sum(map(len, strips[:i])) for i in range(count)]
    tags = [(256, 3, 1, W), (257, 3, 1, H), (258, 3, channels, lists), (259, 3, 1, 32773 if packed else 1),
            (262, 3, 1, 2 if channels == 3 else 1), (273, 4, count, lists + 6), (277, 3, 1, channels), (278, 3, 1, rows),
            (279, 4, count, lists + 6 + 4 * count)]
    if channels == 1:
        tags[2] = (258, 3, 1, 8)
    if count == 1:
        tags[5], tags[8] = (273, 4, 1, offsets[0]), (279, 4, 1, len(strips[0]))
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    for number, kind, n, value in tags:
        out += struct.pack(order + "HHI", number, kind, n)
        out += struct.pack(order + "HH", value, 0) if kind == 3 and n == 1 else struct.pack(order + "I", value)
    out += struct.pack(order + "I3H", 0, 8, 8, 8)
    return out + struct.pack(f"{order}{2 * count}I", *offsets, *map(len, strips)) + b"".join(strips)


def pillow_files():
    image = Image.fromarray(samples(8, 3).astype(np.uint8))
    for kind, options in (("JPEG2000", {}), ("WEBP", {"quality": 70}), ("WEBP", {"lossless": True})):
        data = io.BytesIO()
        image.save(data, kind, **options)
        yield "_".join([kind.lower(), *options]), data.getvalue(), np.array(Image.open(data))


def gray(a):
    r, g, b = (a[:, :, i].astype(int) for i in range(3))
    return ((r * 19595 + g * 38470 + b * 7471 + 32768) >> 16)[:, :, None]


def main(onnxcc):
    c = Cases(onnxcc)
    forms = {"RGB": lambda a: a, "BGR": lambda a: a[:, :, ::-1], "Grayscale": gray}
    for i, (name, data, pixels) in enumerate([*png_files(), *other_files(), *pillow_files()]):
        form = list(forms)[i % 3]
        node = helper.make_node("ImageDecoder", ["x"], ["y"], pixel_format=form)
        c.add(name, [node], {"x": np.frombuffer(data, np.uint8)}, ["y"],
              expected=[forms[form](pixels).astype(np.uint8)], dims={"y": (H, W, 1 if form == "Grayscale" else 3)})
    return c.run(sample=6)  # all are one function


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
