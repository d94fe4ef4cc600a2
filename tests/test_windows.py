"""Tiles cover every image, blend without seams, and equal the whole image within their margin."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from fissura.types import FloatMap, InputError, UInt8Image
from fissura.windows import automatic_tile, map_tiles, plan_tiles


def picture(height: int, width: int, seed: int = 0) -> UInt8Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def local_network(layers: int, seed: int = 1):
    """`layers` convolutions of 3×3 with zero padding and tanh: sees `layers` pixels far."""
    rng = np.random.default_rng(seed)
    kernels = [rng.normal(0, 0.5, (3, 3)).astype(np.float32) for _ in range(layers)]

    def run(tile: UInt8Image) -> FloatMap:
        x = tile.astype(np.float32).mean(2) / 255
        for kernel in kernels:
            x = np.tanh(ndimage.convolve(x, kernel, mode="constant"))
        return x

    return run


def strided_network(tile: UInt8Image) -> FloatMap:
    """Mean of 8×8 cells, blurred over 3 cells, enlarged again: depends on the cells' origin."""
    grey = tile.astype(np.float32).mean(2) / 255
    height, width = grey.shape
    padded = np.pad(grey, ((0, -height % 8), (0, -width % 8)))
    cells = padded.reshape(padded.shape[0] // 8, 8, -1, 8).mean((1, 3))
    blurred = ndimage.uniform_filter(cells, 3, mode="constant")
    return blurred.repeat(8, 0).repeat(8, 1)[:height, :width]


sides = st.integers(1, 150)
tiles = st.integers(20, 90)


@given(sides, sides, tiles, st.integers(0, 40))
@settings(max_examples=300, deadline=None)
def test_tiles_cover_every_pixel_and_share_the_overlap(height, width, tile, overlap):
    overlap = min(overlap, tile - 1)
    plan = plan_tiles((height, width), tile, overlap)
    covered = np.zeros((height, width), bool)
    for part in plan:
        covered[part.slices] = True
    assert covered.all()
    assert len({(t.bottom - t.top, t.right - t.left) for t in plan}) == 1
    assert all(t.bottom - t.top <= tile and t.right - t.left <= tile for t in plan)
    for start, end in (("top", "bottom"), ("left", "right")):
        spans = sorted({(getattr(t, start), getattr(t, end)) for t in plan})
        assert all(a[1] - b[0] >= overlap for a, b in pairwise(spans))


@given(sides, sides, tiles, st.integers(0, 7), st.integers(0, 6))
@settings(max_examples=150, deadline=None)
def test_equals_the_whole_image_where_the_overlap_covers_the_receptive_field(
    height, width, tile, layers, extra
):
    overlap = min(2 * layers + 1 + extra, tile - 1)
    run = local_network(layers)
    image = picture(height, width)
    np.testing.assert_allclose(map_tiles(image, run, tile, overlap), run(image), atol=1e-5)


@given(sides, sides, tiles, st.integers(0, 18), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_equals_the_whole_image_within_a_given_margin(height, width, tile, overlap, layers):
    overlap = max(overlap, 2 * layers)
    run = local_network(layers)
    image = picture(height, width)
    found = map_tiles(image, run, tile, overlap, margin=layers)
    np.testing.assert_allclose(found, run(image), atol=1e-5)


@given(sides, sides, tiles, st.integers(0, 7), st.sampled_from([2, 4]))
@settings(max_examples=60, deadline=None)
def test_enlarged_tiles_equal_the_enlarged_whole(height, width, tile, layers, times):
    local, image = local_network(layers), picture(height, width)

    def run(part: UInt8Image) -> FloatMap:
        return np.stack([local(part), local(part) - 1]).repeat(times, 1).repeat(times, 2)

    found = map_tiles(image, run, tile, min(2 * layers + 1, tile - 1), enlarges=times)
    np.testing.assert_allclose(found, run(image), atol=1e-5)


@pytest.mark.parametrize("size_hw", [(300, 410), (256, 512), (333, 97)])
def test_strided_networks_sample_tiles_as_they_sample_the_whole(size_hw):
    image = picture(*size_hw)
    found = map_tiles(image, strided_network, 128, 64)
    np.testing.assert_allclose(found, strided_network(image), atol=1e-5)


def test_torch_network_on_tiles_equals_the_whole_image():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 5, padding=2), torch.nn.PReLU(8)]
    layers += [torch.nn.Conv2d(8, 8, 3, padding=4, dilation=4), torch.nn.Conv2d(8, 1, 3, padding=1)]
    network = torch.nn.Sequential(*layers).eval()

    def run(tile: UInt8Image) -> FloatMap:
        with torch.no_grad():
            x = torch.from_numpy(tile).permute(2, 0, 1)[None].float() / 255
            return network(x)[0, 0].sigmoid().numpy()

    image = picture(500, 700)
    assert np.abs(map_tiles(image, run, 160, 16) - run(image)).max() < 1e-4


