"""Weights in a project: converted, described, registered, and what networks begin with."""

from __future__ import annotations

import hashlib
import json
import shutil
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import trustme
from torch import Tensor

from colorize.inference import Colorizer
from colorize.models import load_model
from colorize.registry import Registry
from colorize.settings import load_settings
from colorize.weights import WeightsError, catalogue, load_published
from colorize.weights.baseline import register
from colorize.weights.catalogue import PublishedFile
from colorize.weights.importing import fetch, import_file, imported

NAME = "pix2pix_pixelgan"
State = dict[str, Tensor]


@pytest.fixture
def file(state: Callable[[str], State], tmp_path: Path) -> Path:
    path = tmp_path / "pixel.pth"
    torch.save(state(NAME), path)
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_becomes_tensors_of_the_published_names_and_a_description(
    file: Path, state: Callable[[str], State], project: Path
) -> None:
    assert imported(NAME, project) is None
    done = import_file(NAME, file, project)
    assert done.folder == project / "weights" / NAME
    assert sorted(path.name for path in done.folder.iterdir()) == ["model.json", "model.safetensors"]
    tensors = safetensors.torch.load_file(done.folder / "model.safetensors")
    assert all(torch.equal(tensors[name], tensor) for name, tensor in state(NAME).items())
    about = json.loads((done.folder / "model.json").read_text())
    assert about["file_sha256"] == digest(file)
    assert about["sha256"] == digest(done.folder / "model.safetensors")
    assert about["parameters"] == 8832
    assert (about["published"], about["kind"], about["variant"]) == (NAME, "critic", None)
    assert imported(NAME, project) == done
    load_published(NAME, done.folder / "model.safetensors")


def test_importing_again_replaces_and_a_refused_file_leaves_all_as_it_was(file: Path, project: Path) -> None:
    import_file(NAME, file, project)
    other = torch.load(file, weights_only=True)
    other["net.0.bias"] += 1
    torch.save(other, file)
    second = import_file(NAME, file, project).description
    torch.save({"a": torch.zeros(1)}, file)
    with pytest.raises(WeightsError, match="not the weights of"):
        import_file(NAME, file, project)
    assert imported(NAME, project).description == second
    assert [path.name for path in (project / "weights").iterdir()] == [NAME]


