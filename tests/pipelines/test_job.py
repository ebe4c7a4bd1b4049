"""Handing trainings to Ray Jobs: when a job is attached to, submitted again, or refused.

The cluster here is a stand-in; `tests/flows/test_cluster.py` has a real one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.job_submission import JobStatus

from colorize.settings.sections import ScalingSettings
from colorize.training.mirror import Mirror
from pipelines import job
from pipelines.ray_train import TrainingFailedError


@dataclass
class Cluster:
    """What is asked of a cluster's Ray Jobs."""

    statuses: dict[str, JobStatus]
    calls: list[str] = field(default_factory=list)

    def list_jobs(self) -> list[Any]:
        return [SimpleNamespace(submission_id=name, status=status) for name, status in self.statuses.items()]

    def delete_job(self, name: str) -> None:
        self.calls.append("delete")
        del self.statuses[name]

    def submit_job(self, entrypoint: str, submission_id: str, runtime_env: dict[str, str]) -> None:
        assert entrypoint.startswith("python -m pipelines.job '{")
        code = Path(runtime_env["working_dir"])
        assert {path.name for path in code.iterdir()} == {"colorize", "pipelines"}
        assert (code / "pipelines" / "job.py").read_bytes() == Path(job.__file__).read_bytes()
        assert not list(code.rglob("__pycache__"))
        self.calls.append("submit")
        self.statuses[submission_id] = JobStatus.PENDING

    def get_job_status(self, name: str) -> JobStatus:
        return self.statuses[name]

    def get_job_logs(self, name: str) -> str:
        return "Running entrypoint\nerror: node a: only 3 MiB are free\nbye\n"


@pytest.fixture
def specification() -> Any:
    return SimpleNamespace(name="unet-aaaaaaaaaaaa", model={}, to_dict=lambda: {"architecture": "unet"})


def submit(cluster: Cluster, specification: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[job.Job, bool]:
    monkeypatch.setattr(job, "_connect", lambda _: cluster)
    monkeypatch.setattr(job, "supply", lambda *_: "s3://bucket/lab")
    scaling = ScalingSettings(storage=str(root / "storage"))
    return job.submit_job("http://head:8265", specification, "lab", root / "runs" / specification.name, scaling)


@pytest.mark.parametrize(
    ("status", "done", "calls"),
    [
        (None, False, ["submit"]),
        (JobStatus.PENDING, False, []),
        (JobStatus.RUNNING, False, []),
        (JobStatus.FAILED, False, ["delete", "submit"]),
        (JobStatus.STOPPED, False, ["delete", "submit"]),
        (JobStatus.SUCCEEDED, True, []),
        (JobStatus.SUCCEEDED, False, ["delete", "submit"]),  # its storage was emptied, or is another one
    ],
)
def test_a_run_has_one_job(  # noqa: PLR0917
    status: JobStatus | None,
    done: bool,
    calls: list[str],
    specification: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Mirror, "is_done", lambda _: done)
    cluster = Cluster({} if status is None else {specification.name: status})
    submitted, known = submit(cluster, specification, tmp_path, monkeypatch)
    assert cluster.calls == calls
    assert known == (not calls)
    assert submitted.name == specification.name


def test_a_job_that_failed_says_why(specification: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Event

    cluster = Cluster({})
    submitted, _ = submit(cluster, specification, tmp_path, monkeypatch)
    assert not submitted.ended(0.0, Event())
    cluster.statuses[specification.name] = JobStatus.FAILED
    with pytest.raises(TrainingFailedError, match=r"its job failed: node a: only 3 MiB are free \(all that it printed"):
        submitted.ended(10.0, Event())
    assert (submitted.folder / "job.log").read_text().endswith("bye\n")


def test_jobs_need_a_storage(specification: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not see this machine's folders; set scaling\.storage"):
        job.submit_job("http://head:8265", specification, "lab", tmp_path, ScalingSettings())
