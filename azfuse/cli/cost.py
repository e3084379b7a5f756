"""From counts of operations to money, by a price table that the user may edit."""

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from azfuse.mount.errors import UsageError

#: Classes of transactions, as the bills of Azure Files have them.
CLASSES: Final = ("write", "list", "read", "other", "delete")
#: Prices of classes are for so many operations.
PER: Final = 10_000
_PRICES: Final = (*CLASSES, "egress")
_GIB: Final = 1024**3


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices by tier, and the class that each operation belongs to."""

    currency: str = ""
    #: The tier of a share that does not say which it has.
    tier: str = ""
    #: Tier -> class or `egress` -> price.
    tiers: dict[str, dict[str, float]] = field(default_factory=dict)
    #: Operation -> class.
    classes: dict[str, str] = field(default_factory=dict)
    #: Where the prices come from, for people to read.
    origin: str = ""


def load_prices(path: Path | None, environ: Mapping[str, str]) -> PriceList:
    """Read the prices: those of azfuse itself, with those of the user's file over them.

    *path* is the file that the user named; without it the usual places are looked at.
    Raises UsageError, which names file and key.
    """
    shipped = files("azfuse.cli").joinpath("prices.toml")
    prices = _merge(PriceList(), shipped.read_text(encoding="utf-8"), "prices.toml of azfuse")
    found = path or next((place for place in _places(environ) if place.is_file()), None)
    if found is None:
        return prices
    try:
        text = found.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"prices file {found}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"prices file {found}: it is not UTF-8") from None
    return _merge(prices, text, str(found))


def _places(environ: Mapping[str, str]) -> Iterator[Path]:
    base = environ.get("XDG_CONFIG_HOME")
    yield (Path(base) if base else Path("~/.config").expanduser()) / "azfuse/prices.toml"
    yield Path("/etc/azfuse/prices.toml")


def _merge(base: PriceList, text: str, origin: str) -> PriceList:
    """Put what the file *origin* says over *base*."""
    try:
        told = _Table(tomllib.loads(text), f"prices file {origin}")
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"prices file {origin}: {error}") from None
    told.only("currency", "tier", "tiers", "operations")
    tiers = {**base.tiers}
    for name, prices in told.tables("tiers"):
        prices.only(*_PRICES)
        tiers[name] = {**tiers.get(name, {}), **prices.prices()}
        if missing := [what for what in _PRICES if what not in tiers[name]]:
            raise prices.refusal(missing[0], "the price is missing")
    classes = dict(base.classes)
    operations = told.table("operations")
    operations.only(*CLASSES)
    for kind in operations.values:
        classes |= dict.fromkeys(operations.names(kind), kind)
    tier = told.text("tier", base.tier)
    if tier not in tiers:
        raise told.refusal("tier", f"there is no tier {tier!r}; there are {', '.join(tiers)}")
    return PriceList(told.text("currency", base.currency), tier, tiers, classes, origin)


class _Table:
    """A table of a TOML file: what it holds, checked. Its methods raise UsageError."""

    def __init__(self, values: dict[str, Any], where: str, prefix: str = "") -> None:
        self.values = values
        self._where = where
        self._prefix = prefix

    def refusal(self, key: str, reason: str) -> UsageError:
        return UsageError(f"{self._where}: {self._prefix}{key}: {reason}")

    def only(self, *known: str) -> None:
        for key in self.values:
            if key not in known:
                raise self.refusal(key, f"unknown key; there are {', '.join(known)}")

    def text(self, key: str, otherwise: str) -> str:
        value = self.values.get(key, otherwise)
        if not isinstance(value, str) or not value.isprintable():
            raise self.refusal(key, "a text is needed")
        return value

    def table(self, key: str) -> "_Table":
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.refusal(key, "a table is needed")
        return _Table(value, self._where, f"{self._prefix}{key}.")

    def tables(self, key: str) -> "Iterator[tuple[str, _Table]]":
        table = self.table(key)
        for name in table.values:
            yield name, table.table(name)

    def prices(self) -> dict[str, float]:
        for key, value in self.values.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 <= value < math.inf:
                raise self.refusal(key, "a price is needed, 0 or more")
        return {key: float(value) for key, value in self.values.items()}

    def names(self, key: str) -> list[str]:
        value = self.values[key]
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self.refusal(key, "a list of names of operations is needed")
        return value


def choose_tier(prices: PriceList, named: str | None, of_share: object) -> str:
    """Return the tier to reckon with: the *named* one, else the share's own, else the usual.

    *of_share* is as the service writes it (`TransactionOptimized`). Raises UsageError
    where the user named one that has no prices.
    """
    if named is not None:
        if named not in prices.tiers:
            known = ", ".join(prices.tiers)
            raise UsageError(f"{prices.origin} has no prices of a tier {named!r}; it has {known}")
        return named
    plain = {name.replace("-", "").lower(): name for name in prices.tiers}
    return plain.get(str(of_share).lower(), prices.tier)


def reckon(
    requests: Mapping[str, Any], seconds: float, prices: PriceList, tier: str
) -> dict[str, Any]:
    """Return what the *requests* of `azfuse stats` cost in *seconds*, as `--json` shows it."""
    price = prices.tiers[tier]
    by_operation: dict[str, dict[str, Any]] = {}
    by_class: dict[str, dict[str, Any]] = {
        kind: {"requests": 0, "price": price[kind], "cost": 0.0} for kind in CLASSES
    }
    for operation, counts in requests["byOperation"].items():
        # What the table does not know is billed as all that has no class of its own.
        kind = prices.classes.get(operation, "other")
        cost = counts["requests"] * price[kind] / PER
        by_operation[operation] = {
            "class": kind, "requests": counts["requests"], "cost": cost
        }  # fmt: skip
        by_class[kind]["requests"] += counts["requests"]
    for entry in by_class.values():
        entry["cost"] = entry["requests"] * entry["price"] / PER
    received = requests["total"]["bytesReceived"]
    egress = received * price["egress"] / _GIB
    total = sum(entry["cost"] for entry in by_class.values()) + egress
    return {
        "currency": prices.currency,
        "tier": tier,
        "prices": prices.origin,
        "byClass": by_class,
        "byOperation": by_operation,
        "egress": {"bytes": received, "price": price["egress"], "cost": egress},
        "total": total,
        "perHour": total * 3600 / seconds if seconds else 0.0,
    }
