"""From a crack map to a clean mask."""

from fissura.refine.clean import clean_mask

__all__ = ["clean_mask"]
