"""The page: what it says, that it needs nothing else, and that a browser shows it without a complaint."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import statistics
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from colorize.decisions import PATH, Decision, record
from colorize.metrics.comparison import Comparison
from colorize.report.cards import card_of
from colorize.report.charts import Dot, scatter
from colorize.report.curves import read_log
from colorize.report.data_page import OUTCOMES
from colorize.report.drawings import fronts
from colorize.report.gather import Report, gather
from colorize.report.render import render, verdict_of


@pytest.fixture(scope="module")
def report(project: Path) -> Report:
    return gather(project, photos=6)


@pytest.fixture(scope="module")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reports") / "index.html"
    render(report, path)
    return path


class Elements(HTMLParser):
    """All elements of a page with their attributes, and whether they nest."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes) -> None:
        self.found.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def test_outcomes_add_up_to_the_photos_listed(report: Report) -> None:
    first, second = report.data.datasets
    assert (first.listed, second.listed) == (14, 21)
    for dataset in (first, second):
        assert sum(dataset.outcomes.values()) == dataset.listed
    assert set(report.data.total) == set(OUTCOMES)
    assert {key: second.outcomes[key] for key in ("rejected", "flagged", "accepted")} == {
        "rejected": 2,
        "flagged": 1,
        "accepted": 0,
    }


def test_refusals_name_file_and_reason_and_show_what_can_be_shown(report: Report) -> None:
    by_reason = {refusals.reason: refusals for refusals in report.data.refusals}
    assert set(by_reason) == {"truncated", "not-an-image", "grey"}
    assert by_reason["truncated"].photos[0].path == "broken.jpg"
    assert by_reason["truncated"].photos[0].detail
    assert by_reason["truncated"].photos[0].thumbnail is None
    assert by_reason["grey"].photos[0].thumbnail.startswith("data:image/webp;base64,")


def test_photos_that_were_converted_are_named(report: Report) -> None:
    assert {kind.reason: [photo.path for photo in kind.photos] for kind in report.data.converted} == {
        "converted from CMYK": ["print.jpg"],
        "turned upright, by EXIF": ["turned.jpg"],
    }


def test_duplicate_groups_show_the_one_that_stays_first(report: Report) -> None:
    assert report.data.group_counts == {"groups": 2, "exact": 1, "near": 1, "across": 2}
    for group in report.data.groups:
        assert [member.canonical for member in group.members] == [True, False]
        assert all(member.thumbnail for member in group.members)
        assert group.across
    near = next(group for group in report.data.groups if group.kind == "near")
    assert [member.path for member in near.members] == ["im1.jpg", "near.jpg"]


def test_the_gallery_has_the_same_photos_for_every_model(report: Report) -> None:
    assert len(report.gallery) == 6
    for photo in report.gallery:
        assert [shot.label for shot in photo.shots] == ["grey", "truth", "simple_unet", "unet"]
        errors = [shot.figures.get("ab_rmse") for shot in photo.shots]
        assert errors[1] is None
        assert all(error > 0 for error in errors[:1] + errors[2:])
        assert photo.disagreement > 0
    # Datasets take turns.
    assert {photo.dataset for photo in report.gallery[:2]} == {"landscape-pictures", "mirflickr25k"}


def test_models_are_ranked_and_held_against_the_best_baseline(report: Report, project: Path) -> None:
    scores = [entry.summary[report.primary] for entry in report.models]
    assert scores == sorted(scores)
    assert report.verdict.first == pytest.approx(scores[0])
    assert report.verdict.second == pytest.approx(min(entry.summary[report.primary] for entry in report.baselines))
    for entry in report.models + report.baselines:
        assert entry.low < entry.summary[report.primary] < entry.high
    assert re.fullmatch("[0-9a-f]{40}, with local changes", report.lineage["git commit"])
    index = json.loads((project / "data" / "lab" / "index.json").read_text())
    assert report.lineage["data digest"] == index["digest"]
    assert report.lineage["run of unet"] == "unet-0123456789ab"