def test_a_killed_import_leaves_what_was_there(file: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = import_file(NAME, file, project)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", killed)
        with pytest.raises(KeyboardInterrupt):
            import_file(NAME, file, project)
    assert imported(NAME, project) == first


def test_a_hash_in_a_name_is_checked(file: Path, project: Path) -> None:
    right = file.with_name(f"pixel-{digest(file)[:8]}.pth")
    shutil.copy(file, right)
    assert import_file(NAME, right, project).description["hash_checked"]
    wrong = file.with_name("pixel-9b330a0b.pth")
    shutil.copy(file, wrong)
    with pytest.raises(WeightsError, match=r"begins with [0-9a-f]{8}, not with 9b330a0b as published.*get it again"):
        import_file(NAME, wrong, project)
    assert not import_file(NAME, file, project).description["hash_checked"]


def test_the_published_file_is_recognised_by_its_hash_under_any_name(
    file: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "https://host/pixel-release.pth"
    entry = replace(catalogue.CATALOGUE[NAME], files=(PublishedFile("release", url, digest(file)[:8]),))
    monkeypatch.setitem(catalogue.CATALOGUE, NAME, entry)
    about = import_file(NAME, file, project).description
    assert (about["variant"], about["source"], about["licence"]) == ("release", url, "BSD-2-Clause")
    assert about["hash_checked"]


def test_a_folder_is_no_file_of_weights(project: Path) -> None:
    with pytest.raises(WeightsError, match="a folder"):
        import_file(NAME, project, project)


@pytest.fixture(scope="module")
def eccv16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like the one published for eccv16, of other weights; made once, it has 129 MB."""
    from colorize.models.eccv16 import ECCV16

    path = tmp_path_factory.mktemp("eccv16") / "colors.pth"
    torch.manual_seed(3)
    torch.save(ECCV16().state_dict(), path)
    return path


def test_a_generator_becomes_a_version_that_colorizes(eccv16: Path, project: Path) -> None:
    done = import_file("eccv16", eccv16, project)
    version = register(done, project)
    assert (version.number, version.architecture, version.aliases, version.metrics) == (1, "eccv16", (), {})
    assert version.tags["published"] == "eccv16"
    assert version.tags["page"] == "https://github.com/richzhang/colorization"
    assert version.tags["source"] == "colors.pth"
    assert version.tags["licence"] == "that of whoever trained them"
    assert sorted(path.name for path in version.folder.iterdir()) == ["README.md", "model.json", "model.safetensors"]
    assert "nothing was measured here yet" in (version.folder / "README.md").read_text()

    again = register(import_file("eccv16", eccv16, project), project)
    assert again.number == 1
    registry = Registry(load_settings(project / "params.yaml").registry, project)
    assert [known.number for known in registry.list()] == [1]

    published, lightness = load_published("eccv16", eccv16), torch.rand(1, 1, 40, 48) * 100
    torch.testing.assert_close(load_model(done.folder).predict_ab(lightness), published.predict_ab(lightness))
    colorizer = Colorizer.load("1", project)
    assert colorizer.size == 256
    torch.testing.assert_close(colorizer.model.predict_ab(lightness), published.predict_ab(lightness))
    colored = colorizer.colorize(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8))
    assert colored.shape == (40, 30, 3)

    # The files of a version can be lost; importing brings them back under the same number.
    shutil.rmtree(version.folder)
    assert register(done, project).number == 1
    assert (registry.model_folder(1) / "model.safetensors").is_file()


def test_a_critic_makes_no_colours(file: Path, project: Path) -> None:
    folder = import_file(NAME, file, project).folder
    with pytest.raises(ValueError, match="holds the critic 'pix2pix_pixelgan', which makes no colours"):
        load_model(folder)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    content = b""
    cuts: list[int]
    log: list[str | None]


class _Handler(BaseHTTPRequestHandler):
    """Serves one file, in parts where that is asked for, and breaks off where it is told to."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.log.append(asked)
        whole = self.server.content
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(whole) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        self.end_headers()
        end = self.server.cuts.pop(0) if self.server.cuts else len(whole)
        self.wfile.write(whole[start:end])
        self.close_connection = end < len(whole)

    def log_message(self, format: str, *args: Any) -> None:
        """Standard error belongs to what is tested."""


@pytest.fixture
def server(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    """A TLS server that publishes the file; the catalogue says so."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setenv("COLORIZE_RETRY_SECONDS", "0")
    with _Server(("127.0.0.1", 0), _Handler) as running:
        running.content, running.cuts, running.log = file.read_bytes(), [], []
        running.socket = context.wrap_socket(running.socket, server_side=True)
        url = f"https://localhost:{running.server_port}/pixel.pth"
        entry = replace(
            catalogue.CATALOGUE[NAME],
            files=(PublishedFile("one", url, digest(file)[:8]), PublishedFile("other", url, "00000000")),
        )
        monkeypatch.setitem(catalogue.CATALOGUE, NAME, entry)
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_fetching_goes_on_after_a_cut_and_imports(server: _Server, project: Path) -> None:
    server.cuts = [20_000]
    about = fetch(NAME, project).description
    assert server.log == [None, "bytes=20000-"]
    assert (about["variant"], about["file"], about["hash_checked"]) == ("one", "pixel.pth", True)
    assert list((project / "weights" / ".downloads").iterdir()) == []


def test_a_file_of_another_hash_is_thrown_away(server: _Server, project: Path) -> None:
    with pytest.raises(WeightsError, match="not with 00000000 as published"):
        fetch(NAME, project, "other")
    assert list((project / "weights" / ".downloads").iterdir()) == []
    assert imported(NAME, project) is None


def test_what_is_not_published_cannot_be_fetched(project: Path) -> None:
    with pytest.raises(WeightsError, match="no file is published for 'pix2pix_patchgan'"):
        fetch("pix2pix_patchgan", project)
    assert not (project / "weights").exists()
