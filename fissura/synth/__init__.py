"""Rendered pictures of cracks with exact truth."""

from fissura.synth.belt import BeltFrame, BeltScene
from fissura.synth.belt_files import BeltSeries, write_belts
from fissura.synth.belt_options import check_subject, read_series, read_size, read_style
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
    "read_series",
    "read_size",
    "read_style",
    "render_crack",
    "render_wall",
    "write_belts",
    "write_demo",
]
