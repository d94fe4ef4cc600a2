"""khanhha's merged set: JPEG pairs in `train/` and `test/`, names begin with the source's."""

from __future__ import annotations

from pathlib import Path

from fakes.picture import pair, save

STEMS = (
    "CFD_002",
    "CRACK500_20160222_081011_1_361",
    "GAPS384_train_0514_541_1",
    "Rissbilder_for_Florian_9S6A2815_1237_159_3590_2891",
    "Volker_DSC01631_2_30_1821_2154",
    "cracktree200_6201",
)
REST = "Eugen_Muller_{}_329_209_632_479"


def generate(root: Path, count: int) -> list[str]:
    """Write `count` pairs of as many photographs, every third into the test part."""
    stems = [*STEMS, *(REST.format(9360 + i) for i in range(count))][:count]
    sides = ["test" if place % 3 == 2 else "train" for place in range(count)]
    for seed, (stem, side) in enumerate(zip(stems, sides, strict=True)):
        write(root, side, stem, seed)
    names = sorted(zip(sides, stems, strict=True), key=lambda one: (one[0] == "test", one[1]))
    return [name for _, name in names]


def write(root: Path, side: str, stem: str, seed: int) -> tuple[Path, Path]:
    """One picture with its mask, both JPEG; gives the two files."""
    image, mask = pair(seed)
    files = root / side / "images" / f"{stem}.jpg", root / side / "masks" / f"{stem}.jpg"
    save(files[0], image)
    save(files[1], mask)
    return files
