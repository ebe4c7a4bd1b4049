"""What goes wrong with a registry."""

from __future__ import annotations


class RegistryError(ValueError):
    """What was asked for is not in the registry, or its files are gone; the message lists what there is."""
