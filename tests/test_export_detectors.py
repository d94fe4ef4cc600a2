"""Detectors as files: every engine gives the boxes that torch gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_detectors import SIZE_HW, saved
from small_videos import picture, write_video
from toy_detector import write_toy_detector

import fissura
from fissura.benchmark import Workload, benchmark
from fissura.config import PredictSettings
from fissura.engines import open_engine
from fissura.pipeline import detect_clip
from fissura.weights import read_card


@pytest.mark.slow
def test_yolox_runs_alike_in_every_engine(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from fissura.export import export_model

    path = saved("yolox_s", tmp_path)
    agreement = export_model(path, path.with_suffix(".onnx"))
    assert agreement.ok
    assert agreement.pictures == 4
    assert read_card(path.with_suffix(".onnx")).strides == (8, 16, 32)
    image = np.random.default_rng(0).integers(0, 256, (80, 100, 3), np.uint8)
    found = {}
    for engine in ("onnxruntime", "openvino", "torch"):
        if engine == "openvino":
            pytest.importorskip("openvino")
        settings = PredictSettings(threshold=0.01)
        found[engine] = detect_clip([image], open_engine(path, engine, threads=1), settings)
    first = found["onnxruntime"]
    assert len(first.labels) > 0
    for other in found.values():
        np.testing.assert_allclose(other.boxes, first.boxes, atol=0.02)
        np.testing.assert_allclose(other.scores, first.scores, atol=1e-4)


def test_beltcrackdet_watches_a_video_in_torch(tmp_path: Path) -> None:
    path = saved("beltcrackdet", tmp_path)
    frames = read_card(path).frames
    assert frames > 1
    video = write_video(tmp_path / "belt.avi", 3)
    results = list(fissura.load(path, threads=1, threshold=0.01).predict(video))
    assert len(results) == 3
    engine = open_engine(path, threads=1)
    clip = np.stack([picture(0)] * frames)
    raw = engine.run_clip(clip)["boxes_raw"]
    assert raw.shape == (6, SIZE_HW[0] // 8, SIZE_HW[1] // 8)
    np.testing.assert_allclose(engine.run_clip(clip)["boxes_raw"], raw, atol=1e-6)


@pytest.mark.parametrize("frames", [1, 3])
def test_benchmark_takes_a_detectors_own_size(tmp_path: Path, frames: int) -> None:
    model: Any = write_toy_detector(tmp_path / "toy.onnx", frames, size_hw=(64, 128))
    timing = benchmark(model, workload=Workload(frames=2, threads=1))
    assert timing.size_hw == (64, 128)
    larger = benchmark(model, workload=Workload((128, 128), frames=2, threads=1))
    assert larger.size_hw == (128, 128)
