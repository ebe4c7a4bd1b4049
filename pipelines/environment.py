"""Environment of a pipeline: telemetry off, and patience where a loaded machine needs it. To be set before imports."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    # On two busy cores Prefect's temporary server needs longer than the 20 s it is given by default.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # The flow prints what people need, and Prefect keeps it with the run; its console would repeat all of that, and
    # every error with its own traceback.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
    # Per training, Ray Train starts processes for metrics and preemption that one machine has no use for; and its
    # controller looks every two seconds whether the workers have ended.
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
}


def prepare(root: Path) -> None:
    """Set what a pipeline needs in the environment, where nobody has set it otherwise.

    Args:
        root: the project's folder. Unless PREFECT_HOME or PREFECT_API_URL say otherwise, Prefect keeps its history of
            flow runs in `runs/.prefect`.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    if "PREFECT_API_URL" not in os.environ and "PREFECT_HOME" not in os.environ:
        home = root.resolve() / "runs" / ".prefect"
        # Prefect makes its folder, but not the one that it is in.
        home.mkdir(parents=True, exist_ok=True)
        os.environ["PREFECT_HOME"] = str(home)
        os.environ["PREFECT_MEMO_STORE_PATH"] = str(home / "memo_store.toml")
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")


def jobs_address(address: str | None) -> str | None:
    """RAY_ADDRESS if it takes Ray Jobs, `http://head:8265`; None where this process has a session of its own."""
    return address if address and address.startswith(("http://", "https://")) else None
