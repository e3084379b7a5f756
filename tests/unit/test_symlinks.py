"""Symbolic links in the form of the Linux SMB client."""

import errno
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azfuse.fuse import symlinks

targets = st.binary(min_size=1, max_size=symlinks.MAX_TARGET).filter(lambda target: 0 not in target)


def test_the_bytes_of_a_link():
    content = symlinks.encode(b"../lib/libfoo.so.1")
    digest = hashlib.md5(b"../lib/libfoo.so.1").hexdigest().encode()
    expected = b"XSym\n0018\n" + digest + b"\n../lib/libfoo.so.1\n"
    assert content == expected + b" " * (1067 - len(expected))


@given(targets)
def test_round_trip(target):
    content = symlinks.encode(target)
    assert len(content) == symlinks.SIZE == 1067
    assert symlinks.decode(content) == target
    assert symlinks.decode(bytes(memoryview(content))) == target


@pytest.mark.parametrize("length", [1, 1022, 1023])
def test_lengths_at_the_edge(length):
    assert symlinks.decode(symlinks.encode(b"t" * length)) == b"t" * length


def test_the_longest_link_of_the_linux_client_is_read():
    target = b"t" * 1024
    header = b"XSym\n1024\n%s\n" % hashlib.md5(target).hexdigest().encode()
    assert symlinks.decode(header + target) == target


@pytest.mark.parametrize(
    ("target", "code"), [(b"", errno.ENOENT), (b"t" * 1024, errno.ENAMETOOLONG)]
)
def test_refused_targets(target, code):
    with pytest.raises(OSError) as caught:
        symlinks.encode(target)
    assert caught.value.errno == code


@given(targets, st.integers(0, 42), st.integers(1, 255))
def test_a_changed_header_is_no_link(target, position, change):
    content = bytearray(symlinks.encode(target))
    content[position] ^= change
    assert symlinks.decode(bytes(content)) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"XSym\n",
        b"x" * 1067,
        symlinks.encode(b"target")[:-1],
        symlinks.encode(b"target") + b" ",
        symlinks.encode(b"target").replace(b"target", b"tarGet"),
        symlinks.encode(b"target").replace(b"XSym", b"xsym"),
        (b"XSym\n0000\n%s\n" % hashlib.md5(b"").hexdigest().encode()).ljust(1067),
        (b"XSym\n1025\n%s\n" % hashlib.md5(b" " * 1024).hexdigest().encode()).ljust(1067),
        (b"XSym\n0003\n%s\na\0b\n" % hashlib.md5(b"a\0b").hexdigest().encode()).ljust(1067),
    ],
)
def test_what_is_no_link(content):
    assert symlinks.decode(content) is None


def test_padding_is_not_looked_at():
    assert symlinks.decode(symlinks.encode(b"target")[:60].ljust(1067, b"\0")) == b"target"
