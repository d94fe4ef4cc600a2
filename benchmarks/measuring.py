"""How well cracks are measured: rendered cracks of known width and length, three kinds of input.

    python benchmarks/measuring.py [--quick] [--model cgnet] [--limits]

exact      the crack's own coverage as crack map, and the photograph
degraded   an outline that is 1-2 px too wide, soft and wobbly, and the photograph
known blur the same with the photograph's blur given
map only   the crack's own coverage without the photograph
wide map   the degraded outline without the photograph
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from fissura.measure import measure_cracks
from fissura.refine import clean_mask
from fissura.synth import CrackSpec, RenderedCrack, Texture, render_crack
from fissura.types import FloatMap, Measures, Quantity

WIDTHS_PX = (2.0, 3.0, 4.0, 6.0, 9.0, 12.0)
BLURS_PX = (0.5, 1.0, 1.8)
ANGLES_DEG = tuple(7 + 22.5 * k for k in range(8))
TEXTURES: tuple[Texture, ...] = ("concrete", "asphalt", "rubber")
CONTRASTS = (0.7, 0.85, 0.93)
LIMIT_WIDTHS_PX = (1.0, 1.5, 2.0, 3.0, 4.0, 8.0)
LIMIT_BLURS_PX = (0.8, 1.8, 3.0)
LIMIT_CONTRASTS = (0.85, 0.55, 0.4, 0.2)
PALE = (0.55, 0.4)
SIZE_HW = (320, 360)
LENGTH_PX = 220.0

MapOf = Callable[[RenderedCrack, CrackSpec], FloatMap]


@dataclass(frozen=True)
class Case:
    """One kind of input: how its map is made, whether photograph and blur are handed over."""

    name: str
    map_of: MapOf
    photograph: bool = True
    blur_known: bool = False


@dataclass(frozen=True)
class Outcome:
    """One measured crack beside its truth."""

    case: str
    spec: CrackSpec
    width: float
    length: float
    found: Measures | None
    source: str
    seconds: float


def exact(truth: RenderedCrack, spec: CrackSpec) -> FloatMap:
    """The share of each pixel that the crack covers, softened by half a pixel."""
    del spec
    return np.asarray(cv2.GaussianBlur(truth.coverage, (0, 0), 0.5), np.float32)


def degraded(truth: RenderedCrack, spec: CrackSpec) -> FloatMap:
    """An outline like a network's: 1 to 2 px too wide on each side, wobbling, with soft edges."""
    rng = np.random.default_rng(truth.seed)
    wobble = cv2.GaussianBlur(rng.standard_normal(truth.coverage.shape), (0, 0), 2.0)
    outside = cv2.distanceTransform((~truth.mask).astype(np.uint8), cv2.DIST_L2, 5)
    inside = cv2.distanceTransform(truth.mask.astype(np.uint8), cv2.DIST_L2, 5)
    distance = outside - inside
    wide = distance + 0.7 * wobble / wobble.std() < rng.uniform(1.5, 2.5)
    wide |= distance <= 1
    return np.asarray(cv2.GaussianBlur(wide.astype(np.float32), (0, 0), 1.5), np.float32)


CASES = (
    Case("exact", exact),
    Case("degraded", degraded),
    Case("known blur", degraded, blur_known=True),
    Case("map only", exact, photograph=False),
    Case("wide map", degraded, photograph=False),
)


def model_case(name: str) -> tuple[Case, float]:
    """The shipped network's own map as input, and its threshold."""
    from fissura import engines, maps
    from fissura.config import PredictSettings

    engine = engines.open_engine(name)

    def map_of(truth: RenderedCrack, spec: CrackSpec) -> FloatMap:
        del spec
        return maps.crack_map(truth.image, engine, PredictSettings())

    return Case(name, map_of), engine.card.threshold


def specs(quick: bool) -> Iterator[tuple[int, CrackSpec]]:
    """All combinations of width, blur, texture and angle, each with a seed of its own."""
    angles = ANGLES_DEG[::4] if quick else ANGLES_DEG
    every = itertools.product(WIDTHS_PX, BLURS_PX, TEXTURES, angles)
    for number, (width, blur, texture, angle) in enumerate(every):
        yield (
            7000 + number,
            CrackSpec(
                size_hw=SIZE_HW,
                width_px=width,
                angle_deg=angle,
                length_px=LENGTH_PX,
                texture=texture,
                contrast=CONTRASTS[number % 3],
                wander=0.15,
                blur_px=blur,
            ),
        )


def measure(case: Case, truth: RenderedCrack, spec: CrackSpec, threshold: float) -> Outcome:
    """Run one case on one rendered crack; the longest crack found counts."""
    crack_map = case.map_of(truth, spec)
    mask = clean_mask(crack_map, threshold)
    image = truth.image if case.photograph else None
    begin = time.perf_counter()
    cracks = measure_cracks(
        mask, crack_map, image, blur_px=spec.blur_px if case.blur_known else None
    )
    seconds = time.perf_counter() - begin
    first = cracks[0] if cracks else None
    return Outcome(
        case=case.name,
        spec=spec,
        width=float(np.mean(truth.widths_px[0])),
        length=truth.length_px,
        found=first.px if first else None,
        source=first.width_source if first else "none",
        seconds=seconds,
    )


def _covers(quantity: Quantity, truth: float) -> bool:
    return quantity.low <= truth <= quantity.high


