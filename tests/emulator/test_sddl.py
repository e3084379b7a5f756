"""Security descriptors in both forms, and what of them the emulator takes and gives."""

import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azfuse.emulator import sddl
from tests.emulator.conftest import code

QUERY = "restype=share&comp=filepermission"
#: What the service gives a directory below the root of a share (recorded).
RECORDED = (
    "O:SYG:SYD:(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;;0x1200a9;;;BU)(A;OICIIO;GXGR;;;BU)"
    "(A;OICI;0x1301bf;;;AU)(A;;FA;;;SY)(A;OICIIO;GA;;;CO)"
)


@pytest.mark.parametrize(
    "text",
    [
        RECORDED,
        RECORDED + "S:NO_ACCESS_CONTROL",
        "O:S-1-5-21-1-2-3-500G:S-1-5-21-1-2-3-513D:PAI(D;CIIO;0x1;;;WD)S:(AU;SAFA;FA;;;WD)",
        "O:S-1-5-88-1-1000G:S-1-5-88-2-1000D:(A;;FA;;;S-1-5-88-3-33188)",
        "O:BAG:BAD:",
        "O:BAG:BAD:NO_ACCESS_CONTROL",
    ],
)
def test_both_forms_say_the_same(text):
    assert sddl.write(sddl.parse(text)) == text
    assert sddl.write(sddl.unpack(sddl.pack(sddl.parse(text)))) == text


def test_the_binary_form_is_that_of_windows():
    raw = sddl.pack(sddl.parse("O:SYG:BAD:(A;OI;FA;;;WD)"))
    assert raw[:4] == bytes([1, 0, 0x04, 0x80])
    owner, group, sacl, dacl = struct.unpack_from("<IIII", raw, 4)
    assert raw[owner : owner + 12] == bytes.fromhex("010100000000000512000000")
    assert raw[group : group + 16] == bytes.fromhex("01020000000000052000000020020000")
    assert sacl == 0
    assert raw[dacl:] == bytes.fromhex("02001c000100000000011400ff011f00010100000000000100000000")


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "O:SYG:SY", "O:SYD:", "O:DAG:DAD:", "O:SYG:SYD:(A;;FA;;;DU)",
        "O:SYG:SYD:(A;;;;;SY)", "O:S-1-5-4294967296G:SYD:",
        "O:SYG:SYD:(X;;FA;;;SY)", "O:SYG:SYD:(A;QQ;FA;;;SY)", "O:SYG:SYD:(A;;ZZ;;;SY)",
        "O:SYG:SYD:X(A;;FA;;;SY)", "O:SYG:SYD:(A;;FA;;;SY", "O:S-2-1G:SYD:",
        "O:SYG:SYD:(A;;FA;;SY)",
    ],
)  # fmt: skip
def test_what_is_no_sddl(text):
    with pytest.raises(ValueError, match=r"."):
        sddl.parse(text)


@given(st.binary(max_size=120))
def test_rubbish_is_a_value_error_at_worst(raw):
    try:
        sddl.unpack(bytes([1, 0]) + raw)
    except ValueError:
        return


@pytest.fixture
async def share(client):
    await client.share()
    return client


async def create(client, **body):
    return await client("PUT", "/share", QUERY, body=json.dumps(body).encode())


async def get(client, key, form):
    headers = {"x-ms-file-permission-key": key, "x-ms-file-permission-format": form}
    return await client("GET", "/share", QUERY, headers)


@pytest.mark.anyio
async def test_each_form_comes_back_in_either(share):
    raw = base64.b64encode(sddl.pack(sddl.parse(RECORDED))).decode()
    made = await create(share, permission=raw, format="Binary")
    assert made.status_code == 201
    key = made.headers["x-ms-file-permission-key"]
    assert (await get(share, key, "sddl")).json() == {"permission": RECORDED}
    assert (await get(share, key, "binary")).json() == {"permission": raw, "format": "binary"}
    headers = {"x-ms-type": "file", "x-ms-content-length": "0", "x-ms-file-permission": RECORDED}
    answer = await share("PUT", "/share/f", "", headers)
    assert answer.headers["x-ms-file-permission-key"] == key


@pytest.mark.anyio
async def test_what_sddl_cannot_say_is_kept_in_binary(share):
    raw = bytearray(sddl.pack(sddl.parse("O:SYG:SYD:(A;;FA;;;SY)")))
    raw[raw.index(bytes.fromhex("00001400ff01"))] = 9  # a callback entry
    made = await create(share, permission=base64.b64encode(raw).decode(), format="binary")
    key = made.headers["x-ms-file-permission-key"]
    assert code(await get(share, key, "sddl")) == (400, "CannotConvertToSddlDueToCustomAce")
    answer = await get(share, key, "binary")
    assert base64.b64decode(answer.json()["permission"]) == bytes(raw)


@pytest.mark.anyio
async def test_unknown_formats_and_keys_are_refused(share):
    key = (await create(share, permission=RECORDED)).headers["x-ms-file-permission-key"]
    assert code(await get(share, key, "json")) == (400, "InvalidHeaderValue")
    assert code(await get(share, "1*2", "sddl")) == (400, "FileInvalidPermissionKey")
    assert code(await get(share, "key", "sddl")) == (400, "InvalidHeaderValue")
    answer = await create(share, permission=RECORDED, format="json")
    assert code(answer) == (400, "FileInvalidPermission")
