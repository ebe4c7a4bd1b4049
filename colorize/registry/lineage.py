"""Where a model comes from: the commit, the digests of what went in, and what it was trained on."""

from __future__ import annotations

import subprocess
from pathlib import Path

from colorize.storage import sha256_file

#: Files of the project whose digests tell what a model was made with.
_FILES = {"params_digest": "params.yaml", "dvc_lock_digest": "dvc.lock", "requirements_digest": "requirements.lock"}


def lineage(root: Path) -> dict[str, str]:
    """Tags that tell the state of the project: `git_commit`, `git_dirty`, and a sha256 for each lock and parameters.

    What does not exist (no Git, no `dvc.lock`) has no tag.
    """
    tags = _git(root)
    for tag, name in _FILES.items():
        if (root / name).is_file():
            tags[tag] = sha256_file(root / name)
    return tags


def _git(root: Path) -> dict[str, str]:
    commit = _run(root, "rev-parse", "HEAD")
    if commit is None:
        return {}
    # Metrics and plots are rewritten by every run and say nothing about the code.
    changes = _run(root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)reports")
    return {"git_commit": commit, "git_dirty": str(bool(changes)).lower()}


def _run(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