def test_what_is_told_true_colours_is_shown_but_never_ranked(report: Report, page: Path, tmp_path: Path) -> None:
    assert {entry.name for entry in report.baselines} == {"grey", "mean_color", "another_photo", "histogram_matching"}
    assert [(entry.name, entry.hint_share) for entry in report.guided] == [("color_by_optimization", 0.02)]
    text = page.read_text()
    assert "color_by_optimization*" in text
    assert "it is told the true colours of 2&nbsp;% of each photo’s pixels" in text
    flawless = dict.fromkeys(report.guided[0].summary, 0.0)
    perfect = dataclasses.replace(report, guided=[dataclasses.replace(report.guided[0], summary=flawless)])
    assert verdict_of(perfect) == verdict_of(report)
    render(perfect, tmp_path / "index.html")
    row = (tmp_path / "index.html").read_text().partition('data-value="color_by_optimization"')[2].partition("</tr>")[0]
    assert "guided *" in row
    assert "best" not in row


@pytest.mark.parametrize(
    ("interval", "headline", "words"),
    [
        ((-3.0, -4.0, -2.0), "unet colours best.", "7.00 against 10.00 for the grey baseline, 3.00 less (30 %; 95"),
        ((-3.0, -4.0, 1.0), "No model is measurably better than the grey baseline.", "-4.00 to +1.00, includes zero"),
        ((2.0, 1.0, 3.0), "No model beats the grey baseline.", "2.00 more (20 %; 95 % interval 1.00 to 3.00)"),
    ],
)
def test_the_verdict_says_what_the_interval_allows(
    report: Report, interval: tuple[float, float, float], headline: str, words: str
) -> None:
    comparison = Comparison("ab_error_rebalanced", 50, 10 + interval[0], 10.0, *interval)
    model = dataclasses.replace(report.models[0], name="unet")
    grey = next(entry for entry in report.baselines if entry.name == "grey")
    verdict = verdict_of(
        dataclasses.replace(report, models=[model], baselines=[grey], verdict=comparison, runner_up=None)
    )
    assert verdict.headline == headline
    assert words in verdict.sentence.replace("\u00a0", " ")


def test_a_model_is_best_only_if_the_next_one_is_worse_for_sure(report: Report) -> None:
    def headline(low: float, high: float) -> str:
        better = Comparison("ab_error_rebalanced", 50, 7.0, 10.0, -3.0, -4.0, -2.0)
        close = Comparison("ab_error_rebalanced", 50, 7.0, 8.0, -1.0, low, high)
        models = [dataclasses.replace(report.models[0], name=name) for name in ("unet", "eccv16")]
        verdict = verdict_of(dataclasses.replace(report, models=models, verdict=better, runner_up=close))
        assert verdict is not None
        return verdict.headline

    assert headline(-2.0, -0.5) == "unet colours best."
    assert headline(-2.0, 0.5) == "unet is ahead, but not for sure."


def test_labels_of_a_crowd_lie_on_nothing_and_the_fronts_stay() -> None:
    crowd = [Dot(f"model-{number}", 10.0, 5.0, 1, front=False) for number in range(30)]
    best, far = Dot("best", 10.0, 5.0, 2, front=True), Dot("far", 1000.0, 6.0, 2, front=False)
    svg = scatter([*crowd, best, far], "a crowd", x_label="ms")
    drawn = re.findall(r">(best|far|model-\d+)<", svg)
    assert {"best", "far"} <= set(drawn)
    assert len(drawn) <= 5  # four sides of the crowd, and the one that stands alone
    spread = [Dot(f"model-{number}", 10.0**number, float(number), 1, front=False) for number in range(5)]
    assert len(re.findall(r">model-\d<", scatter(spread, "apart", x_label="ms"))) == 5


