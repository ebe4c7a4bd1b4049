"""The identity of a run: what it depends on, and what it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import colorize
from colorize.settings import Settings
from colorize.training import identity
from colorize.training.identity import RunSpecification, fingerprint, run_name, specify

DATA = "0" * 64


def changed(settings: Settings, section: str, **values: object) -> Settings:
    plain = settings.model_dump()
    target = plain
    for part in section.split("."):
        target = target[part]
    target.update(values)
    return Settings.model_validate(plain)


def test_the_same_inputs_are_the_same_run(settings: Callable[..., Settings], root: Path) -> None:
    first = fingerprint(settings(), "unet", DATA, root)
    assert first == fingerprint(settings(), "unet", DATA, root)
    assert len(first) == 64
    assert run_name("unet", first) == f"unet-{first[:12]}"


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("training", {"epochs": 4}),
        ("training", {"seed": 2}),
        ("architectures.unet.training", {"learning_rate": 0.5}),
        ("architectures.unet.model", {"channels": 8}),
        ("architectures.unet", {"objective": {"name": "regression", "loss": "l1"}}),
    ],
)
def test_what_decides_weights_changes_the_run(
    settings: Callable[..., Settings], root: Path, section: str, values: dict[str, object]
) -> None:
    other = changed(settings(), section, **values)
    assert fingerprint(other, "unet", DATA, root) != fingerprint(settings(), "unet", DATA, root)


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("scaling", {"workers": 4, "gpu": "never"}),
        ("training", {"keep_checkpoints": 9, "checkpoint_every": 2}),
        ("architectures.unet_vae.model", {"width": 0.5}),
        ("evaluation", {"gallery": 3}),
        ("images", {"minimum_side": 64}),
    ],
)
def test_what_decides_no_weights_does_not(
    settings: Callable[..., Settings], root: Path, section: str, values: dict[str, object]
) -> None:
    other = changed(settings(), section, **values)
    assert fingerprint(other, "unet", DATA, root) == fingerprint(settings(), "unet", DATA, root)


def test_data_architecture_lock_and_code_change_the_run(
    settings: Callable[..., Settings], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.lock").write_text("torch==2.14.0\n")
    (tmp_path / "network.py").write_text("one = 1\n")
    seen = {
        fingerprint(settings(), "unet", DATA, root),
        fingerprint(settings(), "unet", "1" * 64, root),
        fingerprint(settings(), "unet_vae", DATA, root),
        fingerprint(settings(), "unet", DATA, tmp_path),
    }
    monkeypatch.setattr(identity, "source_files", lambda: iter([tmp_path / "network.py"]))
    seen.add(fingerprint(settings(), "unet", DATA, root))
    assert len(seen) == 5


def test_a_specification_survives_json(run: Callable[..., RunSpecification]) -> None:
    for architecture in ("simple_unet", "unet", "unet_vae"):
        specification = run(architecture)
        assert RunSpecification.from_dict(json.loads(json.dumps(specification.to_dict()))) == specification
        assert specification.name.startswith(f"{architecture}-")


def test_what_is_missing_is_named(settings: Callable[..., Settings], lab: Path, root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"requirements\.lock: cannot be read .*run from the project's folder"):
        specify(settings(), "unet", lab, tmp_path)
    with pytest.raises(ValueError, match=r"index\.json is missing"):
        specify(settings(), "unet", tmp_path, root)
    with pytest.raises(ValueError, match=r"'vgg' is not in params\.yaml; chosen: simple_unet, unet_vae, unet"):
        specify(settings(), "vgg", lab, root)


def test_identity_costs_no_torch_and_counts_all_code_that_training_runs() -> None:
    """Whoever adds a module to training must decide whether it counts."""
    script = (
        "import sys, colorize.training.identity as identity; early = 'torch' in sys.modules; "
        "import colorize.training.loop; "
        "modules = sys.modules.values(); "
        "files = {m.__file__ for n, m in sys.modules.items() if n.startswith('colorize.')}; "
        "counted = {str(p) for p in identity.source_files()}; "
        "print(early); print('\\n'.join(sorted(files - counted)))"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    early, *uncounted = output.split()
    assert early == "False"
    package = Path(colorize.__file__).parent
    places = {Path(path).relative_to(package).as_posix() for path in uncounted}
    # What reads settings and moves files around a run; the data is counted by its digest.
    assert {place for place in places if not place.startswith("settings/")} <= {
        "color.py",
        "images.py",
        "progress.py",
        "storage.py",
        "data/__init__.py",
        "data/description.py",
        "data/execution.py",
        "data/manifest.py",
        "data/on_disk_sort.py",
        "data/prior.py",
        "data/recent.py",
        "data/shard_index.py",
        "data/shard_plan.py",
        "data/shards.py",
        "data/splits.py",
    }
