"""The study's experiment done properly: `python -m pipelines.ablation`; `--dry-run` says what it would train."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from colorize.ablation import ARCHITECTURE, CURES, Size, Variant, settings_of, variants
from colorize.data.shard_index import read_index
from colorize.settings import Settings, load_settings
from colorize.training.identity import specify
from pipelines.environment import prepare
from pipelines.plan import Plan, decide

RUNS = Path("runs/ablation")
REPORT = Path("reports/ablation.md")
FIGURES = Path("reports/ablation.json")

_DESCRIPTION = f"""\
Trains the study's Simple UNet as published and then with each cure by itself, each with several seeds, and says which
cure moves which figure, with intervals. Cures: {", ".join(cure.name for cure in CURES)}.

Runs go to {RUNS}, the table to {REPORT} and {FIGURES}. Nothing is registered, no champion changes.
What was interrupted goes on from its last checkpoint when you run it again; what is done is not done again.
"""


@dataclass(frozen=True, slots=True)
class Item:
    """One training of the ablation.

    Attributes:
        variant: which network.
        seed: which seed.
        plan: its run, and what happens to it.
    """

    variant: Variant
    seed: int
    plan: Plan

    @property
    def title(self) -> str:
        """What it is called on the console."""
        return f"{self.variant.title}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        size: of networks and trainings.
        seeds: how many; they are 1, 2, and so on.
        lab: the LAB shards, `data/lab` of a folder, with `statistics.json` beside it.
        cures: only these; empty: all.
    """

    size: Size
    seeds: int
    lab: Path
    cures: tuple[str, ...] = ()


def items(request: Request, settings: Settings, root: Path) -> list[Item]:
    """All trainings, seed by seed, so that what is there when somebody stops it can be compared.

    Raises:
        ValueError: there are no shards, no such cure, or a run's folder belongs to another run.
    """
    if request.lab.parts[-2:] != ("data", "lab") or not (request.lab.parent / "statistics.json").is_file():
        raise ValueError(
            f"{request.lab}: expected a folder data/lab with data/statistics.json, as `make data` makes it"
        )
    datasets = {shard["dataset"] for shard in read_index(request.lab)["shards"] if shard["split"] == "train"}
    chosen = variants(request.cures, len(datasets))
    return [
        Item(variant, seed, _plan(settings_of(variant, seed, request.size, settings), request.lab, root))
        for seed in range(1, request.seeds + 1)
        for variant in chosen
    ]


def _plan(settings: Settings, lab: Path, root: Path) -> Plan:
    specification = specify(settings, ARCHITECTURE, lab, root)
    folder = root / RUNS / specification.name
    done, checkpoints = folder / "done.json", sorted(path.name for path in folder.glob("checkpoints/epoch-*"))
    content = json.loads(done.read_text(encoding="utf-8")) if done.is_file() else None
    action, reason = decide(specification.fingerprint, content, checkpoints[-1] if checkpoints else None)
    return Plan(specification, folder, action, reason)


def sentence(item: Item) -> str:
    """One line about one training, for the console."""
    return f"{item.plan.action:6} {item.plan.specification.name}: {item.title}; {item.plan.reason}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        "python -m pipelines.ablation", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=("small", "full"), default="small", help="small: a minute or so a training")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="train each with the seeds 1 to N (3)")
    parser.add_argument("--lab", type=Path, default=Path("data/lab"), help="LAB shards, as `make data` makes them")
    parser.add_argument("--cure", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained or skipped, and why")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error(f"--seeds {options.seeds}: expected at least 1")
    root = Path.cwd()
    request = Request(options.size, options.seeds, options.lab.resolve(), tuple(options.cure))
    try:
        for item in items(request, load_settings(root / "params.yaml"), root):
            print(sentence(item), flush=True)
        if not options.dry_run:
            _run(request, root)
    except KeyboardInterrupt:
        print("stopped; run it again to go on from the last checkpoints", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(request: Request, root: Path) -> None:
    prepare(root)
    print("starting Prefect", flush=True)
    # Not before: these take seconds to import, and read the environment when they are.
    from pipelines.ablation_flow import ablation_flow
    from pipelines.environment import jobs_address
    from pipelines.ray_train import TrainingFailedError

    if address := jobs_address(os.environ.get("RAY_ADDRESS")):
        raise ValueError(f"RAY_ADDRESS is '{address}': unset it to train here, or set it to 'auto' on the cluster")
    try:
        ablation_flow(str(root), request.size, request.seeds, str(request.lab), list(request.cures))
    except TrainingFailedError as error:
        raise ValueError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
