"""BeltCrackDet, one file for each of its parts."""

from fissura.models.beltcrackdet.network import BeltCrackDet

__all__ = ["BeltCrackDet"]
