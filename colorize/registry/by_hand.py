"""What people decide about an alias, written down as the gate's decisions are."""

from __future__ import annotations

from colorize.decisions import PATH, Decision, record
from colorize.registry.store import Registry
from colorize.registry.succession import ROLLED_BACK, holder, promote, rollback
from colorize.registry.version import CHAMPION, Version


def promote_by_hand(registry: Registry, what: str | int, alias: str = CHAMPION) -> Decision:
    """Give an alias to a version without asking the gate, even to one that somebody turned back from.

    Args:
        registry: where; the decision goes to `reports/decisions.jsonl` of its project, and to the version.
        what: an alias, an architecture or a number (see `Registry.resolve`).
        alias: to give.

    Raises:
        RegistryError: there is no such version, or its files are not whole.
        HolderChangedError: somebody else moved the alias at the same moment.
    """
    version, present = registry.resolve(what), holder(registry, alias)
    against = None if present is None else present.number
    promote(registry, version.number, alias, expected=against)
    if ROLLED_BACK in version.tags:
        registry.client.delete_model_version_tag(registry.name, str(version.number), ROLLED_BACK)
    before = "nobody held it" if against is None else f"version {against} held it"
    reason = f"version {version.number} by hand, without the gate; {before}"
    return _written(registry, version, reason, alias, against)


def roll_back_by_hand(registry: Registry, alias: str = CHAMPION) -> Decision:
    """Give an alias back to its newest earlier holder whose files are whole (see `rollback`).

    Raises:
        RegistryError: nobody holds the alias, or there is no earlier holder with whole files.
    """
    left, now = rollback(registry, alias)
    reason = f"version {now.number} again: somebody turned back from version {left.number}"
    return _written(registry, now, reason, alias, left.number)


def _written(registry: Registry, version: Version, reason: str, alias: str, against: int | None) -> Decision:
    decision = Decision(
        version.architecture,
        "promoted",
        reason,
        alias=alias,
        version=version.number,
        against=against,
        fingerprint=version.tags.get("fingerprint"),
    )
    record(registry.root / PATH, [decision])
    registry.record(version.number, alias, decision.to_json())
    return decision
