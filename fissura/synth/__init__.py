"""Rendered pictures of cracks with exact truth."""

from fissura.synth.belt import BeltFrame, BeltScene
from fissura.synth.belt_files import BeltSeries, check_subject, read_size, write_belts
from fissura.synth.belt_style import BeltStyle
from fissura.synth.cracks import CrackSpec, RenderedCrack, render_crack
from fissura.synth.textures import TEXTURES, Texture
from fissura.synth.walls import DEMO_MM_PER_PX, render_wall, write_demo

__all__ = [
    "DEMO_MM_PER_PX",
    "TEXTURES",
    "BeltFrame",
    "BeltScene",
    "BeltSeries",
    "BeltStyle",
    "CrackSpec",
    "RenderedCrack",
    "Texture",
    "check_subject",
    "read_size",
    "render_crack",
    "render_wall",
    "write_belts",
    "write_demo",
]
