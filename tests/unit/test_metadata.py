"""Facts of entries, and listings that are believed for a while, on a clock of our own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azfuse.cache.metadata import Belief, Facts, Listing, ListingCache
from azfuse.rest.models import DirectoryEntry
from azfuse.rest.wire import FileAttributes, etag_of_time

TTL = 5.0
FIXED = Belief(TTL, TTL)


class Clock:
    """Stands still until it is set."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def facts(name="file", etag_time=1_000_000_000, **changes) -> Facts:
    values = {
        "name": name, "is_directory": False, "file_id": 7, "size": 10,
        "etag": etag_of_time(etag_time), "creation_time": 1, "last_write_time": 2,
        "change_time": etag_time, "attributes": FileAttributes.ARCHIVE, "permission_key": None,
        "metadata": None, "asked": 1000.0,
    }  # fmt: skip
    return Facts(**(values | changes))


def listing(asked: float, count: int = 1) -> Listing:
    return Listing(((f"F{n}", facts(f"f{n}")) for n in range(count)), asked)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cache(clock) -> ListingCache[str]:
    return ListingCache(FIXED, clock, max_entries=100)


def test_a_listing_is_believed_from_when_it_was_asked_for(cache, clock):
    clock.now = 1003.0  # the answer took three seconds
    kept = listing(asked=1000.0)
    cache.put("dir", kept)
    assert cache.get("dir") is kept
    clock.now = 1004.999
    assert cache.get("dir") is kept
    clock.now = 1005.0
    assert cache.get("dir") is None


def test_an_answer_that_took_too_long_is_not_believed(cache, clock):
    clock.now = 1006.0
    cache.put("dir", listing(asked=1000.0))
    assert cache.get("dir") is None


def test_nothing_is_believed_without_time(clock):
    cache: ListingCache[str] = ListingCache(Belief(0, 0), clock)
    cache.put("dir", listing(asked=clock.now))
    assert cache.get("dir") is None


def test_what_stands_still_is_believed_longer_each_time():
    belief = Belief(3, 20)
    asked, since, periods = 100.0, 100.0, []
    for _ in range(5):
        periods.append(belief.seconds(asked - since))
        asked += periods[-1]
    assert periods == [3, 6, 12, 20, 20]
    assert Belief(0, 60).seconds(1000) == 0


def test_a_directory_that_stands_still_is_listed_less_often(clock):
    cache: ListingCache[str] = ListingCache(Belief(2, 30), clock)
    for period in (2, 4, 8):
        cache.put("dir", listing(clock.now, 3))
        clock.now += period - 0.001
        assert cache.get("dir")
        clock.now += 0.001
        assert cache.get("dir") is None
    cache.put("dir", listing(clock.now, 4))
    clock.now += 2
    assert cache.get("dir") is None


def test_facts_that_are_confirmed_remember_since_when():
    first = facts(asked=10.0, metadata={"mode": "1"})
    second, third = facts(asked=15.0), facts(asked=25.0)
    second.confirms(first)
    third.confirms(second)
    assert [each.unchanged for each in (first, second, third)] == [0, 5, 15]
    assert third.metadata == {"mode": "1"}
    assert third.after(written(2_000_000_000), 30.0).unchanged == 0


def test_a_newer_listing_takes_the_place(cache, clock):
    cache.put("dir", listing(1000.0))
    clock.now = 1004.0
    newer = listing(1004.0, 2)
    cache.put("dir", newer)
    clock.now = 1008.0
    assert cache.get("dir") is newer


def test_dropping(cache):
    cache.put("dir", listing(1000.0))
    cache.drop("dir")
    cache.drop("dir")
    assert cache.get("dir") is None


def test_one_that_is_larger_than_all_is_not_kept(cache):
    cache.put("dir", listing(1000.0, 100))
    assert cache.get("dir") is None
    cache.put("dir", listing(1000.0, 99))
    assert cache.get("dir") is not None


def test_too_large_a_newer_listing_does_not_leave_the_old_one(cache):
    cache.put("dir", listing(1000.0, 5))
    cache.put("dir", listing(1001.0, 500))
    assert cache.get("dir") is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"),
            st.sampled_from(["put", "get", "drop", "wait"]),
            st.floats(0, 3),
            st.integers(0, 60),
        ),
        max_size=60,
    )
)
def test_what_is_returned_is_the_newest_and_not_too_old(steps):
    clock = Clock()
    cache: ListingCache[str] = ListingCache(FIXED, clock, max_entries=100)
    newest: dict[str, Listing | None] = {}
    for directory, step, number, count in steps:
        if step == "put":
            newest[directory] = listing(clock.now - number, count)
            cache.put(directory, newest[directory])  # type: ignore[arg-type]
        elif step == "drop":
            newest[directory] = None
            cache.drop(directory)
        elif step == "wait":
            clock.now += number
        else:
            found = cache.get(directory)
            assert found is None or found is newest.get(directory)
            assert found is None or clock.now - found.asked < TTL


def written(etag_time: int, **smb):
    from azfuse.rest.models import SmbProperties, Written

    return Written(etag=etag_of_time(etag_time), last_modified=etag_time, smb=SmbProperties(**smb))


def test_facts_after_a_change_of_ours():
    before = facts(etag_time=1_000_000_000)
    after = before.after(
        written(2_000_000_000, last_write_time=33, change_time=44, file_id=7), 1001.0, size=20
    )
    assert (after.size, after.asked) == (20, 1001.0)
    assert (after.last_write_time, after.change_time) == (33, 44)
    assert after.etag == etag_of_time(2_000_000_000)
    assert after.creation_time == before.creation_time
    assert before.size == 10


def test_of_answers_that_arrive_in_any_order_the_latest_counts():
    late, early = written(3_000_000_000), written(2_000_000_000)
    one = facts().after(late, 1001.0).after(early, 1002.0)
    other = facts().after(early, 1002.0).after(late, 1001.0)
    assert one.etag == other.etag == etag_of_time(3_000_000_000)
    assert one.change_time == other.change_time == 3_000_000_000
    assert one.asked == other.asked == 1002.0


def test_the_epoch_is_a_time_like_any_other():
    entry = DirectoryEntry("e", False, 1, 0, creation_time=0, last_write_time=0, change_time=10**18)
    facts = Facts.of_entry(entry, 1.0)
    assert (facts.creation_time, facts.last_write_time, facts.change_time) == (0, 0, 10**18)
