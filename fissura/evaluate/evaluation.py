"""Score predictions on a data set by named protocols."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fissura.config import PredictSettings, Settings
from fissura.datasets import Reader, open_dataset
from fissura.datasets.held_back import known_overlaps
from fissura.engines import Engine
from fissura.evaluate import scorecard
from fissura.evaluate.baseline import choose_black_hat, open_baseline
from fissura.evaluate.protocols import TOLERANCE, Criterion, Protocol, find_protocols
from fissura.evaluate.scoring import LEVEL, Bootstrap, Choice, best_threshold, score_rows
from fissura.evaluate.sources import Folder, Source, from_engine
from fissura.metrics import CrackCounts
from fissura.report import prepare_output
from fissura.types import InputError, Sample

Progress = Callable[[int, int], None]
Key = tuple[str, str]
KEPT_SPLITS = frozenset({"test", "held_back", "held_back_clean"})
UNSPLIT = (
    "No kept-back split was asked for, so pictures that the network was trained on may be among"
    " these; score --split test or held_back."
)
MAX_BASELINE_PICTURES = 40
OVERLAP_LIST = Path("splits") / "test_overlaps_train.txt"


class EvaluateSettings(Settings):
    """What a protocol leaves open.

    `threshold` decided beforehand; or `validation`, the split it is chosen on by `criterion` (for a
    folder of predictions `validation_predictions` holds the maps of that split, None: the same
    folder). `without` lists picture names to leave out in a second set of scores. `baseline` adds
    the black-hat transform as a reference. `resamples` of the bootstrap, 0 for no intervals.
    """

    threshold: float | None = Field(default=None, gt=0, lt=1)
    validation: str | None = None
    validation_predictions: Path | None = None
    criterion: Criterion = "f1"
    tolerances: tuple[Annotated[float, Field(ge=0, le=50)], ...] | None = Field(
        default=None, min_length=1
    )
    without: Path | None = None
    baseline: bool = False
    resamples: int = Field(default=1000, ge=0, le=100_000)
    seed: int = Field(default=0, ge=0)
    overwrite: bool = False
    predict: PredictSettings = PredictSettings()


@dataclasses.dataclass(frozen=True)
class Job:
    """The fixed part of one evaluation: pictures, settings, protocols adapted to the settings."""

    data: Path
    dataset: str | None
    split: str | None
    settings: EvaluateSettings
    protocols: Mapping[str, Protocol]
    progress: Progress

    def samples(self, split: str | None) -> Reader:
        """The pictures of a split, at least one."""
        samples = open_dataset(self.data, self.dataset, split)
        if not len(samples):
            raise InputError(f"{self.data}: no pictures in split '{split or 'all'}'; check --split")
        return samples


def evaluate(
    predictions: Path | Engine | Source,
    data: Path,
    dataset: str | None,
    split: str | None,
    protocol: str,
    out: Path,
    settings: EvaluateSettings | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Score a folder of predictions or an engine; write reports into `out` and return them.

    `protocol` is a name from PROTOCOLS, or `all` for every one (a folder each; the result is then
    a dict of reports by name).
    """
    settings = settings or EvaluateSettings()
    protocols = {name: _adapt(p, settings) for name, p in find_protocols(protocol).items()}
    job = Job(Path(data), dataset, split, settings, protocols, progress)
    out = Path(out)
    prepare_output(out, settings.overwrite)
    try:
        reports = score(job, open_source(predictions, settings))
    except InputError:
        if not any(out.iterdir()):
            out.rmdir()
        raise
    if protocol != "all":
        return scorecard.write(reports[protocol], out)
    return {name: scorecard.write(report, out / name) for name, report in reports.items()}


def open_source(predictions: Path | Engine | Source, settings: EvaluateSettings) -> Source:
    """What gives the maps, whichever way they were named."""
    if isinstance(predictions, str | Path):
        return Folder(Path(predictions))
    if isinstance(predictions, Source):
        return predictions
    return from_engine(predictions, settings.predict)


def _adapt(protocol: Protocol, settings: EvaluateSettings) -> Protocol:
    changes: dict[str, Any] = {}
    if settings.tolerances is not None and len(protocol.tolerances) > 1:
        changes["tolerances"] = settings.tolerances
    if protocol.rule == "validation":
        changes["criterion"] = settings.criterion
    return dataclasses.replace(protocol, **changes)


def score(job: Job, source: Source) -> dict[str, dict[str, Any]]:
    """The reports of all protocols; every picture is predicted once."""
    samples = job.samples(job.split)
    pictures = keys(samples)
    source.check(pictures)
    subsets = find_subsets(job, pictures)
    choices = choose(job, source)
    tallies = collect(job, source, samples, choices)
    bootstrap = Bootstrap(job.settings.resamples, job.settings.seed)
    reports = {}
    for name, protocol in job.protocols.items():
        report = _head(job, name, source, len(pictures))
        report["threshold"] = _round(dataclasses.asdict(choices[name]))
        report["results"] = [
            {"subset": label, "pictures": len(index)} | row
            for label, index in subsets.items()
            for row in score_rows(protocol, tallies[name], choices[name], index, bootstrap)
        ]
        report["curves"] = scorecard.curves(tallies[name])
        reports[name] = report
    if job.settings.baseline:
        _add_baseline(job, reports)
    return reports


def keys(samples: Reader) -> list[Key]:
    """Set and name of every picture."""
    return [(entry.set, entry.name) for entry in samples.entries]


