"""Linux names and share names: a bijection, the Linux SMB client's table, one folding rule."""

import errno

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from azfuse.emulator import names as emulator_names
from azfuse.emulator.errors import Refusal
from azfuse.fuse.names import fold, to_linux, to_share

#: Characters that matter to names, among all others.
ODD = '"*:<>?\\|. /\0\x01\x1f\x7f\x81\xa0\uf001\uf01f\uf020\uf027\uf028\uf029aAéßµ\u0131\u017fςǅ𐐨'
text = st.text(st.one_of(st.sampled_from(ODD), st.characters(codec="utf-8")), max_size=300)


@pytest.mark.parametrize(
    ("linux", "share"),
    [
        (b"plain.txt", "plain.txt"),
        (b'say "hi"', "say \uf020hi\uf020"),
        (b"*:<>?\\|", "\uf021\uf022\uf023\uf024\uf025\uf026\uf027"),
        (b"tab\there\x01\x1f", "tab\uf009here\uf001\uf01f"),
        (b"trailing space ", "trailing space\uf028"),
        (b"two  ", "two \uf028"),
        (b" ", "\uf028"),
        (b"trailing dot.", "trailing dot."),
        (b"100% #1 + 1?", "100% #1 + 1\uf025"),
        ("Grüße, мир, 日本, 🎉".encode(), "Grüße, мир, 日本, 🎉"),
        ("dotted\uf029".encode(), "dotted\uf029"),
        (b"con.txt", "con.txt"),
    ],
)
def test_the_table(linux, share):
    assert to_share(linux) == share
    assert to_linux(share) == linux


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (b"\xff", errno.EILSEQ),
        (b"\xed\xa0\x80", errno.EILSEQ),  # a surrogate
        (b"", errno.EINVAL),
        (b".", errno.EINVAL),
        (b"..", errno.EINVAL),
        (b"a/b", errno.EINVAL),
        (b"a\0b", errno.EINVAL),
        (b"del\x7f", errno.EINVAL),
        ("c1\x81".encode(), errno.EINVAL),
        ("quote\uf020".encode(), errno.EINVAL),
        ("control\uf001".encode(), errno.EINVAL),
        (b"con", errno.EINVAL),
        (b"Lpt9", errno.EINVAL),
        (b"a" * 256, errno.ENAMETOOLONG),
        ("🎉".encode() * 128, errno.ENAMETOOLONG),
    ],
)
def test_refusals(name, code):
    with pytest.raises(OSError) as caught:
        to_share(name)
    assert caught.value.errno == code


def test_the_longest_names_pass():
    for name in ("a" * 255, "é" * 255, "🎉" * 127 + "a"):
        assert to_linux(to_share(name.encode())) == name.encode()


@given(text)
@example("a\uf028")
@example("a \uf028")
def test_what_is_accepted_comes_back(name):
    try:
        share = to_share(name.encode())
    except OSError:
        return
    assert to_linux(share) == name.encode()
    # The emulator's own rules accept whatever the driver lets through.
    assert emulator_names.clean_path([share], keep_dots=True, nfs=False) == (share,)


@given(text)
def test_every_name_on_a_share_can_be_reached(name):
    try:
        emulator_names.clean_path([name], keep_dots=True, nfs=False)
    except Refusal:
        return
    assert to_share(to_linux(name)) == name


@given(text)
@example("straße ǅ ŉ ΐ ﬁ 𐐨")
def test_folding_agrees_with_the_emulator(name):
    assert fold(name) == emulator_names.fold(name)
    assert fold(fold(name)) == fold(name)


def test_folding_of_every_character():
    for code in (*range(0xD800), *range(0xE000, 0x11000)):
        character = chr(code)
        assert fold(character) == emulator_names.fold(character)
        assert fold(f"é{character}") == emulator_names.fold(f"é{character}")


def test_folding():
    assert fold("ReadMe.TXT") == fold("readme.txt")
    assert fold("ÄÖÜ Привет") == fold("äöü пРИВЕТ")
    assert fold("straße") != fold("STRASSE")
    assert fold("é") != fold("e\u0301")
    assert fold("𐐨") != fold("𐐀")
