"""Evaluation: rows, summaries, the choice of photos to show, and what a run's folder holds afterwards."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from colorize.color import lab_from_code, lab_to_rgb
from colorize.data.loader import Batch, Loader
from colorize.metrics import baselines
from colorize.metrics.baselines import Baseline
from colorize.metrics.colorizers import Colors, Known, Trained, network, true_colors
from colorize.metrics.error_curve import nearest_bin
from colorize.metrics.evaluation import EvaluationData, evaluate_baselines, evaluate_model
from colorize.metrics.gallery import gallery_ids
from colorize.metrics.networks import NEEDS, through_networks
from colorize.metrics.references import read_references
from colorize.metrics.rows import SCHEMA, evaluate, measure, summarise, table
from colorize.models import create, load_model, save_model
from colorize.models.registry import settings_of
from colorize.settings.architectures import SimpleUNetSettings, UNetSettings
from colorize.settings.sections import EvaluationSettings, ShardSettings

SIZE = 16


@pytest.fixture(autouse=True)
def one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes take seconds to start, and change nothing: a test of its own shows that."""
    monkeypatch.setenv("COLORIZE_WORKERS", "1")


@pytest.fixture(scope="module")
def batch() -> Batch:
    generator = np.random.default_rng(0)
    l = generator.integers(40, 220, (5, 1, SIZE, SIZE), dtype=np.uint8)  # noqa: E741
    ab = generator.integers(118, 148, (5, 2, SIZE, SIZE), dtype=np.uint8)
    return Batch([f"photo-{index}" for index in range(5)], ["first", "first", "second", "second", "second"], l, ab)


