"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Before anything imports them: no telemetry from tests, and nothing of the person's own configuration is touched.
# One thread a process: tests run side by side, and OpenMP's threads spin while they wait for one another (10 x slower).
os.environ.update(
    {
        "OMP_NUM_THREADS": "1",
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
)
for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS", "COLORIZE_ROOT", "PREFECT_API_URL"):
    os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """What a test sets in the environment ends with it: PREFECT_HOME of one would be another's history of flow runs."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium; without one the test skips, or fails where COLORIZE_REQUIRE_BROWSER is set."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None and "COLORIZE_REQUIRE_BROWSER" in os.environ:
        pytest.fail("no Chromium found, and COLORIZE_REQUIRE_BROWSER is set")
    if found is None:
        pytest.skip("no Chromium found: this test looks at a page")
    return found


@pytest.fixture
def take_for_s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Makes boto3 take an address for S3 with a key of that name, and nothing of the machine's own configuration."""

    def take(address: str, key: str) -> None:
        from colorize.data.sources import s3

        values = {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
            "COLORIZE_RETRY_SECONDS": "0.0005",
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        others = "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3", "http_proxy", "HTTP_PROXY"
        for name in others:
            monkeypatch.delenv(name, raising=False)
        s3._make_client.cache_clear()

    return take
