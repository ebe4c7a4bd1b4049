"""Published weights: what there is, and reading it unchanged into the networks of `colorize.models`."""

from __future__ import annotations

from colorize.weights.catalogue import CATALOGUE, Published, WeightsError, find, names
from colorize.weights.loading import load_published

__all__ = ["CATALOGUE", "Published", "WeightsError", "find", "load_published", "names"]
