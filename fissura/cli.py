"""The verbs of the command line: each collects its options and calls one function.

Exit codes: 0 done, 1 some inputs failed (each named on standard error, the rest done), 2 wrong
usage, 130 interrupted. Everything heavy is imported inside the verb that needs it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from fissura import console
from fissura.console import WRONG_USAGE

if TYPE_CHECKING:
    from fissura.config import PredictSettings

app = typer.Typer(
    help="Find, outline and measure cracks in photographs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Look after data sets: check, stats, synth.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")

Json = Annotated[bool, Option("--json", help="Print one JSON document and nothing else.")]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace what stands in --out.")]
Model = Annotated[str, Option(help="Name of a shipped model, or an exported .onnx file.")]
Engine = Annotated[str | None, Option(help="auto, onnxruntime, openvino or torch.")]
Precision = Annotated[str | None, Option(help="float32 or bf16.")]
Threads = Annotated[int | None, Option(help="Processor threads; all cores if not given.")]
Set = Annotated[list[str] | None, Option("--set", help="Change one setting: a.b=c; repeatable.")]
Root = Annotated[Path, Argument(help="Folder of the data set.")]


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
    from fissura.engines import open_engine

    settings = _predict_settings(options)
    with console.PredictRun(options.as_json) as run:
        paths = pipeline.find_sources(options.sources, options.recursive, run.failed)
        if not paths:
            return WRONG_USAGE
        engine = open_engine(settings.model, settings.engine, settings.precision, settings.threads)
        settings = pipeline.resolve(settings, engine)
        out = options.out or _free_folder("predict", options.sources)
        formats = console.split_list(options.formats)
        with pipeline.open_writers(formats, out, options.overwrite) as write:
            (out / "config.yaml").write_text(config.dump_yaml(settings), encoding="utf-8")
            run.start(len(paths), str(out))
            for result in pipeline.predict(paths, engine, settings, run.failed):
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


def main() -> None:
    """Entry point of the `fissura` command."""
    app()


if __name__ == "__main__":
    main()
