"""`user.*` attributes as metadata: reversible names and values, foreign metadata, limits."""

import base64
import errno
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from azfuse.fuse import xattrs
from azfuse.rest.headers import metadata_headers

pieces = st.sampled_from(
    [
        b"a",
        b"z",
        b"_",
        b"x",
        b"_x",
        b"_x41_",
        b"_x5f_",
        b"x41_",
        b"azfuse_",
        b"A",
        b"0",
        b".",
        b"\xff",
    ]
)
bare_names = st.one_of(
    st.binary(min_size=1, max_size=250).filter(lambda name: 0 not in name),
    st.lists(pieces, min_size=1, max_size=20).map(b"".join),
)
names = bare_names.map(lambda name: b"user." + name)
values = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=40).map(str.encode),
    st.sampled_from(
        [b"0s", b"0sAAAA", b"0sAA==", b" edge", b"edge ", b"a  b", b"a b", b"tab\t", b""]
    ),
)
identifiers = st.one_of(
    st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,20}\Z"),
    st.from_regex(r"\A(_x([0-9a-fA-F]{2}){1,2}_|[ax_]){1,6}\Z"),
    st.sampled_from(
        ["_x5f_x5f_x5f_", "_x5f_x5f_x61_", "_x61_", "_X41_", "_x5fx41_", "azfuse", "azfuse_"]
    ),
)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (b"user.comment", "comment"),
        (b"user.mime_type", "mime_type"),
        (b"user.xdg.origin.url", "xdg_x2e_origin_x2e_url"),
        (b"user.Comment", "_x43_omment"),
        (b"user.2nd", "_x32_nd"),
        (b"user.a1", "a1"),
        ("user.ключ".encode(), "_xd0bad0bbd18ed187_"),
        (b"user.azfuse_mode", "_x61_zfuse_mode"),
        (b"user.azfuse", "azfuse"),
        (b"user.a_xyz", "a_xyz"),
        (b"user._x41_", "_x5f_x41_"),
        (b"user._x61_", "_x61_"),  # not an escape that we write: `a` needs none
    ],
)
def test_names_as_metadata(name, key):
    assert xattrs.with_value({}, name, b"v") == {key: "v"}
    assert xattrs.names({key: "v"}) == [name]
    assert xattrs.get({key: "v"}, name) == b"v"


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (b"text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        (b"!", "!"),
        (b"", "0s"),
        (b" edge", "0sIGVkZ2U="),
        (b"two  blanks", "0sdHdvICBibGFua3M="),
        (b"line\n", "0sbGluZQo="),
        ("Grüße".encode(), "0sR3LDvMOfZQ=="),
        (b"\0\xff", "0sAP8="),
        (b"0sAP8=", "0sMHNBUDg9"),
    ],
)
def test_values_as_metadata(value, stored):
    assert xattrs.with_value({}, b"user.k", value) == {"k": stored}
    assert xattrs.get({"k": stored}, b"user.k") == value


@pytest.mark.parametrize("text", ["0sNot base64", "0sAP9=", "0sAP8", "0sA", "0sÿ", "plain"])
def test_foreign_values_show_as_they_are(text):
    assert xattrs.get({"k": text}, b"user.k") == text.encode()


@given(names, values)
@example(b"user._x5f_x5f_x41_", b"")
def test_round_trip(name, value):
    metadata = xattrs.with_value({}, name, value)
    (key,) = metadata
    assert re.fullmatch("[a-z_][a-z0-9_]*", key)
    assert not key.startswith(xattrs.RESERVED_PREFIX)
    assert metadata_headers(metadata)  # the client agrees that this can travel
    assert xattrs.names(metadata) == [name]
    assert xattrs.get(metadata, name) == value
    # The service may hand the name back in any letter case.
    assert xattrs.get({key.upper(): metadata[key]}, name) == value
    assert xattrs.without(metadata, name) == {}


