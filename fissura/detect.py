"""Pictures, or the last frames of a sequence, to boxes in pixels of the newest one.

Legend: T frames of a network, h×w the size that it sees; xyxy left, top, right, bottom.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from fissura.config import PredictSettings
from fissura.decode import found_boxes
from fissura.engines import Engine, Outputs
from fissura.letterbox import Letterbox
from fissura.types import Detections, SettingError, UInt8Image
from fissura.weights import ModelCard


class Window:
    """The last T frames of one sequence, kept at the size that the network sees.

    The start of a sequence is repeated where nothing came before.
    """

    def __init__(self, card: ModelCard) -> None:
        self._card = card
        self._fitted: deque[UInt8Image] = deque(maxlen=card.frames)
        self._box: Letterbox | None = None

    def clear(self) -> None:
        """Another sequence begins."""
        self._fitted.clear()

    def push(self, image: UInt8Image) -> None:
        """Add the next frame, H×W×3; the oldest goes."""
        size_hw = image.shape[0], image.shape[1]
        self._box = Letterbox(size_hw, self._card.network_hw, self._card.resize)
        self._fitted.append(self._box.apply(image))

    def detect(self, engine: Engine, settings: PredictSettings) -> Detections:
        """The boxes of the newest frame, in its own pixels and not clipped to it."""
        assert self._box is not None, "a window is pushed to before it is looked into"
        card = self._card
        missing = card.frames - len(self._fitted)
        frames = [self._fitted[0]] * missing + list(self._fitted)
        raw = engine.run_clip(np.stack(frames)) if card.frames > 1 else engine.run(frames[0])
        _check_classes(raw, card)
        confidence = settings.threshold or card.threshold
        iou = settings.nms_iou or card.nms_iou
        boxes, scores, labels = found_boxes(raw, card.strides, confidence, iou)
        names = tuple(card.classes[label] for label in labels)
        return Detections(self._box.to_image(boxes), scores, names)


def _check_classes(raw: Outputs, card: ModelCard) -> None:
    found = {len(values) - 5 for values in raw.values()}
    if not card.strides or found != {len(card.classes)}:
        raise SettingError(
            f"{card.path}: its notes name {len(card.classes)} classes and strides"
            f" {list(card.strides)}, its outputs are others; export it again"
        )
