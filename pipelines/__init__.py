"""Prefect flows and the Ray Train launch."""
