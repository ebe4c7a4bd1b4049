"""Train a registered version again, from the commit, parameters and data it was made with, and compare the weights.

All of it happens in a clone in a temporary folder, with runs and a registry of its own. Whether the clone holds what
the version was trained from is not guessed: the name of a run is its fingerprint (data, parameters, code, lock file),
so the clone says which run it would make, before anything is trained.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from colorize.registry import Registry, Version
from colorize.storage import sha256_file

#: What a training reads of the data; the stages before are not needed.
DATA = ("data/lab", "data/statistics.json")

_WEIGHTS = "model.safetensors"
_KEPT = ("params.yaml", "dvc.lock", "requirements.lock")
# They would lead the training away from the clone: to another registry, cluster, server or project.
_LEADING_AWAY = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "RAY_ADDRESS", "PREFECT_API_URL", "PREFECT_HOME",
                 "PREFECT_MEMO_STORE_PATH", "COLORIZE_ROOT", "VIRTUAL_ENV")  # fmt: skip
_TENSORS_NAMED = 8

Say = Callable[[str], None]


class ReproductionError(ValueError):
    """A version cannot be trained again; the message says why."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a version tells about its making.

    Attributes:
        number: of the version.
        architecture: its network.
        run: name of its run: architecture and twelve digits of the fingerprint.
        commit: what was checked out.
        dirty: whether files differed from the commit; parameters and lock files, which are kept, among them.
        workers: of Ray Train.
        threads: of each worker; None where an older version does not tell.
        device: `cpu`, or the name of a GPU.
        digests: of `data`, and of the kept files, as far as it tells.
    """

    number: int
    architecture: str
    run: str
    commit: str
    dirty: bool
    workers: int
    threads: int | None
    device: str
    digests: dict[str, str]


@dataclass(frozen=True, slots=True)
class Reproduction:
    """How it ended.

    Attributes:
        same: whether the weights are equal byte for byte.
        differences: in words, the largest first; empty where they are equal.
        folder: where the clone is; None where it was removed.
    """

    same: bool
    differences: tuple[str, ...] = ()
    folder: Path | None = None


def recipe(version: Version) -> Recipe:
    """Read a version's tags.

    Raises:
        ReproductionError: it was not trained here, or outside of Git.
    """
    tags = version.tags
    named = f"version {version.number} ({version.architecture})"
    if "fingerprint" not in tags:
        raise ReproductionError(
            f"{named} was not trained here: its weights are published ones, '{version.run}', so no training can be "
            "repeated; 'colorize weights list' says where they are from"
        )
    if "git_commit" not in tags:
        raise ReproductionError(f"{named} was trained outside of Git: there is no commit to check out")
    threads = tags.get("threads")
    known = ("data", "params", "dvc_lock", "requirements")
    return Recipe(
        number=version.number,
        architecture=version.architecture,
        run=version.run,
        commit=tags["git_commit"],
        dirty=tags.get("git_dirty") == "true",
        workers=int(tags["workers"]),
        threads=None if threads is None else int(threads),
        device=tags["device"],
        digests={name: tags[f"{name}_digest"] for name in known if f"{name}_digest" in tags},
    )


def parameters(text: str, made: Recipe) -> str:
    """A version's `params.yaml` for its clone: workers, threads and device as they were, and a registry of its own.

    Neither section is part of the fingerprint.

    Args:
        text: the file that the version keeps.
        made: what it was made with.
    """
    values: dict[str, Any] = yaml.safe_load(text)
    scaling = {**(values.get("scaling") or {}), "workers": made.workers}
    scaling["gpu"] = "never" if made.device == "cpu" else "always"
    if made.threads is not None:
        scaling["cpus_per_worker"] = made.threads
    # Where they are known at that commit: all workers at once, and the clone's own folder.
    scaling.update({name: None for name in ("minimum_workers", "storage") if name in scaling})
    values["scaling"] = scaling
    values["registry"] = {}
    return yaml.safe_dump(values, sort_keys=False)


def differing_inputs(made: Recipe, would_run: str, found: Mapping[str, str]) -> list[str]:
    """What of the inputs is not what the version was trained with; empty: they are the same, as the fingerprint says.

    Args:
        made: what the version tells.
        would_run: name of the run that the clone would make.
        found: digests in the clone, by the names of `Recipe.digests`.
    """
    if would_run == made.run:
        return []
    titles = {"data": "data", "params": "params.yaml", "requirements": "requirements.lock"}
    differing = [
        f"{title}: {found[name][:12]}… here, {made.digests[name][:12]}… then"
        for name, title in titles.items()
        if name in found and name in made.digests and found[name] != made.digests[name]
    ]
    if differing:
        return differing
    if made.dirty:
        return [f"code: files were changed and not committed when it was trained from {made.commit[:12]}"]
    return ["code, or published weights that the encoder begins with: all digests that the version tells are equal"]


def differing_tensors(then: Mapping[str, NDArray[Any]], now: Mapping[str, NDArray[Any]]) -> list[str]:
    """How two sets of weights differ: names and shapes first, then the largest absolute differences."""
    said = [f"{name}: only in the registered model" for name in sorted(then.keys() - now.keys())]
    said += [f"{name}: only in the new one" for name in sorted(now.keys() - then.keys())]
    largest: dict[str, float] = {}
    for name in then.keys() & now.keys():
        first, second = then[name], now[name]
        if first.shape != second.shape:
            said.append(f"{name}: shape {first.shape} then, {second.shape} now")
        elif not np.array_equal(first, second):
            largest[name] = float(np.max(np.abs(first.astype(np.float64) - second.astype(np.float64))))
    ranked = sorted(largest.items(), key=lambda item: (-item[1], item[0]))
    said += [f"{name}: differs by {difference:.3g} at most" for name, difference in ranked[:_TENSORS_NAMED]]
    if len(ranked) > _TENSORS_NAMED:
        said.append(f"and {len(ranked) - _TENSORS_NAMED} more of {len(then)} tensors, all by less")
    return said


def reproduce(what: str | int, registry: Registry, root: Path, say: Say) -> Reproduction:
    """Train a version again and compare.

    Args:
        what: alias, architecture or number.
        registry: where it is.
        root: the project's folder, a Git clone that has its commit.
        say: called with a line for each step; what Git, DVC and the training print goes to the console.

    Raises:
        ReproductionError: it cannot be trained again, or its inputs are not to be had any more.
        RegistryError: there is no such version, or its files are gone.
    """
    version = registry.resolve(what)
    made = recipe(version)
    kept = registry.model_folder(version.number)
    _check_commit(root, made)
    folder = Path(tempfile.mkdtemp(prefix=f"reproduce-{made.run}-"))
    try:
        result = _reproduce(made, kept, root, folder, say)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except ReproductionError as error:
        raise ReproductionError(f"{error}; what there is of it: {folder}") from error
    if result.same:
        shutil.rmtree(folder)
    return result


def _reproduce(made: Recipe, kept: Path, root: Path, folder: Path, say: Say) -> Reproduction:
    say(
        f"version {made.number}: {made.run}, {made.workers} worker(s), {made.threads or 'any number of'} thread(s) each"
    )
    say(f"checking out {made.commit[:12]} in {folder}")
    _git(folder, "clone", "--quiet", "--shared", "--no-checkout", str(root), ".")
    _git(folder, "checkout", "--quiet", "--detach", made.commit)
    for name in _KEPT:
        if (kept / name).is_file():
            shutil.copy(kept / name, folder / name)
    found = {"params": sha256_file(folder / "params.yaml")}
    if (folder / "requirements.lock").is_file():
        found["requirements"] = sha256_file(folder / "requirements.lock")
    text = (folder / "params.yaml").read_text(encoding="utf-8")
    (folder / "params.yaml").write_text(parameters(text, made), encoding="utf-8")
    if (root / "weights").is_dir():
        (folder / "weights").symlink_to(root / "weights")
    python = _interpreter(root, folder, found.get("requirements"), say)
    _bring_data(python, root, folder, say)
    index = json.loads((folder / "data/lab/index.json").read_text(encoding="utf-8"))
    found["data"] = str(index["digest"])
    would_run = _would_run(python, folder, made)
    if inputs := differing_inputs(made, would_run, found):
        raise ReproductionError(f"not trained, it would be another run, {would_run}: " + "; ".join(inputs))
    say("data, parameters, code and lock file are the same; training")
    command = [str(python), "-m", "pipelines.train", "--architecture", made.architecture]
    code = subprocess.run(command, cwd=folder, env=_environment(python, folder), check=False).returncode
    run = folder / "runs" / made.run
    # What comes after the training, measuring and registering, says nothing about the weights.
    if not (run / "done.json").is_file():
        raise ReproductionError(f"training {made.run} again failed with exit code {code}")
    return _compare(kept / _WEIGHTS, run / "model" / _WEIGHTS, folder)


def _compare(then: Path, now: Path, folder: Path) -> Reproduction:
    if then.read_bytes() == now.read_bytes():
        return Reproduction(True)
    from safetensors.numpy import load_file

    differences = differing_tensors(load_file(then), load_file(now)) or ["equal tensors, written in another way"]
    return Reproduction(False, tuple(differences), folder)


def _check_commit(root: Path, made: Recipe) -> None:
    command = ["git", "-C", str(root), "cat-file", "-e", f"{made.commit}^{{commit}}"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise ReproductionError(
            f"commit {made.commit}, which version {made.number} was trained from, is not in {root}; "
            "bring it with 'git fetch --all', or run this in the clone that trained it"
        )


def _interpreter(root: Path, folder: Path, wanted: str | None, say: Say) -> Path:
    """The Python that runs this, if the version's lock file is today's; else one set up from it in the clone."""
    today = root / "requirements.lock"
    if wanted is None or (today.is_file() and sha256_file(today) == wanted):
        return Path(sys.executable)
    say("its requirements.lock is another than today's: setting up an environment of its own (a few minutes)")
    _run(["make", "setup"], folder, _environment(Path(sys.executable), folder))
    return folder / ".venv" / "bin" / "python"


def _bring_data(python: Path, root: Path, folder: Path, say: Say) -> None:
    """From the project's cache; what is missing there from the remote, or made anew where there is none."""
    environment = _environment(python, folder)
    dvc = [str(python), "-m", "dvc"]
    local = root / ".dvc" / "config.local"
    if local.is_file():
        shutil.copy(local, folder / ".dvc" / "config.local")
    cache = _run([*dvc, "cache", "dir"], root, environment, quiet=True).strip()
    _run([*dvc, "config", "--local", "cache.dir", str(root / cache)], folder, environment)
    _run([*dvc, "config", "--local", "cache.type", "reflink,symlink"], folder, environment)
    say("taking its data from DVC's cache")
    try:
        _run([*dvc, "checkout", "--quiet", *DATA], folder, environment, quiet=True)
    except ReproductionError:
        if _run([*dvc, "remote", "list"], folder, environment, quiet=True).strip():
            say("not all of it is in the cache: pulling it from the remote")
            _run([*dvc, "pull", *DATA], folder, environment)
        else:
            say("not all of it is in the cache, and there is no DVC remote: making it anew")
            _run([*dvc, "repro"], folder, environment)


