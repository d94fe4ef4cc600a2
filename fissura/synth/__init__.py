"""Rendered pictures of cracks with exact truth."""

from fissura.synth.cracks import CrackSpec, RenderedCrack, render_crack
from fissura.synth.textures import TEXTURES, Texture

__all__ = ["TEXTURES", "CrackSpec", "RenderedCrack", "Texture", "render_crack"]