def test_only_the_champion_of_the_registry_is_marked(report: Report, tmp_path: Path) -> None:
    last = report.models[-1].run
    render(dataclasses.replace(report, champion=last), tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert text.count('class="crown"') == 3  # in each of the two tables, and on its card
    row = text[text.index(f'data-value="{report.models[-1].name}"') :]
    assert row.index('class="crown"') < row.index("</th>")

    absent = dataclasses.replace(report, champion="unet-of-the-past")
    assert "champion is still unet-of-the-past" in verdict_of(absent).note
    assert "of-the-past" not in verdict_of(dataclasses.replace(report, champion=last)).note
    render(absent, tmp_path / "index.html")
    assert 'class="crown"' not in (tmp_path / "index.html").read_text()


def test_the_newest_run_of_an_architecture_is_shown_unless_runs_are_named(project: Path, tmp_path: Path) -> None:
    for name in ("unet-000000000001", "unet-000000000002"):
        shutil.copytree(project / "runs" / "unet-0123456789ab", tmp_path / "runs" / name)
    rows = tmp_path / "runs" / "unet-000000000001" / "evaluation" / "rows.parquet"
    rows.write_bytes(rows.read_bytes())
    assert [entry.run for entry in gather(tmp_path).models] == ["unet-000000000001"]
    named = gather(tmp_path, runs=["unet-000000000002", "unet-absent"])
    assert [entry.run for entry in named.models] == ["unet-000000000002"]


def test_the_page_is_one_file_that_asks_for_nothing_else(page: Path) -> None:
    text = page.read_text()
    elements = Elements(text)
    assert elements.open == []
    for tag, attributes in elements.found:
        for name in ("src", "href", "srcset", "action"):
            address = attributes.get(name) or ""
            assert address.startswith(("data:", "#")) or not address, (tag, address[:80])
    assert "@import" not in text
    assert "url(" not in text
    assert page.stat().st_size < 2_000_000


def test_every_section_every_model_and_every_metric_is_there(page: Path) -> None:
    elements = Elements(page.read_text())
    sections = [attributes for tag, attributes in elements.found if tag == "section"]
    assert [attributes.get("id") for attributes in sections[1:]] == [
        "figures",
        "gallery",
        "artefacts",
        "training",
        "data",
        "colours",
        "decisions",
        "cards",
        "lineage",
    ]
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["aria-labelledby"] for attributes in sections} <= set(ids)
    linked = {attributes["href"][1:] for tag, attributes in elements.found if tag == "a" and "href" in attributes}
    assert linked - {"blind"} <= set(ids)
    text = page.read_text()
    for word in ("simple_unet", "mean colour", "PSNR, own L", "ΔE2000", "near copies", "truncated", "params.yaml"):
        assert word in text
    assert "not there yet" not in text.lower()
    # Four costs; validation and two losses; hues, borders, frequencies.
    assert text.count('<svg class="chart"') == 10


def test_each_photo_is_won_once(report: Report) -> None:
    shares = {entry.name: entry.summary["wins"] for entry in [*report.models, *report.baselines]}
    assert len(shares) == 6
    assert sum(shares.values()) == pytest.approx(1.0)
    assert all("wins" not in entry.summary for entry in report.guided)


def test_quality_stands_beside_what_it_costs(report: Report, page: Path) -> None:
    assert {entry.name for entry in report.models if entry.cost} == {"unet", "simple_unet"}
    found = fronts(report.models, report.primary)
    assert list(found) == ["parameters", "operations", "memory", "seconds_per_photo"]
    best = report.models[0].name
    assert all(best in names for names in found.values())
    text = page.read_text()
    for entry in report.models:
        assert f">{entry.cost['parameters'] / 1e6:.3g}<" in text
    for title in (
        "Rebalanced ab error by parameters",
        "by operations a photo",
        "by memory for one photo",
        "by time a photo",
    ):
        assert title in text


def test_where_a_cost_is_unknown_there_is_no_front(report: Report) -> None:
    unknown = [dataclasses.replace(report.models[0], cost={}), *report.models[1:]]
    assert fronts(unknown, report.primary) == {}
    assert fronts(report.models[:1], report.primary) == {}


def test_decisions_are_shown_the_newest_first_with_figures_and_reasons(report: Report, page: Path) -> None:
    assert report.decided == 15
    assert [decision.decision for decision in report.decisions[:4]] == ["promoted", "rejected", "stopped", "skipped"]
    part = page.read_text().partition('<section id="decisions"')[2].partition("</section>")[0]
    newest, _, earlier = part.partition("<summary>5 earlier ones</summary>")
    assert newest.count("<tr>") - 1 == 10
    assert earlier.count("<tr>") - 1 == 5
    rows = [re.sub(r"<[^>]+>|\s+", " ", row) for row in newest.split("<tr>")[2:]]
    rows = [re.sub(" +", " ", row).strip() for row in rows]
    assert rows[0].startswith("unet version 5 against 3 promoted champion-unet 2026-11-15 02:17 rebalanced ab error")
    assert "rebalanced ab error -1.500 ✓ passed -1.750 to -1.250, limit 0 PSNR +0.125 ✓ passed" in rows[0]
    assert "rebalanced ab error +0.500 ✗ not passed +0.250 to +0.750, limit 0 CF error +3.000 ✗ not passed" in rows[1]
    assert rows[2].endswith("– none – none the data look wrong: &lt;b&gt;62&lt;/b&gt; photos are usable, 120 were")


