"""One pass over the pictures: every picture is predicted once and counted by every protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fissura.datasets import Reader
from fissura.evaluate.job import Job
from fissura.evaluate.pictures import Measured, Score, measure
from fissura.evaluate.scoring import Choice
from fissura.evaluate.sources import Source, see
from fissura.metrics import CrackCounts
from fissura.types import InputError


@dataclass(frozen=True)
class Counted:
    """Counts and picture scores by protocol.

    `regions`: how many pictures had a mask of the area that counts; `cropped`: how many lost rows
    or columns because these made no whole pixel of the small picture.
    """

    tallies: Mapping[str, CrackCounts]
    measured: Mapping[str, Measured] = field(default_factory=dict)
    regions: int = 0
    cropped: int = 0


def collect(job: Job, source: Source, samples: Reader, choices: Mapping[str, Choice]) -> Counted:
    """Counts of every protocol; pixels outside a picture's region mask count for none of them."""
    tallies = {name: p.tally(choices[name].value) for name, p in job.protocols.items()}
    measured: dict[str, dict[str, list[Score]]] = {name: {} for name in tallies}
    regions = cropped = 0
    for i in range(len(samples)):
        whole = samples[i]
        sample = job.cut(whole)
        if sample.mask is None:
            where = f"{sample.set}/{sample.name}"
            raise InputError(f"{where}: has no mask; only masked sets can be scored")
        seen = see(source, sample)
        regions += sample.region is not None
        cropped += sample.image.shape != whole.image.shape
        for name, tally in tallies.items():
            encoded = job.protocols[name].encode(seen.probability)
            tally.update(encoded, sample.mask, sample.region)
            for score, value in measure(job.protocols[name], seen, sample).items():
                measured[name].setdefault(score, []).append(value)
        job.progress(i + 1, len(samples))
    source.finish()
    return Counted(tallies, measured, regions, cropped)
