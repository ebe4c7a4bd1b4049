"""What training minimises: a weighted sum of terms, which says of a batch which losses lower which weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from colorize.objectives.adversarial import Adversarial
from colorize.objectives.base import (
    Group,
    Objective,
    PhotoBatch,
    Term,
    TrainingData,
    Update,
    WeightedTerm,
    refuse_unfit,
)
from colorize.objectives.classification import Classification
from colorize.objectives.colorfulness import Colorfulness
from colorize.objectives.dominant_colors import DominantColors
from colorize.objectives.perceptual import Perceptual
from colorize.objectives.regression import Regression
from colorize.objectives.vae import VAE
from colorize.settings import Section

__all__ = ["TERMS", "Group", "Objective", "PhotoBatch", "Term", "TrainingData", "Update", "create"]

TERMS: dict[str, Any] = {
    term.name: term for term in (Regression, VAE, Classification, DominantColors, Colorfulness, Perceptual, Adversarial)
}


def create(settings: Sequence[Section], architecture: str, data: TrainingData) -> Objective:
    """The objective of a run. A critic's first weights are drawn from torch's global random state.

    Args:
        settings: of each term; its `name` says which.
        architecture: the network it is going to train.
        data: what terms may ask for.

    Raises:
        ValueError: a term does not train that architecture, none compares with the photo, two have a critic, or
            published weights that a term needs are missing.
    """
    counted: Counter[str] = Counter()
    terms, critics = [], []
    for one in settings:
        values: Any = one
        counted[values.name] += 1
        refuse_unfit(TERMS[values.name], architecture)
        term = TERMS[values.name](values, data)
        title = values.name if counted[values.name] == 1 else f"{values.name} {counted[values.name]}"
        terms.append(WeightedTerm(title, values.weight, term))
        critics += [term] if isinstance(term, Adversarial) else []
    if len(critics) > 1:
        raise ValueError("an objective has one adversarial term at most: two critics would train against each other")
    return Objective(architecture, terms, critics[0] if critics else None)
