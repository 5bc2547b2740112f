"""The map as a PNG: every cluster, coloured by theme, the large themes named, and a legend."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from soulcaster.pictures.plot import Plot

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_SUPERSAMPLE = 2
"""Drawn twice as large and scaled down: Pillow's circles have steps."""
_LEGEND_SHARE = 0.09
_MARGIN_SHARE = 0.02
_NAMED_THEMES = 24
_MARK_PIXELS = 40
_INK, _PAPER, _SPECK = "#222222", "#FFFFFF", "#B0B0B0"


def png_image(plot: Plot, title: str, *, pixels: int = 1600) -> bytes:
    """A square map of that many pixels with a strip for title and legend above and below.

    Titles are written in the font that comes with Pillow: letters it does not have show as boxes.
    """
    side = pixels * _SUPERSAMPLE
    strip = round(side * _LEGEND_SHARE)
    image = Image.new("RGB", (side, side + 2 * strip), _PAPER)
    draw = ImageDraw.Draw(image, "RGB")
    fit = _fit(plot["clusters"], side, strip)
    _draw_specks(draw, plot["noise"], fit, side)
    _draw_clusters(draw, plot, fit)
    _draw_titles(draw, plot["themes"], fit, side)
    draw.text((round(side * _MARGIN_SHARE), strip // 3), _short(title, 90), _INK, font=_font(side // 45))
    _draw_legend(draw, plot["modes"][0]["legend"], side, side + strip)
    small = image.resize((pixels, (side + 2 * strip) // _SUPERSAMPLE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "PNG", optimize=True)
    return out.getvalue()


def _fit(clusters: dict[str, list[Any]], side: int, top: int) -> tuple[float, float, float]:
    """Scale and shift from map to pixels."""
    if not clusters["x"]:
        return 1.0, 0.0, float(top)
    rows = list(zip(clusters["x"], clusters["y"], clusters["r"], strict=True))
    left, right = min(x - r for x, _, r in rows), max(x + r for x, _, r in rows)
    low, high = min(y - r for _, y, r in rows), max(y + r for _, y, r in rows)
    scale = side * (1 - 2 * _MARGIN_SHARE) / max(right - left, high - low, 1e-9)
    return scale, side / 2 - (left + right) / 2 * scale, top + side / 2 - (low + high) / 2 * scale


def _draw_specks(
    draw: ImageDraw.ImageDraw, noise: dict[str, list[Any]], fit: tuple[float, float, float], side: int
) -> None:
    scale, right, down = fit
    half = max(2, side // 1200)
    for x, y in zip(noise["x"], noise["y"], strict=True):
        at = x * scale + right, y * scale + down
        draw.rectangle((at[0] - half, at[1] - half, at[0] + half, at[1] + half), fill=_SPECK)


def _draw_clusters(draw: ImageDraw.ImageDraw, plot: Plot, fit: tuple[float, float, float]) -> None:
    scale, right, down = fit
    mode, clusters = plot["modes"][0], plot["clusters"]
    for x, y, r, entry in zip(clusters["x"], clusters["y"], clusters["r"], mode["of"], strict=True):
        legend = mode["legend"][entry]
        middle, reach = (x * scale + right, y * scale + down), max(r * scale, 1.0)
        box = (middle[0] - reach, middle[1] - reach, middle[0] + reach, middle[1] + reach)
        draw.ellipse(box, fill=legend["color"], outline=_INK if reach > 8 else None, width=1)  # noqa: PLR2004  pixels
        if reach >= 14:  # noqa: PLR2004  pixels
            draw.text(
                middle,
                legend["mark"],
                _text_color(legend["color"]),
                font=_font(min(int(reach), _MARK_PIXELS)),
                anchor="mm",
            )


def _draw_titles(
    draw: ImageDraw.ImageDraw, themes: list[dict[str, Any]], fit: tuple[float, float, float], side: int
) -> None:
    """The largest themes whose titles do not cover one another."""
    scale, right, down = fit
    font = _font(side // 70)
    taken: list[tuple[float, float, float, float]] = []
    for theme in themes[:_NAMED_THEMES]:
        text = _short(theme["title"], 34)
        half = draw.textlength(text, font=font) / 2
        x = min(max(theme["x"] * scale + right, half + 4), side - half - 4)
        y = theme["y"] * scale + down
        box = (x - half, y - side / 120, x + half, y + side / 120)
        if any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
            continue
        taken.append(box)
        draw.text((x, y), text, _INK, font=font, anchor="mm", stroke_width=max(2, side // 800), stroke_fill=_PAPER)


def _draw_legend(draw: ImageDraw.ImageDraw, legend: list[dict[str, str]], side: int, top: int) -> None:
    """Entries in rows of four."""
    font, size = _font(side // 90), side // 70
    width = side * (1 - 2 * _MARGIN_SHARE) / 4
    for number, entry in enumerate(legend):
        x = side * _MARGIN_SHARE + number % 4 * width
        y = top + size + number // 4 * size * 1.9
        draw.ellipse((x, y, x + size, y + size), fill=entry["color"], outline=_INK)
        mark_at = (x + size / 2, y + size / 2)
        draw.text(mark_at, entry["mark"], _text_color(entry["color"]), font=_font(int(size * 0.7)), anchor="mm")
        draw.text((x + size * 1.4, y + size / 2), _short(entry["label"], 32), _INK, font=font, anchor="lm")


def _font(pixels: int) -> Font:
    return ImageFont.load_default(max(8, pixels))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _text_color(background: str) -> str:
    red, green, blue = (int(background[at : at + 2], 16) for at in (1, 3, 5))
    return "#FFFFFF" if 0.299 * red + 0.587 * green + 0.114 * blue < 140 else "#111111"  # noqa: PLR2004  of 255
