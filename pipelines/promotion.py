"""Champions and challengers: what of a flow's versions goes through the gate, against whom, and what comes of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from colorize.data.state import ids_of
from colorize.decisions import PATH, Decision, record
from colorize.gate import judge
from colorize.metrics.comparison import best
from colorize.metrics.rows import SPLIT, summarise
from colorize.registry import (
    CHAMPION,
    ROLLED_BACK,
    HolderChangedError,
    Registry,
    RegistryError,
    Version,
    freeze,
    frozen,
    holder,
    promote,
    training_ids,
)
from colorize.settings import Settings
from pipelines.console import say
from pipelines.results import rows_of


def promote_all(versions: Sequence[Version], registry: Registry, settings: Settings, root: Path) -> list[Decision]:
    """Send each version through the gate to `champion-<architecture>`, and the best of these champions to `champion`.

    Whoever holds the place is measured on today's data too. Only photos of the frozen evaluation list count that
    neither of the two was trained on. Every decision is kept in `reports/decisions.jsonl` and with the version.

    Returns:
        What was decided; nothing about versions that hold their place already, or were turned down before on the same
        grounds.
    """
    listed, note = evaluation_list(registry, settings, root)
    if note:
        say(note)
    arena = _Arena(listed, registry, settings, root)
    decided = [arena.contend(version, f"{CHAMPION}-{version.architecture}") for version in versions]
    champions = [holder(registry, f"{CHAMPION}-{version.architecture}") for version in versions]
    if ours := {version.number: version for version in champions if version is not None}:
        primary = settings.evaluation.primary
        scores = {str(number): summarise(arena.rows(version))[primary] for number, version in ours.items()}
        decided.append(arena.contend(ours[int(best(scores, primary))], CHAMPION))
    decisions = [decision for decision in decided if decision is not None]
    record(root / PATH, decisions)
    return decisions


def evaluation_list(registry: Registry, settings: Settings, root: Path) -> tuple[frozenset[str], str]:
    """The frozen list, made from today's test split where there is none yet, or where the data were replaced.

    Returns:
        The ids, and what happened to the list, in words; empty where nothing did.
    """
    today = set(ids_of(root / "data" / "lab", SPLIT))
    listed = frozen(registry)
    if listed is not None and (len(listed & today) >= settings.gate.min_n or not today - listed):
        return listed, ""
    digest = freeze(registry, today)
    what = "frozen" if listed is None else f"renewed: of {len(listed)} photos {len(listed & today)} were left"
    return frozenset(today), f"evaluation list {what}; now {len(today)} photos ({digest[:12]})"


def reasons(registry: Registry, decisions: Sequence[Decision]) -> dict[str, str]:
    """For each alias that somebody holds: who does, and what was decided about it last, in words."""
    last = {decision.alias: decision for decision in decisions}
    said: dict[str, str] = {}
    for version in registry.list():
        for alias in version.aliases:
            said[alias] = f"version {version.number} ({version.run})"
            if (decision := last.get(alias)) is not None:
                said[alias] += f"; {decision.decision}: {decision.reason}"
    return said


@dataclass(frozen=True, slots=True)
class _Arena:
    """Where versions contend: on the photos of one list, measured on today's data."""

    listed: frozenset[str]
    registry: Registry
    settings: Settings
    root: Path

    def contend(self, challenger: Version, alias: str) -> Decision | None:
        """Decide about one place; None where the challenger holds it already or the same was decided before."""
        present = holder(self.registry, alias)
        if present is not None and present.number == challenger.number:
            return None
        against = None if present is None else present.number
        outcome, reason, figures = self.decide(challenger, present, alias)
        if outcome == "promoted":
            try:
                promote(self.registry, challenger.number, alias, expected=against)
            except HolderChangedError as error:
                outcome, reason = "rejected", str(error)
        before = challenger.tags.get(f"decision-{alias}")
        if outcome == "rejected" and before is not None and json.loads(before)["reason"] == reason:
            return None  # every flow run would say it again
        decision = Decision(
            challenger.architecture,
            outcome,
            reason,
            alias=alias,
            version=challenger.number,
            against=against,
            figures=figures,
            fingerprint=challenger.tags.get("fingerprint"),
        )
        self.registry.record(challenger.number, alias, decision.to_json())
        return decision

    def decide(
        self, challenger: Version, present: Version | None, alias: str
    ) -> tuple[Literal["promoted", "rejected"], str, dict[str, Any]]:
        """Whether the challenger takes the place, why, and with which figures."""
        number = challenger.number
        if ROLLED_BACK in challenger.tags:
            when = challenger.tags[ROLLED_BACK]
            return (
                "rejected",
                f"somebody turned back from version {number} at {when}: it does not come back by itself",
                {},
            )
        if present is None:
            return "promoted", f"version {number} is the first {alias}", {}
        try:
            self.registry.check_whole(present)
        except RegistryError as error:
            return "promoted", f"version {number} takes an empty place: {error}", {}
        verdict = judge(
            self.rows(challenger),
            self.rows(present),
            self.settings.evaluation.primary,
            self.settings.gate,
            only=self.listed,
            leave_out=training_ids(self.registry, challenger) | training_ids(self.registry, present),
        )
        figures = {**verdict.to_dict(), "evaluation_digest": self.registry.tag("evaluation")}
        reason = f"version {number} against version {present.number}: {verdict.reason}"
        return "promoted" if verdict.promote else "rejected", reason, figures

    def rows(self, version: Version) -> pa.Table:
        """What a version scores, photo by photo."""
        return rows_of(version, self.settings, self.root)
