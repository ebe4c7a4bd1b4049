"""Which networks the ablation compares, what its intervals say, and what it marks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from colorize.ablation import (
    BASE,
    CURES,
    FIGURES,
    Effect,
    Standing,
    effects,
    markdown,
    records,
    rows_of,
    settings_of,
    standings,
    variants,
)
from colorize.settings import Settings
from colorize.training.identity import fingerprint
from pipelines.ablation import Request, items, main, sentence


@pytest.fixture
def settings() -> Settings:
    training = {"epochs": 9, "batch_size": 4, "learning_rate": 0.5, "keep_checkpoints": 5}
    own = {"training": {"learning_rate": 0.25}, "model": {"width": 0.5}}
    return Settings.model_validate({"datasets": {}, "training": training, "architectures": {"simple_unet": own}})


def rows(identities: Sequence[str] = "abcd", **columns: Sequence[float | None]) -> pa.Table:
    """An evaluation of these photos; of each figure that is not given, none has a value."""
    names = {name: [None] * len(identities) for figure in FIGURES for name in (figure.column, "edge_alignment_truth")}
    return pa.table(
        {"id": list(identities), **{key: pa.array(v, pa.float64()) for key, v in {**names, **columns}.items()}}
    )


def effect(base: Sequence[float], cured: Sequence[float], interval: tuple[float, float], goal: float = 0.0) -> Effect:
    return Effect("skips", "ab_rmse", 4, goal, tuple(base), tuple(cured), *interval)


def test_every_cure_changes_one_thing_and_the_last_all_of_them(settings: Settings) -> None:
    def differences(name: str) -> dict[str, object]:
        def plain(variant: object) -> dict[str, object]:
            made = settings_of(variant, 1, "full", settings)  # type: ignore[arg-type]
            run = made.architectures.chosen()["simple_unet"]
            objective = [term.model_dump() for term in run.objective]
            return {**run.model.model_dump(), "objective": objective, "balance": made.training.balance}

        published = plain(BASE)
        cured = plain(next(cure for cure in CURES if cure.name == name))
        return {key: value for key, value in cured.items() if value != published[key]}

    changed = {cure.name: differences(cure.name) for cure in CURES}
    assert {name: list(found) for name, found in changed.items() if name != "all"} == {
        "padding": ["padding"],
        "skips": ["skips"],
        "resize": ["upsampler"],
        "icnr": ["upsampler"],
        "ab": ["output"],
        "rebalancing": ["objective"],
        "dominant": ["objective"],
        "balance": ["balance"],
    }
    for name in ("padding", "skips", "resize", "ab", "balance"):
        assert changed[name].items() <= changed["all"].items()
    terms: list[dict[str, object]] = changed["all"]["objective"]  # type: ignore[assignment]
    assert [term["name"] for term in terms] == ["regression", "dominant_colors"]
    assert terms[0]["rebalancing"] == 0.5


def test_the_base_is_the_study_s_network(settings: Settings) -> None:
    run = settings_of(BASE, 1, "full", settings).architectures.chosen()["simple_unet"]
    assert run.model.model_dump() == {
        "width": 1.0,
        "upsampler": "transposed-k3",
        "padding": "none",
        "skips": False,
        "output": "lab",
    }
    (term,) = run.objective
    assert (term.name, term.loss, term.rebalancing) == ("regression", "mse", None)


def test_full_trains_as_params_yaml_says_and_small_is_short(settings: Settings) -> None:
    full, small = (settings_of(BASE, 3, size, settings) for size in ("full", "small"))  # type: ignore[arg-type]
    assert (full.training.epochs, full.training.batch_size, full.training.learning_rate) == (9, 4, 0.25)
    assert full.training.seed == small.training.seed == 3
    assert small.training.photos_per_epoch is not None
    assert small.training.epochs * small.training.photos_per_epoch < 5000
    assert small.architectures.chosen()["simple_unet"].model.model_dump()["width"] == 0.25


def test_params_yaml_need_not_train_the_network_itself() -> None:
    settings = Settings.model_validate({"datasets": {}, "training": {"epochs": 2}, "architectures": {"unet": {}}})
    assert settings_of(BASE, 1, "full", settings).training.epochs == 2


def test_every_variant_and_seed_is_a_run_of_its_own(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text("")
    identities = {
        fingerprint(settings_of(variant, seed, size, settings), "simple_unet", "d", tmp_path)
        for variant in (BASE, *CURES)
        for seed in (1, 2, 3)
        for size in ("small", "full")
    }
    assert len(identities) == 10 * 3 * 2


def test_cures_are_chosen_by_name_and_a_wrong_one_is_refused() -> None:
    assert [variant.name for variant in variants(["skips", "ab"])] == ["published", "skips", "ab"]
    assert len(variants()) == 10
    with pytest.raises(ValueError, match="no cure 'skip'; there are: padding, skips, "):
        variants(["skip"])


def test_one_dataset_has_nothing_to_balance() -> None:
    assert "balance" not in [variant.name for variant in variants(datasets=1)]
    with pytest.raises(ValueError, match="nothing that cure 'balance' could balance"):
        variants(["balance"], datasets=1)


def test_differences_are_paired_over_photos_and_seeds() -> None:
    # By hand: photo by photo the differences are (-1, -3), (-3, -1), (-2, -2), (0, -4): a mean of -2 for each.
    base = [rows(ab_rmse=[10, 20, 30, 40]), rows(ab_rmse=[11, 21, 31, 41])]
    cured = [rows(ab_rmse=[9, 17, 28, 40]), rows(ab_rmse=[8, 20, 29, 37])]
    (found,) = effects({"published": base, "skips": cured})
    assert (found.variant, found.figure, found.photos) == ("skips", "ab_rmse", 4)
    assert (found.base, found.cured) == ((25, 26), (23.5, 23.5))
    assert found.difference == found.low == found.high == -2
    assert (found.agreeing, found.verdict) == (2, "better")


def test_the_interval_is_that_of_a_bootstrap_over_photos() -> None:
    random = np.random.default_rng(1)
    first, second = random.normal(5, 2, (2, 200)), random.normal(5.2, 2, (2, 200))
    photos = [f"{number:03}" for number in range(200)]
    (found,) = effects(
        {
            "published": [rows(photos, ab_rmse=values) for values in first],
            "ab": [rows(photos, ab_rmse=values) for values in second],
        }
    )
    differences = (second - first).mean(axis=0)
    # An independent way: the normal approximation, good to some hundredths of the standard error at 200 photos.
    error = differences.std() / np.sqrt(200)
    assert found.low == pytest.approx(differences.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(differences.mean() + 1.96 * error, abs=0.1 * error)


def test_the_order_of_the_rows_does_not_matter() -> None:
    base, cured = [rows("abc", ab_rmse=[1, 2, 3])], [rows("cba", ab_rmse=[4, 3, 2])]
    (found,) = effects({"published": base, "skips": cured})
    assert found.low == found.high == 1


def test_other_photos_are_refused() -> None:
    with pytest.raises(ValueError, match="different photos"):
        effects({"published": [rows("abc", ab_rmse=[1, 2, 3])], "skips": [rows("abd", ab_rmse=[1, 2, 3])]})


def test_photos_without_a_value_are_left_out_and_figures_without_any_too() -> None:
    base = [rows(sharpness_ab=[1, None, 3, 4], sharpness_own_l=[1, 1, 1, 1])]
    (found,) = effects({"published": base, "ab": [rows(sharpness_ab=[2, 2, 4, None])]})
    assert (found.figure, found.photos, found.base, found.cured) == ("sharpness_ab", 2, (2,), (3,))


@pytest.mark.parametrize(
    ("base", "cured", "interval", "goal", "verdict"),
    [
        ((3.0, 3.2), (2.0, 2.1), (-1.3, -0.8), 0.0, "better"),
        ((2.0, 2.1), (3.0, 3.2), (0.8, 1.3), 0.0, "worse"),
        ((2.0, 2.1), (1.9, 2.0), (-0.3, 0.1), 0.0, ""),
        ((2.0, 2.1), (1.0, 2.2), (-0.6, -0.3), 0.0, "seeds disagree"),
        ((2.0, 2.0), (2.0, 2.0), (0.0, 0.0), 0.0, ""),
        # Sharpness: towards 1 from either side.
        ((0.4, 0.4), (0.7, 0.7), (0.2, 0.4), 1.0, "better"),
        ((1.2, 1.2), (1.6, 1.6), (0.3, 0.5), 1.0, "worse"),
    ],
)
def test_a_verdict(
    base: tuple[float, ...], cured: tuple[float, ...], interval: tuple[float, float], goal: float, verdict: str
) -> None:
    assert effect(base, cured, interval, goal).verdict == verdict


def test_the_goal_of_edge_alignment_is_the_true_photos() -> None:
    truth = [0.5, 0.7, 0.6, 0.6]
    base, cured = ([rows(edge_alignment=[v] * 4, edge_alignment_truth=truth)] for v in (0.1, 0.5))
    (found,) = effects({"published": base, "skips": cured})
    assert found.goal == pytest.approx(0.6)
    assert found.verdict == "better"


def test_the_tables_say_what_moved_and_how_many_comparisons_were_made() -> None:
    found = [
        effect((3.0, 3.2), (2.0, 2.1), (-1.3, -0.8)),
        Effect("ab", "ab_rmse", 4, 0.0, (3.0, 3.2), (3.1, 3.0), -0.3, 0.2),
        Effect("ab", "false_blue_rate", 4, 0.0, (0.1, 0.1), (0.2, 0.2), 0.05, 0.15),
    ]
    ranks = [Standing("skips", (2.0, 2.1), (1, 1), 0.75), Standing("published", (3.0, 3.2), (2, 2), 0.25)]
    text = markdown(found, ranks, "size small")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert lines[0] == ["", "false blue", "ab RMSE"]
    assert lines[2:5] == [
        ["as published", "0.100 (0.100 … 0.100)", "3.10 (3.00 … 3.20)"],
        ["skip connections", "", "**-1.05** ✓"],
        ["ab instead of Lab", "**+0.100** ✗", "-0.05"],
    ]
    assert lines[7] == ["skip connections", "ab RMSE", "3.10", "2.05", "-1.05", "-1.30 … -0.80", "2 of 2", "better"]
    assert "3 comparisons were made, 2 are marked" in text
    assert "(size small)" in text
    assert lines[-2:] == [
        ["skip connections", "2.05 (2.00 … 2.10)", "1, 1", "1.0", "75 %"],
        ["as published", "3.10 (3.00 … 3.20)", "2, 2", "2.0", "25 %"],
    ]
    assert len({len(line) for line in text.splitlines() if line.startswith("|")}) == 3  # three tables, each padded


def test_networks_rank_by_seed_and_win_photos() -> None:
    measured = {
        "published": [rows(ab_error_rebalanced=[4, 4, 4, 4]), rows(ab_error_rebalanced=[1, 9, 9, 9])],
        "skips": [rows(ab_error_rebalanced=[3, 3, 3, 5]), rows(ab_error_rebalanced=[2, 2, 2, 2])],
        "ab": [rows(ab_error_rebalanced=[4, 4, 4, 4]), rows(ab_error_rebalanced=[8, 8, 8, 8])],
    }
    found = standings(measured)
    assert [one.variant for one in found] == ["skips", "published", "ab"]
    assert [one.ranks for one in found] == [(1, 1), (2, 2), (2, 3)]
    # Of eight photos: with the first seed three and half of one are won by others.
    assert [one.wins for one in found] == pytest.approx([6 / 8, 1.5 / 8, 0.5 / 8])
    assert found[0].errors == (3.5, 2.0)
    assert found[1].rank == 2


def test_records_hold_all_of_it() -> None:
    (record,) = json.loads(json.dumps(records([effect((3.0,), (2.0,), (-1.3, -0.8))])))
    assert record["difference"] == -1
    assert (record["low"], record["high"], record["verdict"]) == (-1.3, -0.8, "better")
    assert rows_of([effect((3.0,), (2.0,), (-1.3, -0.8))])[0]["moved"] == "better"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the index of photos of two datasets."""
    shards = [{"split": "train", "dataset": name} for name in ("one", "two")]
    (tmp_path / "data/lab").mkdir(parents=True)
    (tmp_path / "data/lab/index.json").write_text(json.dumps({"digest": "d", "shards": shards}))
    (tmp_path / "data/statistics.json").write_text("{}")
    (tmp_path / "requirements.lock").write_text("")
    (tmp_path / "params.yaml").write_text("datasets: {}\n")
    return tmp_path


