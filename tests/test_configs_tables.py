"""The presets of the ablations of BeltCrackDet's paper: its Tables 5 and 6, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from belt_set import write_belt_set
from conftest import ROOT

from fissura.config import load_settings, read_yaml
from fissura.train.config import TrainConfig
from fissura.train.loop import train

TABLE5: dict[str, dict[str, Any]] = {
    "none": {"hsm": False, "atm": False, "wfm": False},
    "hsm": {"atm": False, "wfm": False},
    "hsm_atm": {"wfm": False},
    "no_rcu": {"rcu": []},
    "rcu_a": {"rcu": [1]},
    "rcu_b": {"rcu": [1, 2]},
    "rcu_c": {"rcu": [1, 2, 3]},
    "hsm_wfm": {"atm": False},
}
"""End of the name -> parts of the network; the last one is no row of the paper."""

TABLE6 = {"nwd": (0.0, 1.0), "iou": (1.0, 0.0), "both": (0.5, 0.5)}
"""End of the name -> shares of overlap and distance."""

ROWS = [f"beltcrackdet_table5_{row}" for row in TABLE5]
ROWS += [f"beltcrackdet_table6_{row}" for row in TABLE6]


def preset(name: str) -> Path:
    return ROOT / "configs" / f"{name}.yaml"


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_belt_set(tmp_path_factory.mktemp("data"))


def test_the_presets_are_the_rows() -> None:
    found = (ROOT / "configs").glob("beltcrackdet_table*.yaml")
    assert sorted(path.stem for path in found) == sorted(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_a_row_differs_from_the_release_in_its_own_part_alone(name: str) -> None:
    row, release = (read_yaml(preset(one)) for one in (name, "beltcrackdet_released"))
    end = name.split("_", maxsplit=2)[2]
    parts, loss = TABLE5.get(end, {}), {}
    if "table6" in name:
        parts, loss = {}, dict(zip(("zeta", "eta"), TABLE6[end], strict=True))
    assert row.pop("name") == name
    assert row.pop("arguments") == release.pop("arguments") | parts
    assert row.pop("loss") == release.pop("loss") | loss
    release.pop("name")
    assert row == release


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_a_row_trains_a_step_and_exports(name: str, data_root: Path, tmp_path: Path) -> None:
    for module in ("safetensors", "onnx", "onnxscript"):
        pytest.importorskip(module)
    from fissura.export import export_model
    from fissura.weights import read_card

    small = [
        f"data.root={data_root}",
        "data.sets={belt: 1.0}",
        "data.size_hw=[64, 64]",
        "data.validation_limit=1",
        "arguments.width=0.125",
        "stages=[{iterations: 1, batch_size: 2}]",
        "device=cpu",
        "threads=1",
        "workers=0",
    ]
    best = train(load_settings(preset(name), TrainConfig, small), tmp_path)
    agreement = export_model(best, tmp_path / "row.onnx")
    assert agreement.ok
    card = read_card(tmp_path / "row.onnx")
    assert (card.name, card.frames, card.size_hw) == ("beltcrackdet", 5, (64, 64))
    given = {key: _plain(value) for key, value in card.arguments.items()}
    assert given.items() >= TABLE5.get(name.removeprefix("beltcrackdet_table5_"), {}).items()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
