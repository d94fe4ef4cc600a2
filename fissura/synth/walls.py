"""Scenes of several cracks among things that only look like cracks, and the demo pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fissura.synth.cracks import CrackSpec, RenderedCrack, Ribbon, draw, expose
from fissura.synth.textures import (
    Texture,
    add_joint,
    add_stain,
    cast_shadow,
    paint,
)
from fissura.types import FloatMap, InputError

DEMO_MM_PER_PX = 0.5
"""The scale that the demo pictures are drawn for: stones of 2 to 5 mm, cracks of 1 to 4 mm."""


@dataclass(frozen=True)
class _Plan:
    """One crack of a scene; lengths and places are fractions of the picture, widths in pixels."""

    angle_deg: float
    width_px: float
    centre: tuple[float, float]
    length: float | None = None
    branches: int = 0


@dataclass(frozen=True)
class _Scene:
    """Cracks and distractors of one kind of surface; `joint` is (fraction, width, vertical)."""

    plans: tuple[_Plan, ...]
    wander: float
    contrast: float
    relief: float
    joint: tuple[float, float, bool] | None = None
    stain: bool = False
    shadow: float = 0.0


SCENES: dict[Texture, _Scene] = {
    "concrete": _Scene(
        plans=(
            _Plan(24, 5.5, (0.45, 0.5), branches=2),
            _Plan(112, 3.4, (0.72, 0.72), length=0.36),
            _Plan(172, 2.6, (0.26, 0.84), length=0.3),
        ),
        wander=0.38,
        contrast=0.95,
        relief=0.5,
        joint=(0.885, 9.0, True),
        stain=True,
        shadow=0.42,
    ),
    "asphalt": _Scene(
        plans=(
            _Plan(8, 6.5, (0.5, 0.58), branches=2),
            _Plan(84, 4.5, (0.36, 0.25), length=0.5, branches=1),
            _Plan(150, 4.0, (0.8, 0.25), length=0.34),
        ),
        wander=0.4,
        contrast=0.93,
        relief=0.6,
        stain=True,
        shadow=0.35,
    ),
    "rubber": _Scene(
        plans=(
            _Plan(80, 6.5, (0.42, 0.46), length=0.78, branches=1),
            _Plan(102, 4.5, (0.7, 0.66), length=0.38),
        ),
        wander=0.22,
        contrast=0.9,
        relief=1.2,
        joint=(0.14, 4.0, False),
        shadow=0.3,
    ),
}


def _profile(width_px: float, rng: np.random.Generator) -> tuple[float, ...]:
    """Widths that swell and shrink along the crack around the given one."""
    return tuple((width_px * np.exp(0.28 * rng.standard_normal(9))).tolist())


def _ribbons(
    scene: _Scene, texture: Texture, size_hw: tuple[int, int], rng: np.random.Generator
) -> list[Ribbon]:
    h, w = size_hw
    drawn: list[Ribbon] = []
    for plan in scene.plans:
        nudge = rng.uniform(-0.04, 0.04, 2)
        length = None if plan.length is None else plan.length * max(h, w)
        spec = CrackSpec(
            size_hw=size_hw,
            width_px=_profile(plan.width_px, rng),
            angle_deg=plan.angle_deg + rng.uniform(-8, 8),
            length_px=length,
            centre_xy=(w * (plan.centre[0] + nudge[0]), h * (plan.centre[1] + nudge[1])),
            taper_px=0.0 if length is None else 0.35 * length,
            wander=scene.wander,
            roughness_px=0.6 + 0.3 * plan.width_px,
            branches=plan.branches,
            texture=texture,
        )
        drawn.extend(draw(spec, rng))
    return drawn


def _dressed(surface: FloatMap, scene: _Scene, rng: np.random.Generator) -> FloatMap:
    if scene.joint is not None:
        at, width, vertical = scene.joint
        surface = add_joint(surface, at + rng.uniform(-0.03, 0.03), width, vertical)
    if scene.stain:
        surface = add_stain(surface, rng)
    return surface


def render_wall(
    texture: Texture, seed: int = 0, size_hw: tuple[int, int] = (800, 1200), *, joint: bool = True
) -> RenderedCrack:
    """Render a scene of two or three cracks, some branched, with a joint, a stain and a shadow.

    A joint looks so much like a crack that networks take it for one; `joint` False leaves it out.

    Edges are ragged and the surface beside the cracks is worn, so it is a picture to look at and
    to detect cracks in; measure the measuring on `render_crack`.
    """
    if texture not in SCENES:
        raise InputError(f"texture {texture!r} has no scene: choose one of {sorted(SCENES)}.")
    scene = SCENES[texture] if joint else replace(SCENES[texture], joint=None)
    margin = 6
    grown = (size_hw[0] + 2 * margin, size_hw[1] + 2 * margin)
    rng = np.random.default_rng([seed, 3])
    surface = _dressed(paint(texture, grown, rng), scene, rng)
    ribbons = _ribbons(scene, texture, size_hw, rng)
    spec = CrackSpec(
        size_hw=size_hw,
        texture=texture,
        contrast=scene.contrast,
        relief=scene.relief,
        blur_px=0.7,
        noise=2.0,
    )
    return expose(surface, ribbons, spec, seed, light=cast_shadow(grown, rng, scene.shadow))


def truth_to_dict(crack: RenderedCrack, mm_per_px: float) -> dict[str, Any]:
    """The truth of one picture for a JSON file, with a centreline point about every 2 px."""
    lines = [
        {"centreline_xy": xy[::8].round(2).tolist(), "widths_px": width[::8].round(3).tolist()}
        for xy, width in zip(crack.centrelines_xy, crack.widths_px, strict=True)
    ]
    return {
        "texture": crack.texture,
        "seed": crack.seed,
        "size_hw": list(crack.mask.shape),
        "mm_per_px": mm_per_px,
        "length_px": round(crack.length_px, 3),
        "length_mm": round(crack.length_px * mm_per_px, 3),
        "area_px": round(float(crack.coverage.sum(dtype=np.float64)), 2),
        "lines": lines,
    }


DEMO: dict[str, tuple[Texture, int]] = {
    "concrete_wall.jpg": ("concrete", 5),
    "asphalt_road.jpg": ("asphalt", 5),
    "rubber_belt.jpg": ("rubber", 4),
}


def write_demo(folder: str | Path) -> list[Path]:
    """Write three demo photographs and `truth.json` into a folder; gives the pictures' paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    truth, paths = {}, []
    for name, (texture, seed) in DEMO.items():
        crack = render_wall(texture, seed, joint=False)
        jpeg = cv2.imencode(".jpg", crack.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 93])[1]
        (folder / name).write_bytes(jpeg.tobytes())
        truth[name] = truth_to_dict(crack, DEMO_MM_PER_PX)
        paths.append(folder / name)
    text = json.dumps({"mm_per_px": DEMO_MM_PER_PX, "pictures": truth})
    (folder / "truth.json").write_text(text + "\n", encoding="utf-8")
    return paths
