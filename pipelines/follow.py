"""Where a training stands, read from the log that it writes: for the console and for Prefect."""

from __future__ import annotations

from pathlib import Path

from colorize.run_progress import Progress, progress

__all__ = ["Progress", "Workers", "progress", "sentence"]


class Workers:
    """What the rehearsal and the workers of a run have written to their files, each line once, old ones too.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, int] = {}  # bytes

    def news(self) -> list[str]:
        """The whole lines that are new, `rehearsal: …` and then `worker 0: …`, one worker after another."""
        lines: list[str] = []
        files = (self._folder / "workers").glob("*.log")
        for path in sorted(files, key=lambda path: (path.name.startswith("rank-"), path.name)):
            begin = self._read.get(path.name, 0)
            with path.open("rb") as file:
                file.seek(begin)
                whole = file.read().rpartition(b"\n")[0]
            if whole:
                self._read[path.name] = begin + len(whole) + 1
                name = path.stem.replace("rank-", "worker ")
                lines += [f"{name}: {line}" for line in whole.decode(errors="replace").splitlines()]
        return lines


def sentence(name: str, state: Progress, epochs: int) -> str:
    """One line for the console."""
    parts = [
        f"{name}: epoch {state.epoch} of {epochs}",
        f"step {state.step} of {state.steps}",
        f"loss {state.loss:.4g}",
    ]
    if state.validation_loss is not None:
        parts.append(f"validation {state.validation_loss:.4g}")
    parts.append(f"{state.images_per_second:.0f} images/s")
    if state.waiting is not None:
        parts.append(state.waiting)
    if state.time_left is not None:
        parts.append(f"{state.time_left} left")
    return ", ".join(parts)
