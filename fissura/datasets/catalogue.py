"""The data sets that fissura knows by name: where they come from and on what terms."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from fissura.types import InputError

UNSTATED = "none stated"
UNREAD = "not read here; ask the source"
RESEARCH = "non-commercial research and education only"


@dataclass(frozen=True)
class Known:
    """One data set: `layout` is a name in DATASETS or LAYOUTS, `terms` what the source states."""

    name: str
    layout: str
    source: str
    terms: str


KNOWN = (
    Known("deepcrack537", "pairs", "DeepCrack, Liu et al. 2019 (yhlleo/DeepCrack)", RESEARCH),
    Known("cfd", "pairs", "CrackForest, Shi et al. 2016, 79 of 118 as PNG masks", RESEARCH),
    Known("crack500_crops", "pairs", "Crack500, Zhang et al. 2016, a sample", UNSTATED),
    Known("crackmap", "pairs", "CrackMap, Katsamenis et al. 2023", UNSTATED),
    Known("masonry", "pairs", "Dais et al. 2021", "GPL-3.0 file beside the pictures"),
    Known("cracktile", "pairs", "Ruiz et al. 2021, ceramic tiles", "MIT file beside the pictures"),
    Known("khanhha_mix", "pairs", "khanhha/crack_segmentation, a sample", UNSTATED),
    Known("asphaltcrack300", "pairs", "guoguolord/CrackDataset, a sample", UNSTATED),
    Known(
        "road_sequences", "pairs", "Passos et al. 2020, roads, boxes too", "MIT file beside them"
    ),
    Known("belt_defects", "belt_defects", "conveyor belts, boxes only", "MIT file beside them"),
    Known("quay_uav", "coco", "Komi et al. 2025, quays, boxes only", "CC BY-SA 4.0"),
    Known("field", "pairs", "mixed photographs without truth", "mixed; internal use"),
    Known("crackforest", "crackforest", "CrackForest as its authors publish it (.mat)", RESEARCH),
    Known("deepcrack", "deepcrack537", "DeepCrack as its authors publish it", RESEARCH),
    Known("cracktree260", "crack_index", "DeepCrack, Zou et al. 2019: for training", UNREAD),
    Known("crkwh100", "crack_index", "DeepCrack, Zou et al. 2019: for testing", UNREAD),
    Known("crackls315", "crack_index", "DeepCrack, Zou et al. 2019: for testing", UNREAD),
    Known("stone331", "crack_index", "DeepCrack, Zou et al. 2019: for testing, regions", UNREAD),
    Known("khanhha", "khanhha", "khanhha/crack_segmentation, twelve merged sets", UNSTATED),
    Known("crack500", "crack500", "Crack500, Zhang et al. 2016, Yang et al. 2019", UNSTATED),
    Known("beltcrack14ks", "beltcrack", "BeltCrack, Huang et al. 2025: 29 sequences", UNREAD),
    Known("beltcrack9kd", "beltcrack", "BeltCrack, Huang et al. 2025: 42 sequences", UNREAD),
)


def listing(root: Path | str | None = None) -> list[dict[str, str | bool]]:
    """Every known set as a row: name, layout, source, terms; with `root`, whether it is there.

    `CrackTree260` is `cracktree260`: the case of a folder's name does not matter.
    """
    if root and not Path(root).is_dir():
        raise InputError(f"{root}: no such folder of data; check the path")
    if not root:
        return [asdict(one) for one in KNOWN]
    there = {path.name.casefold() for path in Path(root).iterdir() if path.is_dir()}
    return [{**asdict(one), "found": one.name in there} for one in KNOWN]
