"""Reading published weights: every layout, strictly, and never a line of anybody's code."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from colorize.weights import WeightsError, load_published

NAME = "pix2pix_pixelgan"
State = dict[str, Tensor]


@pytest.fixture
def tensors(state: Callable[[str], State]) -> State:
    return state(NAME)


class Hostile:
    """Writes a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.write_text, (self.witness, "ran"))


def test_every_layout_is_the_same_network(tensors: State, tmp_path: Path) -> None:
    optimizer = {"state": {}, "param_groups": [{"lr": np.float64(1e-4), "betas": (np.float32(0.9), 0.99)}]}
    parallel = {f"module.{name}": tensor for name, tensor in tensors.items()}
    layouts: dict[str, object] = {
        "plain.pth": OrderedDict(tensors),
        "deoldify.pth": {"model": tensors, "opt": optimizer},
        "ddcolor.pth": {"params": tensors},
        "ema.pth": {"params": tensors, "params_ema": tensors},
        "lightning.ckpt": {"state_dict": tensors, "epoch": 3},
        "parallel.pth": parallel,
        "both.bin": {"model": parallel},
        "reversed.pth": dict(reversed(tensors.items())),
        "parameters.pth": {
            name: torch.nn.Parameter(tensor) if tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        },
    }
    for name, content in layouts.items():
        torch.save(content, tmp_path / name)
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(tensors, tmp_path / "a.safetensors")
    image = torch.rand(1, 3, 5, 4)
    outputs = []
    for path in sorted(tmp_path.iterdir()):
        network = load_published(NAME, path)
        assert not network.training, path
        assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in tensors.items()), path
        outputs.append(network(image))
    assert len(outputs) == 11
    assert all(torch.equal(output, outputs[0]) for output in outputs)


def test_loading_leaves_random_numbers_alone(tensors: State, tmp_path: Path) -> None:
    torch.save(tensors, tmp_path / "w.pth")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_published(NAME, tmp_path / "w.pth")
    assert torch.equal(torch.rand(3), expected)


def test_single_numbers_may_be_vectors_of_one(tensors: State, tmp_path: Path) -> None:
    torch.save({**tensors, "net.3.num_batches_tracked": torch.tensor([7])}, tmp_path / "w.pth")
    assert load_published(NAME, tmp_path / "w.pth").state_dict()["net.3.num_batches_tracked"] == 7


def test_files_from_before_the_counters_of_batch_normalization_fit(tensors: State, tmp_path: Path) -> None:
    old = {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    assert len(old) < len(tensors)
    torch.save(old, tmp_path / "w.pth")
    assert load_published(NAME, tmp_path / "w.pth").state_dict()["net.3.num_batches_tracked"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("net.5.weight"), r"1 missing: net\.5\.weight\)"),
        (
            lambda s: s.clear() or s.update(a=torch.zeros(1)),
            r"net\.0\.weight, .* and \d more.*unexpected: a",
        ),
        (lambda s: s.update(extra=torch.zeros(1)), "1 unexpected: extra"),
        (lambda s: s.update({"net.0.bias": torch.zeros(65)}), r"of another shape: net\.0\.bias is 65, not 64"),
        (
            lambda s: s.update({"net.0.bias": torch.zeros(64, dtype=torch.int64)}),
            r"of another type: net\.0\.bias is",
        ),
        (lambda s: s.update({"net.0.bias": torch.full((64,), torch.nan)}), r"no numbers: net\.0\.bias"),
        (lambda s: s.update({"net.0.bias": torch.zeros(64).to_sparse()}), "sparse, quantized"),
        (lambda s: s.update({"net.0.bias": torch.zeros(64, device="meta")}), "without content"),
        (lambda s: s.update({"net.0.bias": "text"}), "is a str; a state dict holds tensors"),
    ],
)
def test_what_does_not_fit_is_named(
    tensors: State, tmp_path: Path, change: Callable[[State], object], message: str
) -> None:
    change(tensors)
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=message) as caught:
        load_published(NAME, tmp_path / "w.pth")
    assert str(tmp_path / "w.pth") in str(caught.value)


