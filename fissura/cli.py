"""The verbs of the command line: each collects its options and calls one function.

Exit codes: 0 done, 1 some inputs failed (each named on standard error, the rest done), 2 wrong
usage, 130 interrupted. Everything heavy is imported inside the verb that needs it.
"""

from __future__ import annotations

import dataclasses
import glob
import inspect
import itertools
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import fissura
from fissura import console
from fissura.console import DONE, SOME_FAILED, WRONG_USAGE
from fissura.options import (
    AdviseOptions,
    BenchmarkOptions,
    CheckOptions,
    DatasetsOptions,
    EvaluateOptions,
    ExportOptions,
    ImportOptions,
    ListOptions,
    PredictOptions,
    StatsOptions,
    SynthOptions,
    TrainOptions,
)

if TYPE_CHECKING:
    from fissura.config import PredictSettings
    from fissura.types import Result

PLAIN: dict[str, Any] = {"no_args_is_help": True, "rich_markup_mode": None}
app = typer.Typer(
    help="Find, outline and measure cracks in photographs.",
    add_completion=False,
    pretty_exceptions_enable=False,
    **PLAIN,
)
data_app = typer.Typer(help="Look after data sets: check, stats, synth.", **PLAIN)
app.add_typer(data_app, name="data")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"fissura {fissura.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which.")
    ] = False,
) -> None:
    """Find, outline and measure cracks in photographs."""


@console.verb(app, "predict")
def predict(options: PredictOptions) -> int:
    """Find, outline and measure the cracks in pictures; write reports."""
    from fissura import config, pipeline, report, sequence

    settings = _predict_settings(options)
    with console.PredictRun(options.as_json) as run:
        paths = sequence.find_sources(options.sources, options.recursive, run.failed)
        if not paths:
            return WRONG_USAGE
        predictor = pipeline.load(**settings.model_dump())
        out = options.out or _free_folder("predict", options.sources)
        usual = pipeline.formats_for(predictor.engine.card, paths)
        formats = usual if options.formats is None else console.split_list(options.formats)
        classes = predictor.engine.card.classes
        with report.open_writers(formats, out, options.overwrite, classes) as write:
            written = config.dump_yaml(predictor.settings)
            (out / "config.yaml").write_text(written, encoding="utf-8")
            total = sequence.count_frames(paths, predictor.settings.max_pixels)
            run.start(total, str(out), boxes=bool(classes))
            results = predictor.predict(paths, on_error=run.failed, stages=run.stages)
            _write_each(results, write, run, options.as_json)
    return run.exit_code


def _write_each(
    results: Iterator[Result], write: Callable[[Result], None], run: console.PredictRun, told: bool
) -> None:
    from fissura import report

    for result in results:
        with run.stages.timing("write"):
            write(result)
        run.add(result, report.result_to_dict(result) if told else None)
        del result  # or two pictures would be in memory while the next is worked on


def _predict_settings(options: PredictOptions) -> PredictSettings:
    from fissura.config import PredictSettings, apply_overrides, build_settings, read_yaml

    written = read_yaml(options.config) if options.config else {}
    given = console.given(PredictSettings.model_fields, options)
    values = apply_overrides(written | given, options.changes or ())
    return build_settings(PredictSettings, values, str(options.config or "predict"))


def _free_folder(verb: str, sources: Sequence[str]) -> Path:
    """runs/VERB/NAME after the first source, numbered if it exists."""
    from fissura.addresses import public_name

    source = re.sub(r"^.*://|(?<=^camera):", "", public_name(sources[0]))
    plain = itertools.takewhile(lambda part: not glob.has_magic(part), Path(source).parts)
    first = Path(source) if Path(source).exists() else Path(*plain)
    base = Path("runs") / verb / (first.resolve().stem or "pictures")
    numbered = (base.with_name(f"{base.name}-{n}") for n in itertools.count(2))
    return next(path for path in itertools.chain([base], numbered) if not path.exists())


@console.verb(app, "models")
def models(options: ListOptions) -> int:
    """List the weights that ship: data, threshold, licence."""
    from fissura.weights import METADATA_KEYS, read_card, shipped

    told = ("summary", "licence", "trained_on", "threshold", "input_scale", "weights_sha256")
    keys = METADATA_KEYS if options.as_json else told
    listed = [
        {"model": name, "card": str(path.with_suffix(".md"))}
        | {key: getattr(read_card(path), key) for key in keys}
        for name, path in shipped().items()
    ]
    return console.print_list(listed, options.as_json, "No weights are installed.")


