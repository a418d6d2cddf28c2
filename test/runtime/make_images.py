"""make_images.py OUT: image files made by Pillow, and the pixels that it decodes from them, for test_images.c.

OUT/LIST has a line a file: its name, width, height and channels; NAME holds the file and NAME.pixels what it shows.
"""
import base64
import io
import os
import struct
import sys

import numpy as np
from PIL import Image

import image_files

RNG = np.random.default_rng(11)


def picture(width, height):
    """Waves, some noise and a flat rectangle: what transforms and predictions both have work with."""
    y, x = np.mgrid[0:height, 0:width]
    a = np.stack([127 + 100 * np.sin(x / 7 + i) * np.cos(y / (5 + i)) for i in range(3)], -1)
    a += RNG.normal(0, 8, a.shape)
    a[height // 3 : height // 2, width // 4 : width // 2] = RNG.integers(0, 255, 3)
    return Image.fromarray(a.clip(0, 255).astype(np.uint8))


def encode(image, kind, **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def box(kind, data):
    return struct.pack(">I", 8 + len(data)) + kind + data


def with_palette(image):
    """A JP2 file of indices and a palette: boxes that Pillow reads but does not write."""
    colours = image.quantize(40)
    file = encode(Image.fromarray(np.array(colours)), "JPEG2000")
    head = file.index(b"jp2h") - 4
    end = head + struct.unpack(">I", file[head : head + 4])[0]
    palette = box(b"pclr", struct.pack(">H4B", 40, 3, 7, 7, 7) + bytes(colours.getpalette()[:120]))
    columns = box(b"cmap", bytes([0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 2]))
    boxes = file[head + 8 : end].replace(struct.pack(">I", 17), struct.pack(">I", 16))  # not gray: sRGB
    return file[:head] + box(b"jp2h", boxes + palette + columns) + file[end:]


def with_own_markers(image):
    """A codestream whose second component has markers of its own, and the file's long form of a box's length."""
    file = encode(image, "JPEG2000")
    box_at = file.index(b"jp2c") - 4
    cod, qcd = file.index(b"\xff\x52", box_at), file.index(b"\xff\x5c", box_at)
    end = qcd + 2 + struct.unpack(">H", file[qcd + 2 : qcd + 4])[0]
    steps = file[qcd + 4 : end]
    style = struct.pack(">HHBB", 0xFF53, 9, 1, file[cod + 4]) + file[cod + 9 : cod + 14]
    own = struct.pack(">HHB", 0xFF5D, 3 + len(steps), 1) + steps
    stream = file[box_at + 8 : end] + style + own + file[end:]
    return file[:box_at] + struct.pack(">I4sQ", 1, b"jp2c", 16 + len(stream)) + stream


def others(files):
    """What Pillow does not write."""
    for name, text in files.items():
        yield name, base64.b64decode(text)


def jpeg_2000():
    """JPEG 2000: both transforms, every order of packets, layers, tiles, blocks of all sizes."""
    for width, height in ((1, 1), (2, 1), (1, 3), (5, 7), (33, 17), (64, 64), (101, 75)):
        image = picture(width, height)
        yield f"reversible_{width}_{height}", encode(image, "JPEG2000")
        yield f"irreversible_{width}_{height}", encode(image, "JPEG2000", irreversible=True, quality_layers=[4])
    image = picture(61, 45)
    layers = {"quality_layers": [40, 10, 0], "precinct_size": (32, 32), "codeblock_size": (8, 8)}
    tiles = {"tile_size": (40, 24), "offset": (5, 3), "tile_offset": (2, 1), "num_resolutions": 3, "irreversible": True}
    for order in ("LRCP", "RLCP", "RPCL", "PCRL", "CPRL"):
        yield f"layers_{order}", encode(image, "JPEG2000", progression=order, **layers)
        yield f"tiles_{order}", encode(image, "JPEG2000", progression=order, quality_layers=[20, 5], **tiles)
    for mode in ("L", "LA", "RGBA", "YCbCr"):
        yield f"mode_{mode}", encode(image.convert(mode), "JPEG2000")
    yield "apart", encode(image, "JPEG2000", mct=0, signed=True, no_jp2=True, num_resolutions=1)
    yield "palette", with_palette(image)
    yield "own_markers", with_own_markers(image)
    for irreversible in (False, True):  # tiles of one sample, at odd places
        options = {"tile_size": (2, 2), "offset": (1, 1), "num_resolutions": 2, "irreversible": irreversible}
        yield f"odd_{irreversible}", encode(picture(4, 6), "JPEG2000", **options)
    yield "small_blocks", encode(image, "JPEG2000", codeblock_size=(4, 4))
    yield "flat_blocks", encode(image, "JPEG2000", codeblock_size=(1024, 4), plt=True)
    yield from others(image_files.JPEG_2000)


def jpeg():
    """JPEG: all samplings, sequential and progressive, restarts, gray and colours that are not transformed."""
    for width, height in ((1, 1), (2, 1), (1, 3), (5, 7), (17, 16), (33, 17), (101, 75)):
        image = picture(width, height)
        for sampling in (0, 1, 2):
            name = f"{width}_{height}_{sampling}"
            yield f"sequential_{name}", encode(image, "JPEG", quality=85, subsampling=sampling)
            yield f"progressive_{name}", encode(image, "JPEG", quality=85, subsampling=sampling, progressive=True)
    image = picture(61, 45)
    for quality in (1, 10, 95, 100):
        yield f"sequential_{quality}", encode(image, "JPEG", quality=quality, restart_marker_blocks=3)
        yield f"progressive_{quality}", encode(image, "JPEG", quality=quality, progressive=True, restart_marker_rows=1)
    for progressive in (False, True):
        yield f"gray_{progressive}", encode(image.convert("L"), "JPEG", progressive=progressive)
        yield f"rgb_{progressive}", encode(image, "JPEG", keep_rgb=True, progressive=progressive, exif=b"Exif\0\0odd")
    yield from others(image_files.JPEG)


def simple():
    """The formats without or with few transforms."""
    image = picture(61, 45)
    for mode in ("1", "L", "P", "RGB"):
        yield f"bmp_{mode}", encode(image.convert(mode), "BMP")
    for mode in ("1", "L", "P", "LA", "RGB", "RGBA"):
        yield f"png_{mode}", encode(image.convert(mode), "PNG")
    for mode in ("1", "L", "RGB"):
        yield f"pnm_{mode}", encode(image.convert(mode), "PPM")


def tiff():
    """TIFF: every compression but JPEG and fax, with and without predictor, several strips."""
    image = picture(61, 45)
    for mode in ("1", "L", "P", "LA", "RGB", "RGBA"):
        for packing in ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate"):
            options = {"compression": packing, "strip_size": 1500}
            if packing in ("tiff_lzw", "tiff_adobe_deflate") and mode not in ("1", "P"):
                options["tiffinfo"] = {317: 2}
            yield f"{mode}_{packing}", encode(image.convert(mode), "TIFF", **options)
    yield "runs", encode(Image.new("RGB", (700, 300), (1, 2, 3)), "TIFF", compression="tiff_lzw")
    yield "noise", encode(Image.fromarray(RNG.integers(0, 256, (60, 60, 3), np.uint8)), "TIFF", compression="tiff_lzw")
    yield from others(image_files.TIFF)


def webp():
    """WebP, lossy: qualities, and sizes that are no multiples of a macroblock."""
    for width, height in ((1, 1), (2, 1), (1, 3), (5, 7), (16, 16), (33, 17), (64, 48), (101, 75)):
        image = picture(width, height)
        for quality in (10, 95):
            yield f"lossy_{quality}_{width}_{height}", encode(image, "WEBP", quality=quality)
    image = picture(61, 45)
    for method in (0, 2, 6):
        yield f"method_{method}", encode(image, "WEBP", quality=40, method=method)
    seen = image.convert("RGBA")
    seen.putalpha(image.convert("L"))
    yield "alpha", encode(seen, "WEBP", quality=60, exif=b"Exif\0\0odd", exact=True)
    yield "gray", encode(image.convert("L"), "WEBP")
    yield from others(image_files.WEBP)


def webp_lossless():
    """All transforms, with palettes of every width, several groups of codes, and an animation's first frame."""
    for width, height in ((1, 1), (2, 1), (1, 3), (5, 7), (33, 17), (101, 75)):
        for method in (0, 6):
            data = encode(picture(width, height), "WEBP", lossless=True, method=method, quality=100)
            yield f"method_{method}_{width}_{height}", data
    image = picture(61, 45)
    for colours in (2, 4, 9, 17, 256):
        yield f"colours_{colours}", encode(image.quantize(colours).convert("RGB"), "WEBP", lossless=True)
    y, x = np.mgrid[0:60, 0:90]
    waves = 127 + 60 * np.sin(x / 9)[..., None] * np.cos(y / 7)[..., None] + [0, 9, 5]
    yield "waves", encode(Image.fromarray(waves.astype(np.uint8)), "WEBP", lossless=True, quality=100)
    slopes = np.stack([x, y, x + y], -1).astype(np.uint8)
    mixed = np.concatenate([slopes, np.array(picture(90, 60)), np.array(picture(90, 60).quantize(20).convert("RGB"))])
    yield "slopes", encode(Image.fromarray(slopes), "WEBP", lossless=True, method=6, quality=100)
    yield "mixed", encode(Image.fromarray(mixed), "WEBP", lossless=True, method=6, quality=100)
    yield "noise", encode(Image.fromarray(RNG.integers(0, 256, (40, 40, 3), np.uint8)), "WEBP", lossless=True)
    yield "flat", encode(Image.new("RGB", (37, 23), (9, 200, 3)), "WEBP", lossless=True)
    yield "frames", encode(image, "WEBP", lossless=True, save_all=True, append_images=[picture(61, 45)])
    seen = image.convert("RGBA")
    seen.putalpha(image.convert("L"))
    yield "alpha", encode(seen, "WEBP", lossless=True, exact=True)


def main(out):
    os.makedirs(out, exist_ok=True)
    lines = []
    for family in (simple, tiff, jpeg, jpeg_2000, webp, webp_lossless):
        for name, data in family():
            pixels = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
            name = f"{family.__name__}_{name}"
            lines.append(f"{name} {pixels.shape[1]} {pixels.shape[0]}\n")
            for path, content in ((name, data), (f"{name}.pixels", pixels.tobytes())):
                with open(f"{out}/{path}", "wb") as f:
                    f.write(content)
    with open(f"{out}/LIST", "w") as f:
        f.writelines(lines)


if __name__ == "__main__":
    main(sys.argv[1])
