"""The model card of a version: what it was trained on, how well it does, what to expect and what not to use it for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TEMPLATE = """# {architecture}

Predicts the colours (ab of CIELAB) of a photo from its lightness. Run `{run}`, {parameters:,} parameters.

## Training

{training}

Objective: {objective}. Network: {network}.

## Data

{photos}
Digest `{data_digest}`.

## Measured on the test split

{metrics}

## What to expect

{findings}

## Intended use and limits

For colorizing photographs of the kind it was trained on, and for comparing architectures. Colour is guessed, not
recovered: the result is plausible at best and no evidence of what a scene looked like. Trained at
{size}×{size} pixels; on much larger photos it sees less of the whole at once. Objects that are missing from the data
get the colour of what surrounds them.

## Files

`model.safetensors` and `model.json` (weights and shape; no pickle), `grid.png` (grey, truth, this model),
`rows.parquet` (measurements per photo), `params.yaml` and `dvc.lock` (what it was made with, where they existed).

## Lineage

{lineage}
"""

_PUBLISHED_TEMPLATE = """# {published} ({variant})

Predicts the colours (ab of CIELAB) of a photo from its lightness. {parameters:,} parameters, as published, trained by
others. A baseline to compare with; nothing was measured here yet.

## Source
{source}, file `{file}`, described at {page}. Licence: {licence}.

SHA-256 of the file `{file_sha256}`; of the converted tensors `{sha256}`.

## Intended use and limits
See its publisher's page. Colour is guessed, not recovered. The published code runs it at {size} pixels.

## Files
`model.safetensors` (tensors by their published names) and `model.json`; no pickle.
"""
_SHOWN = {
    "ab_error_rebalanced": "ab error, rare colours weigh more (less is better)",
    "ab_rmse": "ab RMSE, CIELAB units (less is better)",
    "ciede2000_mean": "CIEDE2000, mean (less is better)",
    "psnr": "PSNR, dB (more is better)",
    "ssim": "SSIM (more is better)",
    "colorfulness_error": "colourfulness error (less is better)",
}


def model_card(
    run: Path,
    metrics: Mapping[str, float],
    baselines: Mapping[str, Mapping[str, float]],
    photos: Mapping[str, int],
    lineage: Mapping[str, str],
) -> str:
    """Write a model card, in Markdown.

    Args:
        run: folder of the finished run (`run.json`, `done.json`, `model/model.json`).
        metrics: the model's summary on the test split.
        baselines: summaries by name of the baseline.
        photos: number of photos by split.
        lineage: tags that tell where the model comes from.
    """
    specification, done, model = (_json(run / name) for name in ("run.json", "done.json", "model/model.json"))
    return _TEMPLATE.format(
        architecture=specification["architecture"],
        run=run.name,
        parameters=model["parameters"],
        size=model.get("size", "?"),
        training=f"{done['epochs']} epochs, {done['steps']} steps, {done['seconds']:.0f} s on {done['device']}: "
        + _listed(specification["training"]),
        objective="; ".join(_listed(term) for term in specification["objective"]),
        network=_listed(specification["model"]),
        photos="".join(f"- {split}: {count} photos\n" for split, count in photos.items()),
        data_digest=specification["data_digest"],
        metrics=_table(metrics, baselines),
        findings="\n".join(f"- {finding}" for finding in findings(metrics, baselines)),
        lineage="\n".join(f"- {name}: `{value}`" for name, value in lineage.items()),
    )


def published_card(description: Mapping[str, Any]) -> str:
    """The model card of published weights, in Markdown, from the `model.json` that importing them wrote."""
    return _PUBLISHED_TEMPLATE.format(**{**description, "variant": description["variant"] or "weights of one's own"})


def findings(metrics: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What the figures mean for a picture: faded or gaudy colour, blurred detail, no better than one colour for all."""
    share = metrics["colorfulness"] / metrics["colorfulness_truth"] if metrics["colorfulness_truth"] else 1.0
    tone = "faded" if share < 0.85 else "gaudy" if share > 1.15 else "about as strong as in the true photos"
    sentences = [f"Colours are {tone}: colourfulness is {share:.0%} of the true photos'."]
    if "ssim_own_l" in metrics:
        sentences.append(
            f"The network draws its own lightness, with SSIM {metrics['ssim_own_l']:.2f} to the photo's; the result "
            "keeps the photo's own, so no detail is lost."
        )
    for name, summary in baselines.items():
        if metrics["ab_rmse"] >= summary["ab_rmse"]:
            sentences.append(f"It is no better than the baseline '{name}' on ab RMSE: do not use it.")
    return sentences


def _table(metrics: Mapping[str, float], baselines: Mapping[str, Mapping[str, float]]) -> str:
    columns = {"this model": metrics, **baselines}
    lines = ["| | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    for name, title in _SHOWN.items():
        lines.append(f"| {title} | " + " | ".join(f"{summary[name]:.3f}" for summary in columns.values()) + " |")
    return "\n".join([*lines, "", f"{metrics['photos']:.0f} photos."])


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _json(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value
