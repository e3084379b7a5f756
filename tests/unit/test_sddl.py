"""Security descriptors as text: what is inherited, and mode and owner in special SIDs."""

import stat

import pytest

from azfuse.cache.metadata import Facts
from azfuse.emulator import sddl as emulated
from azfuse.fuse.posix import AclPolicy, Posix
from azfuse.fuse.sddl import ROOT, ROOT_SDDL, Descriptor
from azfuse.fuse.settings import FileSystemSettings
from azfuse.rest.wire import FileAttributes


def entries(descriptor):
    """Return kind, flags, mask and SID of each entry, as the emulator understands them."""
    found = emulated.parse(str(descriptor)).dacl
    assert found is not None
    return sorted((entry.kind, entry.flags, entry.mask, entry.sid) for entry in found)


def test_what_is_said_is_read_again():
    said = ROOT.saying(0o2754, 1000, 4_294_967_295)
    again = Descriptor.parse(str(said))
    assert (again.mode, again.uid, again.gid) == (0o2754, 1000, 4_294_967_295)
    assert again.says(0o2754, 1000, 4_294_967_295)
    assert again == said
    assert str(said).startswith(
        "O:S-1-5-88-1-1000G:S-1-5-88-2-4294967295D:(D;;0x0;;;S-1-5-88-3-1516)(A;"
    )
    # Said once, and nothing else of it is changed.
    twice = again.saying(0o600, 0, 0)
    assert entries(twice)[:-1] != entries(again)
    assert set(entries(again)) - set(entries(twice)) == {(1, 0, 0, "S-1-5-88-3-1516")}
    assert set(entries(ROOT)) <= set(entries(twice))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ROOT_SDDL, (None, None, None)),
        ("O:S-1-5-88-1-4294967296G:S-1-5-88-2-07D:", (None, None, 7)),
        # As the Linux SMB client writes it, with type bits in the mode.
        ("O:BAG:S-1-5-88-2-5D:PAI(D;;;;;S-1-5-88-3-33188)(A;;GA;;;S-1-5-88-1-7)", (0o644, None, 5)),
        ("O:BAG:BAD:(A;;FA;;;S-1-5-88-3)S:AI(AU;SA;FA;;;S-1-5-88-3-1)", (None, None, None)),
    ],
)
def test_reading(text, expected):
    found = Descriptor.parse(text)
    assert (found.mode, found.uid, found.gid) == expected
    assert Descriptor.parse(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "", "O:BAG:BA", "O:BAG:BAD:(A;;FA)", "D:(A;;FA;;;BA)", "O:BAG:BAD:x",
        "O:BAG:BAD:(A;;FA;;;BA", "binary:AQAEgA==",
    ],
)  # fmt: skip
def test_what_is_no_descriptor_is_refused(text):
    with pytest.raises(ValueError, match="not"):
        Descriptor.parse(text)


def test_entries_of_other_kinds_are_kept_as_they_are():
    text = (
        'O:BAG:BAD:AI(XA;CIOI;FR;;;WD;(@User.Title=="PM (x)"))'
        "(OA;;CR;00299570-246d-11d0-a768-00aa006e0529;;SY)S:P(AU;FASA;FA;;;WD)"
    )
    assert str(Descriptor.parse(text)) == text
    said = Descriptor.parse(text).saying(0o640, 1, 2)
    assert str(said).endswith(text.partition("D:AI")[2])


def test_a_file_inherits_what_the_service_gives_one():
    assert entries(ROOT.inherited(5, 6, directory=False)) == sorted(
        [
            (0, 0x10, 0x1F01FF, "S-1-5-32-544"),
            (0, 0x10, 0x1F01FF, "S-1-5-18"),
            (0, 0x10, 0x1200A9, "S-1-5-32-545"),
            (0, 0x10, 0x1301BF, "S-1-5-11"),
            (0, 0x10, 0x1F01FF, "S-1-5-88-1-5"),  # CREATOR OWNER
        ]
    )


def test_what_a_directory_inherits_its_own_files_inherit_as_from_above():
    below = ROOT.inherited(5, 6, directory=True)
    assert (0, 0x1B, 0x10000000, "S-1-3-0") in entries(below)
    assert entries(below.inherited(7, 8, directory=False)) == entries(
        ROOT.inherited(7, 8, directory=False)
    )
    # Modes are not inherited.
    said = below.saying(0o700, 5, 6)
    assert said.inherited(7, 8, directory=True).mode is None


