"""Pictures, or the last frames of a sequence, to boxes in pixels of the newest one.

Legend: T frames of a network, h×w the size that it sees; xyxy left, top, right, bottom.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fissura.config import PredictSettings
from fissura.decode import found_boxes
from fissura.engines import Engine, Features, Outputs
from fissura.letterbox import Letterbox
from fissura.types import Detections, SettingError, UInt8Image
from fissura.weights import ModelCard


@dataclass
class _Seen:
    """A frame of the size that the network sees, until what it tells by itself is known."""

    image: UInt8Image | None
    features: Features | None = None

    def fitted(self) -> UInt8Image:
        assert self.image is not None
        return self.image

    def told(self, engine: Engine) -> Features:
        if self.features is None:
            self.features, self.image = engine.run_frame(self.fitted()), None
        return self.features


class Window:
    """The last T frames of one sequence, or what an engine that streams keeps of each.

    The start of a sequence is repeated where nothing came before. All of its calls of `detect` are
    with one engine.
    """

    def __init__(self, card: ModelCard) -> None:
        self._card = card
        self._seen: deque[_Seen] = deque(maxlen=card.frames)
        self._box: Letterbox | None = None

    def clear(self) -> None:
        """Another sequence begins."""
        self._seen.clear()

    def push(self, image: UInt8Image) -> None:
        """Add the next frame, H×W×3; the oldest goes."""
        size_hw = image.shape[0], image.shape[1]
        self._box = Letterbox(size_hw, self._card.network_hw, self._card.resize)
        self._seen.append(_Seen(self._box.apply(image)))

    def detect(self, engine: Engine, settings: PredictSettings) -> Detections:
        """The boxes of the newest frame, in its own pixels and not clipped to it."""
        assert self._box is not None, "a window is pushed to before it is looked into"
        card = self._card
        missing = card.frames - len(self._seen)
        raw = _outputs([self._seen[0]] * missing + list(self._seen), engine)
        _check_classes(raw, card)
        confidence = settings.threshold or card.threshold
        iou = settings.nms_iou or card.nms_iou
        boxes, scores, labels = found_boxes(raw, card.strides, confidence, iou)
        names = tuple(card.classes[label] for label in labels)
        return Detections(self._box.to_image(boxes), scores, names)


def _outputs(frames: Sequence[_Seen], engine: Engine) -> Outputs:
    if len(frames) == 1:
        return engine.run(frames[0].fitted())
    if engine.streams:
        return engine.fuse([frame.told(engine) for frame in frames])
    return engine.run_clip(np.stack([frame.fitted() for frame in frames]))


def _check_classes(raw: Outputs, card: ModelCard) -> None:
    found = {len(values) - 5 for values in raw.values()}
    if not card.strides or found != {len(card.classes)}:
        raise SettingError(
            f"{card.path}: its notes name {len(card.classes)} classes and strides"
            f" {list(card.strides)}, its outputs are others; export it again"
        )
