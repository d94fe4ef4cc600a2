"""Settings: defaults, YAML in and out, overrides, and mistakes told in one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fissura.config import (
    PredictSettings,
    Settings,
    apply_overrides,
    build_settings,
    dump_yaml,
    load_settings,
    read_yaml,
)
from fissura.types import InputError


class Optimizer(Settings):
    lr: float = 1e-3
    steps: int = 10


class Experiment(Settings):
    name: str
    optimizer: Optimizer = Optimizer()
    stages: tuple[Optimizer, ...] = ()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(tmp_path: Path, text: str, model: type[Settings] = PredictSettings) -> str:
    with pytest.raises(InputError) as caught:
        load_settings(write(tmp_path, text), model)
    message = str(caught.value)
    assert "\n" not in message
    assert "settings.yaml" in message
    return message


def test_defaults_need_no_file() -> None:
    assert load_settings(None, PredictSettings) == PredictSettings()


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "# nothing\n"), PredictSettings) == PredictSettings()


def test_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    message = refusal(tmp_path, "treshold: 0.4\n")
    assert "'treshold'" in message
    assert "did you mean 'threshold'?" in message


def test_unknown_key_in_a_section_names_the_nearest_there(tmp_path: Path) -> None:
    message = refusal(tmp_path, "name: a\noptimizer: {step: 3}\n", Experiment)
    assert "'optimizer.step'" in message
    assert "did you mean 'steps'?" in message


def test_unknown_key_in_a_list_of_sections(tmp_path: Path) -> None:
    message = refusal(tmp_path, "name: a\nstages: [{step: 3}]\n", Experiment)
    assert "'stages.0.step'" in message
    assert "did you mean 'steps'?" in message


def test_far_off_key_lists_what_exists(tmp_path: Path) -> None:
    assert "known here: lr, steps" in refusal(
        tmp_path, "name: a\noptimizer: {zzz: 3}\n", Experiment
    )


def test_missing_setting_is_named(tmp_path: Path) -> None:
    assert "'name' is missing" in refusal(tmp_path, "optimizer: {lr: 1}\n", Experiment)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("threshold: 1.5", "threshold"),
        ("threshold: .nan", "threshold"),
        ("threshold: soft", "threshold"),
        ("engine: tensorrt", "engine"),
        ("threads: 0", "threads"),
        ("mm_per_px: -1", "mm_per_px"),
        ("threshold: 0.3\nlow_threshold: 0.6", "low_threshold"),
        ("mm_per_px: 1\ngsd_from: 35mm,36x24mm,12m", "gsd_from"),
        ("tile: 512\noverlap: 300", "overlap"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, text: str, named: str) -> None:
    assert named in refusal(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    ["- a\n- b\n", "just text", "a: [1, 2", "a: 1\na: 2\n", "1: 2\n", "[" * 3_000, "\x00"],
)
def test_what_is_no_settings_file_is_refused(tmp_path: Path, text: str) -> None:
    refusal(tmp_path, text)


def test_repeated_key_inside_a_section(tmp_path: Path) -> None:
    message = refusal(tmp_path, "name: a\noptimizer:\n  lr: 1\n  lr: 2\n", Experiment)
    assert "'lr' stands twice (line 4)" in message


def test_alias_bomb_is_refused_before_it_expands(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert "alias" in refusal(tmp_path, "\n".join(lines))


def test_objects_are_never_built(tmp_path: Path) -> None:
    refusal(tmp_path, "name: !!python/object/apply:os.getcwd []\n", Experiment)


def test_huge_file_is_refused(tmp_path: Path) -> None:
    assert "bytes" in refusal(tmp_path, "#" * 1_100_000)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        read_yaml(tmp_path / "nowhere.yaml")


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_yaml(tmp_path)


def test_overrides_reach_into_sections_and_leave_the_original_alone() -> None:
    values = {"name": "a", "optimizer": {"lr": 1.0}}
    changed = apply_overrides(values, ["optimizer.steps=3", "name=b", "optimizer.lr=1e-2"])
    assert values == {"name": "a", "optimizer": {"lr": 1.0}}
    built = build_settings(Experiment, changed, "here")
    assert (built.name, built.optimizer.lr, built.optimizer.steps) == ("b", 0.01, 3)


@pytest.mark.parametrize("override", ["threshold", "=3", "a..b=3", ".a=1", "a=[1"])
def test_malformed_overrides(override: str) -> None:
    with pytest.raises(InputError, match="--set"):
        apply_overrides({}, [override])


def test_override_cannot_reach_into_a_value() -> None:
    with pytest.raises(InputError, match="single value"):
        apply_overrides({"a": 3}, ["a.b=1"])


@given(
    threshold=st.none() | st.floats(0.01, 0.99),
    tile=st.none() | st.integers(32, 10_000),
    model=st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1),
)
def test_yaml_round_trip(threshold: float | None, tile: int | None, model: str) -> None:
    settings = PredictSettings(threshold=threshold, tile=tile, model=model)
    import yaml

    again = build_settings(PredictSettings, yaml.safe_load(dump_yaml(settings)), "again")
    assert again == settings


def test_dumped_file_is_complete_and_loads(tmp_path: Path) -> None:
    path = write(tmp_path, dump_yaml(PredictSettings(mm_per_px=0.25)))
    assert load_settings(path, PredictSettings).mm_per_px == 0.25
    assert set(read_yaml(path)) == set(PredictSettings.model_fields)
