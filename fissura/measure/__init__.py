"""Measuring cracks: skeleton, length, width, orientation, scale."""

from fissura.measure.cracks import measure_cracks
from fissura.measure.scale import from_camera, from_mm_per_px, parse_gsd_from

__all__ = ["from_camera", "from_mm_per_px", "measure_cracks", "parse_gsd_from"]