def test_of_many_decisions_the_newest_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    record(tmp_path / PATH, [Decision("unet", "skipped", f"night {number}") for number in range(1234)])
    report = gather(tmp_path)
    assert [report.decisions[0].reason, report.decisions[-1].reason] == ["night 1233", "night 1184"]
    render(report, tmp_path / "index.html")
    assert "The newest 50 of 1\u202f234; <code>reports/decisions.jsonl</code>" in (tmp_path / "index.html").read_text()


def test_pictures_have_texts_and_names_of_files_cannot_break_the_page(page: Path) -> None:
    text = page.read_text()
    assert all("alt" in attributes for tag, attributes in Elements(text).found if tag == "img")
    assert "&lt;b&gt;fake&lt;!--.jpg" in text
    assert "<b>fake" not in text
    assert "<script>alert" not in text


def test_what_is_missing_is_said_and_nothing_breaks(tmp_path: Path) -> None:
    render(gather(tmp_path), tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert "No verdict yet." in text
    assert text.count("Not there yet") >= 6


@pytest.mark.parametrize(
    "missing",
    ["data/groups.parquet", "data/splits.parquet", "data/statistics.json", "data/raw", "data/lab", "runs/baselines"],
)
def test_any_part_may_be_missing(project: Path, tmp_path: Path, missing: str) -> None:
    root = tmp_path / "project"
    shutil.copytree(project, root, ignore=shutil.ignore_patterns(".git", "photos"))
    path = root / missing
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    render(gather(root, photos=2), root / "index.html")
    assert (root / "index.html").stat().st_size > 10_000


def test_a_half_written_log_is_read_as_far_as_it_goes(project: Path) -> None:
    log = read_log(project / "runs" / "unet-0123456789ab" / "log.jsonl")
    assert len(log.training) == 40
    assert log.training[-1][0] == pytest.approx(4.0)
    assert [epoch for epoch, _ in log.validation] == [1, 2, 3, 4]
    assert read_log(project / "absent.jsonl").training == []


def _browse(chromium: str, profile: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    quiet = "--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", *quiet.split(), "--hide-scrollbars"]
    command += ["--enable-logging=stderr", "--v=0", f"--user-data-dir={profile}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def _act(chromium: str, page: Path, folder: Path, actions: str, address: str = "") -> dict[str, Any]:
    """What a script that runs at the end of the page left in `seen`."""
    script = "<script>{const seen = {}; const all = (selector) => [...document.querySelectorAll(selector)];"
    script += actions + 'document.title = "seen " + JSON.stringify(seen);}</script></body>'
    acted = folder / "acted.html"
    acted.write_text(page.read_text().replace("</body>", script))
    done = _browse(chromium, folder / "profile", "--window-size=500,900", "--dump-dom", acted.as_uri() + address)
    assert "CONSOLE" not in done.stderr
    found: dict[str, Any] = json.loads(unescape(re.search(r"<title>seen (.*?)</title>", done.stdout).group(1)))
    return found


@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_shows_the_page_without_an_error(chromium: str, page: Path, tmp_path: Path, width: int) -> None:
    picture = tmp_path / "page.png"
    done = _browse(
        chromium, tmp_path / "profile", f"--window-size={width},2000", f"--screenshot={picture}", page.as_uri()
    )
    assert "CONSOLE" not in done.stderr
    assert picture.stat().st_size > 50_000


def test_sorting_filtering_enlarging_and_the_sliders_work(
    chromium: str, page: Path, report: Report, tmp_path: Path
) -> None:
    actions = """
    const rowsOf = () => all("#comparison tbody tr th").map((head) => head.dataset.value);
    const head = all("#comparison thead th").find((head) => head.textContent.includes("PSNR"));
    head.querySelector("button").click();
    seen.sorted = rowsOf(); seen.direction = head.getAttribute("aria-sort");
    head.querySelector("button").click();
    seen.reversed = rowsOf();
    seen.unread = all(".card img").every((picture) => !picture.src);
    all(".filters button")[1].click();
    seen.shown = all(".card:not([hidden])").length;
    seen.counted = document.querySelector("#photos-shown").textContent;
    const places = () => all(".card").map((card) => Number(card.dataset.place));
    const choose = (value) => {
      document.querySelector("#order").value = value;
      document.querySelector("#order").dispatchEvent(new Event("change"));
      return places();
    };
    seen.orders = Object.fromEntries(["disagreement", "worst", "place"].map((value) => [value, choose(value)]));

    const viewer = document.querySelector("#viewer");
    all(".card:not([hidden]) .open")[0].click();
    seen.open = viewer.open;
    seen.pictures = all("#viewer .stage img[src^='data:image/webp']").length;
    const laid = () => ["over", "under"].map((name) => viewer.querySelector(`.${name}`).alt);
    seen.laid = [laid()];
    viewer.querySelector(".stage button[data-label='grey']").click();
    seen.laid.push(laid());
    viewer.querySelector("#right").value = "unet";
    viewer.querySelector("#right").dispatchEvent(new Event("input"));
    seen.laid.push(laid());
    viewer.querySelector("#cut").value = 30;
    viewer.querySelector("#cut").dispatchEvent(new Event("input"));
    seen.half = viewer.querySelector(".pair").style.getPropertyValue("--cut");
    seen.measured = all("#viewer .measured tbody tr").map((row) => [...row.cells].map((cell) => cell.textContent));
    seen.unnamed = all("input, select").filter((one) => !one.labels.length && !one.ariaLabel).length;
    const first = document.querySelector("#viewer .where").textContent;
    viewer.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
    seen.turned = document.querySelector("#viewer .where").textContent !== first;
    seen.kept = laid();
    viewer.querySelector("[data-close]").click();
    seen.closed = !viewer.open;
    all(".shot[data-label='simple_unet']")[0].click();
    seen.clicked = laid()[0];
    viewer.close();
    const range = document.querySelector(".reveal input");
    range.value = 20; range.dispatchEvent(new Event("input"));
    seen.cut = document.querySelector(".reveal").style.getPropertyValue("--cut");
    const earlier = document.querySelector("#decisions details");
    const closed = earlier.querySelector("table").checkVisibility();
    earlier.querySelector("summary").click();
    seen.earlier = [closed, earlier.querySelector("table").checkVisibility()];
    seen.reachable = all("#decisions .scroll").every((region) => (region.focus(), document.activeElement === region));
    seen.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    """
    seen = _act(chromium, page, tmp_path, actions)
    assert seen["direction"] == "descending"
    assert seen["sorted"] == seen["reversed"][::-1]
    without_learning = ["another_photo", "color_by_optimization", "grey", "histogram_matching", "mean_color"]
    assert sorted(seen["sorted"]) == [*without_learning, "simple_unet", "unet"]
    assert seen["unread"]  # nothing is decoded before it comes near the window
    assert seen["shown"] == 3
    assert seen["counted"] == "3 photos"
    best = report.models[0].name
    disagreements = [photo.disagreement for photo in report.gallery]
    errors = [photo.badness(best, report.primary) for photo in report.gallery]
    assert seen["orders"] == {
        "disagreement": sorted(range(6), key=lambda place: -disagreements[place]),
        "worst": sorted(range(6), key=lambda place: -errors[place]),
        "place": [*range(6)],
    }
    assert seen["pictures"] == 4
    assert seen["open"]
    assert seen["laid"] == [[best, "true colours"], ["grey", "true colours"], ["grey", "unet"]]
    assert seen["half"] == "30%"
    shown = next(photo for photo in report.gallery if photo.dataset == "landscape-pictures")
    assert [row[0] for row in seen["measured"]] == ["grey", "true colours", "simple_unet", "unet"]
    for row, shot in zip(seen["measured"], shown.shots, strict=True):
        figures = (shot.figures.get(report.primary), shot.figures.get("ab_rmse"))
        assert row[1:3] == ["–" if figure is None else f"{figure:.2f}" for figure in figures]
    assert seen["unnamed"] == 0
    assert seen["turned"]
    assert seen["kept"] == ["grey", "unet"]
    assert seen["closed"]
    assert seen["clicked"] == "simple_unet"
    assert seen["cut"] == "20%"
    assert seen["earlier"] == [False, True]
    assert seen["reachable"]
    assert seen["wide"] == 0


def test_the_blind_test_draws_by_seed_counts_and_exports(chromium: str, page: Path, tmp_path: Path) -> None:
    actions = """
    const test = document.querySelector("#blind-test");
    seen.opened = test.open; // the address ends in #blind
    const form = test.querySelector("form");
    const take = (seed, model, choose) => {
      form.elements.seed.value = seed;
      form.elements.model.value = model;
      form.requestSubmit();
      while (!test.querySelector(".asking").hidden) {
        const [left] = all("#blind-test .choices img").map((picture) => picture.src);
        const truths = all(".card").map((card) => sourceOf(card, "truth"));
        const real = truths.includes(left) ? "left" : "right";
        test.dispatchEvent(new KeyboardEvent("keydown", {key: choose(real) === "left" ? "ArrowLeft" : "ArrowRight"}));
      }
      const saved = document.querySelector("#blind-save").href.replace("data:application/json;charset=utf-8,", "");
      test.querySelector("[data-again]").click();
      return JSON.parse(decodeURIComponent(saved));
    };
    seen.all = take(1, "unet", (real) => real);
    seen.sentence = test.querySelector(".score .lead").textContent;
    seen.none = take(1, "unet", (real) => real === "left" ? "right" : "left");
    seen.other = take(2, "", (real) => "left");
    seen.next = form.elements.seed.value;
    test.close();
    seen.closed = !test.open;
    """
    seen = _act(chromium, page, tmp_path, actions, "#blind")
    assert seen["opened"]
    assert seen["closed"]
    assert seen["next"] == "3"
    # Wilson's interval of 6 in 6: from 6 / (6 + 1.96²) to 1.
    score = {"answers": 6, "correct": 6, "share": 1, "low": pytest.approx(6 / (6 + 1.959964**2)), "high": 1}
    assert seen["all"]["score"] == seen["all"]["by_model"]["unet"] == score
    assert seen["sentence"] == "You found the real one in 6 of 6 pairs: 100 %, 95 % interval 61 % to 100 %."
    assert seen["none"]["score"]["correct"] == 0
    drawn, again, other = (
        [(answer["photo"], answer["real"]) for answer in seen[name]["answers"]] for name in ("all", "none", "other")
    )
    assert drawn == again != other
    assert sorted(photo for photo, _ in drawn) == sorted(photo for photo, _ in other)
    assert {answer["model"] for answer in seen["other"]["answers"]} == {"simple_unet", "unet"}
    assert seen["other"]["model"] == "all"


def test_model_cards_say_what_is_known(report: Report, page: Path) -> None:
    part = page.read_text().partition('<section id="cards"')[2].partition("</section>")[0]
    assert part.count("<details") == 2
    for words in ("unet-0123456789ab", "1\u202f282", "channels 4, depth 1", "32 × 32 pixels", "20 test photos"):
        assert words in part
    trained = {"epochs": 4, "steps": 40, "seconds": 61.4, "device": "cpu", "precision": "float32", "workers": 2}
    entry = dataclasses.replace(report.models[0], training={**trained, "objective": [{"name": "l1", "weight": 1.0}]})
    facts = card_of(entry, report.baselines).facts
    assert facts["training"] == "4 epochs, 40 steps, 61 s on cpu, workers 2, precision float32"
    assert facts["objective"] == "name l1, weight 1.0"


def test_margins_are_two_standard_errors_and_sets_have_none(report: Report) -> None:
    entry = report.models[0]
    values = entry.rows["psnr"].to_numpy()
    assert entry.margin("psnr") == pytest.approx(1.96 * statistics.stdev(values) / len(values) ** 0.5)
    assert entry.margin("colorfulness_difference") is None
    assert entry.margin("ssim_own_l") is None or entry.name == "simple_unet"


def test_the_rows_behind_the_page_are_those_of_the_test_split(project: Path, report: Report) -> None:
    splits = pq.read_table(project / "data" / "splits.parquet").to_pylist()
    tested = {row["id"] for row in splits if row["split"] == "test"}
    for entry in report.models + report.baselines:
        assert set(entry.rows["id"].to_pylist()) == tested
