"""The options of the verbs: one dataclass per verb, one field per option.

A field named like a setting sets that setting; None means: not given.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

Json = Annotated[bool, Option("--json", help="Print one JSON document and nothing else.")]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace what stands in --out.")]
Engine = Annotated[str | None, Option(help="auto, onnxruntime, openvino or torch.")]
Precision = Annotated[str | None, Option(help="float32 or bf16.")]
Threads = Annotated[int | None, Option(help="Processor threads; all cores if not given.")]
Root = Annotated[Path, Argument(help="Folder of the data set.")]
Refine = Annotated[
    str | None, Option(help="none, guided, guided-released, guided-official or crf.")
]
Set = Annotated[list[str] | None, Option("--set", help="Change one setting: a.b=c; repeatable.")]


@dataclass(kw_only=True)
class PredictOptions:
    """Options of `fissura predict`; those named like a field of PredictSettings set that field."""

    sources: Annotated[
        list[str], Argument(help="Pictures, videos, folders, globs, camera:0, rtsp://….")
    ]
    model: Annotated[str | None, Option(help="Shipped model or exported file [cgnet].")] = None
    out: Annotated[Path | None, Option(help="Folder for the results [runs/predict/NAME].")] = None
    formats: Annotated[
        str | None,
        Option(
            help="Any of json,jsonl,csv,coco,masks,probability,overlay,enlarged,html,geojson,video"
            " [json,csv,overlay,masks,html; enlarged where the model enlarges; of boxes and videos"
            " see docs/video.md]."
        ),
    ] = None
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
    scale: Annotated[
        int | None, Option(help="Super-resolution expected of the model: 1, 2, 4 or 8.")
    ] = None
    nms_iou: Annotated[
        float | None, Option(help="Of boxes that overlap by more, one stays; the model's own.")
    ] = None
    fps: Annotated[
        float | None, Option(help="Of a folder's numbered pictures: how many are a second.")
    ] = None
    refine: Refine = None
    changes: Set = None
    engine: Engine = None
    precision: Precision = None
    threads: Threads = None
    max_pixels: Annotated[int | None, Option(help="Refuse pictures above this size.")] = None
    config: Annotated[Path | None, Option(help="YAML file of these settings.")] = None
    overwrite: Overwrite = False
    as_json: Json = False


@dataclass(kw_only=True)
class ListOptions:
    """Options of the verbs that only list what there is."""

    as_json: Json = False


@dataclass(kw_only=True)
class DatasetsOptions:
    """Options of `fissura datasets`."""

    root: Annotated[Path | None, Argument(help="Folder to look for the known sets in.")] = None
    as_json: Json = False


@dataclass(kw_only=True)
class AdviseOptions:
    """Options of `fissura advise`, all with units."""

    distance: Annotated[str, Option(help="From the camera to the surface, as 12m.")]
    focal: Annotated[str, Option(help="Focal length, as 35mm; the real one, not the equivalent.")]
    sensor: Annotated[str, Option(help="Size of the sensor, as 36x24mm.")]
    pixels: Annotated[str, Option(help="Size of the picture, as 6000x4000.")]
    speed: Annotated[str | None, Option(help="Of the camera or the surface, as 3m/s.")] = None
    exposure: Annotated[str | None, Option(help="As 1/2000 or 0.5ms.")] = None
    crack: Annotated[str | None, Option(help="Width of the crack to be found, as 0.3mm.")] = None
    as_json: Json = False


@dataclass(kw_only=True)
class TrainOptions:
    """Options of `fissura train`."""

    config: Annotated[Path | None, Argument(help="YAML file of the experiment.")] = None
    changes: Set = None
    out: Annotated[Path | None, Option(help="Run folder [runs/train/NAME].")] = None
    resume: Annotated[Path | None, Option(help="Run folder of an interrupted run.")] = None
    overwrite: Overwrite = False
    as_json: Json = False


@dataclass(kw_only=True)
class EvaluateOptions:
    """Options of `fissura evaluate`; those named like an evaluation setting set it."""

    data: Annotated[Path, Option(help="Folder of the data set.")]
    model: Annotated[str | None, Option(help="Shipped model or exported file.")] = None
    predictions: Annotated[
        list[str] | None, Option(help="Or a folder of maps; or [NAME=]FILE.json of boxes.")
    ] = None
    method: Annotated[str | None, Option(help="Or a method without training: blackhat.")] = None
    dataset: Annotated[str | None, Option(help="Layout, see `fissura datasets`.")] = None
    split: Annotated[str | None, Option(help="Part of the data set; all if not given.")] = None
    protocol: Annotated[
        str | None, Option(help="See `fissura protocols`; or all [honest; of boxes coco].")
    ] = None
    out: Annotated[Path | None, Option(help="Folder for the scores [runs/evaluate/NAME].")] = None
    threshold: Annotated[float | None, Option(help="Decided beforehand.")] = None
    validation: Annotated[str | None, Option(help="Split to choose the threshold on.")] = None
    validation_predictions: Annotated[
        Path | None, Option(help="Maps of that split, if they stand elsewhere.")
    ] = None
    criterion: Annotated[str | None, Option(help="What is best there: f1 or iou.")] = None
    tolerances: Annotated[str | None, Option(help="Pixels, as 0,2,5.")] = None
    without: Annotated[Path | None, Option(help="Text file of pictures to leave out.")] = None
    vs: Annotated[
        str | None, Option("--vs", help="Compare with a second folder of maps, or a model.")
    ] = None
    degrade: Annotated[
        str | None, Option(help="Reduce pictures first: bilinear, bicubic[-antialias], realistic.")
    ] = None
    degrade_scale: Annotated[int | None, Option(help="How far they are reduced [4].")] = None
    images: Annotated[str | None, Option(help="Of boxes: all, or annotated pictures.")] = None
    classes: Annotated[str | None, Option(help="Of boxes: those that count, as crack,hole.")] = None
    min_score: Annotated[float | None, Option(help="Least score of a box kept [0.001].")] = None
    fps: Annotated[float | None, Option(help="Of the video, for alarms per minute.")] = None
    pictures: Annotated[int | None, Option(help="How many to draw, with their boxes.")] = None
    missing: Annotated[
        str | None, Option(help="Of boxes, listed frames not there: refuse or earlier [refuse].")
    ] = None
    baseline: Annotated[bool | None, Option("--baseline", help="Add the black-hat method.")] = None
    resamples: Annotated[int | None, Option(help="Of the bootstrap; 0 for no intervals.")] = None
    seed: Annotated[int | None, Option(help="Of the bootstrap.")] = None
    refine: Refine = None
    changes: Annotated[
        list[str] | None, Option("--set", help="One setting of `fissura predict`: a.b=c.")
    ] = None
    engine: Engine = None
    precision: Precision = None
    threads: Threads = None
    overwrite: Overwrite = False
    as_json: Json = False


@dataclass(kw_only=True)
class ImportOptions:
    """Options of `fissura import-weights`."""

    file: Annotated[Path, Argument(help="Checkpoint of the original, as .pth.")]
    model: Annotated[str, Option(help="Whose it is, as deepcrack_zou, cssr or unet_vgg16.")]
    out: Annotated[Path, Option(help="File to write, ending in .safetensors.")]
    changes: Annotated[
        list[str] | None,
        Option("--set", help="What the file does not tell of the network: scale=4; repeatable."),
    ] = None
    allow_head: Annotated[
        bool, Option("--allow-head", help="Leave out a last layer of other classes.")
    ] = False
    bn_mode: Annotated[
        str | None, Option(help="Of deepcrack_liu: running or per_image [running].")
    ] = None
    threshold: Annotated[float | None, Option(help="For the card; the network's own.")] = None
    overwrite: Overwrite = False
    as_json: Json = False


@dataclass(kw_only=True)
class ExportOptions:
    """Options of `fissura export`."""

    out: Annotated[Path, Option(help="File to write, ending in .onnx, or in .xml for OpenVINO.")]
    model: Annotated[str, Option(help="Shipped model, or a trained .safetensors file.")] = "cgnet"
    form: Annotated[
        str | None, Option("--format", help="onnx or openvino [by the name of --out].")
    ] = None
    precision: Annotated[str, Option(help="float32, or rounded: fp16 or int8.")] = "float32"
    calibrate: Annotated[
        list[str] | None,
        Option(help="Files, folders, patterns that int8 needs for its ranges; repeatable."),
    ] = None
    overwrite: Overwrite = False
    as_json: Json = False


@dataclass(kw_only=True)
class BenchmarkOptions:
    """Options of `fissura benchmark`."""

    model: Annotated[str, Option(help="Shipped model or exported file.")] = "cgnet"
    engine: Annotated[str, Option(help="auto, onnxruntime, openvino or torch.")] = "auto"
    versus: Annotated[
        str | None, Option("--vs", help="naive, or MODEL, MODEL:ENGINE, :ENGINE; run in turn.")
    ] = None
    size: Annotated[
        str | None,
        Option(help="HEIGHTxWIDTH of the network's input [1024x1024; a detector's own]."),
    ] = None
    frames: Annotated[int, Option(help="Runs to time.")] = 20
    stream: Annotated[
        bool, Option("--stream", help="Frame by frame, of a detector that streams.")
    ] = False
    precision: Annotated[str, Option(help="float32 or bf16.")] = "float32"
    threads: Threads = None
    as_json: Json = False


@dataclass(kw_only=True)
class CheckOptions:
    """Options of `fissura data check`."""

    root: Root
    dataset: Annotated[str | None, Option(help="Only this set inside the folder.")] = None
    match_crops: Annotated[
        bool, Option("--match-crops", help="Also find the same place in different pictures: slow.")
    ] = False
    as_json: Json = False


@dataclass(kw_only=True)
class StatsOptions:
    """Options of `fissura data stats`."""

    root: Root
    dataset: Annotated[str | None, Option(help="Layout, or one set inside the folder.")] = None
    split: Annotated[str | None, Option(help="Part of the data set; all if not given.")] = None
    out: Annotated[Path | None, Option(help="Folder for pictures of sets of boxes.")] = None
    as_json: Json = False


@dataclass(kw_only=True)
class SynthOptions:
    """Options of `fissura data synth`; all but the first two are for belts."""

    out: Annotated[Path, Option(help="Folder for the pictures.")]
    what: Annotated[str, Argument(help="walls: three photographs; belt: video sequences.")] = (
        "walls"
    )
    seed: Annotated[int | None, Option(help="Decides what is not given [0].")] = None
    sequences: Annotated[int | None, Option(help="How many belts [1].")] = None
    frames: Annotated[int | None, Option(help="Pictures of each [60].")] = None
    size: Annotated[str | None, Option(help="WIDTHxHEIGHT of the pictures [960x540].")] = None
    fps: Annotated[float | None, Option(help="Frames per second [30].")] = None
    speed: Annotated[float | None, Option(help="Of the belt in m/s [2 to 6].")] = None
    changes: Annotated[
        list[str] | None, Option("--set", help="One setting of the belt: texture=worn; repeatable.")
    ] = None
    overwrite: Overwrite = False
    as_json: Json = False