@given(st.dictionaries(names, st.binary(max_size=20), max_size=8))
def test_no_two_names_collide(wanted):
    metadata: dict[str, str] = {"azfuse_mode": "0644"}
    for name, value in wanted.items():
        metadata = xattrs.with_value(metadata, name, value)
    assert sorted(xattrs.names(metadata)) == sorted(wanted)
    assert {name: xattrs.get(metadata, name) for name in wanted} == wanted
    assert len({key.lower() for key in metadata}) == len(wanted) + 1
    for name in wanted:
        metadata = xattrs.without(metadata, name)
    assert metadata == {"azfuse_mode": "0644"}


@given(identifiers, values)
def test_foreign_metadata_shows_and_is_updated_in_place(key, value):
    metadata = {key: "foreign"}
    if key.lower().startswith("azfuse_"):
        assert xattrs.names(metadata) == []
        return
    (name,) = xattrs.names(metadata)
    assert name.startswith(b"user.")
    assert xattrs.get(metadata, name) == b"foreign"
    updated = xattrs.with_value(metadata, name, value)
    assert list(updated) == [key]
    assert xattrs.get(updated, name) == value
    assert xattrs.without(updated, name) == {}
    # Even without the foreign entry in sight, the name leads to the same metadata name.
    assert [made.lower() for made in xattrs.with_value({}, name, b"v")] == [key.lower()]


@given(identifiers, identifiers)
def test_foreign_names_do_not_collide(one, other):
    if one.lower() != other.lower() and not {one.lower()[:7], other.lower()[:7]} & {"azfuse_"}:
        assert len(xattrs.names({one: "", other: ""})) == 2


def test_names_that_no_identifier_rule_foresaw():
    metadata = {"Content-Type": "a", "grüße": "b", "k" * 300: "c", "_x5f" * 1000 + "_": "d"}
    assert xattrs.names(metadata) == [b"user.content-type", "user.grüße".encode()]
    assert xattrs.with_value(metadata, b"user.content-type", b"z")["Content-Type"] == "z"


def test_our_own_metadata_is_out_of_reach():
    metadata = {"azfuse_mode": "0600", "Azfuse_Uid": "7", "seen": "1"}
    assert xattrs.names(metadata) == [b"user.seen"]
    assert xattrs.get(metadata, b"user.azfuse_mode") is None
    changed = xattrs.with_value(metadata, b"user.azfuse_mode", b"mine")
    assert changed["azfuse_mode"] == "0600"
    assert xattrs.get(changed, b"user.azfuse_mode") == b"mine"
    assert xattrs.without(changed, b"user.azfuse_mode") == metadata


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (b"security.capability", errno.ENOTSUP),
        (b"trusted.overlay", errno.ENOTSUP),
        (b"system.posix_acl_access", errno.ENOTSUP),
        (b"USER.a", errno.ENOTSUP),
        (b"user", errno.ENOTSUP),
        (b"user.", errno.EINVAL),
        (b"user." + b"k" * 251, errno.ERANGE),
    ],
)
def test_refused_names(name, code):
    for call in (
        lambda: xattrs.get({}, name),
        lambda: xattrs.with_value({}, name, b""),
        lambda: xattrs.without({}, name),
    ):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == code


def test_limits():
    assert xattrs.with_value({}, b"user.k", b"v" * 8191)
    for value, code in [(b"v" * 8192, errno.ENOSPC), (b"v" * 65537, errno.E2BIG)]:
        with pytest.raises(OSError) as caught:
            xattrs.with_value({}, b"user.k", value)
        assert caught.value.errno == code
    nearly_full = {"azfuse_x": "v" * 8000}
    with pytest.raises(OSError) as caught:
        xattrs.with_value(nearly_full, b"user.k", base64.b64encode(b"v" * 150))
    assert caught.value.errno == errno.ENOSPC
    # A value is counted once when it replaces another.
    assert xattrs.with_value({"k": "v" * 8000}, b"user.k", b"w" * 8100) == {"k": "w" * 8100}


def test_removing_what_is_not_there():
    with pytest.raises(OSError) as caught:
        xattrs.without({"a": "1"}, b"user.b")
    assert caught.value.errno == errno.ENODATA


def test_the_arguments_are_left_alone():
    metadata = {"a": "1"}
    xattrs.with_value(metadata, b"user.b", b"2")
    xattrs.without(metadata, b"user.a")
    assert metadata == {"a": "1"}