def test_a_perfect_colorizer_scores_perfectly(batch: Batch) -> None:
    _, truth = lab_from_code(batch.l, batch.ab)
    measured = measure(lambda lightness: Colors(truth), batch, np.ones((256, 256)))
    rows = table(measured.rows)
    assert rows.schema == SCHEMA
    assert rows["id"].to_pylist() == batch.ids
    assert rows["dataset"].to_pylist() == batch.datasets
    for metric in ("ab_rmse", "ciede2000_mean", "ciede2000_p95", "colorfulness_error", "ab_error_rebalanced"):
        assert rows[metric].to_pylist() == [0.0] * 5
    for artefact in ("bias_a", "bias_b", "false_blue_rate", "hue_divergence", "sharpness_error", "checkerboard"):
        assert rows[artefact].to_pylist() == [0.0] * 5
    for metric in ("ssim", "auc", "auc_rebalanced", "border_ratio", "sharpness_ab"):
        assert rows[metric].to_pylist() == [1.0] * 5
    assert rows["edge_alignment"].equals(rows["edge_alignment_truth"])
    assert rows["psnr_own_l"].null_count == 5
    lightness, _ = lab_from_code(batch.l, batch.ab)
    rgb = lab_to_rgb(np.concatenate([lightness, truth], axis=1).transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(measured.predicted, rgb)
    np.testing.assert_array_equal(measured.truth, rgb)


def test_grey_has_no_colour_and_the_error_is_the_chroma(batch: Batch) -> None:
    rows = evaluate(lambda given: Colors(baselines.constant_ab(given, (0, 0))), [batch], np.ones((256, 256)))
    _, truth = lab_from_code(batch.l, batch.ab)
    chroma = np.sqrt((truth.astype(np.float64) ** 2).sum(axis=1)).mean(axis=(1, 2))
    np.testing.assert_allclose(rows["ab_error_rebalanced"].to_numpy(), chroma)
    assert max(rows["colorfulness"].to_pylist()) < 0.5


def test_weights_are_looked_up_by_the_true_colour(batch: Batch) -> None:
    weights = np.ones((256, 256))
    weights[:, :128] = 1e-12  # only colours with b >= 0 count
    rows = evaluate(lambda given: Colors(baselines.constant_ab(given, (0, 0))), [batch], weights)
    _, truth = lab_from_code(batch.l, batch.ab)
    distance = np.sqrt((truth.astype(np.float64) ** 2).sum(axis=1))
    expected = [distance[index][truth[index, 1] >= 0].mean() for index in range(5)]
    np.testing.assert_allclose(rows["ab_error_rebalanced"].to_numpy(), expected)


def test_a_blurred_own_lightness_is_measured_on_the_side(batch: Batch) -> None:
    lightness, truth = lab_from_code(batch.l, batch.ab)
    flat = np.broadcast_to(lightness.mean(axis=(2, 3), keepdims=True), lightness.shape)
    rows = evaluate(lambda _: Colors(truth, flat), [batch], np.ones((256, 256)))
    assert rows["psnr"].to_pylist() == [100.0] * 5
    assert all(value < 30 for value in rows["psnr_own_l"].to_pylist())
    assert all(value < 0.9 for value in rows["ssim_own_l"].to_pylist())
    assert rows["sharpness_own_l"].to_pylist() == [0.0] * 5
    assert summarise(rows)["psnr_own_l"] < 30


def test_the_two_colourfulness_differences_are_different_numbers() -> None:
    columns = {name: [1.0, 1.0] for name in SCHEMA.names[2:]}
    columns |= {"colorfulness": [10.0, 50.0], "colorfulness_truth": [30.0, 30.0], "colorfulness_error": [20.0, 20.0]}
    columns |= {"psnr_own_l": [None, None]}
    summary = summarise(pa.table({"id": ["a", "b"], "dataset": ["d", "d"], **columns}, schema=SCHEMA))
    assert summary["colorfulness_difference"] == 0.0
    assert summary["colorfulness_error"] == 20.0
    assert summary["photos"] == 2
    assert "psnr_own_l" not in summary


def test_nothing_to_measure_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(ValueError, match=r"split\.test"):
        summarise(SCHEMA.empty_table())


def test_the_gallery_takes_datasets_in_turn_and_hardly_changes_when_photos_are_added() -> None:
    datasets = {f"{name}-{index}": name for name in ("a", "b", "c") for index in range(40)}
    chosen = gallery_ids(datasets, 12)
    assert [datasets[identity] for identity in chosen] == ["a", "b", "c"] * 4
    assert chosen == gallery_ids(dict(reversed(datasets.items())), 12)
    more = gallery_ids(datasets | {"a-new": "a"}, 12)
    assert len(set(chosen) - set(more)) <= 1
    assert len(gallery_ids(datasets, 1000)) == 120


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LAB shards of 18 photos, half of them for testing, with the statistics of the training split."""
    from colorize.data import shards, statistics
    from colorize.data.ingest import ingest
    from colorize.data.manifest import read_manifests
    from colorize.data.removals import NONE
    from colorize.data.sources import open_source
    from colorize.data.sources.listing import make_listing
    from colorize.settings.sections import ArchiveSettings, DatasetSettings, ImageSettings, IngestSettings

    root = tmp_path_factory.mktemp("data")
    (root / "photos").mkdir()
    for number in range(18):
        blots = np.random.default_rng(number).integers(0, 256, (3, 4, 3), dtype=np.uint8)
        Image.fromarray(blots).resize((48, 40), Image.Resampling.BICUBIC).save(root / "photos" / f"{number}.png")
    chosen = DatasetSettings(source=f"file://{root / 'photos'}")
    source = open_source(chosen.source, ArchiveSettings())
    listing = make_listing(chosen, source, root / "sources" / "set.parquet", 0.0)
    folder, settings = root / "raw" / "set", IngestSettings()
    ingest("set", listing, source, folder, images=ImageSettings(), settings=settings, removals=NONE, workers=1)
    splits = read_manifests(root / "raw").select(["dataset", "path", "id"])
    splits = splits.append_column("split", pa.array(["train", "test"] * 9))
    shards.build(root / "raw", splits, root / "lab", ShardSettings(size=SIZE, row_group=4), ImageSettings(), workers=1)
    (root / "statistics.json").write_text(json.dumps(statistics.gather(root / "lab")))
    return root


def of(data: Path) -> EvaluationData:
    settings = EvaluationSettings(batch_size=4, gallery=5)
    return EvaluationData(data / "lab", data / "statistics.json", data / "weights", settings)


def _tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "speed.json"  # no two measurements take equally long
    }


def test_a_run_is_evaluated_into_its_folder_twice_the_same(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = SimpleUNetSettings(width=0.1)
    save_model(tmp_path / "model", create("simple_unet", settings), "simple_unet", settings, {"size": SIZE})
    summary = evaluate_model("simple_unet", tmp_path / "model", tmp_path / "evaluation", of(data))
    assert summary["photos"] == 9
    assert {"psnr_own_l", "ssim_own_l", "colorfulness_difference"} <= summary.keys()
    folder = tmp_path / "evaluation"
    rows = pq.read_table(folder / "rows.parquet")
    assert rows.num_rows == 9
    assert json.loads((folder / "summary.json").read_text())["ab_rmse"] == summary["ab_rmse"]
    assert {path.stem for path in (folder / "gallery").iterdir()} < set(rows["id"].to_pylist())
    assert len(list((folder / "gallery").iterdir())) == 5
    with Image.open(folder / "grid.png") as grid:
        assert grid.size == (6 + 3 * (SIZE + 6), 26 + 5 * (SIZE + 6))
    before = _tree(folder)
    (folder / "gallery" / "stale.png").write_bytes(b"of an earlier test split")
    assert evaluate_model("simple_unet", tmp_path / "model", tmp_path / "evaluation", of(data)) == summary
    assert _tree(folder) == before


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    settings = UNetSettings(channels=4, depth=1)
    save_model(tmp_path / "model", create("unet", settings), "unet", settings, {"size": SIZE})
    return tmp_path / "model"


@pytest.mark.parametrize("workers", ["3"])
def test_any_number_of_workers_gives_the_same_bytes(
    data: Path, model: Path, tmp_path: Path, workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate_model("unet", model, tmp_path / "one", of(data))
    monkeypatch.setenv("COLORIZE_WORKERS", workers)
    evaluate_model("unet", model, tmp_path / "several", of(data))
    assert _tree(tmp_path / "several") == _tree(tmp_path / "one")


def test_figures_through_networks_are_named_with_their_digest_or_with_what_they_lack(
    data: Path, model: Path, tmp_path: Path
) -> None:
    summary = evaluate_model("unet", model, tmp_path / "evaluation", of(data))
    found = json.loads((tmp_path / "evaluation" / "networks.json").read_text())
    figure = found["figures"]["random_feature_distance"]
    assert summary["random_feature_distance"] == figure["value"] > 0
    assert (figure["photos"], figure["extractor"], len(figure["sha256"])) == (9, "random_features", 64)
    assert set(found["missing"]) == set(NEEDS)
    assert "fid" not in summary
    loader = Loader(data / "lab", "test", 4, 0, shuffle=False)
    measured = [measure(Trained(model).load(), batch, np.ones((256, 256))) for batch in loader.batches(0)]
    expected, _ = through_networks(((part.predicted, part.truth) for part in measured), tmp_path / "weights")
    assert figure["value"] == pytest.approx(expected["random_feature_distance"].value, rel=1e-5)


def test_a_single_photo_has_no_distance_between_sets(data: Path, model: Path, tmp_path: Path) -> None:
    from colorize.data import shards
    from colorize.data.manifest import read_manifests
    from colorize.settings.sections import ImageSettings

    splits = read_manifests(data / "raw").select(["dataset", "path", "id"])
    splits = splits.append_column("split", pa.array(["train"] * 17 + ["test"]))
    settings = ShardSettings(size=SIZE, row_group=4)
    shards.build(data / "raw", splits, tmp_path / "lab", settings, ImageSettings(), workers=1)
    (tmp_path / "statistics.json").write_bytes((data / "statistics.json").read_bytes())
    summary = evaluate_model("unet", model, tmp_path / "evaluation", of(tmp_path))
    assert summary["photos"] == 1
    assert "random_feature_distance" not in summary


def test_what_was_measured_before_is_not_taken_for_what_lies_there_now(data: Path, tmp_path: Path) -> None:
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        settings = UNetSettings(channels=4, depth=1)
        save_model(tmp_path / "model", create("unet", settings), "unet", settings, {"size": SIZE})
        found.append(evaluate_model("unet", tmp_path / "model", tmp_path / "evaluation", of(data))["ab_rmse"])
    assert found[0] != found[1]


def test_classifiers_and_networks_that_draw_have_a_figure_more(data: Path, tmp_path: Path) -> None:
    found = {}
    for name, settings in (("eccv16", {"width": 0.0625}), ("unet_vae", {"width": 0.1})):
        torch.manual_seed(0)
        values = settings_of(name, settings)
        save_model(tmp_path / name, create(name, values), name, values, {"size": SIZE})
        found[name] = evaluate_model(name, tmp_path / name, tmp_path / "evaluation" / name, of(data))
        again = evaluate_model(name, tmp_path / name, tmp_path / "again" / name, of(data))
        assert again == found[name]
    assert 0 <= found["eccv16"]["top_bin_accuracy"] <= 1
    assert "diversity" not in found["eccv16"]
    assert found["unet_vae"]["diversity"] > 0
    assert "top_bin_accuracy" not in found["unet_vae"]
    loader = Loader(data / "lab", "test", 4, 0, shuffle=False)
    model, right = load_model(tmp_path / "eccv16"), []
    for photos in loader.batches(0):
        lightness, ab = lab_from_code(photos.l, photos.ab)
        scores = model.predict(torch.from_numpy(lightness)).logits.numpy()
        right += [
            (scores[index].argmax(axis=0) == nearest_bin(np.moveaxis(ab[index, :, ::4, ::4], 0, -1))).mean()
            for index in range(len(ab))
        ]
    assert found["eccv16"]["top_bin_accuracy"] == pytest.approx(np.mean(right))


def test_a_baseline_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match=r"no baseline 'sepia': expected one of grey, mean_color"):
        Baseline("sepia", Path(), Path()).load()


def test_baselines_leave_rows_galleries_and_the_truth(data: Path, tmp_path: Path) -> None:
    summaries = evaluate_baselines(tmp_path, of(data))
    assert tuple(summaries) == baselines.NAMES + baselines.GUIDED
    assert summaries["grey"]["colorfulness"] < 0.5
    assert summaries["mean_color"]["ab_rmse"] < summaries["grey"]["ab_rmse"]
    assert {name for name, summary in summaries.items() if "hint_share" in summary} == {"color_by_optimization"}
    # Of 16 x 16 pixels it is told five.
    assert summaries["color_by_optimization"]["ab_rmse"] < summaries["mean_color"]["ab_rmse"]
    assert summaries["histogram_matching"]["colorfulness"] > 0.5 * summaries["histogram_matching"]["colorfulness_truth"]
    names = [{path.name for path in (tmp_path / name / "gallery").iterdir()} for name in (*summaries, "truth")]
    assert all(found == names[0] for found in names)
    assert len(names[0]) == 5
    files = _tree(tmp_path)
    assert not [name for name in files if ".tmp" in name]
    assert evaluate_baselines(tmp_path, of(data)) == summaries
    assert _tree(tmp_path) == files


def test_only_a_guided_colorizer_is_told_true_colours(batch: Batch) -> None:
    told: list[Known | None] = []

    def predict(lightness: np.ndarray, known: Known | None = None) -> Colors:
        told.append(known)
        return Colors(baselines.constant_ab(lightness, (0, 0)))

    measure(predict, batch, np.ones((256, 256)))
    measure(predict, batch, np.ones((256, 256)), hint_share=0.1)
    assert told[0] is None
    _, ab = lab_from_code(batch.l, batch.ab)
    known = told[1]
    assert (known.mask.sum(axis=(1, 2, 3)) == round(0.1 * SIZE * SIZE)).all()
    assert (known.ab == np.where(known.mask, ab, 0)).all()


def test_the_colours_told_depend_on_the_photo_alone() -> None:
    ab = np.ones((3, 2, 8, 8), np.float32)
    known = true_colors(["a", "b", "c"], ab, 0.25)
    assert (known.mask[0] != known.mask[1]).any()
    np.testing.assert_array_equal(true_colors(["b"], ab[:1], 0.25).mask[0], known.mask[1])
    assert true_colors(["a"], ab[:1, :, :1, :1], 0.01).mask.sum() == 1


def test_references_are_training_photos_by_id_and_the_nearest_lightness_is_taken(data: Path) -> None:
    references = read_references(data / "lab")
    training = {batch.ids[0]: batch for batch in Loader(data / "lab", "train", 1, 0).batches(0)}
    assert references.ids == sorted(training)
    for number, identity in enumerate(references.ids):
        np.testing.assert_array_equal(references.l[number], training[identity].l[0])
        np.testing.assert_array_equal(references.ab[number], training[identity].ab[0])
    # A photo is nearest to itself, also mirrored or a little darker.
    np.testing.assert_array_equal(references.nearest(references.l[..., ::-1]), np.arange(len(training)))
    np.testing.assert_array_equal(references.nearest(np.maximum(references.l, 1) - 1), np.arange(len(training)))


def test_of_many_training_photos_those_with_the_smallest_ids_are_references(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = read_references(data / "lab")
    monkeypatch.setattr("colorize.metrics.references._MAXIMUM", 3)
    few = read_references(data / "lab")
    assert few.ids == everything.ids[:3]
    np.testing.assert_array_equal(few.ab, everything.ab[:3])


def test_another_photo_has_the_colours_of_some_training_photo_and_always_the_same(data: Path, batch: Batch) -> None:
    references = read_references(data / "lab")
    _, known = lab_from_code(references.l, references.ab)
    lightness, _ = lab_from_code(batch.l, batch.ab)
    predict = baselines.another_photo(references)
    found = predict(lightness).ab
    chosen = [[number for number, ab in enumerate(known) if (ab == photo).all()] for photo in found]
    assert all(len(numbers) == 1 for numbers in chosen)
    assert len({numbers[0] for numbers in chosen}) > 1
    np.testing.assert_array_equal(predict(lightness[3:4]).ab[0], found[3])


def test_histogram_matching_gives_a_photo_of_the_training_split_nearly_its_own_colours(data: Path) -> None:
    references = read_references(data / "lab")
    lightness, truth = lab_from_code(references.l, references.ab)
    predict = baselines.histogram_matching(references)
    found = predict(lightness).ab
    assert np.abs(found - truth).mean() < 0.25 * np.abs(truth).mean()
    np.testing.assert_array_equal(predict(lightness[4:5]).ab[0], found[4])


def test_a_network_answers_the_same_for_a_photo_alone_and_in_a_batch(batch: Batch) -> None:
    torch.manual_seed(0)
    predict = network(create("unet", UNetSettings(channels=4, depth=1)).eval())
    lightness, _ = lab_from_code(batch.l, batch.ab)
    together = predict(lightness).ab
    assert together.shape == (5, 2, SIZE, SIZE)
    assert predict(lightness).lightness is None
    np.testing.assert_allclose(predict(lightness[2:3]).ab[0], together[2], atol=1e-2)
