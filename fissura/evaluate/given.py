"""Opens what an evaluation is given by name: a model, stored predictions, a method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fissura.config import PredictSettings
from fissura.engines import open_engine
from fissura.evaluate.baseline import open_baseline
from fissura.evaluate.boxes.opening import finds_boxes
from fissura.types import InputError


def open_given(
    model: str | None,
    predictions: Sequence[str] | None,
    method: str | None,
    settings: PredictSettings,
) -> list[Any]:
    """One source of crack maps, or any number of sources of boxes."""
    if method is not None and settings.refine != "none":
        raise InputError("--refine goes with --model or --predictions; leave it out for --method")
    given: list[Any] = list(predictions or ())
    if model is not None:
        given.insert(0, open_engine(model, settings.engine, settings.precision, settings.threads))
    if len(given) + (method is not None) != 1 and (method is not None or not finds_boxes(given)):
        raise InputError("evaluate: give one of --model, --predictions, --method")
    if method is not None:
        return [open_baseline(method)]
    return [Path(one) if isinstance(one, str) and "=" not in one else one for one in given]