def _add_baseline(job: Job, reports: dict[str, dict[str, Any]]) -> None:
    validation = job.settings.validation or _validation_of(job)
    changes = {"baseline": False, "threshold": None, "validation": validation}
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
    if job.settings.validation is None:
        return open_baseline("blackhat")
    samples = job.samples(job.settings.validation)
    step = -(-len(samples) // MAX_BASELINE_PICTURES)
    return choose_black_hat([samples[i] for i in range(0, len(samples), step)])


def _head(job: Job, name: str, source: Source, pictures: int) -> dict[str, Any]:
    protocol, settings = job.protocols[name], job.settings
    thresholds = protocol.thresholds
    return {
        "protocol": {
            "name": name,
            "sentence": protocol.sentence,
            "source": protocol.source,
            "tolerance": TOLERANCE,
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
            "dataset": job.dataset or "pairs",
            "split": job.split or "all",
            "pictures": pictures,
            "note": "" if job.split in KEPT_SPLITS else UNSPLIT,
        },
        "intervals": {
            "level": LEVEL,
            "resamples": settings.resamples,
            "seed": settings.seed,
            "unit": "pictures, percentile bootstrap; the threshold stays as chosen",
        },
    }


def _round(choice: dict[str, Any]) -> dict[str, Any]:
    value = choice["value"]
    return choice | {"value": None if value is None else round(value, 9)}


def choose(job: Job, source: Source) -> dict[str, Choice]:
    """Where each protocol's threshold comes from; validation pictures are predicted once."""
    choices = {}
    validated: dict[str, Protocol] = {}
    for name, protocol in job.protocols.items():
        if protocol.rule == "best":
            how = "best F1 on the scored pictures themselves, for every tolerance its own"
            choices[name] = Choice(None, "best", how)
        elif protocol.rule == "fixed":
            choices[name] = Choice(protocol.fixed, "fixed", "part of the protocol")
        elif job.settings.threshold is not None:
            choices[name] = Choice(job.settings.threshold, "fixed", "given beforehand (threshold)")
        elif job.settings.validation is not None:
            validated[name] = protocol
        elif source.threshold is not None:
            how = "the model's own, chosen on the validation part of its training data"
            choices[name] = Choice(source.threshold, "validation", how)
        else:
            raise InputError(
                f"protocol {name} never looks at the scored pictures for its threshold: give the"
                " split to choose it on (--validation) or the value itself (--threshold)"
            )
    return choices | _validate(job, source, validated)


def _validate(job: Job, source: Source, protocols: Mapping[str, Protocol]) -> dict[str, Choice]:
    if not protocols:
        return {}
    split = job.settings.validation
    samples = job.samples(split)
    if set(keys(samples)) & set(keys(job.samples(job.split))):
        raise InputError(
            f"--validation {split}: shares pictures with the scored split; choose another split"
        )
    if job.settings.validation_predictions is not None and isinstance(source, Folder):
        source = Folder(job.settings.validation_predictions)
    source.check(keys(samples))
    none = Choice(None, "best", "")
    plain = {name: dataclasses.replace(p, tolerances=(0,)) for name, p in protocols.items()}
    job = dataclasses.replace(job, protocols=plain)
    tallies = collect(job, source, samples, dict.fromkeys(plain, none))
    choices = {}
    for name, tally in tallies.items():
        k = best_threshold(tally.compute()[0], tally.thresholds, plain[name].criterion)
        measure = {"f1": "F1", "iou": "crack IoU"}[plain[name].criterion]
        how = f"best pooled {measure} on split '{split}', {len(tally)} pictures"
        choices[name] = Choice(tally.thresholds.values[k], "validation", how)
    return choices


def collect(
    job: Job, source: Source, samples: Reader, choices: Mapping[str, Choice]
) -> dict[str, CrackCounts]:
    """Counts of every protocol in one pass over the pictures."""
    tallies = {}
    for name, protocol in job.protocols.items():
        value = choices[name].value
        thresholds = protocol.thresholds
        grid = thresholds if value is None else thresholds.including(value)
        tallies[name] = CrackCounts(grid, protocol.tolerances)
    for i in range(len(samples)):
        sample = samples[i]
        prediction, truth = _pair(source, sample)
        for name, tally in tallies.items():
            tally.update(job.protocols[name].encode(prediction), truth)
        job.progress(i + 1, len(samples))
    source.finish()
    return tallies


def _pair(source: Source, sample: Sample) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    if sample.mask is None:
        raise InputError(f"{sample.set}/{sample.name}: has no mask; only masked sets can be scored")
    return source.predict(sample), sample.mask


def find_subsets(job: Job, pictures: Sequence[Key]) -> dict[str, NDArray[np.intp]]:
    """All pictures; each set of several; all but the listed or known overlaps with training."""
    index = np.arange(len(pictures))
    subsets = {"all": index}
    sets = np.array([of for of, _ in pictures])
    if len(set(sets)) > 1:
        subsets |= {str(name): index[sets == name] for name in dict.fromkeys(sets)}
    out, origin = _left_out(job, pictures)
    keep = index[[picture not in out for picture in pictures]]
    if 0 < len(keep) < len(index):
        subsets[f"without the {len(index) - len(keep)} {origin}"] = keep
    elif job.settings.without is not None:
        raise InputError(f"{origin}: names none or all of the scored pictures; check the list")
    return subsets


def _left_out(job: Job, pictures: Sequence[Key]) -> tuple[set[Key], str]:
    listed = job.settings.without or job.data / OVERLAP_LIST
    known = "that overlap a training picture"
    if job.settings.without is None and not listed.is_file():
        overlaps = known_overlaps()
        return {(of, name) for of, name in pictures if name in overlaps.get(of, ())}, known
    try:
        names = {line.strip() for line in listed.read_text("utf-8").splitlines()}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{listed}: cannot be read; give a text file of names") from error
    origin = known if job.settings.without is None else f"named in {listed.name}"
    return {(of, name) for of, name in pictures if name in names}, origin
