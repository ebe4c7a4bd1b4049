"""Train, measure, register and compare: `python -m pipelines.train`; `--dry-run` says what it would do, and why."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from colorize.settings import Settings, load_settings
from pipelines.environment import prepare
from pipelines.plan import plan, sentence

_DESCRIPTION = """\
Trains every architecture of params.yaml whose data, parameters, code or lock file changed since it was last trained,
on Ray Train; measures all of them on the test split, registers them, points the alias `champion` to the best and
renders the report. `dvc repro` makes the data first.

Where it runs: here, or on the cluster that RAY_ADDRESS=auto finds; `scaling` in params.yaml says with how many workers.
What was interrupted goes on from its last checkpoint when you run it again.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        "python -m pipelines.train",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--architecture",
        action="append",
        default=[],
        metavar="NAME",
        help="train only this one of params.yaml; may be given more than once",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained or skipped, and why")
    options = parser.parse_args(arguments)
    root = Path.cwd()
    try:
        settings = load_settings(root / "params.yaml")
        if options.dry_run and not (root / "data/lab/index.json").is_file():
            names = options.architecture or list(settings.architectures.chosen())
            print(f"train  {', '.join(names)}: after `dvc repro`, there is no data yet")
            return 0
        plans = plan(settings, root, options.architecture)
        for item in plans:
            print(sentence(item), flush=True)
        if not options.dry_run:
            _train(options.architecture, settings, root)
    except KeyboardInterrupt:
        print("stopped; run it again to go on from the last checkpoints", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _train(architectures: list[str], settings: Settings, root: Path) -> None:
    prepare(root)
    print("starting Prefect", flush=True)
    # Not before: these take seconds to import, and read the environment when they are.
    from pipelines.flow import train_flow
    from pipelines.ray_train import TrainingFailedError
    from pipelines.results import REPORT

    try:
        train_flow(str(root), architectures)
    except TrainingFailedError as error:
        raise ValueError(str(error)) from error
    store = os.environ.get("MLFLOW_TRACKING_URI") or settings.registry.store
    # Commands that work as they stand, in a shell that has not activated the environment too.
    programs = Path(sys.executable).parent
    here = programs.relative_to(root) if programs.is_relative_to(root) else programs
    print(f"\nreport    {root / REPORT}")
    print(f"registry  {here / 'mlflow'} ui --backend-store-uri {store}")
    print(f"colorize  {here / 'colorize'} photo.jpg")


if __name__ == "__main__":
    sys.exit(main())
