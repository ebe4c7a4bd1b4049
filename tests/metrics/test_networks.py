"""Figures through networks: what a project has weights for is measured, the rest is named; batches agree."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from colorize.metrics import networks
from colorize.metrics.networks import NEEDS, Networks, through_networks
from colorize.storage import sha256_file
from colorize.weights import CATALOGUE, find
from colorize.weights.importing import import_file

Rgb = NDArray[np.uint8]
WIDTH = 0.05
BUILDERS = {"inception_v3": (WIDTH,), "vgg16": ("vgg16", WIDTH), "alexnet": (WIDTH,)}


def lively(network: torch.nn.Module) -> torch.nn.Module:
    """With statistics of what it sees, so that features do not fade towards the last layers."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(torch.rand(4, 3, 160, 160) * 2 - 1)
    return network.eval()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with random weights of slim networks under the published names, and channel weights that fit them."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(11)
        for name, arguments in BUILDERS.items():
            patch.setitem(CATALOGUE, name, replace(find(name), arguments=arguments))
            network = lively(find(name).build())
            torch.save(network.state_dict(), root / f"{name}.pth")
            import_file(name, root / f"{name}.pth", root)
            if name != "inception_v3":
                maps = network.stages(torch.zeros(1, 3, 64, 64))[:5]
                heads = {f"lin{depth}.model.1.weight": torch.rand(1, len(m[0]), 1, 1) for depth, m in enumerate(maps)}
                torch.save(heads, root / f"{name}-heads.pth")
        patch.setattr(networks, "heads_file", lambda name: root / f"{name}-heads.pth")
        yield root


@pytest.fixture(scope="module")
def pairs() -> tuple[Rgb, Rgb]:
    generator = np.random.default_rng(12)
    truth = generator.integers(0, 256, (7, 8, 10, 3)).repeat(8, axis=1).repeat(8, axis=2)
    predicted = truth * np.array([0.8, 1, 0.6]) + generator.normal(0, 20, truth.shape)
    return np.clip(predicted, 0, 255).astype(np.uint8), truth.astype(np.uint8)


def test_without_weights_there_is_the_honest_distance_alone(pairs: tuple[Rgb, Rgb], tmp_path: Path) -> None:
    figures, missing = through_networks([pairs], tmp_path / "weights")
    assert list(figures) == ["random_feature_distance"]
    found = figures["random_feature_distance"]
    assert (found.photos, found.extractor, found.heads_sha256) == (7, "random_features", None)
    assert found.value > 0
    assert set(missing) == set(NEEDS)
    for name, reason in missing.items():
        assert f"colorize weights fetch {NEEDS[name]}" in reason


def test_with_weights_every_figure_is_there_with_its_network(project: Path, pairs: tuple[Rgb, Rgb]) -> None:
    figures, missing = through_networks([pairs], project / "weights")
    assert missing == {}
    assert set(figures) == {"random_feature_distance", *NEEDS}
    for name, needed in NEEDS.items():
        figure = figures[name]
        assert (figure.extractor, figure.photos) == (needed, 7)
        assert figure.sha256 == sha256_file(project / "weights" / needed / "model.safetensors")
        heads = hashlib.sha256((project / f"{needed}-heads.pth").read_bytes()).hexdigest() if "lpips" in name else None
        assert figure.heads_sha256 == heads
        assert np.isfinite(figure.value)
    for name in ("fid", "kid", "lpips_vgg16", "lpips_alexnet"):
        assert figures[name].value > 0.01, name
    assert figures["frechet_distance_vgg16"].value > 1e-4
    assert 0 <= figures["class_agreement"].value <= 1


def test_one_network_missing_takes_its_own_figures_only(project: Path, pairs: tuple[Rgb, Rgb], tmp_path: Path) -> None:
    (tmp_path / "alexnet").symlink_to(project / "weights" / "alexnet")
    broken = tmp_path / "vgg16"
    broken.mkdir()
    (broken / "model.json").write_text(json.dumps({"sha256": "0" * 64}))
    figures, missing = through_networks([pairs], tmp_path)
    assert set(figures) == {"random_feature_distance", "lpips_alexnet"}
    assert "import 'vgg16' again" in missing["class_agreement"]
    assert "colorize weights fetch inception_v3" in missing["fid"]


