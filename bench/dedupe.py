"""Planted copies of photos: how many are found, of each kind, and how many pairs are found that are none.

    python bench/dedupe.py FOLDER... [--photos 300] [--known PAIRS.csv]

Takes folders of photos (real ones; nothing of them is kept), makes altered copies of some of the first folder's and
pictures that look like copies and are none, and runs the very functions of the stages `ingest` and `dedupe` over all of
them. Pairs of originals that are found are printed: in real collections some of these are copies too (`--known`: a CSV
file whose first two columns name such pairs). Photos are halved by a hash of their names: the first half is there to
tune on, the second to see whether it holds.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps
from pyarrow.dataset import dataset

from colorize.data.dedupe import group
from colorize.data.description import FIELDS
from colorize.data.execution import map_ordered
from colorize.data.judgement import judge
from colorize.data.manifest import ACCEPTED, FLAGGED, SCHEMA
from colorize.data.sources.layouts import is_named_like_a_photo
from colorize.progress import track
from colorize.settings import load_settings
from colorize.settings.sections import ImageSettings

Alteration = Callable[[Image.Image, random.Random], Image.Image]


def scaled(image: Image.Image, factor: float) -> Image.Image:
    size = (max(33, round(image.width * factor)), max(33, round(image.height * factor)))
    return image.resize(size, Image.Resampling.LANCZOS)


def cropped(image: Image.Image, share: float, choice: random.Random) -> Image.Image:
    """So much of width and height taken away, shared out at random between opposite sides."""
    width, height = round(image.width * (1 - share)), round(image.height * (1 - share))
    left, top = choice.randint(0, image.width - width), choice.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def trimmed(image: Image.Image, share: float) -> Image.Image:
    """So much taken off each of the four sides."""
    dx, dy = round(image.width * share), round(image.height * share)
    return image.crop((dx, dy, image.width - dx, image.height - dy))


def bordered(image: Image.Image, share: float, color: str) -> Image.Image:
    return ImageOps.expand(image, round(share * min(image.size)), color)


def letterboxed(image: Image.Image, share: float) -> Image.Image:
    wide = Image.new("RGB", (image.width, round(image.height * (1 + 2 * share))))
    wide.paste(image, (0, round(image.height * share)))
    return wide


def watermarked(image: Image.Image, strength: float, choice: random.Random) -> Image.Image:
    """Semi-transparent words: in a corner, across the middle, or all over."""
    layer = Image.new("RGBA", image.size)
    draw = ImageDraw.Draw(layer)
    where = choice.choice(("corner", "middle", "tiled"))
    size = max(8, image.width // {"corner": 12, "middle": 6, "tiled": 10}[where])
    font = ImageFont.load_default(size)
    ink = (255, 255, 255, round(255 * strength))
    if where == "corner":
        draw.text((image.width * 0.5, image.height - 1.4 * size), "(c) photo.example", ink, font)
    elif where == "middle":
        draw.text((image.width * 0.1, image.height * 0.45), "PREVIEW", ink, font)
    else:
        for y in range(0, image.height, 3 * size):
            for x in range(-(y % 5) * size, image.width, 6 * size):
                draw.text((x, y), "sample", ink, font)
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def stamped(image: Image.Image, strength: float) -> Image.Image:
    """A red and white logo in the lower right corner: a fifth of the shorter side."""
    layer = Image.new("RGBA", image.size)
    side = min(image.size) // 5
    right, bottom = image.width - side // 5, image.height - side // 5
    draw, ink = ImageDraw.Draw(layer), round(255 * strength)
    draw.rectangle((right - side, bottom - side, right, bottom), (200, 30, 40, ink))
    inner = (right - 0.8 * side, bottom - 0.8 * side, right - 0.2 * side, bottom - 0.2 * side)
    draw.ellipse(inner, (255, 255, 255, ink))
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def sepia(image: Image.Image) -> Image.Image:
    matrix = (0.393, 0.769, 0.189, 0, 0.349, 0.686, 0.168, 0, 0.272, 0.534, 0.131, 0)
    return image.convert("RGB", matrix)


def part(image: Image.Image, start: float, stop: float) -> Image.Image:
    """A part of the width."""
    return image.crop((round(start * image.width), 0, round(stop * image.width), image.height))


def pasted(image: Image.Image, choice: random.Random) -> Image.Image:
    """Something else in front: the picture's own mirrored middle on an ellipse of a seventh of its area."""
    size = (round(0.42 * image.width), round(0.42 * image.height))
    start = (choice.randint(0, image.width - size[0]), choice.randint(0, image.height - size[1]))
    middle = image.crop((image.width // 4, image.height // 4, 3 * image.width // 4, 3 * image.height // 4))
    thing = ImageOps.invert(ImageOps.flip(middle)).resize(size)
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).ellipse((0, 0, *size), fill=255)
    image = image.copy()
    image.paste(thing, start, mask)
    return image


def other_moment(image: Image.Image, share: float, choice: random.Random) -> Image.Image:
    """Everything elsewhere by about so much of the picture's side, near things otherwise than far ones."""
    moved = [[choice.gauss(0, share) for _ in range(2 * 5)] for _ in range(5)]
    mesh, columns, rows = [], 4, 4
    at = lambda x, y: (  # noqa: E731
        image.width * min(1.0, max(0.0, x / columns + moved[y][2 * x] * (0 < x < columns))),
        image.height * min(1.0, max(0.0, y / rows + moved[y][2 * x + 1] * (0 < y < rows))),
    )
    for y in range(rows):
        for x in range(columns):
            box = (image.width * x // columns, image.height * y // rows)
            box += (image.width * (x + 1) // columns, image.height * (y + 1) // rows)
            corners = (*at(x, y), *at(x, y + 1), *at(x + 1, y + 1), *at(x + 1, y))
            mesh.append((box, corners))
    return image.transform(image.size, Image.Transform.MESH, mesh, Image.Resampling.BICUBIC)


def combined(image: Image.Image, choice: random.Random) -> Image.Image:
    image = cropped(image, 0.05, choice)
    image = ImageEnhance.Brightness(image).enhance(choice.choice((0.85, 1.15)))
    return scaled(watermarked(image, 0.35, choice), choice.uniform(0.4, 0.8))


def plain(image: Image.Image, _: random.Random) -> Image.Image:
    return image


#: Name -> (alteration, format, quality). What the house promises to find.
PROMISED: dict[str, tuple[Alteration, str, int]] = {
    "re-encode q80": (plain, "JPEG", 80),
    "re-encode q50": (plain, "JPEG", 50),
    "re-encode q20": (plain, "JPEG", 20),
    "format PNG": (plain, "PNG", 0),
    "format WebP": (plain, "WEBP", 80),
    "resize 75 %": (lambda image, _: scaled(image, 0.75), "JPEG", 90),
    "resize 50 %": (lambda image, _: scaled(image, 0.5), "JPEG", 90),
    "resize 200 %": (lambda image, _: scaled(image, 2.0), "JPEG", 90),
    "crop 2 %": (lambda image, choice: cropped(image, 0.02, choice), "JPEG", 90),
    "crop 5 %": (lambda image, choice: cropped(image, 0.05, choice), "JPEG", 90),
    "border 3 % white": (lambda image, _: bordered(image, 0.03, "white"), "JPEG", 90),
    "border 5 % black": (lambda image, _: bordered(image, 0.05, "black"), "JPEG", 90),
    "border 10 % white": (lambda image, _: bordered(image, 0.1, "white"), "JPEG", 90),
    "watermark 30 %": (lambda image, choice: watermarked(image, 0.3, choice), "JPEG", 90),
    "watermark 60 %": (lambda image, choice: watermarked(image, 0.6, choice), "JPEG", 90),
    "logo 70 %": (lambda image, _: stamped(image, 0.7), "JPEG", 90),
    "logo 100 %": (lambda image, _: stamped(image, 1.0), "JPEG", 90),
    "brightness 80 %": (lambda image, _: ImageEnhance.Brightness(image).enhance(0.8), "JPEG", 90),
    "brightness 120 %": (lambda image, _: ImageEnhance.Brightness(image).enhance(1.2), "JPEG", 90),
    "contrast 75 %": (lambda image, _: ImageEnhance.Contrast(image).enhance(0.75), "JPEG", 90),
    "contrast 130 %": (lambda image, _: ImageEnhance.Contrast(image).enhance(1.3), "JPEG", 90),
}
HARDER: dict[str, tuple[Alteration, str, int]] = {
    "crop 5 % off each side": (lambda image, _: trimmed(image, 0.05), "JPEG", 90),
    "crop 10 %": (lambda image, choice: cropped(image, 0.1, choice), "JPEG", 90),
    "rotation 2 degrees": (lambda image, _: image.rotate(2, Image.Resampling.BICUBIC), "JPEG", 90),
    "letterbox 15 %": (lambda image, _: letterboxed(image, 0.15), "JPEG", 90),
    "brightness 60 %": (lambda image, _: ImageEnhance.Brightness(image).enhance(0.6), "JPEG", 90),
    "brightness 130 %": (lambda image, _: ImageEnhance.Brightness(image).enhance(1.3), "JPEG", 90),
    "saturation 70 %": (lambda image, _: ImageEnhance.Color(image).enhance(0.7), "JPEG", 90),
    "saturation 150 %": (lambda image, _: ImageEnhance.Color(image).enhance(1.5), "JPEG", 90),
    "crop, light, mark, size": (combined, "JPEG", 60),
}
RELATED: dict[str, tuple[Alteration, str, int]] = {
    "mirrored": (lambda image, _: ImageOps.mirror(image), "JPEG", 85),
    "rotated 90": (lambda image, _: image.transpose(Image.Transpose.ROTATE_90), "JPEG", 85),
    "rotated 180": (lambda image, _: image.transpose(Image.Transpose.ROTATE_180), "JPEG", 85),
    "rotated 270": (lambda image, _: image.transpose(Image.Transpose.ROTATE_270), "JPEG", 85),
    "grey": (lambda image, _: image.convert("L"), "JPEG", 85),
    "sepia": (lambda image, _: sepia(image), "JPEG", 85),
}
#: Another picture, or one of which both stay: never a copy of the original, nor of each other where two are named.
DIFFERENT: dict[str, tuple[Alteration, str, int]] = {
    "left part 48 %": (lambda image, _: part(image, 0, 0.48), "JPEG", 90),
    "right part 48 %": (lambda image, _: part(image, 0.52, 1), "JPEG", 90),
    "left 70 %": (lambda image, _: part(image, 0, 0.7), "JPEG", 90),
    "right 70 %": (lambda image, _: part(image, 0.3, 1), "JPEG", 90),
    "object pasted": (pasted, "JPEG", 90),
    "other moment": (lambda image, choice: other_moment(image, 0.02, choice), "JPEG", 90),
    "other viewpoint": (lambda image, choice: other_moment(image, 0.05, choice), "JPEG", 90),
}
KINDS = PROMISED | HARDER | RELATED | DIFFERENT


@dataclass(frozen=True)
class Copy:
    """A file to look at: a photo itself (`kind` empty) or an altered copy of it."""

    original: Path
    kind: str


def encoded(copy: Copy, seed: int) -> bytes:
    if not copy.kind:
        return copy.original.read_bytes()
    alter, file_format, quality = KINDS[copy.kind]
    choice = random.Random(f"{seed} {copy.kind} {copy.original.name}")
    buffer = io.BytesIO()
    with Image.open(copy.original) as image:
        altered = alter(ImageOps.exif_transpose(image).convert("RGB"), choice)
    altered.save(buffer, file_format, **({"quality": quality} if quality else {}))
    return buffer.getvalue()


def looked_at(seed: int, copy: Copy) -> dict[str, Any]:
    row = judge(ImageSettings(), encoded(copy, seed))
    row["status"] = FLAGGED if row["reason"] else ACCEPTED
    row |= {name: bytes.fromhex(row[name]) for name in FIELDS if name in row}
    path = f"{copy.original}|{copy.kind}"
    return {"dataset": "bench", "path": path, "version": "1", **row}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--photos", type=int, default=300, help="photos that are copied; the others only stand by")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--known", type=Path, help="CSV: pairs of file names that are copies by nature")
    arguments = parser.parse_args()
    paths, *more = (sorted(photos_of(folder)) for folder in arguments.folder)
    chosen = random.Random(arguments.seed).sample(paths, min(arguments.photos, len(paths)))
    paths += [path for some in more for path in some]
    copies = [Copy(path, "") for path in paths] + [Copy(path, kind) for path in chosen for kind in KINDS]
    rows = list(track(map_ordered(partial(looked_at, arguments.seed), copies, chunk=16), "look", len(copies)))
    usable = [(copy, row) for copy, row in zip(copies, rows, strict=True) if row["usable"]]
    table = pa.Table.from_pylist([row for _, row in usable], schema=SCHEMA)
    with tempfile.TemporaryDirectory() as scratch:
        groups, counts = group(dataset(table), load_settings().dedupe, Path(scratch))
    report(usable, groups.to_pylist(), arguments.known)
    print(counts)


def photos_of(folder: Path) -> list[Path]:
    """Photos below a folder, but for grey twins of colour photos."""
    return [path for path in folder.rglob("*") if is_named_like_a_photo(path.name) and "gray" not in path.parts]


def report(usable: list[tuple[Copy, dict[str, Any]]], groups: list[dict[str, Any]], known: Path | None) -> None:
    by_path = {row["path"]: row for row in groups}
    found, possible = defaultdict[tuple[str, int], int](int), defaultdict[tuple[str, int], int](int)
    colour = {copy.original for copy, row in usable if not copy.kind and row["status"] == ACCEPTED}
    for copy, row in usable:
        if copy.kind and copy.original in colour:
            one, other = by_path[row["path"]], by_path[f"{copy.original}|"]
            key = "split_group" if copy.kind in RELATED else "duplicate_group"
            possible[copy.kind, half(copy.original)] += 1
            found[copy.kind, half(copy.original)] += one[key] == other[key]
    titles = {"promised": PROMISED, "harder": HARDER, "related: in one split": RELATED}
    for title, kinds in (titles | {"different: taken for copies (should be 0)": DIFFERENT}).items():
        print(f"\n{title:40} first half  second half")
        for name, counted in [*((kind, [kind]) for kind in kinds), ("all", list(kinds))]:
            shares = [
                sum(found[kind, k] for kind in counted) / max(1, sum(possible[kind, k] for kind in counted))
                for k in range(2)
            ]
            print(f"  {name:38} {shares[0]:10.4f}  {shares[1]:11.4f}")
    grouped = sum(
        by_path[row["path"]]["duplicate_group"] == by_path[f"{copy.original}|"]["duplicate_group"]
        for copy, row in usable
        if copy.kind in RELATED and copy.original in colour
    )
    number = sum(count for (kind, _), count in possible.items() if kind in RELATED)
    print(f"\nrelated photos taken for copies: {grouped} of {number}")
    copies = sum(number for (kind, _), number in found.items() if kind in PROMISED | HARDER)
    pairs = wrong_pairs(usable, by_path, known)
    print(f"\nfalse pairs of originals: {len(pairs)} (precision {copies / max(1, copies + len(pairs)):.4f})")
    for one, other in sorted(pairs)[:40]:
        print(f"  {one} = {other}")


def half(path: Path) -> int:
    return hashlib.sha256(path.name.encode()).digest()[-1] % 2


def wrong_pairs(
    usable: list[tuple[Copy, dict[str, Any]]], by_path: dict[str, dict[str, Any]], known: Path | None
) -> set[tuple[Path, Path]]:
    """Pairs of different originals that share a duplicate group, themselves or by what was made of them."""
    members: dict[str, set[Path]] = defaultdict(set)
    for copy, row in usable:
        members[by_path[row["path"]]["duplicate_group"]].add(copy.original)
    pairs = {pair for group in members.values() for pair in combinations(sorted(group), 2)}
    if known is None:
        return pairs
    with known.open(encoding="utf-8") as file:
        natural = {frozenset(Path(name).name for name in line[:2]) for line in csv.reader(file) if len(line) >= 2}
    return {pair for pair in pairs if frozenset(path.name for path in pair) not in natural}


if __name__ == "__main__":
    main()
