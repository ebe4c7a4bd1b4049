"""Retrain from the sources to the champion: `python -m pipelines.retrain`; the flow is `pipelines.retraining`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipelines.environment import prepare

_STOPPED = 3  # exit code

_DESCRIPTION = """\
Looks at the sources again, makes the data anew where they changed (`dvc repro`, stage by stage), and decides:

  stop   the data look wrong beside those of the last model: photos shrank, refusals rose, colours drifted
  skip   data, parameters, code and lock file are those that every model was trained with
  train  what changed; each new model then has to pass the gate to take its champion's place

Every decision is a line of reports/decisions.jsonl. The limits are the sections `retraining` and `gate` of params.yaml.
One retraining at a time: a second one says who is at work, and ends.

Exit code: 0 trained or skipped, 1 failed, 3 stopped because of the data, or of a stage that could not make them.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        "python -m pipelines.retrain",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--accept-data", action="store_true", help="train even where the data look wrong: you have looked at them"
    )
    options = parser.parse_args(arguments)
    prepare(Path.cwd())
    # Not before: these take seconds to import, and read the environment when they are.
    from pipelines.retraining import DataStoppedError, retrain_flow

    try:
        retrain_flow(str(Path.cwd()), options.accept_data)
    except KeyboardInterrupt:
        print("stopped; run it again to go on where it was", file=sys.stderr)
        return 130
    except DataStoppedError:
        return _STOPPED
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