@console.verb(app, "protocols")
def protocols(options: ListOptions) -> int:
    """List the named ways of scoring and what each counts."""
    from fissura.evaluate import BOX_PROTOCOLS, PROTOCOLS, BoxProtocol, Protocol

    known: dict[str, Protocol | BoxProtocol] = {**PROTOCOLS, **BOX_PROTOCOLS}
    listed = [
        {"protocol": name, "counts": protocol.sentence, "source": protocol.source}
        for name, protocol in known.items()
    ]
    return console.print_list(listed, options.as_json)


@console.verb(app, "datasets")
def datasets(options: DatasetsOptions) -> int:
    """List the data sets known by name, and the layouts that can be read."""
    from fissura.datasets import DATASETS
    from fissura.datasets.catalogue import listing
    from fissura.datasets.sequences import LAYOUTS

    known = listing(options.root)
    readers = {**DATASETS, **{name: layout.read for name, layout in LAYOUTS.items()}}
    layouts = {
        name: inspect.getdoc(sys.modules[reader.__module__]) for name, reader in readers.items()
    }
    if options.as_json:
        console.print_json({"sets": known, "layouts": layouts})
        return DONE
    console.print_rows([list(known[0]), *([str(value) for value in row.values()] for row in known)])
    print()
    return console.print_list(
        [{"layout": name, "means": text} for name, text in layouts.items()], as_json=False
    )


@console.verb(app, "advise")
def advise(options: AdviseOptions) -> int:
    """Say what a camera can show: mm per pixel, smear, smallest crack seen and measured."""
    from fissura import advise as advising

    given = dataclasses.asdict(options)
    as_json = given.pop("as_json")
    shot = advising.read_shot(**given)
    found = advising.advise(shot)
    if as_json:
        console.print_json(dataclasses.asdict(found))
        return DONE
    return console.print_outcome(advising.told(shot, found), as_json=False)


@console.verb(app, "train")
def train(options: TrainOptions) -> int:
    """Train a network from one YAML file."""
    from fissura.config import load_settings
    from fissura.report import prepare_output
    from fissura.train.config import TrainConfig
    from fissura.train.distributed import speaks
    from fissura.train.loop import train as run
    from fissura.types import InputError

    source = options.config or (options.resume and options.resume / "config.yaml")
    if source is None:
        raise InputError("train: give a YAML file of settings, or --resume with a run folder")
    config = load_settings(source, TrainConfig, options.changes or ())
    out = options.resume or options.out or _free_folder("train", [config.name])
    if not options.resume:
        prepare_output(out, options.overwrite)
        for name in ("metrics.jsonl", "last.pt", "best.safetensors"):
            (out / name).unlink(missing_ok=True)
    with console.Progress("training", quiet=options.as_json or not speaks()) as progress:
        progress.total = config.iterations
        report = console.training_report(progress)
        best = run(config, out, resume=options.resume is not None, report=report)
    if not speaks():
        return DONE
    return console.print_outcome({"weights": str(best), "out": str(out)}, options.as_json)


@console.verb(app, "evaluate")
def evaluate(options: EvaluateOptions) -> int:
    """Score a model or a folder of predictions by a named protocol."""
    from fissura import evaluate as scoring
    from fissura.config import PredictSettings, apply_overrides, build_settings

    shared = console.given(("engine", "precision", "threads", "refine"), options)
    shared = apply_overrides(shared, options.changes or ())
    predict = build_settings(PredictSettings, shared, "evaluate")
    fields = scoring.EvaluateSettings.model_fields
    given: dict[str, Any] = console.given(set(fields) - {"predict"}, options)
    for name in ("tolerances", "classes"):
        if name in given:
            given[name] = console.split_list(given[name])
    settings = build_settings(scoring.EvaluateSettings, given | {"predict": predict}, "evaluate")
    given_as = options.model, options.predictions, options.method
    source = scoring.open_given(*given_as, predict)
    out = options.out or _free_folder("evaluate", [str(options.data)])
    with console.Progress("scoring", quiet=options.as_json) as progress:
        found = scoring.evaluate(
            source,
            options.data,
            options.dataset,
            options.split,
            options.protocol,
            out,
            settings,
            progress.at,
        )
    if options.as_json:
        console.print_json(found)
        return DONE
    page = "protocols.md" if options.protocol == "all" else "report.md"
    print((out / page).read_text(encoding="utf-8"))
    return console.print_outcome({"out": str(out)}, as_json=False)


