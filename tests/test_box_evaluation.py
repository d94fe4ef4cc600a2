"""Evaluation of boxes where frames are missing, names are awkward or numbers are absurd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_belts import results_of, write_belts
from typer.testing import CliRunner

from fissura.cli import app
from fissura.evaluate import EvaluateSettings, evaluate
from fissura.types import InputError

FEW = EvaluateSettings(resamples=0)


@pytest.fixture
def belts(tmp_path: Path) -> Path:
    return write_belts(tmp_path / "belts")


@pytest.fixture
def truth(belts: Path, tmp_path: Path) -> Path:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(results_of(belts)), "utf-8")
    return path


def score(given: Any, data: Path, split: str | None = None, **settings: Any) -> Any:
    changed = FEW.model_copy(update={"overwrite": True} | settings)
    return evaluate(given, data, None, split, "coco", data.parent / "out", changed)


def test_a_frame_missing_elsewhere_stops_no_evaluation(belts: Path, truth: Path) -> None:
    (belts / "images" / "a" / "1.png").unlink()  # of split val
    assert score(truth, belts, "test")["data"]["pictures"] == 7
    with pytest.raises(InputError, match=r"a/1\.png is not there; .* set missing to earlier"):
        score(truth, belts, "val")


def test_missing_frames_may_be_left_out(belts: Path, truth: Path) -> None:
    (belts / "images" / "b" / "2.png").unlink()
    words = ["evaluate", "--data", str(belts), "--predictions", str(truth), "--resamples", "0"]
    words += ["--out", str(belts.parent / "out")]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert "b/2.png is not there" in refused.stderr
    taken = CliRunner().invoke(app, [*words, "--missing", "earlier", "--json"])
    assert taken.exit_code == 0, taken.stderr
    data = json.loads(taken.stdout)["data"]
    assert data["pictures"] == 9
    assert [text for text in data["notices"] if "b/2.png" in text]
