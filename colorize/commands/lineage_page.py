"""All that is known of a version, as plain data and as a page of text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colorize.registry import Registry, Version

_TAGS = {
    "git_commit": "Git commit",
    "git_dirty": "with changes not committed",
    "fingerprint": "fingerprint of the run",
    "data_digest": "data",
    "dvc_lock_digest": "dvc.lock",
    "params_digest": "params.yaml",
    "requirements_digest": "requirements.lock",
    "weights_sha256": "weights",
    "seed": "seed",
    "device": "device",
    "precision": "precision",
    "workers": "workers",
    "torch": "torch",
    "rolled_back": "turned back from",
}
_DECISION = "decision-"
_HIDDEN = ("run", "folder", "architecture")


def describe(registry: Registry, version: Version) -> dict[str, Any]:
    """All that is known of a version, ready for JSON.

    Returns:
        `version`, `architecture`, `run`, `aliases`, `address`, `whole`, `lineage` (tags by name), `parameters` (of the
        training, by dotted name), `prior` (SHA-256 of its colour statistics), `decisions` by alias, `metrics`, `files`.
    """
    tags = {name: value for name, value in version.tags.items() if name not in _HIDDEN}
    decisions = {name: tags.pop(name) for name in sorted(tags) if name.startswith(_DECISION)}
    statistics = version.files.get("statistics.json")
    return {
        "version": version.number,
        "architecture": version.architecture,
        "run": version.run,
        "aliases": list(version.aliases),
        "address": registry.artefacts.address(version.run),
        "whole": registry.is_whole(version),
        "lineage": tags,
        "parameters": registry.parameters(version),
        "prior": None if statistics is None else statistics.sha256,
        "decisions": {name.removeprefix(_DECISION): json.loads(value) for name, value in decisions.items()},
        "metrics": version.metrics,
        "files": {name: {"bytes": file.size, "sha256": file.sha256} for name, file in version.files.items()},
    }


def render(known: dict[str, Any]) -> str:
    """What `describe` returned, to read."""
    places = ", ".join(known["aliases"]) or "no alias"
    lines = [f"version {known['version']}, {known['architecture']}: {places}", f"run {known['run']}"]
    lines.append(f"files in {known['address']}" + ("" if known["whole"] else ": NOT WHOLE, it cannot be used"))
    ordered = {name: known["lineage"][name] for name in _TAGS if name in known["lineage"]}
    others = {name: value for name, value in known["lineage"].items() if name not in _TAGS}
    lineage = {_TAGS.get(name, name): value for name, value in {**ordered, **others}.items()}
    if known["prior"] is not None:
        lineage["prior (statistics.json)"] = known["prior"]
    lines += _section("lineage", lineage)
    lines += _section("parameters", known["parameters"])
    lines += _section("measured on the test split", {name: f"{v:.4g}" for name, v in known["metrics"].items()})
    decided = {
        alias: f"{entry['time']} {entry['decision']}: {entry['reason']}" for alias, entry in known["decisions"].items()
    }
    lines += _section("last decisions", decided)
    files = {
        name: f"{file['bytes']:>12,} bytes  {file['sha256'][:12]}".rstrip() for name, file in known["files"].items()
    }
    lines += _section("files", files)
    return "\n".join(lines)


def _section(title: str, values: dict[str, str]) -> list[str]:
    if not values:
        return []
    width = max(len(name) for name in values)
    return ["", title, *(f"  {name:{width}}  {value}" for name, value in values.items())]
