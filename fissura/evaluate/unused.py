"""Refuses options that would be given for nothing."""

from __future__ import annotations

from collections.abc import Mapping

from fissura.evaluate.job import EvaluateSettings
from fissura.evaluate.protocols import PROTOCOLS, Protocol
from fissura.types import InputError

THRESHOLD_OPTIONS = ("threshold", "validation", "validation_predictions", "criterion")
OF_BOXES = ("images", "classes", "min_score", "fps", "pictures", "missing")
DECIDES = {"fixed": "fixes its threshold", "best": "takes the best threshold on these pictures"}


def refuse_unused(found: Mapping[str, Protocol], settings: EvaluateSettings, asked: str) -> None:
    """Raise InputError for an option that the protocol asked for has no use for.

    `all` takes every option, as some of its protocols use them.
    """
    if "threshold" in settings.predict.model_fields_set:
        raise InputError(
            "--set threshold: is a setting of `fissura predict` alone; use --threshold instead"
        )
    if settings.validation_predictions is not None and settings.validation is None:
        raise InputError("--validation-predictions: name their split too, with --validation")
    for option in (name for name in OF_BOXES if name in settings.model_fields_set):
        raise InputError(
            f"--{option.replace('_', '-')}: is for detectors and files of boxes; leave it out"
        )
    for name, protocol in found.items():
        if asked != "all" and protocol.rule != "validation":
            _refuse(name, DECIDES[protocol.rule], settings)


def _refuse(name: str, decides: str, settings: EvaluateSettings) -> None:
    given = [
        option
        for option in THRESHOLD_OPTIONS
        if option in settings.model_fields_set and getattr(settings, option) is not None
    ]
    if settings.baseline and "validation" in given:  # the black-hat's disc is chosen there
        given.remove("validation")
    if given:
        free = ", ".join(key for key, p in PROTOCOLS.items() if p.rule == "validation")
        option = given[0].replace("_", "-")
        raise InputError(f"--{option}: protocol {name} {decides}; leave it out, or use {free}")
