"""Money: exact sums, and prices files that say what is wrong with them."""

import re
from pathlib import Path

import pytest

from azfuse.cli.cost import CLASSES, PriceList, choose_tier, load_prices, reckon
from azfuse.emulator.operations import OPERATIONS
from azfuse.mount.errors import UsageError


@pytest.fixture
def shipped(tmp_path) -> PriceList:
    return load_prices(None, {"XDG_CONFIG_HOME": str(tmp_path)})


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def counts(received: int = 0, **operations: int):
    return {
        "total": {"bytesReceived": received},
        "byOperation": {name: {"requests": count} for name, count in operations.items()},
    }


def test_every_operation_has_a_class(shipped):
    assert set(shipped.classes) == set(OPERATIONS)
    assert set(shipped.classes.values()) == set(CLASSES)


def test_classes_are_those_of_the_bills(shipped):
    assert shipped.classes["PutRange"] == shipped.classes["SetFileMetadata"] == "write"
    assert shipped.classes["ListDirectoriesAndFiles"] == "list"
    assert shipped.classes["GetFile"] == shipped.classes["GetFileProperties"] == "read"
    assert shipped.classes["LeaseFile"] == "other"
    assert shipped.classes["DeleteFile"] == shipped.classes["ClearRange"] == "delete"
    assert all(tier["delete"] == 0 for tier in shipped.tiers.values())


def test_sums(tmp_path):
    prices = load_prices(
        write(
            tmp_path,
            "currency = 'EUR'\ntier = 'mine'\n[tiers.mine]\n"
            "write = 0.5\nlist = 0.25\nread = 0.125\nother = 1\ndelete = 0\negress = 2\n",
        ),
        {},
    )
    requests = counts(
        512 * 1024**2, PutRange=20_000, CreateFile=10_000, ListDirectoriesAndFiles=10_000,
        GetFile=80_000, LeaseFile=5_000, DeleteFile=1_000_000, BrandNew=10_000,
    )  # fmt: skip
    cost = reckon(requests, 7200, prices, "mine")
    assert {kind: entry["cost"] for kind, entry in cost["byClass"].items()} == {
        "write": 1.5, "list": 0.25, "read": 1.0, "other": 1.5, "delete": 0.0,
    }  # fmt: skip
    assert {kind: entry["requests"] for kind, entry in cost["byClass"].items()} == {
        "write": 30_000, "list": 10_000, "read": 80_000, "other": 15_000, "delete": 1_000_000,
    }  # fmt: skip
    assert cost["byOperation"]["PutRange"] == {"class": "write", "requests": 20_000, "cost": 1.0}
    assert cost["byOperation"]["BrandNew"]["class"] == "other"
    assert cost["egress"] == {"bytes": 512 * 1024**2, "price": 2.0, "cost": 1.0}
    assert (cost["total"], cost["perHour"], cost["currency"]) == (5.25, 2.625, "EUR")


def test_nothing_costs_nothing(shipped):
    cost = reckon(counts(), 0, shipped, shipped.tier)
    assert (cost["total"], cost["perHour"]) == (0, 0)


def test_a_file_says_only_what_differs(tmp_path, shipped):
    path = write(tmp_path, "[tiers.hot]\nwrite = 1\n[operations]\nother = ['RenameFile']\n")
    prices = load_prices(path, {})
    assert prices.tiers["hot"] == {**shipped.tiers["hot"], "write": 1.0}
    assert prices.tiers["cool"] == shipped.tiers["cool"]
    assert (prices.classes["RenameFile"], prices.classes["PutRange"]) == ("other", "write")
    assert (prices.currency, prices.tier) == (shipped.currency, shipped.tier)
    assert prices.origin == str(path)
    assert shipped.tiers["hot"]["write"] != 1.0


def test_the_usual_place(tmp_path):
    (tmp_path / "azfuse").mkdir()
    (tmp_path / "azfuse/prices.toml").write_text("currency = 'XTS'\n")
    assert load_prices(None, {"XDG_CONFIG_HOME": str(tmp_path)}).currency == "XTS"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("currency = \n", r"Invalid value \(at line 1, column 12\)"),
        ("curency = 'EUR'\n", "curency: unknown key; there are currency, tier, tiers"),
        ("currency = 3\n", "currency: a text is needed"),
        ('currency = "\\u001b[31m"\n', "currency: a text is needed"),
        ("tiers = 3\n", "tiers: a table is needed"),
        ("[tiers]\nhot = 3\n", "tiers.hot: a table is needed"),
        ("[tiers.hot]\nwirte = 3\n", "tiers.hot.wirte: unknown key; there are write, list"),
        ("[tiers.hot]\nwrite = 'x'\n", "tiers.hot.write: a price is needed"),
        ("[tiers.hot]\nwrite = true\n", "tiers.hot.write: a price is needed"),
        ("[tiers.hot]\nwrite = -1\n", "tiers.hot.write: a price is needed"),
        ("[tiers.hot]\nwrite = nan\n", "tiers.hot.write: a price is needed"),
        ("[tiers.hot]\nwrite = inf\n", "tiers.hot.write: a price is needed"),
        ("[tiers.new]\nwrite = 1\n", "tiers.new.list: the price is missing"),
        ("tier = 'lukewarm'\n", "tier: there is no tier 'lukewarm'; there are transaction-"),
        ("[operations]\nreads = []\n", "operations.reads: unknown key; there are write"),
        ("[operations]\nread = 'GetFile'\n", "operations.read: a list of names"),
        ("[operations]\nread = [1]\n", "operations.read: a list of names"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path, text, said):
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match=f"^prices file {re.escape(str(path))}: .*({said})"):
        load_prices(path, {})


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match=r"missing\.toml: No such file or directory"):
        load_prices(tmp_path / "missing.toml", {})
    (tmp_path / "latin.toml").write_bytes(b"currency = '\xa3'\n")
    with pytest.raises(UsageError, match="is not UTF-8"):
        load_prices(tmp_path / "latin.toml", {})


@pytest.mark.parametrize(
    ("named", "of_share", "chosen"),
    [
        ("cool", "Hot", "cool"),
        (None, "Hot", "hot"),
        (None, "TransactionOptimized", "transaction-optimized"),
        (None, "Premium", "premium"),
        (None, None, "transaction-optimized"),
        (None, "Unheard", "transaction-optimized"),
    ],
)
def test_tiers(shipped, named, of_share, chosen):
    assert choose_tier(shipped, named, of_share) == chosen


def test_a_tier_without_prices(shipped):
    with pytest.raises(UsageError, match="no prices of a tier 'tepid'; it has transaction-"):
        choose_tier(shipped, "tepid", None)
