"""Settings: pydantic models read from YAML, changed by `a.b=c`, written back resolved.

A setting nobody knows is refused with the nearest one that exists; every mistake becomes one
sentence that names the file and the setting.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from fissura.types import InputError

MAX_YAML_BYTES = 1_000_000
MAX_ERRORS_NAMED = 3


class Settings(BaseModel):
    """Base of all settings: frozen, finite, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=Settings)


class CleanSettings(Settings):
    """How a probability map becomes a mask.

    `threshold` None is the model's own; `low_threshold` turns hysteresis on: pixels above it count
    where they touch a pixel above `threshold`.
    """

    threshold: float | None = Field(default=None, gt=0, lt=1)
    low_threshold: float | None = Field(default=None, gt=0, lt=1)
    min_area_px: int = Field(default=30, ge=0)
    max_hole_px: int = Field(default=20, ge=0)

    @model_validator(mode="after")
    def _ordered_thresholds(self) -> Self:
        high, low = self.threshold, self.low_threshold
        if high is not None and low is not None and low > high:
            raise ValueError(f"low_threshold {low:g} must not be above threshold {high:g}")
        return self


class GuidedSettings(Settings):
    """The guided filter of `refine: guided`.

    `radius_px` of its square windows; `eps`, the variance of the photograph (grey, 0 to 1) above
    which an edge counts.
    """

    radius_px: int = Field(default=1, ge=1, le=100)
    eps: float = Field(default=1e-3, ge=1e-8, le=1)


class CrfSettings(Settings):
    """The dense conditional random field of `refine: crf`.

    Standard deviations and weights of the spatial kernel (near pixels agree) and of the bilateral
    kernel (near pixels of like colour, 0 to 255, agree). None were published: these are our own.
    """

    iterations: int = Field(default=5, ge=1, le=100)
    spatial_sigma_px: float = Field(default=1, ge=0.1, le=200)
    spatial_weight: float = Field(default=0.5, ge=0, le=1000)
    bilateral_sigma_px: float = Field(default=20, ge=0.1, le=200)
    bilateral_sigma_rgb: float = Field(default=8, ge=0.1, le=1000)
    bilateral_weight: float = Field(default=0.5, ge=0, le=1000)


class PredictSettings(CleanSettings):
    """Everything that decides what fissura says about a picture.

    None means: the model's own (`threshold`, `input_scale`, `nms_iou`), chosen by size (`tile`,
    `overlap`), all cores (`threads`), estimated from the picture (`blur_px`), or no scale known.
    `refine` names what happens to the crack map before the threshold. `scale` is how many times the
    model is expected to enlarge the picture: one that does otherwise is refused. For a detector
    `threshold` is the least score of a box, and of two boxes of one class that overlap by more than
    `nms_iou` (intersection over union) the better one stays. `fps` is how many of the numbered
    pictures of a folder were taken in a second; videos say so themselves.
    """

    model: str = Field(default="cgnet", min_length=1)
    engine: Literal["auto", "onnxruntime", "openvino", "torch"] = "auto"
    precision: Literal["float32", "bf16"] = "float32"
    threads: int | None = Field(default=None, ge=1, le=1024)
    tile: int | None = Field(default=None, ge=32)
    overlap: int | None = Field(default=None, ge=0)
    refine: Literal["none", "guided", "guided-released", "guided-official", "crf"] = "none"
    guided: GuidedSettings = GuidedSettings()
    crf: CrfSettings = CrfSettings()
    input_scale: float | None = Field(default=None, ge=0.1, le=8)
    scale: Literal[1, 2, 4, 8] | None = None
    nms_iou: float | None = Field(default=None, gt=0, le=1)
    fps: float | None = Field(default=None, gt=0, le=1000)
    max_pixels: int = Field(default=200_000_000, ge=1)
    mm_per_px: float | None = Field(default=None, gt=0)
    gsd_from: str | None = None
    blur_px: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.mm_per_px is not None and self.gsd_from is not None:
            raise ValueError("give mm_per_px or gsd_from, not both")
        if self.tile is not None and self.overlap is not None and 2 * self.overlap > self.tile:
            raise ValueError(
                f"overlap {self.overlap} must be at most half of the tile, {self.tile} pixels"
            )
        return self


OF_CRACKS = {
    *("low_threshold", "min_area_px", "max_hole_px", "tile", "overlap", "input_scale", "scale"),
    *("refine", "guided", "crf", "blur_px"),
}
"""Settings that decide nothing for a detector."""