@given(sides, sides, tiles, st.integers(0, 40), st.floats(0, 1, width=32))
@settings(max_examples=100, deadline=None)
def test_constant_maps_stay_constant(height, width, tile, overlap, value):
    overlap = min(overlap, tile - 1)
    image = np.zeros((height, width, 3), np.uint8)
    found = map_tiles(image, lambda t: np.full(t.shape[:2], value, np.float32), tile, overlap)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.float32(value))


def test_tiles_that_disagree_fade_without_a_step():
    values = iter(np.linspace(0, 1, 200))

    def run(tile: UInt8Image) -> FloatMap:
        return np.full(tile.shape[:2], next(values), np.float32)

    found = map_tiles(np.zeros((96, 4000, 3), np.uint8), run, 512, 128)
    differing = np.ptp(found) / 8
    assert np.abs(np.diff(found, axis=1)).max() < differing / 20
    assert found.min() >= 0
    assert found.max() <= 1


def test_a_small_image_is_one_tile_and_the_run_sees_it_whole():
    image = picture(20, 31)
    seen = []

    def run(tile: UInt8Image) -> FloatMap:
        seen.append(tile)
        return tile[..., 0].astype(np.float32)

    map_tiles(image, run, 64, 16)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], image)


@pytest.mark.parametrize(("tile", "overlap"), [(64, 64), (10, 20), (64, -1)])
def test_an_overlap_that_does_not_fit_is_a_clear_mistake(tile, overlap):
    with pytest.raises(InputError, match=f"overlap {overlap} does not fit tile {tile}"):
        plan_tiles((100, 100), tile, overlap)


def test_a_margin_beyond_half_the_overlap_is_a_clear_mistake():
    with pytest.raises(InputError, match="margin 9 does not fit overlap 16"):
        map_tiles(picture(50, 50), local_network(1), 32, 16, margin=9)


def test_a_map_of_the_wrong_size_is_named():
    with pytest.raises(ValueError, match=r"expected a map of \(50, 60\)"):
        map_tiles(picture(50, 60), lambda t: np.zeros((5, 5), np.float32), 64, 16)


@pytest.mark.parametrize("size_hw", [(384, 544), (1, 1), (900, 1100), (40, 20_000)])
def test_images_up_to_one_megapixel_stay_whole(size_hw):
    assert len(plan_tiles(size_hw, *automatic_tile(size_hw))) == 1


@pytest.mark.parametrize("size_hw", [(3000, 4000), (8660, 11547), (2448, 3264), (900, 30_000)])
def test_automatic_tiles_stay_within_the_memory_target(size_hw):
    tile, overlap = automatic_tile(size_hw)
    assert tile % 8 == 0
    plan = plan_tiles(size_hw, tile, overlap)
    area = max((t.bottom - t.top) * (t.right - t.left) for t in plan)
    assert area * 4 * 300 <= 800e6
    assert area * 4 * 300 >= 400e6


def test_automatic_tile_keeps_what_is_given():
    assert automatic_tile((3000, 4000), 512, 32) == (512, 32)
    assert automatic_tile((3000, 4000), 64)[1] == 16
    assert automatic_tile((3000, 4000), None, 32)[1] == 32
    assert automatic_tile((8000, 8000), bytes_per_network_pixel=3000)[0] == 256


def test_a_larger_enlargement_makes_smaller_tiles():
    tile, _ = automatic_tile((1000, 1000), input_scale=8.0)
    assert tile == 256
    assert automatic_tile((1000, 1000), input_scale=2.0)[0] == 1000
