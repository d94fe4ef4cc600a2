"""One frame in, one result out: a sequence that grows while it is looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fissura.frames import from_array
from fissura.pipeline import Prediction, Predictor, Watch, conclude, load
from fissura.sequence import Step
from fissura.types import Frame


class Stream:
    """A network that is given one frame after the other; make one with `fissura.stream`.

    A detector of T frames remembers the last T, of each what it tells by itself where the engine
    streams, and never waits for one to come. Frames that are left out are as if they had not been.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.engine, self.settings = predictor.engine, predictor.settings
        self.reset()

    def __call__(self, frame: Frame | np.ndarray[Any, Any]) -> Prediction:
        """What the newest frame shows: an array H×W×3 RGB, as `Predictor.predict` takes it.

        An array's number is that of its call since the start of the sequence, from 0.
        """
        given = frame
        if not isinstance(given, Frame):
            given = replace(from_array(given), index=self._count)
        self._count += 1
        seen = self._watch.see(Step([given], self._watch))
        return conclude(seen, self.engine, self.settings)

    def reset(self) -> None:
        """Another sequence begins: what came before is forgotten."""
        self._watch, self._count = Watch(self.engine, self.settings), 0


def stream(model: str | Path = "beltcrackdet", **settings: Any) -> Stream:
    """A Stream for a shipped model's name or a model file; settings as PredictSettings."""
    return Stream(load(model, **settings))
