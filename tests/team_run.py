"""One process of a team, as torchrun starts it: trains, then keeps its own weights in a file.

python team_run.py SETTINGS.yaml RUN_FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch

from fissura.config import load_settings
from fissura.train import loop
from fissura.train.config import TrainConfig


def main(settings: Path, out: Path) -> None:
    states: list[Any] = []
    start = loop._start

    def remember(*args: Any) -> Any:
        states.append(start(*args))
        return states[-1]

    loop._start = remember
    loop.train(load_settings(settings, TrainConfig), out)
    rank = os.environ.get("RANK", "alone")
    torch.save(states[0].network.state_dict(), out.parent / f"rank{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
