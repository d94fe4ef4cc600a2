"""Score predictions on a data set by named protocols."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from fissura.engines import Engine, open_engine
from fissura.evaluate import paired, scorecard, together
from fissura.evaluate.baseline import choose_black_hat, open_baseline
from fissura.evaluate.boxes.opening import finds_boxes, score_boxes
from fissura.evaluate.boxes.protocols import BOX_PROTOCOLS
from fissura.evaluate.choosing import NO_THRESHOLD, choose, leak, open_ended
from fissura.evaluate.counting import collect
from fissura.evaluate.far import FarAway, as_seen
from fissura.evaluate.job import EvaluateSettings, Job, Progress, keys
from fissura.evaluate.output import output, remove_old_reports
from fissura.evaluate.pictures import DEFINITIONS
from fissura.evaluate.protocols import PROTOCOLS, TOLERANCE, Protocol, find_protocols
from fissura.evaluate.refined import open_folder
from fissura.evaluate.scoring import LEVEL, Bootstrap, Found, score_rows
from fissura.evaluate.sources import Folder, Source, from_engine
from fissura.evaluate.subsets import find_subsets
from fissura.evaluate.unused import refuse_unused
from fissura.types import InputError

KEPT_SPLITS = frozenset({"test", "held_back", "held_back_clean"})
Given = Path | Engine | Source
UNSPLIT = (
    "No kept-back split was asked for, so pictures that the network was trained on may be among"
    " these; score --split test or held_back."
)
TOO_SLOW = "protocol {name} takes longer than all others together: ask for it by its name"
MAX_BASELINE_PICTURES = 40


def evaluate(
    predictions: Given | Sequence[Given],
    data: Path,
    dataset: str | None,
    split: str | None,
    protocol: str | None,
    out: Path,
    settings: EvaluateSettings | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Score a folder of predictions or an engine; write reports into `out` and return them.

    `protocol` is a name from PROTOCOLS, or `all` for every one (a folder each and one table; the
    result is then a dict of reports by name, without slow protocols and without those whose
    threshold nothing decides). Detectors and files of boxes, one or several, are scored by
    BOX_PROTOCOLS.
    """
    settings = settings or EvaluateSettings()
    given = _listed(predictions)
    if protocol in BOX_PROTOCOLS or finds_boxes(given):
        return score_boxes(given, data, (dataset, split), protocol, out, settings, progress)
    if len(given) != 1:
        raise InputError("predictions: several are compared for boxes alone; for maps use --vs")
    protocol = protocol or "honest"
    found = find_protocols(protocol)
    refuse_unused(found, settings, protocol)
    protocols = {name: _adapt(name, p, settings, protocol) for name, p in found.items()}
    job = Job(Path(data), dataset, split, settings, protocols, progress)
    out = Path(out)
    with output(out, settings.overwrite):
        sources = [open_source(given[0], settings), *open_rival(settings)]
        left_out = _left_out(job, sources) if protocol == "all" else {}
        kept = {name: p for name, p in protocols.items() if name not in left_out}
        reports = score(dataclasses.replace(job, protocols=kept), *sources)
    remove_old_reports(out)
    if protocol != "all":
        return scorecard.write(reports[protocol], out)
    together.write(reports, left_out, out)
    return {name: scorecard.write(report, out / name) for name, report in reports.items()}


def _listed(predictions: Given | Sequence[Given]) -> list[Given]:
    if isinstance(predictions, list | tuple):
        return list(predictions)
    return [cast("Given", predictions)]


def open_source(predictions: Path | Engine | Source, settings: EvaluateSettings) -> Source:
    """What gives the maps, whichever way they were named."""
    if isinstance(predictions, str | Path):
        return _stored(Path(predictions), settings)
    if isinstance(predictions, Source):
        return far_away(predictions, settings)
    return far_away(from_engine(predictions, settings.predict), settings)


def far_away(source: Source, settings: EvaluateSettings) -> Source:
    """The source as it sees degraded pictures, if the settings want that."""
    if settings.degrade is None or isinstance(source, Folder):
        return source
    return FarAway(source, settings.degrade, settings.degrade_scale)


def _stored(folder: Path, settings: EvaluateSettings) -> Folder:
    if settings.degrade is not None and settings.predict.refine != "none":
        raise InputError(
            "--refine with --degrade needs the degraded pictures: give a model, or refined maps"
        )
    return open_folder(folder, settings.predict)


def open_rival(settings: EvaluateSettings) -> list[Source]:
    """The second predictions, a folder or a model, if there are any."""
    if settings.vs is None:
        return []
    if not settings.resamples:
        raise InputError("--vs compares by the bootstrap; allow --resamples above 0")
    if Path(settings.vs).is_dir():
        return [_stored(Path(settings.vs), settings)]
    how = settings.predict
    try:
        engine = open_engine(settings.vs, how.engine, how.precision, how.threads)
    except InputError as error:
        raise InputError(
            f"--vs {settings.vs}: no such folder of maps, nor a model that opens ({error})"
        ) from error
    return [far_away(from_engine(engine, how), settings)]


def _adapt(name: str, protocol: Protocol, settings: EvaluateSettings, asked: str) -> Protocol:
    if protocol.rule == "validation":
        tolerances = settings.tolerances or protocol.tolerances
        return dataclasses.replace(protocol, criterion=settings.criterion, tolerances=tolerances)
    if settings.tolerances is not None and asked != "all":
        free = ", ".join(key for key, p in PROTOCOLS.items() if p.rule == "validation")
        raise InputError(
            f"--tolerances: protocol {name} fixes its own; leave it out, or use {free}"
        )
    return protocol


