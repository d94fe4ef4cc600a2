"""Where crack maps come from: a folder of predictions, an engine, or any function of a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from fissura.config import PredictSettings
from fissura.engines import Engine
from fissura.evaluate.stored import Brightness, read_map
from fissura.maps import crack_map, enlarged_map
from fissura.refine import OWN_THRESHOLDS, own_settings
from fissura.types import FloatMap, InputError, Sample, UInt8Image

SUFFIXES = (".png", ".npy")


@runtime_checkable
class Source(Protocol):
    """Gives the crack map of a sample.

    `threshold` is the one chosen in training, if known; `details` says more for the report.
    """

    name: str
    threshold: float | None
    details: Mapping[str, Any]

    def check(self, pictures: Sequence[tuple[str, str]]) -> None:
        """Raise InputError if a prediction is missing, before any work is done."""

    def predict(self, sample: Sample) -> NDArray[Any]:
        """Probabilities H×W: float in [0, 1], or uint8 or uint16 of full range."""

    def finish(self) -> None:
        """Raise InputError if the predictions as a whole cannot be meant."""


@dataclass(frozen=True)
class Seen:
    """A crack map, and the enlarged picture that it was found in where the given one was small."""

    probability: NDArray[Any]
    enlarged: UInt8Image | None = None


@runtime_checkable
class Seeing(Source, Protocol):
    """A source that enlarges pictures and gives them with the map."""

    def see(self, sample: Sample) -> Seen:
        """The map H×W and the enlarged picture, H×W×3."""


def see(source: Source, sample: Sample) -> Seen:
    """Whatever the source makes of the sample."""
    return source.see(sample) if isinstance(source, Seeing) else Seen(source.predict(sample))


class Computed:
    """Maps computed from the picture: by an engine, a baseline or any function."""

    def __init__(
        self,
        name: str,
        run: Callable[[UInt8Image], FloatMap],
        threshold: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.threshold, self.run = name, threshold, run
        self.details = details or {}

    def check(self, pictures: Sequence[tuple[str, str]]) -> None:
        """Nothing can be missing."""

    def predict(self, sample: Sample) -> NDArray[Any]:
        """The map of the picture, float in [0, 1]."""
        return self.run(sample.image)

    def finish(self) -> None:
        """Nothing can be wrong."""


class Enlarging(Computed):
    """Maps of a network that enlarges pictures `scale` times; those of a set at their own size."""

    def __init__(self, computed: Computed, scale: int, run: Callable[[UInt8Image], Seen]) -> None:
        super().__init__(computed.name, computed.run, computed.threshold, computed.details)
        self.scale, self.enlarge = scale, run


def from_engine(engine: Engine, settings: PredictSettings) -> Computed:
    """Maps of a network, computed as `fissura predict` does."""

    def run(image: UInt8Image) -> FloatMap:
        return crack_map(image, engine, settings)

    card = engine.card
    details = {
        "engine": engine.name,
        "precision": settings.precision,
        "input_scale": settings.input_scale or card.input_scale,
        "weights_sha256": card.weights_sha256,
        "file": card.path.name if card.path else "",
        "arguments": card.arguments,
    }
    if settings.refine != "none":
        details |= {"refine": settings.refine, "refine_settings": own_settings(settings)}
    # A threshold from who knows which pictures, perhaps these, or of other maps, is not taken.
    own = card.threshold_from == "validation" and settings.refine not in OWN_THRESHOLDS
    threshold = card.threshold if own else None
    computed = Computed(card.title, run, threshold, details)
    if card.output_scale == 1:
        return computed

    def enlarge(image: UInt8Image) -> Seen:
        return Seen(*enlarged_map(image, engine, settings))

    return Enlarging(computed, card.output_scale, enlarge)


class Folder:
    """Maps stored as 8- or 16-bit PNG or as .npy under the pictures' names.

    Several sets need a folder each where they share names. A folder that
    `fissura predict --formats probability` wrote may be given as it is.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder of predictions; check the path")
        inner = folder / "probability"
        self.folder = inner if inner.is_dir() else folder
        self.name = folder.name
        self.threshold: float | None = None
        self.details: Mapping[str, Any] = {"kind": "folder of predictions"}
        self._files: dict[tuple[str, str], Path] = {}
        self._brightness = Brightness()

    def check(self, pictures: Sequence[tuple[str, str]]) -> None:
        """Every picture needs exactly one prediction."""
        shared = len({name for _, name in pictures}) < len(pictures)
        found = {picture: self._find(*picture, shared) for picture in pictures}
        missing = [picture for picture, files in found.items() if not files]
        if missing:
            of, name = missing[0]
            name = f"{of}/{name}" if shared else name
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise InputError(
                f"{self.folder}: no prediction for picture '{name}'{more} of {len(pictures)};"
                f" put {name}.png (8 or 16 bit) or {name}.npy there"
            )
        twice = next((files for files in found.values() if len(files) > 1), None)
        if twice:
            raise InputError(f"{twice[0]}: {twice[1].name} stands beside it; keep one of them")
        self._files |= {picture: files[0] for picture, files in found.items()}

    def predict(self, sample: Sample) -> NDArray[Any]:
        """The stored map, as it is."""
        height, width = sample.image.shape[:2]
        path = self._files[sample.set, sample.name]
        values = read_map(path, (height, width))
        self._brightness.see(path, values)
        return values

    def finish(self) -> None:
        """0/1 masks saved as they are would count as black maps."""
        self._brightness.finish()

    def _find(self, of: str, name: str, shared: bool) -> list[Path]:
        stems = [f"{of}/{name}"] if shared else [f"{of}/{name}", name]
        for stem in stems:
            paths = [self.folder / f"{stem}{suffix}" for suffix in SUFFIXES]
            files = [path for path in paths if path.is_file()]
            if files:
                return files
        return []
