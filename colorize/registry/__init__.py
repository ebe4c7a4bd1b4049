"""Trained models by number and name: versions with their files and lineage, and aliases such as `champion`."""

from __future__ import annotations

from colorize.registry.by_hand import promote_by_hand, roll_back_by_hand
from colorize.registry.errors import RegistryError
from colorize.registry.evaluation_list import TRAINING_IDS, freeze, frozen, training_ids, training_ids_file
from colorize.registry.lineage import lineage
from colorize.registry.locks import LockedError, lock
from colorize.registry.model_card import model_card, published_card
from colorize.registry.store import Registry
from colorize.registry.succession import ROLLED_BACK, HolderChangedError, holder, promote, rollback
from colorize.registry.version import CHAMPION, PREVIOUS, Version

__all__ = [
    "CHAMPION",
    "PREVIOUS",
    "ROLLED_BACK",
    "TRAINING_IDS",
    "HolderChangedError",
    "LockedError",
    "Registry",
    "RegistryError",
    "Version",
    "freeze",
    "frozen",
    "holder",
    "lineage",
    "lock",
    "model_card",
    "promote",
    "promote_by_hand",
    "published_card",
    "roll_back_by_hand",
    "rollback",
    "training_ids",
    "training_ids_file",
]
