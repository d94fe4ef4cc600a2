"""Where each protocol's threshold comes from; the scored pictures are not looked at here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from fissura.datasets import Reader
from fissura.evaluate.counting import collect
from fissura.evaluate.job import EvaluateSettings, Job, keys
from fissura.evaluate.protocols import Protocol
from fissura.evaluate.refined import open_folder
from fissura.evaluate.scoring import Choice, best_threshold
from fissura.evaluate.sources import Folder, Source
from fissura.types import InputError

NO_THRESHOLD = (
    "protocol {name} never looks at the scored pictures for its threshold, and '{source}' brings"
    " none: give the split to choose it on (--validation) or the value itself (--threshold)"
)


def open_ended(protocol: Protocol, settings: EvaluateSettings, source: Source) -> bool:
    """Whether nothing says what the threshold is."""
    given = (settings.threshold, settings.validation, source.threshold)
    return protocol.rule == "validation" and all(one is None for one in given)


def choose(job: Job, source: Source, first: bool = True) -> dict[str, Choice]:
    """The threshold of every protocol; validation pictures are predicted once.

    `first`: whether `validation_predictions` are this source's, and not its rival's.
    """
    choices = {}
    validated: dict[str, Protocol] = {}
    for name, protocol in job.protocols.items():
        if protocol.rule == "best":
            how = "best F1 on the scored pictures themselves, for every tolerance its own"
            choices[name] = Choice(None, "best", how)
        elif protocol.rule == "fixed":
            choices[name] = Choice(protocol.fixed, "fixed", "part of the protocol")
        elif open_ended(protocol, job.settings, source):
            raise InputError(NO_THRESHOLD.format(name=name, source=source.name))
        elif job.settings.threshold is not None:
            choices[name] = Choice(job.settings.threshold, "fixed", "given beforehand (threshold)")
        elif job.settings.validation is not None:
            validated[name] = protocol
        else:
            how = "the model's own, chosen on the validation part of its training data"
            choices[name] = Choice(source.threshold, "validation", how)
    maps = job.settings.validation_predictions
    if maps is not None and first:
        if not isinstance(source, Folder):
            raise InputError(
                f"--validation-predictions: {source.name} computes its own; leave it out"
            )
        source = open_folder(maps, job.settings.predict)
    return choices | _validate(job, source, validated)


def leak(job: Job, scored: Reader) -> str:
    """What to say where one photograph has parts among the validation and the scored pictures."""
    settings = job.settings
    uses = any(protocol.rule == "validation" for protocol in job.protocols.values())
    if settings.validation is None or settings.threshold is not None or not uses:
        return ""
    both = set(scored.groups) & set(job.samples(settings.validation).groups)
    if not both:
        return ""
    return (
        f"The validation split '{settings.validation}' and the scored pictures share photographs or"
        f" sequences ({len(both)}), so the threshold knows them: keep each on one side."
    )


def _validate(job: Job, source: Source, protocols: Mapping[str, Protocol]) -> dict[str, Choice]:
    if not protocols:
        return {}
    split = job.settings.validation
    samples = job.samples(split)
    if set(keys(samples)) & set(keys(job.samples(job.split))):
        raise InputError(
            f"--validation {split}: shares pictures with the scored split; choose another split"
        )
    source.check(keys(samples))
    none = Choice(None, "best", "")
    plain = {name: dataclasses.replace(p, tolerances=(0,)) for name, p in protocols.items()}
    job = dataclasses.replace(job, protocols=plain)
    counted = collect(job, source, samples, dict.fromkeys(plain, none))
    choices = {}
    for name, tally in counted.tallies.items():
        k = best_threshold(tally.compute()[0], plain[name])
        measure = {"f1": "F1", "iou": "crack IoU"}[plain[name].criterion]
        how = f"best pooled {measure} on split '{split}', {len(tally)} pictures"
        choices[name] = Choice(tally.thresholds.values[k], "validation", how)
    return choices
