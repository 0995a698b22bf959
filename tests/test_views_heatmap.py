"""The heat-map's arithmetic: areas, places, what fits into a tile, and colours that can be read."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tapedeck.index_members import nifty50
from tests.overview_support import PALETTES, OverviewPage, overview

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.page_fixtures"]

RANDOM = random.Random(7)
SIZES = {
    "one": [3.0],
    "equal": [1.0] * 12,
    "falling": [2.0**-n for n in range(10)],
    "index": sorted((one.weight for one in nifty50().members), reverse=True),
    "unsorted": [1.0, 9.0, 2.0, 8.0, 0.5],
    "random": sorted((RANDOM.random() for _ in range(200)), reverse=True),
}


def call(page: Any, name: str, *arguments: Any, module: str = "heatmap") -> Any:
    script = f'async (args) => (await import("http://js.test/{module}.js")).{name}(...args)'
    return page.evaluate(script, list(arguments))


def area(box: dict[str, float]) -> float:
    return box["width"] * box["height"]


def overlap(a: dict[str, float], b: dict[str, float]) -> float:
    across = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
    down = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
    return max(0.0, across) * max(0.0, down)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize(("width", "height"), [(640, 190), (190, 640), (400, 400), (1000, 1)])
def test_areas_are_proportional_inside_and_do_not_overlap(
    javascript: Any, sizes: list[float], width: float, height: float
) -> None:
    boxes = call(javascript, "squarify", sizes, {"x": 5, "y": 7, "width": width, "height": height})
    scale = width * height / sum(sizes)
    assert [area(box) for box in boxes] == pytest.approx([size * scale for size in sizes])
    for box in boxes:
        assert 5 - 1e-6 <= box["x"] <= box["x"] + box["width"] <= 5 + width + 1e-6
        assert 7 - 1e-6 <= box["y"] <= box["y"] + box["height"] <= 7 + height + 1e-6
    assert sum(overlap(a, b) for n, a in enumerate(boxes) for b in boxes[:n]) == pytest.approx(0, abs=1e-6)


def test_the_worst_shape_of_an_index_is_not_a_stripe(javascript: Any) -> None:
    boxes = call(javascript, "squarify", SIZES["index"], {"x": 0, "y": 0, "width": 640, "height": 190})
    assert max(max(b["width"] / b["height"], b["height"] / b["width"]) for b in boxes) < 3


@pytest.mark.parametrize("sizes", [[], [0.0], [0.0, 0.0], [1.0, 0.0]])
def test_what_has_no_weight_has_no_area(javascript: Any, sizes: list[float]) -> None:
    boxes = call(javascript, "squarify", sizes, {"x": 0, "y": 0, "width": 100, "height": 50})
    assert [area(box) for box in boxes] == [5000.0 if size else 0.0 for size in sizes]


@pytest.mark.parametrize(("width", "height"), [(640, 200), (260, 84), (980, 420), (380, 300)])
def test_sectors_and_their_members_tile_the_map_in_whole_pixels(javascript: Any, width: int, height: int) -> None:
    members = [{"symbol": m.symbol, "sector": m.sector, "weight": m.weight} for m in nifty50().members]
    sectors, boxes = javascript.evaluate(
        """async ([members, width, height]) => {
          const {bySector, layoutSectors} = await import("http://js.test/heatmap.js")
          const sectors = bySector(members)
          return [sectors, layoutSectors(sectors, width, height, (name) => 7 * name.length)]
        }""",
        [members, width, height],
    )
    assert [sector["weight"] for sector in sectors] == sorted((s["weight"] for s in sectors), reverse=True)
    assert sum(overlap(a, b) for n, a in enumerate(boxes) for b in boxes[:n]) == 0
    for sector, box in zip(sectors, boxes, strict=True):
        assert 0 <= box["x"] <= box["x"] + box["width"] <= width
        assert 0 <= box["y"] <= box["y"] + box["height"] <= height
        assert len(box["tiles"]) == len(sector["members"])
        assert sum(overlap(a, b) for n, a in enumerate(box["tiles"]) for b in box["tiles"][:n]) == 0
        top = 14 if box["labelled"] else 0
        for tile in box["tiles"]:
            assert all(float(edge).is_integer() for edge in tile.values())
            assert 0 <= tile["x"] <= tile["x"] + tile["width"] <= box["width"]
            assert top <= tile["y"] <= tile["y"] + tile["height"] <= box["height"]


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (200, 100, ("two", 13, 2)), (70, 60, ("two", 13, 2)), (60, 40, ("two", 11, 2)), (44, 40, ("two", 11, 1)),
        (110, 16, ("one", 11, 2)), (55, 16, ("symbol", 11, 0)), (30, 40, ("sign", 11, 0)), (8, 8, ("none", 11, 0)),
    ],
)  # fmt: skip
def test_a_tile_shows_what_fits_and_no_more(
    javascript: Any, width: int, height: int, expected: tuple[str, int, int]
) -> None:
    fit = javascript.evaluate(
        """async ([width, height]) => {
          const {fitTile} = await import("http://js.test/heatmap.js")
          return fitTile("TITAN", {width, height}, (text, size) => text.length * size * 0.7)
        }""",
        [width, height],
    )
    assert (fit["fit"], fit["size"], fit["places"]) == expected


def test_arrows_lead_to_the_nearest_tile_in_their_direction_or_nowhere(javascript: Any) -> None:
    grid = [{"x": 50 * (n % 3), "y": 40 * (n // 3), "width": 49, "height": 39} for n in range(9)]
    keys = ("ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft")
    assert [call(javascript, "nearestTile", grid, 4, key) for key in keys] == [1, 5, 7, 3]
    assert [call(javascript, "nearestTile", grid, 0, key) for key in keys] == [-1, 1, 3, -1]


@pytest.mark.parametrize(
    ("percent", "share"), [(0, 0), (0.01, 0), (1.5, 50), (-1.5, 50), (3, 100), (-3, 100), (12, 100)]
)
def test_colours_have_a_fixed_domain(javascript: Any, percent: float, share: float) -> None:
    assert call(javascript, "heatShare", percent) == share


@pytest.mark.parametrize(
    ("width", "height", "columns", "stack", "slots"),
    [
        (240, 240, 1, 1, 1), (600, 240, 2, 1, 2), (800, 240, 3, 1, 3), (1100, 240, 4, 1, 4), (600, 500, 2, 2, 4),
        (800, 500, 2, 2, 4), (380, 400, 1, 2, 2), (380, 600, 1, 4, 4), (100, 50, 1, 1, 1),
    ],
)  # fmt: skip
def test_as_many_lists_as_fit_and_each_list_within_reach(
    javascript: Any, width: int, height: int, columns: int, stack: int, slots: int
) -> None:
    plan = call(javascript, "slotPlan", width, height, module="movers")
    assert (plan["columns"], plan["stack"], len(plan["lists"])) == (columns, stack, slots)
    assert [name for names in plan["lists"] for name in names] == ["gainers", "losers", "active", "oi"]


CONTRASTS = """() => {
  const pen = document.createElement("canvas").getContext("2d", {willReadFrequently: true})
  const pixel = (colour) => {
    pen.fillStyle = colour
    pen.fillRect(0, 0, 1, 1)
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3)
  }
  const luminance = (colour) => {
    const shares = pixel(colour).map((value) => value / 255)
    const [r, g, b] = shares.map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  return [...root.querySelectorAll(".heat-tile")].map((tile) => {
    const {color, backgroundColor} = getComputedStyle(tile)
    const [low, high] = [luminance(color), luminance(backgroundColor)].sort((a, b) => a - b)
    return [tile.ariaLabel, pixel(backgroundColor), (high + 0.05) / (low + 0.05)]
  })
}"""


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_tiles_text_can_be_read_on_every_colour_of_the_scale(javascript: Any, scheme: str, palette: str) -> None:
    heat = [[one.key, (n - 25) / 8, 100.0] for n, one in enumerate(nifty50().members)]
    found = OverviewPage(javascript, scheme=scheme, palette=palette).show(overview(heatmap=heat)).run(CONTRASTS)
    assert min(ratio for _, _, ratio in found) >= 4.5
    colours = {label.rsplit(", ", 1)[1]: colour for label, colour, _ in found}
    middle, up, down = colours["0.00%"], colours["+3.00%"], colours["−3.00%"]
    assert max(middle) - min(middle) < 20, "the centre is grey"
    assert sum(abs(a - b) for a, b in zip(up, down, strict=True)) > 80, "the ends are told apart"
    assert colours["−3.13%"] == down, "no colour beyond the domain"
