"""fissura finds, outlines and measures cracks in photographs.

    import fissura

    for result in fissura.load("cgnet", mm_per_px=0.2).predict("photographs/"):
        print(result.source, len(result.cracks))

Names are fetched on first use, so importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fissura.config import PredictSettings
    from fissura.pipeline import Prediction, Predictor, load
    from fissura.streaming import Stream, stream
    from fissura.types import Crack, Frame, InputError, Measures, Quantity, Result, Scale

__version__ = "0.1.0"

_HOMES = {
    "PredictSettings": "fissura.config",
    "Prediction": "fissura.pipeline",
    "Predictor": "fissura.pipeline",
    "load": "fissura.pipeline",
    "Crack": "fissura.types",
    "Frame": "fissura.types",
    "InputError": "fissura.types",
    "Measures": "fissura.types",
    "Quantity": "fissura.types",
    "Result": "fissura.types",
    "Scale": "fissura.types",
    "Stream": "fissura.streaming",
    "stream": "fissura.streaming",
}

__all__ = [
    "Crack",
    "Frame",
    "InputError",
    "Measures",
    "PredictSettings",
    "Prediction",
    "Predictor",
    "Quantity",
    "Result",
    "Scale",
    "Stream",
    "__version__",
    "load",
    "stream",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fissura' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
