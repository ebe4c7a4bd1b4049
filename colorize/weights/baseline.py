"""Imported generators in the registry of models: baselines that others trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from colorize.weights.importing import Imported

if TYPE_CHECKING:
    from colorize.registry import Version


def register(done: Imported, root: Path) -> Version:
    """Make a version of an imported generator; the same weights keep the number they have. Aliases stay as they are.

    Raises:
        SettingsError: the project has no readable `params.yaml`, which says where the registry is.
        OSError: the registry cannot be written to.
    """
    from colorize.registry import Registry, published_card
    from colorize.settings import load_settings

    about = done.description
    tags = {
        name: str(about[name]) for name in ("architecture", "published", "source", "page", "licence", "file_sha256")
    }
    tags["weights_sha256"] = about["sha256"]
    if about["variant"]:
        tags["variant"] = about["variant"]
    registry = Registry(load_settings(root / "params.yaml").registry, root)
    name = f"published-{done.published.name}-{about['sha256'][:12]}"
    return registry.register_published(name, done.folder, tags, {"README.md": published_card(about).encode()})
