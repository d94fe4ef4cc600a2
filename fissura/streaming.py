"""One frame in, one result out: a sequence that grows while it is looked at."""

from __future__ import annotations

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

        Arrays are numbered from 0 since the start of the sequence.
        """
        given = frame if isinstance(frame, Frame) else from_array(frame)
        seen = self._watch.see(Step([given], self._watch))
        return conclude(seen, self.engine, self.settings)

    def reset(self) -> None:
        """Another sequence begins: what came before is forgotten."""
        self._watch = Watch(self.engine, self.settings, are_frames=True)


def stream(model: str | Path = "beltcrackdet", **settings: Any) -> Stream:
    """A Stream for a shipped model's name or a model file; settings as PredictSettings."""
    return Stream(load(model, **settings))
