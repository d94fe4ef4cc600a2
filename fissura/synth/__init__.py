"""Rendered pictures of cracks with exact truth."""

from fissura.synth.cracks import CrackSpec, RenderedCrack, render_crack
from fissura.synth.textures import TEXTURES, Texture
from fissura.synth.walls import DEMO_MM_PER_PX, render_wall, write_demo

__all__ = [
    "DEMO_MM_PER_PX",
    "TEXTURES",
    "CrackSpec",
    "RenderedCrack",
    "Texture",
    "render_crack",
    "render_wall",
    "write_demo",
]
