"""Engine (or a folder of predictions) + data set + named protocol → JSON, tables, curves."""

from __future__ import annotations

from fissura.evaluate.baseline import BASELINES, black_hat
from fissura.evaluate.evaluation import EvaluateSettings, evaluate, open_baseline
from fissura.evaluate.protocols import PROTOCOLS, Protocol

__all__ = [
    "BASELINES",
    "PROTOCOLS",
    "EvaluateSettings",
    "Protocol",
    "black_hat",
    "evaluate",
    "open_baseline",
]
