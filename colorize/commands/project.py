"""Where the project is: commands work from any folder inside it."""

from __future__ import annotations

import os
from pathlib import Path


def find_root() -> Path:
    """The project's folder: COLORIZE_ROOT, else the nearest one upwards, else the clone it is installed from.

    The last makes `colorize photo.jpg` work from anywhere.

    Raises:
        ValueError: there is none.
    """
    if "COLORIZE_ROOT" in os.environ:
        return Path(os.environ["COLORIZE_ROOT"]).resolve()
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "params.yaml").is_file() and (folder / "dvc.yaml").is_file():
            return folder
    raise ValueError(f"no colorize project at or above {here}; run inside a clone or set COLORIZE_ROOT to one")
