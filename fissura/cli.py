"""The verbs of the command line: each collects its options and calls one function.

Exit codes: 0 done, 1 some inputs failed (each named on standard error, the rest done), 2 wrong
usage, 130 interrupted. Everything heavy is imported inside the verb that needs it.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from fissura import console
from fissura.console import DONE, SOME_FAILED, WRONG_USAGE

if TYPE_CHECKING:
    from fissura.config import PredictSettings

PLAIN: dict[str, Any] = {"no_args_is_help": True, "rich_markup_mode": None}
app = typer.Typer(
    help="Find, outline and measure cracks in photographs.",
    add_completion=False,
    pretty_exceptions_enable=False,
    **PLAIN,
)
data_app = typer.Typer(help="Look after data sets: check, stats, synth.", **PLAIN)
app.add_typer(data_app, name="data")

Json = Annotated[bool, Option("--json", help="Print one JSON document and nothing else.")]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace what stands in --out.")]
Engine = Annotated[str | None, Option(help="auto, onnxruntime, openvino or torch.")]
Precision = Annotated[str | None, Option(help="float32 or bf16.")]
Threads = Annotated[int | None, Option(help="Processor threads; all cores if not given.")]
Root = Annotated[Path, Argument(help="Folder of the data set.")]
Set = Annotated[list[str] | None, Option("--set", help="Change one setting: a.b=c; repeatable.")]


@dataclass(kw_only=True)
class PredictOptions:
    """Options of `fissura predict`; those named like a field of PredictSettings set that field."""

    sources: Annotated[list[str], Argument(help="Pictures, folders, globs.")]
    model: Annotated[str | None, Option(help="Shipped model or exported .onnx file [cgnet].")] = (
        None
    )
    out: Annotated[Path | None, Option(help="Folder for the results [runs/predict/NAME].")] = None
    formats: Annotated[
        str,
        Option(help="Any of json,csv,coco,masks,probability,overlay,html,geojson."),
    ] = "json,csv,overlay,masks,html"
    recursive: Annotated[bool, Option("--recursive", help="Look into subfolders.")] = False
    threshold: Annotated[float | None, Option(help="Probability of a crack pixel.")] = None
    low_threshold: Annotated[
        float | None, Option(help="Follow cracks down to this probability (hysteresis).")
    ] = None
    min_area_px: Annotated[
        int | None, Option("--min-area", help="Drop specks below this many pixels.")
    ] = None
    max_hole_px: Annotated[
        int | None, Option("--max-hole", help="Fill holes up to this many pixels.")
    ] = None
    mm_per_px: Annotated[float | None, Option(help="Millimetres per pixel.")] = None
    gsd_from: Annotated[
        str | None, Option(help="Camera instead: FOCAL,SENSOR,DISTANCE, as 35mm,36x24mm,12m.")
    ] = None
    blur_px: Annotated[
        float | None, Option(help="Blur of the picture (sigma); estimated if not given.")
    ] = None
    tile: Annotated[int | None, Option(help="Side of a tile in pixels; chosen by size.")] = None
    overlap: Annotated[int | None, Option(help="Overlap of neighbouring tiles.")] = None
    input_scale: Annotated[
        float | None, Option(help="Enlargement before the network; the model's own.")
    ] = None
    engine: Engine = None
    precision: Precision = None
    threads: Threads = None
    max_pixels: Annotated[int | None, Option(help="Refuse pictures above this size.")] = None
    config: Annotated[Path | None, Option(help="YAML file of these settings.")] = None
    overwrite: Overwrite = False
    as_json: Json = False


@console.verb(app, "predict")
def predict(options: PredictOptions) -> int:
    """Find, outline and measure the cracks in pictures; write reports."""
    from fissura import config, pipeline, report

    settings = _predict_settings(options)
    with console.PredictRun(options.as_json) as run:
        paths = pipeline.find_sources(options.sources, options.recursive, run.failed)
        if not paths:
            return WRONG_USAGE
        predictor = pipeline.load(**settings.model_dump())
        out = options.out or _free_folder("predict", options.sources)
        formats = console.split_list(options.formats)
        with pipeline.open_writers(formats, out, options.overwrite) as write:
            written = config.dump_yaml(predictor.settings)
            (out / "config.yaml").write_text(written, encoding="utf-8")
            run.start(len(paths), str(out))
            for result in predictor.predict(paths, on_error=run.failed):
                write(result)
                run.add(result, report.result_to_dict(result) if options.as_json else None)
    return run.exit_code


def _predict_settings(options: PredictOptions) -> PredictSettings:
    from fissura.config import PredictSettings, build_settings, read_yaml

    written = read_yaml(options.config) if options.config else {}
    given = console.given(PredictSettings.model_fields, options)
    return build_settings(PredictSettings, written | given, str(options.config or "predict"))


def _free_folder(verb: str, sources: Sequence[str]) -> Path:
    """runs/VERB/NAME after the first source, numbered if it exists."""
    first = Path(sources[0].rstrip("/*?[]") or "pictures")
    base = Path("runs") / verb / (first.resolve().stem or "pictures")
    numbered = (base.with_name(f"{base.name}-{n}") for n in itertools.count(2))
    return next(path for path in itertools.chain([base], numbered) if not path.exists())


@dataclass(kw_only=True)
class ListOptions:
    """Options of the verbs that only list what there is."""

    as_json: Json = False


@console.verb(app, "models")
def models(options: ListOptions) -> int:
    """List the weights that ship: data, threshold, licence."""
    from fissura.weights import METADATA_KEYS, read_card, shipped

    cards = {name: read_card(path) for name, path in shipped().items()}
    listed = [
        {"model": name} | {key: getattr(card, key) for key in METADATA_KEYS}
        for name, card in cards.items()
    ]
    return console.print_list(listed, options.as_json, "No weights are installed.")


@console.verb(app, "protocols")
def protocols(options: ListOptions) -> int:
    """List the named ways of scoring and what each counts."""
    from fissura.evaluate import PROTOCOLS

    listed = [
        {"protocol": name, "counts": protocol.sentence, "source": protocol.source}
        for name, protocol in PROTOCOLS.items()
    ]
    return console.print_list(listed, options.as_json)


@dataclass(kw_only=True)
class DatasetsOptions:
    """Options of `fissura datasets`."""

    root: Annotated[Path | None, Argument(help="Folder to look for the known sets in.")] = None
    as_json: Json = False


@console.verb(app, "datasets")
def datasets(options: DatasetsOptions) -> int:
    """List the data sets known by name, and the layouts that can be read."""
    from fissura.datasets import DATASETS
    from fissura.datasets.catalogue import listing

    known = listing(options.root)
    layouts = {
        name: inspect.getdoc(sys.modules[kind.__module__]) for name, kind in DATASETS.items()
    }
    if options.as_json:
        console.print_json({"sets": known, "layouts": layouts})
        return DONE
    console.print_rows([list(known[0]), *([str(value) for value in row.values()] for row in known)])
    print()
    return console.print_list(
        [{"layout": name, "means": text} for name, text in layouts.items()], as_json=False
    )


@dataclass(kw_only=True)
class TrainOptions:
    """Options of `fissura train`."""

    config: Annotated[Path | None, Argument(help="YAML file of the experiment.")] = None
    changes: Set = None
    out: Annotated[Path | None, Option(help="Run folder [runs/train/NAME].")] = None
    resume: Annotated[Path | None, Option(help="Run folder of an interrupted run.")] = None
    overwrite: Overwrite = False
    as_json: Json = False


@console.verb(app, "train")
def train(options: TrainOptions) -> int:
    """Train a network from one YAML file."""
    from fissura.config import load_settings
    from fissura.report import prepare_output
    from fissura.train.config import TrainConfig
    from fissura.train.loop import train as run
    from fissura.types import InputError

    source = options.config or (options.resume and options.resume / "config.yaml")
    if source is None:
        raise InputError("train: give a YAML file of settings, or --resume with a run folder")
    config = load_settings(source, TrainConfig, options.changes or ())
    out = options.resume or options.out or _free_folder("train", [config.name])
    if not options.resume:
        prepare_output(out, options.overwrite)
        (out / "metrics.jsonl").unlink(missing_ok=True)
    with console.Progress("training", quiet=options.as_json) as progress:
        progress.total = config.iterations
        report = console.training_report(progress)
        best = run(config, out, resume=options.resume is not None, report=report)
    return console.print_outcome({"weights": str(best), "out": str(out)}, options.as_json)


@dataclass(kw_only=True)
class EvaluateOptions:
    """Options of `fissura evaluate`; those named like an evaluation setting set it."""

    data: Annotated[Path, Option(help="Folder of the data set.")]
    model: Annotated[str | None, Option(help="Shipped model or exported file.")] = None
    predictions: Annotated[Path | None, Option(help="Or a folder of probability maps.")] = None
    method: Annotated[str | None, Option(help="Or a method without training: blackhat.")] = None
    dataset: Annotated[str | None, Option(help="Layout, see `fissura datasets`.")] = None
    split: Annotated[str | None, Option(help="Part of the data set; all if not given.")] = None
    protocol: Annotated[str, Option(help="See `fissura protocols`; or all.")] = "honest"
    out: Annotated[Path | None, Option(help="Folder for the scores [runs/evaluate/NAME].")] = None
    threshold: Annotated[float | None, Option(help="Decided beforehand.")] = None
    validation: Annotated[str | None, Option(help="Split to choose the threshold on.")] = None
    validation_predictions: Annotated[
        Path | None, Option(help="Maps of that split, if they stand elsewhere.")
    ] = None
    criterion: Annotated[str | None, Option(help="What is best there: f1 or iou.")] = None
    tolerances: Annotated[str | None, Option(help="Pixels, as 0,2,5.")] = None
    without: Annotated[Path | None, Option(help="Text file of pictures to leave out.")] = None
    baseline: Annotated[bool | None, Option("--baseline", help="Add the black-hat method.")] = None
    resamples: Annotated[int | None, Option(help="Of the bootstrap; 0 for no intervals.")] = None
    seed: Annotated[int | None, Option(help="Of the bootstrap.")] = None
    engine: Engine = None
    precision: Precision = None
    threads: Threads = None
    overwrite: Overwrite = False
    as_json: Json = False


@console.verb(app, "evaluate")
def evaluate(options: EvaluateOptions) -> int:
    """Score a model or a folder of predictions by a named protocol."""
    from fissura import evaluate as scoring
    from fissura.config import PredictSettings, build_settings

    shared = console.given(("engine", "precision", "threads"), options)
    predict = build_settings(PredictSettings, shared, "evaluate")
    fields = scoring.EvaluateSettings.model_fields
    given: dict[str, Any] = console.given(set(fields) - {"predict"}, options)
    if options.tolerances is not None:
        given["tolerances"] = console.split_list(options.tolerances)
    settings = build_settings(scoring.EvaluateSettings, given | {"predict": predict}, "evaluate")
    source = _open_source(options, predict)
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
    for page in sorted(out.rglob("report.md")):
        print(page.read_text(encoding="utf-8"))
    return console.print_outcome({"out": str(out)}, as_json=False)


def _open_source(options: EvaluateOptions, settings: PredictSettings) -> Any:
    from fissura.engines import open_engine
    from fissura.evaluate import open_baseline
    from fissura.types import InputError

    chosen = [x for x in (options.model, options.predictions, options.method) if x is not None]
    if len(chosen) != 1:
        raise InputError("evaluate: give one of --model, --predictions, --method")
    if options.method is not None:
        return open_baseline(options.method)
    if options.model is not None:
        return open_engine(options.model, settings.engine, settings.precision, settings.threads)
    return options.predictions


@dataclass(kw_only=True)
class ExportOptions:
    """Options of `fissura export`."""

    out: Annotated[Path, Option(help="File to write, ending in .onnx.")]
    model: Annotated[str, Option(help="Shipped model, or a trained .safetensors file.")] = "cgnet"
    form: Annotated[str, Option("--format", help="onnx")] = "onnx"
    overwrite: Overwrite = False
    as_json: Json = False


@console.verb(app, "export")
def export(options: ExportOptions) -> int:
    """Turn trained weights into one file that runs without torch, and compare the two."""
    from fissura.export import export_model
    from fissura.types import InputError

    if options.out.exists() and not options.overwrite:
        raise InputError(f"{options.out}: exists; choose another name or allow --overwrite")
    agreement = export_model(options.model, options.out, options.form)
    found = {"out": str(options.out), "checked": str(agreement)}
    return console.print_outcome(found, options.as_json)


@dataclass(kw_only=True)
class CheckOptions:
    """Options of `fissura data check`."""

    root: Root
    dataset: Annotated[str | None, Option(help="Only this set inside the folder.")] = None
    match_crops: Annotated[
        bool, Option("--match-crops", help="Also find the same place in different pictures: slow.")
    ] = False
    as_json: Json = False


@console.verb(data_app, "check")
def data_check(options: CheckOptions) -> int:
    """Name the faults of a data set; exit code 1 if there are errors among them."""
    from fissura.datasets.check import check

    found = check(options.root, options.dataset, options.match_crops)
    if options.as_json:
        console.print_json([finding.to_dict() for finding in found])
    else:
        for finding in found:
            print(f"{finding.severity:8}{finding.kind:20}{finding.message}")
        print(console.plural(len(found), "finding"))
    return SOME_FAILED if any(finding.severity == "error" for finding in found) else DONE


@dataclass(kw_only=True)
class StatsOptions:
    """Options of `fissura data stats`."""

    root: Root
    dataset: Annotated[str | None, Option(help="Layout, or one set inside the folder.")] = None
    split: Annotated[str | None, Option(help="Part of the data set; all if not given.")] = None
    as_json: Json = False


@console.verb(data_app, "stats")
def data_stats(options: StatsOptions) -> int:
    """Count pictures, sizes, crack share and width of a data set."""
    from fissura.datasets.stats import stats, table

    figures = stats(options.root, options.dataset, options.split)
    if options.as_json:
        console.print_json(figures)
    else:
        console.print_rows(table(figures))
    return DONE


@dataclass(kw_only=True)
class SynthOptions:
    """Options of `fissura data synth`."""

    out: Annotated[Path, Option(help="Folder for the pictures.")]
    overwrite: Overwrite = False
    as_json: Json = False


@console.verb(data_app, "synth")
def data_synth(options: SynthOptions) -> int:
    """Render pictures of cracks of exactly known width and length."""
    from fissura.report import prepare_output
    from fissura.synth import DEMO_MM_PER_PX, write_demo

    prepare_output(options.out, options.overwrite)
    pictures = [str(path) for path in write_demo(options.out)]
    found = {"pictures": pictures, "mm_per_px": DEMO_MM_PER_PX, "out": str(options.out)}
    return console.print_outcome(found, options.as_json)


def main() -> None:
    """Entry point of the `fissura` command."""
    app()


if __name__ == "__main__":
    main()
