"""The resolution advisor: optics that invert, units as people write them, limits of measuring."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable
from dataclasses import replace

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fissura.advise import Shot, advise, limits_px, reach, read_shot, told, verdict
from fissura.cli import app
from fissura.measure import parse_gsd_from
from fissura.types import InputError
from fissura.units import exposure_s, length_mm, pixels_wh, sensor_mm, speed_mm_s

SHOT = Shot(12_000, 35, (36, 24), (6000, 4000))
PLACE = ["--distance", "12m", "--focal", "35mm", "--sensor", "36x24mm", "--pixels", "6000x4000"]

distances = st.floats(500, 1e6)
focals = st.floats(4, 200)
cracks = st.floats(0.02, 50)
speeds = st.floats(1, 50_000)
exposures = st.floats(1e-5, 1)


def run(*args: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["advise", *args])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def test_the_example_of_the_issue_by_hand():
    found = advise(replace(SHOT, speed_mm_s=3000, exposure_s=1 / 2000, crack_mm=0.3))
    assert found.mm_per_px == pytest.approx(0.006 * (12_000 - 35) / 35)
    assert found.view_wh_m == pytest.approx((12.307, 8.205), abs=0.001)
    assert found.smear_mm == pytest.approx(1.5)
    assert found.smear_px == pytest.approx(1.5 / found.mm_per_px)
    assert found.frame_every_s == pytest.approx(0.8 * found.view_wh_m[1] / 3)
    assert found.crack is not None
    assert found.crack.verdict == "too thin"
    assert not found.cropped


@settings(deadline=None)
@given(distances, focals)
def test_the_scale_is_the_one_of_predict(distance: float, focal: float):
    if distance > 2 * focal:
        found = advise(Shot(distance, focal, (36, 24), (6000, 4000)))
        same = parse_gsd_from(f"{focal:.9f}mm,36x24mm,{distance:.9f}mm", (4000, 6000))
        assert found.mm_per_px == pytest.approx(same.mm_per_px)
        low, high = found.mm_per_px_90
        assert low < found.mm_per_px < high


@settings(deadline=None)
@given(st.floats(20, 1000), st.floats(10, 100))
def test_twice_the_distance_is_twice_the_millimetres(multiple: float, focal: float):
    near, far = (
        advise(Shot(focal * (1 + k * multiple), focal, (36, 24), (6000, 4000))) for k in (1, 2)
    )
    assert far.mm_per_px == pytest.approx(2 * near.mm_per_px)
    assert far.limits_mm.measured == pytest.approx(2 * near.limits_mm.measured)
    assert far.view_wh_m[0] == pytest.approx(2 * near.view_wh_m[0])


@settings(deadline=None)
@given(distances, focals, cracks, st.none() | speeds)
def test_what_is_suggested_does_it(
    distance: float, focal: float, crack: float, speed: float | None
):
    if distance <= 2 * focal:
        return
    shot = Shot(distance, focal, (36, 24), (6000, 4000), speed, None, crack)
    found = advise(shot).crack
    assert found is not None
    for way, least in ((found.to_see, "seen"), (found.to_measure, "measured")):
        if way.distance_mm is None or way.focal_mm is None:
            assert way.mm_per_px <= shot.pixel_mm
            continue
        exposed = replace(shot, exposure_s=way.exposure_s)
        for there in (
            replace(exposed, distance_mm=way.distance_mm),
            replace(exposed, focal_mm=way.focal_mm),
        ):
            again = advise(there)
            assert again.mm_per_px == pytest.approx(way.mm_per_px)
            assert getattr(again.limits_mm, least) == pytest.approx(crack)


@settings(deadline=None)
@given(speeds, exposures)
def test_exposure_and_speed_for_half_a_pixel(speed: float, exposure: float):
    found = advise(replace(SHOT, speed_mm_s=speed, exposure_s=exposure))
    assert found.longest_exposure_s is not None
    assert found.fastest_mm_s is not None
    for slower in ({"exposure_s": found.longest_exposure_s}, {"speed_mm_s": found.fastest_mm_s}):
        again = advise(replace(SHOT, **({"speed_mm_s": speed, "exposure_s": exposure} | slower)))
        assert again.smear_px == pytest.approx(0.5)


@settings(deadline=None)
@given(st.floats(0, 100), st.floats(0, 100))
def test_more_smear_never_shows_more(one: float, other: float):
    less, more = (limits_px(smear) for smear in sorted((one, other)))
    assert less.super_resolution <= more.super_resolution
    assert less.seen <= more.seen
    assert less.bound <= more.bound
    assert less.measured <= more.measured
    assert less.super_resolution < less.seen < less.bound < less.measured


def test_limits_without_motion_are_those_of_the_documents():
    limits = limits_px(0)
    assert (limits.seen, limits.bound, limits.measured) == (1, 1.5, 3)
    assert [limits_px(smear).seen for smear in (0.5, 1, 3)] == pytest.approx(
        [1.006, 1.024, 1.202], abs=0.001
    )


@pytest.mark.parametrize(
    ("width_px", "fate"),
    [
        (3, "measured"),
        (2.9, "seen"),
        (1, "seen"),
        (0.9, "super-resolution"),
        (0.25, "super-resolution"),
        (0.24, "too thin"),
    ],
)
def test_verdicts(width_px: float, fate: str):
    assert verdict(width_px, limits_px(0)) == fate


def test_beyond_magnification_one_nothing_is_suggested():
    way = reach(replace(SHOT, speed_mm_s=1000), SHOT.pixel_mm / 2)
    assert way.distance_mm is None
    assert way.focal_mm is None


def test_diffraction_by_the_airy_disc():
    found = advise(replace(SHOT, distance_mm=1e8))
    assert 2.44 * 0.00055 * found.largest_f_number == pytest.approx(2 * 0.006, rel=1e-5)
    near = advise(replace(SHOT, distance_mm=105))
    assert near.largest_f_number == pytest.approx(found.largest_f_number / 1.5, rel=1e-5)


@pytest.mark.parametrize(
    ("sensor", "pixels", "cropped"),
    [
        ((36, 24), (6000, 4000), False),
        ((36, 24), (4000, 6000), False),
        ((36,), (6000, 300), False),
        ((36, 24), (6000, 3376), True),
    ],
)
def test_a_picture_shaped_unlike_the_sensor_is_noted(sensor, pixels, cropped):
    shot = replace(SHOT, sensor_mm=sensor, pixels_wh=pixels)
    assert advise(shot).cropped is cropped
    assert ("cropped?" in told(shot, advise(shot))["scale"]) is cropped


def test_forms_of_the_same():
    assert {length_mm("", text) for text in ("12m", "1200 cm", " 12.0 M ", "12000mm")} == {12_000}
    assert speed_mm_s("", "10 km/h") == pytest.approx(speed_mm_s("", "2.7777778m/s"))
    assert speed_mm_s("", "60 m / min") == pytest.approx(1000)
    same = {exposure_s("", text) for text in ("1/2000", "1/2000 s", "1 / 2000s", "0.0005s")}
    same |= {exposure_s("", text) for text in ("0.5ms", "0.5 MS", "500us", "500µs", "500 μs")}
    assert {round(value, 12) for value in same} == {0.0005}
    for text in ("36x24mm", "36 x 24 mm", "36mm×24mm", "3.6*2.4cm", "36mmx2.4cm"):
        assert sensor_mm("", text) == pytest.approx((36, 24))
    assert sensor_mm("", "36mm") == (36,)
    assert pixels_wh("", "6000 × 4000") == pixels_wh("", "6000X4000") == (6000, 4000)


@settings(deadline=None)
@given(st.floats(0.001, 1e5), st.sampled_from([("mm", 1), ("cm", 10), ("m", 1000)]))
def test_lengths_survive_being_written(value: float, unit: tuple[str, int]):
    text = f"{value:.12f}{unit[0]}"
    assert length_mm("", text) == pytest.approx(value * unit[1], rel=1e-8)


@settings(deadline=None)
@given(st.integers(1, 10**6))
def test_fractions_of_a_second_survive_being_written(denominator: int):
    assert exposure_s("", f"1/{denominator}") == pytest.approx(1 / denominator)


def refusal(read: Callable[[str, str], object], text: str) -> str | None:
    try:
        read("--it", text)
    except InputError as error:
        return str(error)
    return None


@settings(deadline=None)
@given(st.text(max_size=12) | st.from_regex(r"[0-9.,/x ]{0,8}[a-zµſK/]{0,5}", fullmatch=True))
def test_any_text_is_read_or_refused_in_one_sentence(text: str):
    for read in (length_mm, speed_mm_s, exposure_s, sensor_mm, pixels_wh):
        refused = refusal(read, text)
        assert refused is None or re.match(r"--it .*write", refused, re.DOTALL)


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        ("--distance", "12", "unit (mm, cm, m)"),
        ("--distance", "1,5m", "comma"),
        ("--distance", "-3m", "no length"),
        ("--distance", "0m", "not above 0"),
        ("--distance", "9" * 400 + "m", "beyond measure"),
        ("--distance", "6ft", "no length"),
        ("--distance", "5cm", "twice --focal"),
        ("--focal", "f/8", "no length"),
        ("--sensor", "1/2.3", "36x24mm"),
        ("--sensor", "36x24x2mm", "sensor size"),
        ("--sensor", "36x0mm", "not above 0"),
        ("--sensor", "", "36x24mm"),
        ("--pixels", "24MP", "6000x4000"),
        ("--pixels", "0x4000", "6000x4000"),
        ("--pixels", "6,000x4,000", "comma"),
        ("--speed", "3", "m/s"),
        ("--speed", "3mph", "km/h"),
        ("--exposure", "2000", "1/2000"),
        ("--exposure", "1/0", "not above 0"),
        ("--exposure", "1//2", "1/2000"),
        ("--crack", "0,3mm", "point"),
        ("--crack", "hairline", "no length"),
    ],
)
def test_mistakes_name_the_option_and_the_mend(option: str, text: str, words: str):
    code, out, err = run(*PLACE, option, text)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert option in err
    assert words in err


def test_lines_for_people_are_few_and_plain():
    _, plain, _ = run(*PLACE)
    assert [line.split()[0] for line in plain.splitlines()] == (
        ["scale", "view", "seen", "measured", "×4", "aperture"]
    )
    _, slow, _ = run(*PLACE, "--speed", "0.1m/s", "--exposure", "1/2000", "--crack", "20mm")
    assert "does no harm" in slow
    assert "it can be measured" in slow
    _, macro, _ = run(*PLACE, "--crack", "0.015mm")
    assert "macro" in macro


@settings(deadline=None)
@given(distances, cracks, st.none() | speeds, st.none() | exposures)
def test_no_line_says_more_than_holds(
    distance: float, crack: float, speed: float | None, exposure: float | None
):
    shot = Shot(distance, 35, (36, 24), (6000, 4000), speed, exposure, crack)
    found = advise(shot)
    lines = told(shot, found)
    assert max(map(len, lines.values())) < 100
    assert found.crack is not None
    for name, way in (("see", found.crack.to_see), ("measure", found.crack.to_measure)):
        at = re.match(r"at most ([0-9.]+) (mm|m) away, or ([0-9.]+) mm", lines[name])
        if at is None or way.distance_mm is None or way.focal_mm is None:
            assert way.distance_mm is None
            continue
        said = float(at[1]) * {"mm": 1, "m": 1000}[at[2]]
        assert said <= way.distance_mm * (1 + 1e-6)
        assert said == pytest.approx(way.distance_mm, rel=0.011)
        assert float(at[3]) >= way.focal_mm * (1 - 1e-6)


def test_json_has_every_figure_and_its_unit():
    code, out, _ = run(*PLACE, "--speed", "10 km/h", "--exposure", "0.5ms", "--crack=3mm", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["mm_per_px"] == pytest.approx(2.0511, abs=1e-4)
    assert found["smear_mm"] == pytest.approx(10 / 3.6 / 2)
    assert set(found["limits_px"]) == {"super_resolution", "seen", "bound", "measured"}
    assert found["crack"]["verdict"] == "seen"
    assert found["crack"]["to_measure"]["exposure_s"] < found["longest_exposure_s"]
    assert all(math.isfinite(value) for value in found["view_wh_m"])


def test_the_page_shows_what_the_tool_prints():
    page = (ROOT / "docs" / "advise.md").read_text("utf-8")
    command = re.search(r"^    fissura advise (.+)$", page, re.MULTILINE)
    printed = re.search(r"^```\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    assert command is not None
    assert printed is not None
    assert run(*shlex.split(command[1]))[1].strip() == printed[1].strip()


def test_the_python_of_the_page_runs():
    page = (ROOT / "docs" / "advise.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert "found" in block
    exec(compile(block, "docs/advise.md", "exec"), {})


def test_read_shot_reads_what_the_verb_takes():
    shot = read_shot("12m", "35mm", "36x24mm", "6000x4000", "3m/s", "1/2000", "0.3mm")
    assert shot == replace(SHOT, speed_mm_s=3000, exposure_s=1 / 2000, crack_mm=0.3)