@console.verb(app, "import-weights")
def import_weights(options: ImportOptions) -> int:
    """Turn an original's checkpoint into our own file; nothing in the checkpoint is run."""
    from fissura.config import apply_overrides
    from fissura.types import InputError
    from fissura.weights import official

    if options.out.exists() and not options.overwrite:
        raise InputError(f"{options.out}: exists; choose another name or allow --overwrite")
    if options.bn_mode is not None and options.model != "deepcrack_liu":
        raise InputError("--bn-mode: is a setting of deepcrack_liu alone; leave it out")
    named = [change.partition("=")[0].strip() for change in options.changes or []]
    if options.bn_mode is not None and "bn_mode" in named:
        raise InputError("--bn-mode: --set bn_mode is given as well; leave out one of them")
    arguments = apply_overrides(console.given(("bn_mode",), options), options.changes or [])
    found = official.import_weights(
        options.file,
        options.model,
        options.out,
        allow_head=options.allow_head,
        arguments=arguments,
        threshold=options.threshold,
    )
    return console.print_outcome(official.describe(found), options.as_json)


@console.verb(app, "export")
def export(options: ExportOptions) -> int:
    """Turn trained weights into one file that runs without torch, and compare the two."""
    from fissura.export import export_model, files_of
    from fissura.types import InputError

    for path in files_of(options.out):
        if path.exists() and not options.overwrite:
            raise InputError(f"{path}: exists; choose another name or allow --overwrite")
    agreement = export_model(
        options.model,
        options.out,
        options.form,
        precision=options.precision,
        calibrate=options.calibrate or (),
    )
    found = {"out": str(options.out), "checked": str(agreement)}
    return console.print_outcome(found, options.as_json)


@console.verb(app, "benchmark")
def benchmark(options: BenchmarkOptions) -> int:
    """Time a model: latency, throughput, memory, cost, stages; or two of them in turn."""
    from fissura import benchmark as bench

    size_hw = _size(options.size) if options.size else None
    workload = bench.Workload(
        size_hw, options.frames, options.threads, options.precision, stream=options.stream
    )
    found: bench.Timing | bench.Comparison
    if options.versus is None:
        found = bench.benchmark(options.model, options.engine, workload)
    else:
        found = bench.versus(options.model, options.engine, options.versus, workload)
    if options.as_json:
        console.print_json(dataclasses.asdict(found))
    else:
        print(found)
    return DONE


def _size(text: str) -> tuple[int, int]:
    height, times, width = text.lower().partition("x")
    if not (times and height.isdecimal() and width.isdecimal()):
        from fissura.types import InputError

        raise InputError(f"--size {text}: expected HEIGHTxWIDTH, as 1024x1024")
    return int(height), int(width)


@console.verb(data_app, "check")
def data_check(options: CheckOptions) -> int:
    """Name the faults of a data set; exit code 1 if there are errors among them."""
    from fissura.datasets.check import check

    found = check(options.root, options.dataset, options.match_crops)
    if options.as_json:
        console.print_json([finding.to_dict() for finding in found])
    else:
        for finding in found:
            print(finding)
        print(console.plural(len(found), "finding"))
    return SOME_FAILED if any(finding.severity == "error" for finding in found) else DONE


@console.verb(data_app, "stats")
def data_stats(options: StatsOptions) -> int:
    """Count pictures, sizes, crack share and width of a data set; boxes and sequences."""
    from fissura.datasets.stats import overview, tables

    figures = overview(options.root, options.dataset, options.split, options.out)
    if options.as_json:
        console.print_json(figures)
        return DONE
    for rows in tables(figures):
        console.print_rows(rows)
    return DONE


@console.verb(data_app, "synth")
def data_synth(options: SynthOptions) -> int:
    """Render pictures with exact truth: cracked walls, or sequences of a running belt."""
    from fissura import synth
    from fissura.report import prepare_output

    given = console.given(("seed", "sequences", "frames", "size"), options)
    short = console.given(("fps", "speed"), options)
    synth.check_subject(options.what, [*given, *short, *(["set"] if options.changes else [])])
    prepare_output(options.out, options.overwrite)
    found: dict[str, Any] = {"out": str(options.out)}
    if options.what == "walls":
        pictures = [str(path) for path in synth.write_demo(options.out)]
        found = {"pictures": pictures, "mm_per_px": synth.DEMO_MM_PER_PX} | found
        return console.print_outcome(found, options.as_json)
    style = synth.read_style(short, options.changes or ())
    series = synth.read_series(given)
    with console.Progress("rendering", quiet=options.as_json) as progress:
        found = synth.write_belts(options.out, series, style, progress.often) | found
    return console.print_outcome(found, options.as_json)


def main() -> None:
    """Entry point of the `fissura` command."""
    app()


if __name__ == "__main__":
    main()