def test_runs_have_a_folder_of_their_own_and_are_found_again(settings: Settings, project: Path) -> None:
    request = Request("small", 2, project / "data/lab", ("balance",))
    base, balanced, *others = items(request, settings, project)
    assert [item.title for item in (base, *others)] == [
        "as published, seed 1",
        "as published, seed 2",
        "balanced sampling, seed 2",
    ]
    assert base.plan.folder == project / "runs/ablation" / base.plan.specification.name
    assert sentence(base).startswith("train  simple_unet-")
    (base.plan.folder / "checkpoints/epoch-00003").mkdir(parents=True)
    balanced.plan.folder.mkdir()
    done = {"fingerprint": balanced.plan.specification.fingerprint}
    (balanced.plan.folder / "done.json").write_text(json.dumps(done))
    assert [item.plan.action for item in items(request, settings, project)] == ["resume", "skip", "train", "train"]


def test_what_cannot_be_had_is_said(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    assert main(["--cure", "sharpening"]) == 1
    assert "no cure 'sharpening'" in capsys.readouterr().err
    assert main(["--lab", "elsewhere", "--dry-run"]) == 1
    assert "expected a folder data/lab with data/statistics.json" in capsys.readouterr().err
    assert main(["--seeds", "1", "--dry-run"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 10
    with pytest.raises(SystemExit):
        main(["--seeds", "0"])
