"""Engine (or a folder of predictions) + data set + named protocol → JSON, tables, curves."""

from __future__ import annotations

from fissura.evaluate.baseline import black_hat, choose_black_hat, open_baseline
from fissura.evaluate.evaluation import evaluate
from fissura.evaluate.job import EvaluateSettings
from fissura.evaluate.protocols import PROTOCOLS, Protocol

__all__ = [
    "PROTOCOLS",
    "EvaluateSettings",
    "Protocol",
    "black_hat",
    "choose_black_hat",
    "evaluate",
    "open_baseline",
]
