"""Numbers as people read them."""

from typing import Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size_text(count: float) -> str:
    """Write bytes in a unit that leaves at most four digits: `0 B`, `4.0 KiB`, `1023 MiB`."""
    size, unit = float(count), 0
    while round(size) >= 1024 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.1f} {_UNITS[unit]}" if unit and size < 100 else f"{size:.0f} {_UNITS[unit]}"


def count_text(count: float) -> str:
    """Write a count with its thousands apart: `1,234,567`."""
    return f"{count:,.0f}"


def plural(count: int, one: str, many: str) -> str:
    """Write a count with the noun that it takes."""
    return f"{count_text(count)} {one if count == 1 else many}"


def share_text(part: float, whole: float) -> str:
    """Write *part* of *whole* in percent, `-` of nothing. Only all of it is 100 %."""
    if not whole:
        return "-"
    percent = 100 * part / whole
    return f"{min(percent, 99.9) if part < whole else percent:.1f} %"


def duration_text(seconds: float) -> str:
    """Write a span of time by its two largest units: `4 s`, `3 min 20 s`, `2 d 5 h`."""
    left = round(seconds)
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def plain_text(text: str) -> str:
    """Escape what is not printable: names come from the share, and none is to steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
