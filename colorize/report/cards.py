"""Model cards of the report: what a model is, how it was trained, and what to expect of its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from colorize.report.entries import Entry

_DETAILS = {"workers": "workers", "precision": "precision", "torch": "torch"}


@dataclass(frozen=True, slots=True)
class Card:
    """Facts by name, in order, and sentences on what the figures mean for a picture."""

    facts: dict[str, str]
    findings: list[str]


def card_of(entry: Entry, baselines: Sequence[Entry]) -> Card:
    """The card of one model; what is not known of it is left out.

    Args:
        entry: the model.
        baselines: those that are told nothing, for what it is held against.
    """
    from colorize.registry.model_card import findings

    known, model = entry.training, entry.facts
    size = model.get("size")
    facts = {
        "run": entry.run,
        "parameters": f"{model['parameters']:,}".replace(",", "\u202f") if "parameters" in model else "",
        "photos trained on": f"{size} × {size} pixels" if size else "",
        "network": _listed(model.get("settings")),
        "objective": "; ".join(_listed(term) for term in known.get("objective") or ()),
        "settings of the training": _listed(known.get("training")),
        "training": _trained(known),
        "data digest": str(known.get("data_digest", "")),
        "measured on": f"{entry.rows.num_rows} test photos",
    }
    summaries = {baseline.name: baseline.summary for baseline in baselines}
    return Card({name: value for name, value in facts.items() if value}, findings(entry.summary, summaries))


def _trained(done: Mapping[str, Any]) -> str:
    if "epochs" not in done:
        return ""
    device = f"{done.get('seconds', 0):.0f} s on {done.get('device', '?')}"
    parts = [f"{done['epochs']} epochs", f"{done.get('steps', '?')} steps", device]
    parts += [f"{title} {done[key]}" for key, title in _DETAILS.items() if key in done]
    return ", ".join(parts)


def _listed(values: object) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) if isinstance(values, Mapping) else ""
