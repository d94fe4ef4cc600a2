"""What a camera can show from where it stands, before anybody travels there with it.

Square views only: a tilted surface has another scale at every place. `docs/advise.md` says where
each limit comes from.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import Literal

from fissura.measure.photo import LEAST_WIDTH_BLURS, LEAST_WIDTH_PX, UNKNOWN_BLUR
from fissura.measure.scale import SHAPE_TOLERANCE, Z90, from_camera
from fissura.types import InputError
from fissura.units import exposure_s, length_mm, pixels_wh, sensor_mm, speed_mm_s

SEEN_PX = 1.0
MEASURED_PX = 3.0
SUPER_RESOLUTION = 4
LEAST_FOR_SUPER_RESOLUTION_PX = SEEN_PX / SUPER_RESOLUTION
"""What becomes one pixel once enlarged; a rule of thumb, see `docs/advise.md`."""

SMEAR_PX = 0.5
"""Motion that does no harm: it widens the blur of a usual photograph by less than 1 %."""

OVERLAP = 0.2
WAVELENGTH_MM = 0.00055
AIRY = 2.44
AIRY_PX = 2.0

Verdict = Literal["measured", "seen", "super-resolution", "too thin"]


@dataclass(frozen=True)
class Shot:
    """A camera that looks squarely at a surface; the sensor may be given by its longer side."""

    distance_mm: float
    focal_mm: float
    sensor_mm: tuple[float, ...]
    pixels_wh: tuple[int, int]
    speed_mm_s: float | None = None
    exposure_s: float | None = None
    crack_mm: float | None = None

    def __post_init__(self) -> None:
        if self.distance_mm <= 2 * self.focal_mm:
            raise InputError(
                f"--distance {self.distance_mm:g} mm is not beyond twice --focal {self.focal_mm:g}"
                " mm; check the units, or give --mm-per-px to `fissura predict` for close-ups"
            )

    @property
    def pixel_mm(self) -> float:
        """Side of a sensor pixel; longer side by longer side, however the camera is held."""
        return max(self.sensor_mm) / max(self.pixels_wh)


@dataclass(frozen=True)
class Limits:
    """Widths in pixels; blur by motion raises them for cracks across the direction of travel.

    `super_resolution` is the least that enlarging may bring out, `bound` what measuring answers
    with "below" whatever the light.
    """

    super_resolution: float
    seen: float
    bound: float
    measured: float


@dataclass(frozen=True)
class Reach:
    """How to come near enough for a crack: either the distance or the focal length, and exposure.

    None: magnification 1 or more, or nothing moves.
    """

    mm_per_px: float
    distance_mm: float | None
    focal_mm: float | None
    exposure_s: float | None


@dataclass(frozen=True)
class CrackAdvice:
    """What becomes of a crack of one width, and from where it could be seen and measured."""

    width_mm: float
    width_px: float
    verdict: Verdict
    to_see: Reach
    to_measure: Reach


@dataclass(frozen=True)
class Advice:
    """What a shot can show; what needs a speed, an exposure or a crack is None without it."""

    mm_per_px: float
    mm_per_px_90: tuple[float, float]
    view_wh_m: tuple[float, float]
    smear_mm: float | None
    smear_px: float | None
    longest_exposure_s: float | None
    fastest_mm_s: float | None
    frame_every_s: float | None
    limits_px: Limits
    limits_mm: Limits
    largest_f_number: float
    crack: CrackAdvice | None
    cropped: bool


def read_shot(
    distance: str,
    focal: str,
    sensor: str,
    pixels: str,
    speed: str | None = None,
    exposure: str | None = None,
    crack: str | None = None,
) -> Shot:
    """A shot from what was typed behind the options of the same names."""
    return Shot(
        distance_mm=length_mm("--distance", distance),
        focal_mm=length_mm("--focal", focal),
        sensor_mm=sensor_mm("--sensor", sensor),
        pixels_wh=pixels_wh("--pixels", pixels),
        speed_mm_s=None if speed is None else speed_mm_s("--speed", speed),
        exposure_s=None if exposure is None else exposure_s("--exposure", exposure),
        crack_mm=None if crack is None else length_mm("--crack", crack),
    )


def advise(shot: Shot) -> Advice:
    """Scale, view, smear and limits of a shot."""
    scale = from_camera(shot.focal_mm, max(shot.sensor_mm), shot.distance_mm, max(shot.pixels_wh))
    size, spread = scale.mm_per_px, Z90 * scale.relative_uncertainty
    width_m, height_m = (side * size / 1000 for side in shot.pixels_wh)
    speed, exposure = shot.speed_mm_s, shot.exposure_s
    smear_mm = None if speed is None or exposure is None else speed * exposure
    limits = limits_px(0.0 if smear_mm is None else smear_mm / size)
    step_mm = (1 - OVERLAP) * min(width_m, height_m) * 1000
    return Advice(
        mm_per_px=size,
        mm_per_px_90=(size * (1 - spread), size * (1 + spread)),
        view_wh_m=(width_m, height_m),
        smear_mm=smear_mm,
        smear_px=None if smear_mm is None else smear_mm / size,
        longest_exposure_s=None if speed is None else SMEAR_PX * size / speed,
        fastest_mm_s=None if exposure is None else SMEAR_PX * size / exposure,
        frame_every_s=None if speed is None else step_mm / speed,
        limits_px=limits,
        limits_mm=_scaled(limits, size),
        largest_f_number=_largest_f_number(shot, size),
        crack=None if shot.crack_mm is None else _crack(shot, shot.crack_mm, size, limits),
        cropped=_cropped(shot),
    )


def limits_px(smear_px: float) -> Limits:
    """The widths that can be seen and measured if the picture moves by so much while it is taken.

    They grow as the blur does: the blur of a usual photograph, sigma 1.3 px, and that of a box of
    the smear's length.
    """
    usual = math.exp(UNKNOWN_BLUR.log_sigma)
    blur = math.hypot(usual, smear_px / math.sqrt(12))
    growth = blur / usual
    return Limits(
        super_resolution=LEAST_FOR_SUPER_RESOLUTION_PX * growth,
        seen=SEEN_PX * growth,
        bound=max(LEAST_WIDTH_PX, LEAST_WIDTH_BLURS * blur),
        measured=MEASURED_PX * growth,
    )


def verdict(width_px: float, limits: Limits) -> Verdict:
    """What becomes of a crack of this width."""
    if width_px >= limits.measured:
        return "measured"
    if width_px >= limits.seen:
        return "seen"
    return "super-resolution" if width_px >= limits.super_resolution else "too thin"


def reach(shot: Shot, mm_per_px: float) -> Reach:
    """Distance with the same lens, or lens at the same distance, for so many mm per pixel."""
    pixel = shot.pixel_mm
    modelled = mm_per_px > pixel
    speed = shot.speed_mm_s
    return Reach(
        mm_per_px=mm_per_px,
        distance_mm=shot.focal_mm * (1 + mm_per_px / pixel) if modelled else None,
        focal_mm=shot.distance_mm * pixel / (mm_per_px + pixel) if modelled else None,
        exposure_s=None if speed is None else SMEAR_PX * mm_per_px / speed,
    )


def _crack(shot: Shot, width_mm: float, mm_per_px: float, limits: Limits) -> CrackAdvice:
    wanted = limits_px(0.0 if shot.speed_mm_s is None else SMEAR_PX)
    width_px = width_mm / mm_per_px
    return CrackAdvice(
        width_mm=width_mm,
        width_px=width_px,
        verdict=verdict(width_px, limits),
        to_see=reach(shot, width_mm / wanted.seen),
        to_measure=reach(shot, width_mm / wanted.measured),
    )


def _largest_f_number(shot: Shot, mm_per_px: float) -> float:
    """Where diffraction spreads a point over two pixels; nearby objects close the lens further."""
    magnification = shot.pixel_mm / mm_per_px
    return AIRY_PX * shot.pixel_mm / (AIRY * WAVELENGTH_MM * (1 + magnification))


def _cropped(shot: Shot) -> bool:
    """Whether the picture has another shape than the sensor."""
    if len(shot.sensor_mm) == 1:
        return False
    shape, picture = (max(sides) / min(sides) for sides in (shot.sensor_mm, shot.pixels_wh))
    return abs(picture / shape - 1) > SHAPE_TOLERANCE


def _scaled(limits: Limits, mm_per_px: float) -> Limits:
    return Limits(*(mm_per_px * width for width in astuple(limits)))


def told(shot: Shot, advice: Advice) -> dict[str, str]:
    """The advice for people: a name and a sentence per line."""
    low, high = map(_figures, advice.mm_per_px_90)
    px, mm = advice.limits_px, advice.limits_mm
    view = " × ".join(map(_figures, advice.view_wh_m))
    crop = "; the picture is shaped unlike the sensor: cropped?" if advice.cropped else ""
    every = "" if advice.frame_every_s is None else _every(advice.frame_every_s)
    lines = {
        "scale": f"{_figures(advice.mm_per_px)} mm per pixel ({low} to {high}, 90 %){crop}",
        "view": f"{view} m{every}",
        "smear": _smear(advice),
        "seen": f"from {_length(mm.seen)} ({_figures(px.seen)} px), such hairlines in part only",
        "measured": f"from {_length(mm.measured)} ({_figures(px.measured)} px); below"
        f" {_length(mm.bound)} only an upper bound is told",
        "×4": f"may bring out cracks of {_length(mm.super_resolution)} to {_length(mm.seen)};"
        " it helps no width",
        "aperture": f"up to f/{_figures(_rounded(advice.largest_f_number, up=False))}; beyond,"
        " diffraction spreads a point over two pixels",
    }
    if advice.crack is not None:
        lines["crack"] = _fate(advice.crack, px)
        lines["see"] = _way(advice.crack.to_see)
        lines["measure"] = _way(advice.crack.to_measure)
    return {name: text for name, text in lines.items() if text}


def _smear(advice: Advice) -> str:
    ways = []
    if advice.longest_exposure_s is not None:
        ways.append(f"{_exposure(advice.longest_exposure_s)} or shorter")
    if advice.fastest_mm_s is not None:
        ways.append(f"{_figures(_rounded(advice.fastest_mm_s / 1000, up=False))} m/s or slower")
    half = f"half a pixel: {', or '.join(ways)}" if ways else ""
    if advice.smear_mm is None or advice.smear_px is None:
        return half
    here = f"{_length(advice.smear_mm)}, {_figures(advice.smear_px)} px"
    return f"{here}; {half}" if advice.smear_px > SMEAR_PX else f"{here}, which does no harm"


def _every(seconds: float) -> str:
    kept = _figures(_rounded(seconds, up=False))
    share = round(100 * OVERLAP)
    return f"; a picture every {kept} s overlaps by {share} % along the shorter side"


def _fate(crack: CrackAdvice, limits: Limits) -> str:
    least = crack.width_px < limits.bound
    fates = {
        "measured": "it can be measured, ×4 is not needed",
        "seen": "it can be seen, " + ("not measured" if least else "its width is rough")
        + "; ×4 adds nothing to its width",
        "super-resolution": "too thin for the picture; ×4 may bring it out, not its width",
        "too thin": "too thin, with ×4 too",
    }  # fmt: skip
    return f"{_length(crack.width_mm)} is {_figures(crack.width_px)} px: {fates[crack.verdict]}"


def _way(found: Reach) -> str:
    if found.distance_mm is None or found.focal_mm is None:
        return "larger on the sensor than on the surface: a macro lens, not in this reckoning"
    distance = _length(_rounded(found.distance_mm, up=False))
    focal = _figures(_rounded(found.focal_mm, up=True))
    moving = "" if found.exposure_s is None else f"; {_exposure(found.exposure_s)} or shorter"
    return f"at most {distance} away, or {focal} mm of focal length or more{moving}"


def _length(mm: float) -> str:
    return f"{_figures(mm / 1000)} m" if mm >= 1000 else f"{_figures(mm)} mm"


def _exposure(seconds: float) -> str:
    """As cameras write it, never longer than `seconds`."""
    if seconds >= 0.3:
        return f"{_figures(_rounded(seconds, up=False))} s"
    return f"1/{_figures(_rounded(1 / seconds, up=True))} s"


def _rounded(value: float, up: bool) -> float:
    """To three figures, away from what would be too much."""
    step = float(10 ** (math.floor(math.log10(value)) - 2))
    count = value / step
    return step * (math.ceil(count - 1e-9) if up else math.floor(count + 1e-9))


def _figures(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
