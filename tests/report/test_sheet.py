"""The sheet of copies: what it says and shows, that names do no harm, and that a browser has no complaint."""

from __future__ import annotations

import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps
from typer.testing import CliRunner

from colorize.commands import app, dedupe_sheet
from colorize.data.dedupe import SCHEMA as GROUPS
from colorize.data.manifest import SCHEMA as MANIFEST
from colorize.data.splits import SCHEMA as SPLITS
from colorize.report.gather import gather
from colorize.report.render import render as render_report
from colorize.report.sheet import Group, Photo, Reason, Sheet, render

NAME = "<script>alert(1)</script> & 'x'.jpg"


def picture(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos: a group of three, one of 16 equal ones, a mirrored pair, one without a copy, two rejected files."""
    root = tmp_path_factory.mktemp("sheet") / "my photos"
    (root / "sub").mkdir(parents=True)
    for i in range(4):
        picture(i).save(root / f"im{i}.jpg", quality=90)
    (root / "sub" / NAME.replace("/", "")).write_bytes((root / "im0.jpg").read_bytes())
    picture(0).resize((640, 480)).save(root / "large.png")
    for i in range(15):
        (root / f"many{i}.jpg").write_bytes((root / "im1.jpg").read_bytes())
    ImageOps.mirror(picture(2)).save(root / "mirrored.jpg", quality=90)
    (root / "<b>broken.jpg").write_bytes(b"no picture")
    (root / "notes.txt").write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def page(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "sheet.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLORIZE_WORKERS", "1")
        result = CliRunner().invoke(app, ["dedupe", str(folder), "--sheet", str(path)])
    assert result.exit_code == 0, result.exception
    assert f"The pictures are in {path}\n" in result.output
    return path


class Elements(HTMLParser):
    """Elements of a page with their attributes and texts, in order; and whether they nest."""

    VOID = frozenset({"meta", "link", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes) -> None:
        self.found.append((tag, dict(attributes)))
        self.texts.setdefault(tag, []).append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data

    def having(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag == name]


@pytest.fixture(scope="module")
def elements(page: Path) -> Elements:
    return Elements(page.read_text())


def test_the_one_that_stays_comes_first_in_the_largest_group_first(elements: Elements) -> None:
    names = elements.texts["code"]
    # Of 16 equal files 12 are shown; then the group of three; then the pair; then what was rejected.
    assert names[:13] == ["im1.jpg", *(f"many{i}.jpg" for i in range(11)), "large.png"]
    assert set(names[13:15]) == {"im0.jpg", NAME.replace("/", "")}  # its folder is said below
    assert names[15:] == ["im2.jpg", "mirrored.jpg", "notes.txt", "<b>broken.jpg"]
    stays = [attributes["class"] for attributes in elements.having("figure")]
    assert [i for i, value in enumerate(stays) if "stays" in value] == [0, 12]
    assert "and 4 more copies" in elements.texts["main"][0]


def test_sizes_formats_and_counts_are_told(elements: Elements) -> None:
    assert "640 × 480 PNG, " in elements.texts["small"][12]
    assert re.fullmatch(r"320 × 240 JPEG, \d+\.\d KiB", elements.texts["small"][0])
    counts = dict(zip(elements.texts["dt"], map(int, elements.texts["dd"]), strict=True))
    assert counts == {"files": 24, "different pictures": 5, "exact copies": 16, "near copies": 1, "rejected": 2}
    assert [text.split("\n")[0] for text in elements.texts["summary"]] == ["not-a-photo1", "not-an-image1"]


def test_it_needs_nothing_else_and_runs_nothing(elements: Elements, page: Path) -> None:
    assert elements.having("script") == []
    assert all(attributes["src"].startswith("data:image/webp;base64,") for attributes in elements.having("img"))
    assert len(elements.having("img")) == 17
    for attributes in (attributes for _, attributes in elements.found):
        assert not any(name.startswith("on") for name in attributes)
        assert all((value or "data:").startswith("data:") for name, value in attributes.items() if name == "href")
    assert "http" not in re.sub(r"data:[^\"]*", "", page.read_text())
    assert "url(" not in page.read_text()


def test_only_the_first_groups_are_shown(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORIZE_WORKERS", "1")
    monkeypatch.setattr(dedupe_sheet, "GROUPS", 1)
    result = CliRunner().invoke(app, ["dedupe", str(folder), "--sheet", str(tmp_path / "one.html")])
    assert result.exit_code == 0, result.exception
    text = (tmp_path / "one.html").read_text()
    assert "2 groups, the largest first" in text
    assert "Shown are the first 1;" in text
    assert "large.png" not in text


def test_nothing_found_is_a_page_too(tmp_path: Path) -> None:
    counts = dict.fromkeys(("files", "canonical", "exact_copies", "near_copies", "rejected", "related_pairs"), 0)
    render(Sheet("nothing", {**counts, "bytes_of_copies": 0}, [], 0, [], []), tmp_path / "empty.html")
    found = Elements((tmp_path / "empty.html").read_text())
    assert "No picture occurs twice." in found.texts["main"][0]
    assert found.having("img") == []


def test_long_lists_say_how_much_is_left_out(tmp_path: Path) -> None:
    photo = Photo("a.jpg", "1 × 1", "data:,")
    counts = dict.fromkeys(("files", "canonical", "exact_copies", "near_copies", "rejected"), 1234)
    sheet = Sheet(
        name="many",
        counts={**counts, "related_pairs": 777, "bytes_of_copies": 3 * 2**20},
        groups=[Group(photo, [photo], 1000)],
        group_count=500,
        related=[(photo, photo)],
        rejected=[Reason("truncated", 99, [("b.jpg", "cut")])],
    )
    render(sheet, tmp_path / "many.html")
    text = Elements((tmp_path / "many.html").read_text()).texts["main"][0]
    for expected in ("and 998 more copies", "500 groups", "free 3.0 MiB", "777 pairs", "and 98 more", "1\u202f234"):
        assert expected in text


@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_shows_it_without_an_error(chromium: str, page: Path, tmp_path: Path, width: int) -> None:
    measured = """<script>
    addEventListener("load", () => {
      const loaded = performance.getEntriesByType("resource").filter((one) => !one.name.startsWith("data:"));
      const broken = [...document.images].filter((one) => !(one.complete && one.naturalWidth > 0));
      const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
      const seen = {broken: broken.length, pictures: document.images.length, requests: loaded.length, wide};
      document.title = "seen " + JSON.stringify(seen);
    });
    </script></body>"""
    looked_at = tmp_path / "looked-at.html"
    looked_at.write_text(page.read_text().replace("</body>", measured))
    quiet = "--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", *quiet.split(), "--hide-scrollbars"]
    command += ["--enable-logging=stderr", "--v=0", f"--user-data-dir={tmp_path / 'profile'}"]
    command += [f"--window-size={width},2000", "--dump-dom", looked_at.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    seen = json.loads(re.search(r"<title>seen (.*?)</title>", done.stdout).group(1))
    assert seen == {"broken": 0, "pictures": 17, "requests": 0, "wide": 0}


@pytest.mark.parametrize("straddles", [False, True])
def test_the_report_says_whether_a_group_straddles_splits(tmp_path: Path, straddles: bool) -> None:
    data = tmp_path / "data"
    (data / "raw" / "set").mkdir(parents=True)
    known = {"dataset": "set", "version": "1", "status": "accepted"}
    photos = [{**known, "path": f"{i}.jpg", "id": str(i)} for i in (1, 2, 3)]
    groups = [{**row, "duplicate_group": row["id"], "canonical": True, "split_group": "1"} for row in photos]
    groups[2]["split_group"] = "3"
    splits = [{**row, "split": "train"} for row in photos]
    splits[1 if straddles else 2]["split"] = "test"
    pq.write_table(pa.Table.from_pylist(photos, schema=MANIFEST), data / "raw" / "set" / "manifest.parquet")
    pq.write_table(pa.Table.from_pylist(groups, schema=GROUPS), data / "groups.parquet")
    pq.write_table(pa.Table.from_pylist(splits, schema=SPLITS), data / "splits.parquet")
    report = gather(tmp_path, photos=2)
    assert (report.data.split_groups, report.data.straddling) == (2, int(straddles))
    render_report(report, tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert ("No group straddles splits: each of the 2," in text) == (not straddles)
    assert ("1 of 2 groups of copies and related photos straddle splits" in text) == straddles