@pytest.mark.parametrize(
    ("entry", "to_file", "to_directory"),
    [
        ("(A;;FA;;;BA)", "", ""),
        ("(A;OI;FA;;;BA)", "(A;ID;FA;;;BA)", "(A;IDIOOI;FA;;;BA)"),
        ("(A;CI;FA;;;BA)", "", "(A;CIID;FA;;;BA)"),
        ("(A;OICINP;FA;;;BA)", "(A;ID;FA;;;BA)", "(A;ID;FA;;;BA)"),
        ("(A;OINP;FA;;;BA)", "(A;ID;FA;;;BA)", ""),
        ("(A;OICIIOID;GRGX;;;CG)", "(A;ID;FRFX;;;S-1-5-88-2-6)",
         "(A;ID;FRFX;;;S-1-5-88-2-6)(A;CIIDIOOI;GRGX;;;CG)"),
    ],
)  # fmt: skip
def test_inheritance(entry, to_file, to_directory):
    parent = Descriptor.parse(f"O:BAG:BAD:{entry}")
    head = "O:S-1-5-88-1-5G:S-1-5-88-2-6D:AI"
    assert str(parent.inherited(5, 6, directory=False)) == head + to_file
    assert str(parent.inherited(5, 6, directory=True)) == head + to_directory


# -- the policy ---------------------------------------------------------------------------


@pytest.fixture
def known():
    return {"1*1": ROOT.saying(0o6640, 7, 8), "2*2": ROOT}


@pytest.fixture
def policy(known, tmp_path):
    settings = FileSystemSettings(posix="acl", uid=1, gid=2, file_mode=0o644, state_dir=tmp_path)
    return AclPolicy(settings, known)


def facts(key, attributes=FileAttributes.ARCHIVE, metadata=None):
    return Facts("f", False, 1, 0, "e", 0, 0, 0, attributes, key, metadata, 0.0)


NOTED = {"azfuse_mode": "0100600", "azfuse_uid": "3", "azfuse_gid": "4"}
SYSTEM = FileAttributes.ARCHIVE | FileAttributes.SYSTEM


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (facts("1*1"), (0o6640, 7, 8)),
        (facts("2*2"), (0o644, 1, 2)),
        (facts(None), (0o644, 1, 2)),
        (facts("1*1", FileAttributes.READ_ONLY), (0o6440, 7, 8)),
        # Of a mount with posix=metadata before: it counts as long as nothing else is said.
        (facts("2*2", SYSTEM, NOTED), (0o600, 3, 4)),
        (facts("1*1", SYSTEM, NOTED), (0o6640, 7, 8)),
        (facts("2*2", FileAttributes.ARCHIVE, NOTED), (0o644, 1, 2)),
    ],
)
def test_mode_and_owner(policy, what, expected):
    found = policy.of(what)
    assert (found.permissions, found.uid, found.gid) == expected
    assert stat.S_ISREG(found.mode)
    assert policy.unknown_key(what) is None


def test_special_files_are_metadata(policy):
    fifo = Posix(stat.S_IFIFO | 0o600, 3, 4)
    encoded = policy.encode(fifo, FileAttributes.ARCHIVE, {})
    assert encoded.described is None
    assert policy.of(facts("1*1", encoded.attributes, encoded.metadata)) == fifo


def test_an_unknown_key_is_to_be_asked_for(policy):
    assert policy.unknown_key(facts("3*3")) == "3*3"


def test_metadata_of_before_is_made_void(policy):
    posix = Posix(stat.S_IFREG | 0o400, 7, 8)
    encoded = policy.encode(posix, SYSTEM, NOTED | {"other": "kept"})
    assert encoded.attributes == FileAttributes.ARCHIVE | FileAttributes.READ_ONLY
    assert encoded.metadata == NOTED | {"other": "kept"}
    assert encoded.described == posix
    # The attribute of somebody else is left alone.
    assert SYSTEM in policy.encode(posix, SYSTEM, {"other": "kept"}).attributes
