"""What Prefect shows of a flow run: the state of each training, the comparison, samples, and where the report is."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from colorize.metrics.comparison import Comparison
from colorize.registry import Version

_BARS = 40  # characters of the longest bar
_COLUMNS = ("ab_error_rebalanced", "ab_rmse", "ciede2000_mean", "psnr", "ssim", "colorfulness_error")


def start_progress(title: str, run: str) -> UUID:
    """A bar at 0 % for one training, with its run's name until there is more to say."""
    return cast(UUID, create_progress_artifact(0.0, key=_key(f"progress-{title}"), description=run))


def update_progress(artifact: UUID, percent: float, description: str) -> None:
    """Move the bar, 0…100."""
    update_progress_artifact(artifact_id=artifact, progress=percent, description=description)


def show_comparison(summaries: Mapping[str, Mapping[str, float]]) -> None:
    """Models and baselines side by side."""
    rows = [
        {"model": name, **{column: round(summary[column], 3) for column in _COLUMNS}}
        for name, summary in summaries.items()
    ]
    create_table_artifact(table=rows, key="comparison", description="Means over the test photos")


def show_pairs(versions: Sequence[Version], pairs: Sequence[Comparison]) -> None:
    """Two versions, figure by figure, with the interval of the difference."""
    first, second = (f"{version.number} ({version.architecture})" for version in versions)
    rows = [
        {
            "figure": pair.metric,
            first: round(pair.first, 3),
            second: round(pair.second, 3),
            "difference": round(pair.difference, 3),
            "95 % interval": f"{pair.low:+.3f} … {pair.high:+.3f}",
            "better": first if pair.first_is_better else second if pair.second_is_better else "not sure",
        }
        for pair in pairs
    ]
    create_table_artifact(table=rows, key="versions", description=f"{first} against {second}, {pairs[0].photos} photos")


def show_champion(reasons: Mapping[str, str]) -> None:
    """Who holds which alias, and why."""
    lines = [f"- **{alias}**: {reason}" for alias, reason in reasons.items()]
    create_markdown_artifact("\n".join(lines), key="champion", description="Aliases of the registry")


def show_samples(architecture: str, grid: Path) -> None:
    """Grey, truth and the model's colours of a few test photos, as a picture inside the artifact."""
    encoded = base64.b64encode(grid.read_bytes()).decode()
    picture = f"data:image/png;base64,{encoded}"
    create_image_artifact(picture, key=_key(f"samples-{architecture}"), description="grey, truth, colorized")


def show_learning(architecture: str, epochs: Sequence[Mapping[str, float]]) -> None:
    """Losses epoch by epoch, as a chart of bars in a table: Prefect's page draws no curves."""
    most = max((point["loss"] for point in epochs), default=0.0)
    rows = [
        {
            "epoch": point["epoch"],
            "loss": round(point["loss"], 5),
            "validation": None if point.get("validation") is None else round(point["validation"], 5),
            "": "█" * round(_BARS * point["loss"] / most) if most > 0 else "",
        }
        for point in epochs
    ]
    create_table_artifact(table=rows, key=_key(f"learning-{architecture}"), description=f"Losses of {architecture}")


def link_report(report: Path) -> None:
    """Where the page is."""
    create_link_artifact(report.resolve().as_uri(), link_text="report", key="report")


def _key(name: str) -> str:
    """What Prefect takes: small letters, digits and hyphens."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