def print_widths(outcomes: list[Outcome]) -> None:
    """Bias ± standard deviation of the mean width, and how many carry a value, by cell."""
    print("  width px |" + "|".join(f"     blur {blur} px      " for blur in BLURS_PX))
    for width in WIDTHS_PX:
        cells = []
        for blur in BLURS_PX:
            here = [o for o in outcomes if (o.spec.width_px, o.spec.blur_px) == (width, blur)]
            told = [o for o in here if o.found and o.found.width_mean.value is not None]
            error = np.array([o.found.width_mean.value - o.width for o in told if o.found])
            text = f"{error.mean():+.2f} ± {error.std():.2f}" if told else "   not told  "
            cells.append(f" {text} {len(told):3d}/{len(here)} ")
        print(f"  {width:8g} |" + "|".join(cells))


def print_summary(outcomes: list[Outcome]) -> None:
    """Bias, coverage of the 90 % intervals, length and time over all cracks of a case."""
    found = [o for o in outcomes if o.found]
    told = [o for o in found if o.found and o.found.width_mean.value is not None]
    width = np.array([o.found.width_mean.value - o.width for o in told if o.found])
    length = np.array([o.found.length.value / o.length - 1 for o in found if o.found])
    told_cover = np.mean([_covers(o.found.width_mean, o.width) for o in told if o.found])
    cover = np.mean([_covers(o.found.width_mean, o.width) for o in found if o.found])
    length_cover = np.mean([_covers(o.found.length, o.length) for o in found if o.found])
    photo = np.mean([o.source == "photograph" for o in found])
    print(f"  measured {len(found)}/{len(outcomes)}, on the photograph {photo:.0%}")
    print(
        f"  mean width: told {len(told)}, bias {width.mean():+.3f} px, |error| 90 % within "
        f"{np.percentile(abs(width), 90):.2f} px, 90 % interval covers {told_cover:.1%} "
        f"(with upper bounds of those not told {cover:.1%})"
    )
    print(
        f"  length: mean {length.mean():+.2%}, within 2 % {np.mean(abs(length) <= 0.02):.1%}, "
        f"worst {abs(length).max():.2%}, 90 % interval covers {length_cover:.1%}"
    )
    print(f"  time: {1000 * np.median([o.seconds for o in outcomes]):.0f} ms a crack")


def limits() -> None:
    """Fine, pale and blurred cracks, exact map and photograph: told there, bias, coverage."""
    widths = " | ".join(f"{width:g} px" for width in LIMIT_WIDTHS_PX)
    print(f"| contrast | blur | {widths} |\n|{'-|' * (2 + len(LIMIT_WIDTHS_PX))}")
    pale = []
    for contrast, blur in itertools.product(LIMIT_CONTRASTS, LIMIT_BLURS_PX):
        cells = []
        for width in LIMIT_WIDTHS_PX:
            told = _told_on_photograph(width, blur, contrast)
            cells.append(_limit_cell(told))
            pale += told if contrast in PALE else []
        print(f"| {contrast:g} | {blur:g} | {' | '.join(cells)} |", flush=True)
    cover = np.mean([_covers(width, truth) for width, truth in pale])
    print(f"contrast {PALE}: {len(pale)} told, 90 % interval covers {cover:.1%}")


def _told_on_photograph(width: float, blur: float, contrast: float) -> list[tuple[Quantity, float]]:
    """Mean widths and truths of twelve cracks, where the photograph tells a width."""
    outcomes = []
    for number, (texture, angle) in enumerate(itertools.product(TEXTURES, ANGLES_DEG[::2])):
        spec = CrackSpec(
            size_hw=SIZE_HW,
            width_px=width,
            angle_deg=angle,
            length_px=LENGTH_PX,
            texture=texture,
            contrast=contrast,
            wander=0.15,
            blur_px=blur,
        )
        outcomes.append(measure(CASES[0], render_crack(spec, 9000 + number), spec, 0.5))
    shown = [o for o in outcomes if o.found and o.source == "photograph"]
    found = [(o.found.width_mean, o.width) for o in shown if o.found]
    return [(width, truth) for width, truth in found if width.value is not None]


def _limit_cell(told: list[tuple[Quantity, float]]) -> str:
    if not told:
        return "–"
    bias = np.mean([width.value - truth for width, truth in told if width.value is not None])
    cover = np.mean([_covers(width, truth) for width, truth in told])
    return f"{len(told)}: {bias:+.2f}, {cover:.0%}"


def main() -> None:
    """Render, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="two angles instead of eight")
    parser.add_argument("--model", help="also measure on this network's own maps")
    parser.add_argument("--limits", action="store_true", help="fine, pale and blurred cracks only")
    options = parser.parse_args()
    if options.limits:
        limits()
        return
    cases = [(case, 0.5) for case in CASES]
    if options.model:
        cases.append(model_case(options.model))
    outcomes: dict[str, list[Outcome]] = {case.name: [] for case, _ in cases}
    for seed, spec in specs(options.quick):
        truth = render_crack(spec, seed)
        for case, threshold in cases:
            outcomes[case.name].append(measure(case, truth, spec, threshold))
    for name, each in outcomes.items():
        print(f"{name}: {len(each)} cracks; bias ± spread of the mean width in px, told/all")
        print_widths(each)
        print_summary(each)


if __name__ == "__main__":
    main()
