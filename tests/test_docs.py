"""What the documents say is so: commands run, options exist, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from conftest import ROOT
from small_videos import picture, write_video
from toy_detector import write_toy_detector
from toy_model import write_toy_model
from typer.testing import CliRunner

from fissura import weights
from fissura.cli import app
from fissura.config import PredictSettings, Settings
from fissura.report import WRITERS
from fissura.synth import CrackSpec, render_crack

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RUN = [ROOT / "README.md", ROOT / "docs" / "quickstart.md", ROOT / "docs" / "video.md"]
NOT_RUN = {
    "fissura train configs/cgnet_default.yaml": "takes hours; the file is read by another test",
    "fissura predict camera:0 --model belt.onnx": "wants a camera",
    "fissura predict rtsp://camera.local/belt --model belt.onnx --out belt-today": "wants a camera",
}

GRAMMAR = re.compile(r"\[(?:options|--|DIR)")
"""Marks of a line that shows a verb's form and is no command itself."""


def commands(page: Path) -> list[str]:
    lines = page.read_text("utf-8").splitlines()
    return [line.strip() for line in lines if line.startswith("    fissura ")]


def python_blocks(page: Path) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL))


def shrink_pictures() -> None:
    """The rendered pictures at a quarter of their size, so that the other commands are quick."""
    for path in Path("pictures").glob("*.jpg"):
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (300, 200)))


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place with photographs, a data set in DIR, a video, and quick networks for both."""
    monkeypatch.chdir(tmp_path)
    for name in ("photographs", "DIR/images", "DIR/masks", "DIR/splits"):
        Path(name).mkdir(parents=True)
    Path("DIR/splits/train.txt").write_text("0\n1\n2\n", "utf-8")
    Path("DIR/splits/test.txt").write_text("3\n4\n5\n", "utf-8")
    for seed in range(6):
        crack = render_crack(CrackSpec(size_hw=(96, 128), angle_deg=25.0 * seed), seed=seed)
        cv2.imwrite(f"photographs/{seed}.jpg", crack.image[..., ::-1])
        shutil.copy(f"photographs/{seed}.jpg", "DIR/images")
        cv2.imwrite(f"DIR/masks/{seed}.png", crack.mask.astype(np.uint8) * 255)
    Path("frames").mkdir()
    for number in range(3):
        cv2.imwrite(f"frames/{number}.png", picture(number))
    write_video(tmp_path / "belt.mp4", 5)
    write_toy_detector(tmp_path / "belt.onnx", frames=3)
    model = write_toy_model(tmp_path / "toy.onnx")
    monkeypatch.setattr(weights, "shipped", lambda: {"cgnet": model})
    return tmp_path


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_commands_run(page: Path, folder: Path) -> None:
    ran = 0
    for command in commands(page):
        if command not in NOT_RUN:
            result = CliRunner().invoke(app, shlex.split(command)[1:])
            assert result.exit_code == 0, f"{command}\n{result.stderr}\n{result.exception!r}"
            ran += 1
            if "synth" in command:
                shrink_pictures()
    assert ran >= 5


@pytest.mark.parametrize(
    "page", [*RUN, ROOT / "docs" / "python.md", ROOT / "docs" / "streaming.md"], ids=name_of
)
def test_python_runs(page: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree("photographs", "pictures")
    exec(compile(python_blocks(page), str(page), "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("page", [page for page in PAGES if page not in RUN], ids=name_of)
def test_commands_of_other_pages_name_verbs_and_options_that_exist(page: Path) -> None:
    verbs = all_verbs()
    for command in commands(page):
        if GRAMMAR.search(command):
            continue
        words = shlex.split(command, comments=True)
        verb = next(v for v in (" ".join(words[:n]) for n in (3, 2)) if v in verbs)
        verbs[verb].make_context(verb, words[len(verb.split()) :])


def test_exemptions_are_still_needed() -> None:
    everything = [command for page in RUN for command in commands(page)]
    assert set(NOT_RUN) <= set(everything)


@pytest.mark.slow
@pytest.mark.skipif(not weights.shipped(), reason="no weights are installed")
def test_quick_start_with_the_weights_that_ship(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in commands(ROOT / "docs" / "quickstart.md")[:2]:
        result = CliRunner().invoke(app, shlex.split(command)[1:])
        assert result.exit_code == 0, result.stderr
    assert Path("measured/report.html").is_file()
    assert "longest" in result.stdout


def all_verbs(group: Any = None, prefix: str = "fissura") -> dict[str, Any]:
    """Every verb with its typer command; groups of verbs are opened."""
    found = {}
    for name, command in (group or typer.main.get_command(app)).commands.items():
        inner = hasattr(command, "commands")
        full = f"{prefix} {name}"
        found |= all_verbs(command, full) if inner else {full: command}
    return found


def sections() -> dict[str, str]:
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("verb", all_verbs())
def test_every_option_is_documented(verb: str) -> None:
    written = set(re.findall(r"`(--[a-z-]+)", sections()[verb]))
    existing = {name for param in all_verbs()[verb].params for name in param.opts if "--" in name}
    assert written == existing


def test_every_documented_verb_exists() -> None:
    assert set(sections()) == set(all_verbs())


def test_every_format_is_documented() -> None:
    for name in WRITERS:
        assert re.search(rf"\b{name}\b", sections()["fissura predict"]), name


def test_every_setting_is_an_option() -> None:
    fields = {param.name for param in all_verbs()["fissura predict"].params}
    sections = {
        name
        for name, field in PredictSettings.model_fields.items()
        if isinstance(field.default, Settings)
    }
    assert "changes" in fields, "--set reaches what stands in sections"
    assert set(PredictSettings.model_fields) - sections <= fields


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


def anchors(page: Path) -> set[str]:
    """Of its headings, as they are made where pages are shown."""
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", head.strip().lower()) for head in heads)
    return {text.replace(" ", "-") for text in plain}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_into_pages_lead_to_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text("utf-8")):
        other = page.parent / target if target else page
        assert anchor in anchors(other), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_fences_are_closed(page: Path) -> None:
    assert page.read_text("utf-8").count("```") % 2 == 0
