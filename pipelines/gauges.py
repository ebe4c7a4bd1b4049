"""How a training goes, in Prometheus form: Ray's own exporter on every node serves what workers set here."""

from __future__ import annotations

from typing import Any, Final

#: Name below `ray_colorize_`, what it tells, and its unit.
GAUGES: Final = {
    "images_per_second": "Photos a second of all workers together",
    "step_seconds": "Seconds a training step takes",
    "data_wait_share": "Share of the time in which this worker waits for data, 0 to 1",
    "loss": "Training loss since the record before",
    "epoch": "Epoch under way, from 1",
    "gpu_memory_bytes": "The most that torch has held on this worker's GPU; 0 on a CPU",
}
_TAGS: Final = ("run", "architecture", "rank")


def readings(record: dict[str, Any], batch_size: int, gpu_memory: int) -> dict[str, float]:
    """What the gauges show after a record of the log; nothing for one that tells of a validation.

    Args:
        record: as `colorize.training.loop` logs it.
        batch_size: photos in a step, all workers together.
        gpu_memory: bytes.
    """
    if "loss" not in record:
        return {}
    speed = float(record["images_per_second"])
    return {
        "images_per_second": speed,
        "step_seconds": batch_size / speed if speed else 0.0,
        "data_wait_share": float(record["data_wait_share"]),
        "loss": float(record["loss"]),
        "epoch": float(record["epoch"]),
        "gpu_memory_bytes": float(gpu_memory),
    }


class Gauges:
    """The gauges of one worker.

    Args:
        run: name of the run.
        architecture: of the network.
        rank: of the worker, from 0.
        batch_size: photos in a step, all workers together.
    """

    def __init__(self, run: str, architecture: str, rank: int, batch_size: int) -> None:
        from ray.util.metrics import Gauge

        self._batch_size = batch_size
        self._gauges = {name: Gauge(f"colorize_{name}", about, _TAGS) for name, about in GAUGES.items()}
        for gauge in self._gauges.values():
            gauge.set_default_tags({"run": run, "architecture": architecture, "rank": str(rank)})

    def show(self, record: dict[str, Any]) -> None:
        """Set them to what a record of the log tells."""
        import torch

        memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        for name, value in readings(record, self._batch_size, memory).items():
            self._gauges[name].set(value)
