"""One pass over the pictures: every picture is predicted once and counted by every protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fissura.datasets import Reader
from fissura.evaluate.job import Job
from fissura.evaluate.scoring import Choice
from fissura.evaluate.sources import Source
from fissura.metrics import CrackCounts
from fissura.types import InputError


@dataclass(frozen=True)
class Counted:
    """Counts by protocol, and how many pictures had a mask of the area that counts."""

    tallies: Mapping[str, CrackCounts]
    regions: int


def collect(job: Job, source: Source, samples: Reader, choices: Mapping[str, Choice]) -> Counted:
    """Counts of every protocol; pixels outside a picture's region mask count for none of them."""
    tallies = {name: p.tally(choices[name].value) for name, p in job.protocols.items()}
    regions = 0
    for i in range(len(samples)):
        sample = samples[i]
        if sample.mask is None:
            where = f"{sample.set}/{sample.name}"
            raise InputError(f"{where}: has no mask; only masked sets can be scored")
        prediction = source.predict(sample)
        regions += sample.region is not None
        for name, tally in tallies.items():
            encoded = job.protocols[name].encode(prediction)
            tally.update(encoded, sample.mask, sample.region)
        job.progress(i + 1, len(samples))
    source.finish()
    return Counted(tallies, regions)