def _left_out(job: Job, sources: list[Source]) -> dict[str, str]:
    slow = {name: TOO_SLOW.format(name=name) for name, p in PROTOCOLS.items() if p.slow}
    return slow | {
        name: NO_THRESHOLD.format(name=name, source=source.name)
        for name, protocol in job.protocols.items()
        for source in sources
        if open_ended(protocol, job.settings, source)
    }


def labels(sources: Sequence[Source]) -> list[str]:
    """Names of what is compared, with the files where the networks are of one name."""
    names = [one.name for one in sources]
    if len(set(names)) == len(names):
        return names
    return [f"{one.name} ({one.details.get('file') or 'computed'})" for one in sources]


def score(job: Job, source: Source, rival: Source | None = None) -> dict[str, dict[str, Any]]:
    """The reports of all protocols; every picture is predicted once by each source."""
    samples = job.samples(job.split)
    pictures = keys(samples)
    both = [source] if rival is None else [source, rival]
    for one in both:
        one.check(pictures)
    subsets = find_subsets(job, pictures)
    choices = [choose(job, one, one is source) for one in both]
    counted = [collect(job, one, samples, its) for one, its in zip(both, choices, strict=True)]
    bootstrap = Bootstrap(job.settings.resamples, job.settings.seed, samples.groups)
    shared, reports = leak(job, samples), {}
    for name, protocol in job.protocols.items():
        sides = [
            paired.Side(label, Found(its.tallies[name], chosen[name], its.measured[name]))
            for label, chosen, its in zip(labels(both), choices, counted, strict=True)
        ]
        found = sides[0].found
        report = _head(job, name, source, samples.groups)
        report["data"]["regions"] = counted[0].regions
        report["data"]["cropped"] = counted[0].cropped
        report["protocol"]["defines"] = [DEFINITIONS[score] for score in found.measured]
        report["threshold"] = scorecard.rounded(found.choice)
        if shared and protocol.rule == "validation":
            report["data"]["note"] = f"{report['data']['note']} {shared}".strip()
        report["results"] = [
            {"subset": label} | row
            for label, index in subsets.items()
            for row in score_rows(protocol, found, index, bootstrap)
        ]
        report["curves"] = scorecard.curves(found.tally, protocol.thresholds, protocol.empty)
        if rival is not None:
            report["vs"] = paired.compare(protocol, sides, subsets, bootstrap)
        reports[name] = report
    if job.settings.baseline:
        _add_baseline(job, reports)
    return reports


def _add_baseline(job: Job, reports: Mapping[str, dict[str, Any]]) -> None:
    validation = job.settings.validation or _validation_of(job)
    changes = {"baseline": False, "threshold": None, "validation": validation}
    changes["validation_predictions"] = None
    settings = job.settings.model_copy(update=changes)
    protocols = job.protocols
    if validation is None:
        protocols = {
            name: dataclasses.replace(p, rule="best") if p.rule == "validation" else p
            for name, p in protocols.items()
        }
    job = dataclasses.replace(job, settings=settings, protocols=protocols)
    for name, report in score(job, _baseline(job)).items():
        reports[name]["baseline"] = report


def _validation_of(job: Job) -> str | None:
    """`val` where held-back pictures are scored; None too for sets that have none to spare."""
    if job.split not in KEPT_SPLITS:
        return None
    try:
        job.samples("val")
    except InputError:
        return None
    return "val"


def _baseline(job: Job) -> Source:
    settings = job.settings
    if settings.validation is None:
        return far_away(open_baseline("blackhat"), settings)
    samples = job.samples(settings.validation)
    step = -(-len(samples) // MAX_BASELINE_PICTURES)
    chosen = [job.cut(samples[i]) for i in range(0, len(samples), step)]
    if settings.degrade is not None:
        how = settings.degrade, settings.degrade_scale
        chosen = [dataclasses.replace(s, image=as_seen(s, *how)) for s in chosen]
    return far_away(choose_black_hat(chosen), settings)


def _degraded(settings: EvaluateSettings) -> dict[str, Any] | None:
    if settings.degrade is None:
        return None
    return {"operator": settings.degrade, "scale": settings.degrade_scale}


def _head(job: Job, name: str, source: Source, groups: Sequence[str]) -> dict[str, Any]:
    protocol, settings = job.protocols[name], job.settings
    thresholds = protocol.thresholds
    return {
        "protocol": {
            "name": name,
            "sentence": protocol.sentence,
            "source": protocol.source,
            "comparable": protocol.comparable,
            "matching": protocol.matching,
            "tolerance": TOLERANCE[protocol.matching],
            "stored": protocol.stored,
            "thresholds": {
                "count": len(thresholds.values),
                "first": round(thresholds.values[0], 9),
                "last": round(thresholds.values[-1], 9),
                "passed": "p > t" if thresholds.strict else "p >= t",
            },
        },
        "predictions": source.name,
        "details": dict(source.details),
        "data": {
            "folder": job.data.name or str(job.data),
            "dataset": job.dataset or "by its folders",
            "split": job.split or "all",
            "pictures": len(groups),
            "groups": len(set(groups)),
            "degraded": _degraded(settings),
            "note": "" if job.split in KEPT_SPLITS else UNSPLIT,
        },
        "intervals": {
            "level": LEVEL,
            "resamples": settings.resamples,
            "seed": settings.seed,
            "unit": scorecard.unit(len(groups), len(set(groups))),
        },
    }