def test_weights_of_another_network_are_told_what_to_do(state: Callable[[str], State], tmp_path: Path) -> None:
    torch.save(state("pix2pix_patchgan"), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"not the weights of .*22 tensors, from model\.0\.weight"):
        load_published(NAME, tmp_path / "w.pth")


@pytest.mark.parametrize("place", ["value", "optimizer", "whole", "key"])
@pytest.mark.parametrize("new_format", [True, False])
def test_code_in_a_file_is_refused_and_not_run(tensors: State, tmp_path: Path, place: str, new_format: bool) -> None:
    witness, path = tmp_path / "witness", tmp_path / "w.pth"
    hostile = Hostile(witness)
    content = {
        "value": {**tensors, "net.0.bias": hostile},
        "optimizer": {"model": tensors, "opt": hostile},
        "whole": hostile,
        "key": {**tensors, hostile: torch.zeros(1)},
    }[place]
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(WeightsError, match=r"refused.*code from a file is never run.*save the state dict alone"):
        load_published(NAME, path)
    assert not witness.exists()
    with io.BytesIO(path.read_bytes()) as file:
        torch.load(file, weights_only=False)
    assert witness.exists(), "the file would have run its code"


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"refused.*Linear"):
        load_published(NAME, tmp_path / "w.pth")


def test_a_pickle_and_a_script_archive_are_refused(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    (tmp_path / "p.pth").write_bytes(pickle.dumps(Hostile(witness)))
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "s.pth")
    for path in (tmp_path / "p.pth", tmp_path / "s.pth"):
        with pytest.raises(WeightsError, match=str(path)):
            load_published(NAME, path)
    assert not witness.exists()


def test_a_huge_tensor_that_takes_no_room_in_the_file_is_refused_by_its_shape(tensors: State, tmp_path: Path) -> None:
    torch.save({**tensors, "net.0.bias": torch.zeros(1).expand(2**45)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"net\.0\.bias is 35184372088832, not 64"):
        load_published(NAME, tmp_path / "w.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02", b"no weights at all", b"\xff" * 1000])
def test_rubbish_is_refused_in_one_sentence(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        load_published(NAME, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cut_file_is_refused(tensors: State, tmp_path: Path) -> None:
    torch.save(tensors, tmp_path / "whole.pth")
    safetensors.torch.save_file(tensors, tmp_path / "whole.safetensors")
    for suffix in (".pth", ".safetensors"):
        data = (tmp_path / f"whole{suffix}").read_bytes()
        for share in (0.1, 0.5, 0.99):
            (tmp_path / f"cut{suffix}").write_bytes(data[: int(len(data) * share)])
            with pytest.raises(WeightsError):
                load_published(NAME, tmp_path / f"cut{suffix}")


def test_a_web_page_and_an_archive_are_not_weights(tmp_path: Path) -> None:
    (tmp_path / "page.pth").write_text("<!DOCTYPE html><html>Dropbox</html>")
    with pytest.raises(WeightsError, match="a web page, not weights"):
        load_published(NAME, tmp_path / "page.pth")
    with zipfile.ZipFile(tmp_path / "photos.pth", "w") as archive:
        archive.writestr("photo.jpg", b"photo")
    with pytest.raises(WeightsError, match="no readable file of torch"):
        load_published(NAME, tmp_path / "photos.pth")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for suffix in (".pth", ".safetensors"):
        with pytest.raises(OSError, match="No such file"):
            load_published(NAME, tmp_path / f"none{suffix}")


@pytest.mark.parametrize("content", [[1, 2], {}, 3, torch.zeros(3), {"model": {}}])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"holds a \w+, not tensors by name"):
        load_published(NAME, tmp_path / "w.pth")