def test_equal_sets_are_equal_through_every_network(project: Path, pairs: tuple[Rgb, Rgb]) -> None:
    figures, _ = through_networks([(pairs[1], pairs[1])], project / "weights")
    values = {name: figure.value for name, figure in figures.items()}
    assert values.pop("class_agreement") == 1
    kernels = [values.pop(name) for name in ("kid", "kernel_distance_vgg16")]
    assert all(value <= 0 for value in kernels)
    assert list(values.values()) == pytest.approx([0] * 5, abs=1e-6)


def test_batches_of_any_size_give_the_same(project: Path, pairs: tuple[Rgb, Rgb]) -> None:
    def seen(*cuts: slice) -> Networks:
        looking = Networks(project / "weights")
        for cut in cuts:
            looking.update(pairs[0][cut], pairs[1][cut])
        return looking

    whole, single = seen(slice(0, 7)), seen(*(slice(start, start + 1) for start in range(7)))
    for name, figure in whole.figures().items():
        other = single.figures()[name]
        assert other.value == pytest.approx(figure.value, rel=1e-3), name
        assert other.photos == figure.photos == 7


def test_what_others_saw_gives_the_same_bits(project: Path, pairs: tuple[Rgb, Rgb]) -> None:
    cuts = (slice(0, 4), slice(4, 7))
    whole = Networks(project / "weights")
    for cut in cuts:
        whole.update(pairs[0][cut], pairs[1][cut])
    seen = [Networks(project / "weights").look(pairs[0][cut], pairs[1][cut]) for cut in cuts]
    gathered = Networks(project / "weights")
    for values in pickle.loads(pickle.dumps(seen)):
        gathered.add(values)
    assert gathered.figures() == whole.figures()


def test_agreement_is_the_share_of_photos_with_the_same_top_class(
    project: Path, pairs: tuple[Rgb, Rgb], monkeypatch: pytest.MonkeyPatch
) -> None:
    from colorize.metrics.networks import _vgg16
    from colorize.models.vgg import VGG

    # A classifier of whether a photo is redder than it is green.
    vgg = VGG("vgg16", WIDTH).eval().requires_grad_(False)
    monkeypatch.setattr(VGG, "stages", lambda self, image: [torch.zeros(len(image), 3, 80, 80)] * 5 + [image[:, :3]])
    vgg.avgpool = torch.nn.AdaptiveAvgPool2d(1)
    vgg.classifier = torch.nn.Linear(3, 2, bias=False).requires_grad_(False)
    vgg.classifier.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]))
    vgg.channels[-1] = 3
    judge = _vgg16(vgg, "0")[0]
    colours = {"red": (1.0, 0, 0), "green": (0, 1.0, 0)}
    truth, predicted = (
        torch.stack([torch.tensor(colours[name]).reshape(3, 1, 1).expand(3, 64, 64) for name in names])
        for names in (["red", "red", "green", "green"], ["red", "green", "green", "red"])
    )
    for pair in ((predicted, truth), (truth[:1], truth[:1])):
        for tally, values in zip(judge.tallies, judge.look(*pair), strict=True):
            tally.update(*values)
    assert judge.values["class_agreement"]() == pytest.approx(3 / 5)


def test_halves_that_do_not_fit_are_refused(pairs: tuple[Rgb, Rgb], tmp_path: Path) -> None:
    looking = Networks(tmp_path)
    with pytest.raises(ValueError, match=r"of one shape, got \(6, 64, 80, 3\) and \(7, 64, 80, 3\)"):
        looking.update(pairs[0][:6], pairs[1])
    with pytest.raises(ValueError, match="0 photos"):
        looking.figures()