def applied(settings: PredictSettings, finds_boxes: bool) -> dict[str, Any]:
    """Those of the settings that had a say in what was found."""
    idle = OF_CRACKS if finds_boxes else {"nms_iou"}
    if not settings.refine.startswith("guided"):
        idle = idle | {"guided"}
    if settings.refine != "crf":
        idle = idle | {"crf"}
    if settings.fps is None:
        idle = idle | {"fps"}
    return settings.model_dump(exclude=idle)


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML without aliases (a few lines of them can expand to gigabytes) or repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            line = self.get_mark().line + 1
            raise InputError(f"line {line} uses an alias (*name); write the value out instead")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                line = key_node.start_mark.line + 1
                raise InputError(f"setting '{key}' stands twice (line {line}); keep one")
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The settings written in a YAML file, as plain dicts and lists."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_YAML_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if len(raw) > MAX_YAML_BYTES:
        raise InputError(f"{path}: over {MAX_YAML_BYTES} bytes is no settings file; check the path")
    return _parse(raw, str(path))


def _parse(raw: bytes, origin: str) -> dict[str, Any]:
    try:
        values = yaml.load(raw.decode("utf-8"), Loader=_StrictLoader)  # noqa: S506  a SafeLoader
    except InputError as error:
        raise InputError(f"{origin}: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{origin}: not valid YAML ({_first_line(error)})") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError(f"{origin}: expected lines of `name: value`, one per setting")
    return values


def _first_line(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error).splitlines()[0]


def apply_overrides(
    values: Mapping[str, Any], overrides: Sequence[str], example: str = "train.epochs=3"
) -> dict[str, Any]:
    """A copy of `values` with every `a.b=c` set; `c` is read as YAML, `example` shows how."""
    result = dict(values)
    for override in overrides:
        name, equals, text = override.partition("=")
        keys = name.strip().split(".")
        if not equals or not all(keys):
            raise InputError(f"--set {override}: expected NAME=VALUE, as in {example}")
        value = _parse(f"value: {text}".encode(), f"--set {override}")["value"]
        result = _with_value(result, keys, value, override)
    return result


def _with_value(node: Any, keys: list[str], value: Any, override: str) -> dict[str, Any]:
    if isinstance(node, list):
        raise InputError(f"--set {override}: that is a list; give it whole, as NAME='[{{a: 1}}]'")
    if not isinstance(node, Mapping):
        raise InputError(f"--set {override}: there is no section '{keys[0]}' inside a single value")
    copy = dict(node)
    rest = keys[1:]
    copy[keys[0]] = _with_value(copy.get(keys[0]) or {}, rest, value, override) if rest else value
    return copy


def build_settings(model: type[S], values: Mapping[str, Any], origin: str) -> S:
    """Check `values`; a mistake becomes one InputError that names `origin` and the setting."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False)
        found.sort(key=lambda detail: detail["type"] != "extra_forbidden")
        named = [_explain(model, detail) for detail in found[:MAX_ERRORS_NAMED]]
        if len(found) > MAX_ERRORS_NAMED:
            named.append(f"{len(found) - MAX_ERRORS_NAMED} more")
        raise InputError(f"{origin}: {'; '.join(named)}") from error


def load_settings(path: str | Path | None, model: type[S], overrides: Sequence[str] = ()) -> S:
    """Settings from a YAML file (None: the defaults) with `--set` overrides applied."""
    values = {} if path is None else read_yaml(path)
    return build_settings(model, apply_overrides(values, overrides), str(path or "settings"))


def dump_yaml(settings: Settings) -> str:
    """All settings, defaults included, as YAML that `load_settings` reads back equal."""
    values = settings.model_dump(mode="json")
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _explain(model: type[BaseModel], detail: ErrorDetails) -> str:
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"unknown setting '{path}'; {_hint(model, detail['loc'])}"
    if detail["type"] == "missing":
        return f"setting '{path}' is missing; add it"
    message = detail["msg"].removeprefix("Value error, ")
    if not path:
        return message
    return f"setting '{path}': {message[0].lower()}{message[1:]}, got {detail['input']!r:.60}"


def _hint(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    owner, choices = model, [model]
    for part in location[:-1]:
        field = owner.model_fields.get(str(part))
        if field is not None:
            choices = _models_in(field.annotation)
        else:  # the kind that tells which of several
            choices = [one for one in choices if _is_kind(one, part)]
        owner = choices[0] if choices else owner
    names = list(owner.model_fields)
    near = difflib.get_close_matches(str(location[-1]), names, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(names)}"


def _is_kind(model: type[BaseModel], kind: int | str) -> bool:
    kinds = (typing.get_args(field.annotation) for field in model.model_fields.values())
    return any(kind in names for names in kinds)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]
