"""Trained models by number and name: versions with their files and lineage, and aliases such as `champion`."""

from __future__ import annotations

from colorize.registry.lineage import lineage
from colorize.registry.model_card import model_card, published_card
from colorize.registry.store import CHAMPION, Registry, RegistryError, Version

__all__ = ["CHAMPION", "Registry", "RegistryError", "Version", "lineage", "model_card", "published_card"]
