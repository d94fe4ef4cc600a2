"""From a crack map to a better one, and to a clean mask."""

from __future__ import annotations

from typing import Any, Protocol

from fissura.config import PredictSettings
from fissura.refine import crf, guided_filter
from fissura.refine.clean import clean_mask
from fissura.types import FloatMap, UInt8Image

__all__ = ["OWN_THRESHOLDS", "REFINERS", "SIDE_GUIDED", "clean_mask", "own_settings", "refine"]


class Refiner(Protocol):
    """Crack map, picture, settings and, where the network has it, the map of side output 1."""

    def __call__(
        self,
        probability: FloatMap,
        image: UInt8Image,
        settings: PredictSettings,
        side1: FloatMap | None = None,
    ) -> FloatMap:
        """The refined crack map, H×W in [0, 1]."""
        ...


REFINERS: dict[str, Refiner] = {
    "guided": guided_filter.by_photograph,
    "guided-released": guided_filter.released,
    "guided-official": guided_filter.official,
    "crf": crf.by_field,
}
SIDE_GUIDED = frozenset({"guided-released", "guided-official"})
"""Refiners that want the map of side output 1."""

OWN_THRESHOLDS = dict.fromkeys(SIDE_GUIDED, 0.48)
"""Published best thresholds of maps that are no longer the network's probabilities."""


def own_settings(settings: PredictSettings) -> dict[str, Any]:
    """What the chosen refinement goes by, for reports."""
    if settings.refine in SIDE_GUIDED:
        return {
            "radius_px": guided_filter.RELEASED_RADIUS,
            "eps": guided_filter.RELEASED_EPS,
            "threshold": guided_filter.RELEASED_THRESHOLD,
        }
    chosen = {"guided": settings.guided, "crf": settings.crf}.get(settings.refine)
    return {} if chosen is None else chosen.model_dump()


def refine(
    probability: FloatMap,
    image: UInt8Image,
    settings: PredictSettings,
    side1: FloatMap | None = None,
) -> FloatMap:
    """The crack map as `settings.refine` has it; the same map for `none`."""
    if settings.refine == "none":
        return probability
    return REFINERS[settings.refine](probability, image, settings, side1)
