"""Engine (or stored predictions) + data set + named protocol → JSON, tables, curves."""

from __future__ import annotations

from fissura.evaluate.baseline import black_hat, choose_black_hat, open_baseline
from fissura.evaluate.boxes.protocols import BOX_PROTOCOLS, BoxProtocol
from fissura.evaluate.evaluation import evaluate
from fissura.evaluate.given import open_given
from fissura.evaluate.job import EvaluateSettings
from fissura.evaluate.protocols import PROTOCOLS, Protocol

__all__ = [
    "BOX_PROTOCOLS",
    "PROTOCOLS",
    "BoxProtocol",
    "EvaluateSettings",
    "Protocol",
    "black_hat",
    "choose_black_hat",
    "evaluate",
    "open_baseline",
    "open_given",
]
