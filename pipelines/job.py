"""One training as a Ray Job, on a cluster that this machine is no part of; the submission id is the run's name.

The job is this module's own command, `python -m pipelines.job REQUEST`; its code goes with it, so what runs there is
what the run's fingerprint says. Data go through the storage: the cluster does not see this machine's folders.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from colorize.data.sources import SourceUnavailableError
from colorize.settings.sections import ScalingSettings
from colorize.storage import write_bytes
from colorize.training.identity import RunSpecification
from colorize.training.mirror import Mirror
from pipelines.ray_train import TrainingFailedError, launch, supply

if TYPE_CHECKING:
    from ray.job_submission import JobStatus, JobSubmissionClient

_PACKAGES: Final = ("colorize", "pipelines")
_SECONDS_BETWEEN_LOOKS: Final = 1.0
_SECONDS_UNREACHABLE: Final = 600.0  # a network may be gone so long: the job goes on without it


@dataclass(frozen=True, slots=True)
class Job:
    """A training that a cluster has been given.

    Attributes:
        client: of the cluster's Ray Jobs.
        name: of the run, and of the job.
        folder: the run's folder here.
        mirror: its place in the storage.
    """

    client: JobSubmissionClient
    name: str
    folder: Path
    mirror: Mirror

    def ended(self, seconds: float, stopped: Event) -> bool:
        """Wait for the end, so many seconds at most and not when `stopped` is set; the logs here are then up to date.

        After the end the folder holds the whole run. When this is not asked any more, the job goes on.

        Raises:
            TrainingFailedError: the job failed or was stopped; the message has its last error.
            ConnectionError: the cluster has not answered for ten minutes.
        """
        deadline = time.monotonic() + seconds
        while not (status := self._status()).is_terminal():
            if time.monotonic() > deadline or stopped.wait(_SECONDS_BETWEEN_LOOKS):
                self._follow()
                return False
        if status.value != "SUCCEEDED":
            self._follow()
            raise TrainingFailedError(f"{self.name}: its job {status.value.lower()}: {self._last_error()}")
        self.mirror.fetch(self.folder)
        return True

    def _status(self) -> JobStatus:
        given_up = time.monotonic() + _SECONDS_UNREACHABLE
        while True:
            try:
                return self.client.get_job_status(self.name)
            except (OSError, RuntimeError) as error:
                if time.monotonic() > given_up:
                    raise ConnectionError(f"{self.name}: the cluster does not answer any more ({error})") from error
                time.sleep(_SECONDS_BETWEEN_LOOKS)

    def _follow(self) -> None:
        try:
            self.mirror.follow(self.folder)
        except SourceUnavailableError:
            return  # the job itself says so if it cannot go on

    def _last_error(self) -> str:
        text = self.client.get_job_logs(self.name)
        log = self.folder / "job.log"
        write_bytes(log, text.encode())
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return f"{(errors or lines or ['it printed nothing'])[-1]} (all that it printed: {log})"


def submit_job(
    address: str, specification: RunSpecification, lab: str, folder: Path, scaling: ScalingSettings
) -> tuple[Job, bool]:
    """Have a cluster train, or watch the job of that run which it has already.

    A job that failed or was stopped is submitted again: it goes on from what the storage holds.

    Args:
        address: `http://head:8265`.
        specification: the run.
        lab: the LAB shards here, or the address of a published version.
        folder: the run's folder here, `runs/<name>` of the project.
        scaling: what the training may take; `scaling.storage` is needed.

    Returns:
        The job, and whether it was there already.

    Raises:
        ValueError: there is no storage, or it refuses.
        ConnectionError: nobody answers at the address, or it wants a token that is not there.
    """
    if scaling.storage is None:
        raise ValueError(
            f"RAY_ADDRESS={address}: the cluster does not see this machine's folders; set scaling.storage in "
            "params.yaml to s3://bucket/prefix, or to a folder that every node and this machine see"
        )
    client = _connect(address)
    lab = supply(specification, lab, folder.absolute(), scaling.storage)
    job = Job(client, specification.name, folder, Mirror(scaling.storage, specification.name))
    if _goes_on(client, job):
        return job, True
    request = {"specification": specification.to_dict(), "lab": lab, "scaling": scaling.model_dump(mode="json")}
    with tempfile.TemporaryDirectory() as place:
        for package in _PACKAGES:
            source = Path(__file__).parents[1] / package
            shutil.copytree(source, Path(place, package), ignore=shutil.ignore_patterns("__pycache__"))
        client.submit_job(
            entrypoint=f"python -m pipelines.job {shlex.quote(json.dumps(request))}",
            submission_id=specification.name,
            runtime_env={"working_dir": place},
        )
    return job, False


def main(arguments: list[str]) -> int:
    """What runs in the cluster; returns its exit code."""
    import ray

    request: dict[str, Any] = json.loads(arguments[0])
    specification = RunSpecification.from_dict(request["specification"])
    scaling = ScalingSettings.model_validate(request["scaling"])
    ray.init(address="auto", log_to_driver=False)
    try:
        launch(specification, request["lab"], Path("runs", specification.name), scaling.storage, scaling)
    except (ValueError, OSError, RuntimeError) as error:
        # One line: that is what whoever waits for the job is told.
        print(f"error: {'; '.join(str(error).splitlines())}", file=sys.stderr)
        return 1
    return 0


def _connect(address: str) -> JobSubmissionClient:
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except (AuthenticationError, ConnectionError, RuntimeError) as error:
        said = str(error).strip().splitlines()[0]
        raise ConnectionError(
            f"RAY_ADDRESS={address}: {said}; is it the address of the dashboard, and is RAY_AUTH_TOKEN that of the "
            "cluster?"
        ) from error


def _goes_on(client: JobSubmissionClient, job: Job) -> bool:
    """Whether the cluster has a job of this run that need not be submitted again; one that must be is forgotten."""
    known = {found.submission_id: found.status for found in client.list_jobs()}
    status = known.get(job.name)
    if status is None:
        return False
    if not status.is_terminal() or (status.value == "SUCCEEDED" and job.mirror.is_done()):
        return True
    client.delete_job(job.name)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