def _would_run(python: Path, folder: Path, made: Recipe) -> str:
    command = [str(python), "-m", "pipelines.train", "--architecture", made.architecture, "--dry-run"]
    said = _run(command, folder, _environment(python, folder), quiet=True)
    if (found := re.search(rf"\b{re.escape(made.architecture)}-[0-9a-f]{{12}}\b", said)) is None:
        raise ReproductionError(f"'python -m pipelines.train --dry-run' does not say what it would run: {said.strip()}")
    return found.group()


def _git(folder: Path, *arguments: str) -> None:
    _run(["git", *arguments], folder, dict(os.environ))


def _environment(python: Path, folder: Path) -> dict[str, str]:
    """The clone's own packages before those that are installed, and nothing that leads elsewhere."""
    own = {name: value for name, value in os.environ.items() if name not in _LEADING_AWAY}
    path = os.pathsep.join([str(python.parent), own.get("PATH", "")])
    return {**own, "PATH": path, "PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1"}


def _run(command: list[str], folder: Path, environment: Mapping[str, str], quiet: bool = False) -> str:
    """Run a command; returns its standard output where it is quiet, else that goes to the console."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.PIPE if quiet else None,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout or "").strip().splitlines()
        raise ReproductionError(f"'{' '.join(command)}' failed" + (f": {said[-1]}" if said else ""))
    return done.stdout or ""
