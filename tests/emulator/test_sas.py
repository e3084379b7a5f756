"""Shared access signatures: letters by operation and kind, addresses, protocol, times, policies."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.emulator.conftest import code, xml
from tests.emulator.signing import ACCOUNT, account_sas, service_sas

pytestmark = pytest.mark.anyio
LETTERS = "rcwdl"
Requests = dict[str, tuple[str, str, str, dict[str, str], bytes, str]]
NEWEST = "2026-10-06"
FOREVER = "2099-01-01T00:00:00Z"
SOURCE = {"x-ms-file-rename-source": f"http://localhost/{ACCOUNT}/share/f"}
FILE = {"x-ms-type": "file", "x-ms-content-length": "5"}
RANGE = {"x-ms-range": "bytes=0-4"}
ACQUIRE = {"x-ms-lease-action": "acquire"}
COPY = {"x-ms-copy-source": "SOURCE"}
DIR = "restype=directory"
SHARE = "restype=share"
#: Operation: method, path, query, headers, body; the letters any of which is enough.
ON_FILES: Requests = {
    "Get File": ("GET", "/share/f", "", {}, b"", "r"),
    "Get File Properties": ("HEAD", "/share/f", "", {}, b"", "r"),
    "Get File Metadata": ("GET", "/share/f", "comp=metadata", {}, b"", "r"),
    "List Ranges": ("GET", "/share/f", "comp=rangelist", {}, b"", "r"),
    "Create File": ("PUT", "/share/new", "", FILE, b"", "cw"),
    "Create File over another": ("PUT", "/share/f", "", FILE, b"", "w"),
    "Set File Properties": ("PUT", "/share/f", "comp=properties", {}, b"", "w"),
    "Set File Metadata": ("PUT", "/share/f", "comp=metadata", {}, b"", "w"),
    "Put Range": ("PUT", "/share/f", "comp=range", {**RANGE, "x-ms-write": "update"}, b"12345",
                  "w"),
    "Clear Range": ("PUT", "/share/f", "comp=range", {**RANGE, "x-ms-write": "clear"}, b"", "w"),
    "Put Range From URL": ("PUT", "/share/f", "comp=range",
                           {**RANGE, **COPY, "x-ms-write": "update"}, b"", "w"),
    "Copy File": ("PUT", "/share/copy", "", COPY, b"", "cw"),
    "Lease File": ("PUT", "/share/f", "comp=lease", ACQUIRE, b"", "wd"),
    "Delete File": ("DELETE", "/share/f", "", {}, b"", "d"),
    "Rename File": ("PUT", "/share/g", "comp=rename", SOURCE, b"", "cw"),
    "List Handles": ("GET", "/share/f", "comp=listhandles", {}, b"", "l"),
    "Force Close Handles": ("PUT", "/share/f", "comp=forceclosehandles", {"x-ms-handle-id": "*"},
                            b"", "w"),
}  # fmt: skip
ON_DIRECTORIES: Requests = {
    "Create Directory": ("PUT", "/share/new", DIR, {}, b"", "cw"),
    "Get Directory Properties": ("GET", "/share/d", DIR, {}, b"", "r"),
    "Get Directory Metadata": ("GET", "/share/d", f"{DIR}&comp=metadata", {}, b"", "r"),
    "Set Directory Metadata": ("PUT", "/share/d", f"{DIR}&comp=metadata", {}, b"", "w"),
    "Set Directory Properties": ("PUT", "/share/d", f"{DIR}&comp=properties", {}, b"", "w"),
    "List Directories and Files": ("GET", "/share", f"{DIR}&comp=list", {}, b"", "l"),
    "Delete Directory": ("DELETE", "/share/d", DIR, {}, b"", "d"),
}
ON_SHARES: Requests = {
    "Create Share": ("PUT", "/another", SHARE, {}, b"", "cw"),
    "Get Share Properties": ("GET", "/share", SHARE, {}, b"", "r"),
    "Get Share Metadata": ("GET", "/share", f"{SHARE}&comp=metadata", {}, b"", "r"),
    "Set Share Metadata": ("PUT", "/share", f"{SHARE}&comp=metadata", {}, b"", "w"),
    "Set Share Properties": ("PUT", "/share", f"{SHARE}&comp=properties", {}, b"", "w"),
    "Get Share Stats": ("GET", "/share", f"{SHARE}&comp=stats", {}, b"", "r"),
    "Snapshot Share": ("PUT", "/share", f"{SHARE}&comp=snapshot", {}, b"", "cw"),
    "Lease Share": ("PUT", "/share", f"{SHARE}&comp=lease", ACQUIRE, b"", "wd"),
    "Delete Share": ("DELETE", "/share", SHARE, {}, b"", "d"),
}
ON_SERVICE: Requests = {
    "List Shares": ("GET", "/", "comp=list", {}, b"", "l"),
    "Get File Service Properties": ("GET", "/", "restype=service&comp=properties", {}, b"", "r"),
    "Set File Service Properties": ("PUT", "/", "restype=service&comp=properties", {},
                                    b"<StorageServiceProperties/>", "w"),
}  # fmt: skip
EVERYTHING: Requests = {**ON_FILES, **ON_DIRECTORIES, **ON_SHARES, **ON_SERVICE}


@pytest.fixture
async def share(client):
    await client.share()
    await client.file("/share/f", 5, b"hello")
    await client.file("/share/source", 5, b"hello")
    await client("PUT", "/share/d", DIR)
    return client


def of_account(**fields):
    return account_sas({"sv": NEWEST, "ss": "f", "srt": "sco", "se": FOREVER, **fields})


def of_share(**fields):
    return service_sas({"sv": NEWEST, "sr": "s", "se": FOREVER, **fields}, "/share")


def of_file(path, **fields):
    return service_sas({"sv": NEWEST, "sr": "f", "se": FOREVER, **fields}, path)


async def send(client, sas, request, scheme="http"):
    method, path, query, headers, body, _ = request
    source = f"http://localhost/{ACCOUNT}/share/source?{of_file('/share/source', sp='r')}"
    headers = {n: source if v == "SOURCE" else v for n, v in headers.items()}
    url = f"{scheme}://localhost/{ACCOUNT}{path}?{'&'.join(filter(None, [query, sas]))}"
    if method == "PUT":
        headers = {**headers, "Content-Length": str(len(body))}
    return await client.http.request(method, url, headers=headers, content=body)


@pytest.mark.parametrize("letter", LETTERS)
@pytest.mark.parametrize("operation", EVERYTHING)
async def test_letters_of_an_account_sas(share, operation, letter):
    request = EVERYTHING[operation]
    answer = await send(share, of_account(sp=letter), request)
    if letter in request[-1]:
        assert answer.status_code < 300, answer.text
    else:
        assert code(answer) == (403, "AuthorizationPermissionMismatch")


@pytest.mark.parametrize("letter", LETTERS)
@pytest.mark.parametrize("operation", [*ON_FILES, *ON_DIRECTORIES])
async def test_letters_of_a_share_sas(share, operation, letter):
    request = EVERYTHING[operation]
    answer = await send(share, of_share(sp=letter), request)
    if letter in request[-1]:
        assert answer.status_code < 300, answer.text
    else:
        assert code(answer) == (403, "AuthorizationPermissionMismatch")


@pytest.mark.parametrize("letter", "rcwd")
@pytest.mark.parametrize("operation", ON_FILES)
async def test_letters_of_a_file_sas(share, operation, letter):
    request = EVERYTHING[operation]
    answer = await send(share, of_file(request[1], sp=letter), request)
    if letter in request[-1]:
        assert answer.status_code < 300, answer.text
    else:
        assert code(answer) == (403, "AuthorizationPermissionMismatch")


@pytest.mark.parametrize("operation", [*ON_SHARES, *ON_SERVICE])
async def test_a_service_sas_reaches_no_share_and_no_service(share, operation):
    answer = await send(share, of_share(sp="rcwdl"), EVERYTHING[operation])
    refused = "AuthenticationFailed" if "another" in EVERYTHING[operation][1] else None
    if EVERYTHING[operation] in ON_SERVICE.values():
        refused = "AuthenticationFailed"
    assert code(answer) == (403, refused or "AuthorizationFailure")


async def test_a_file_sas_is_for_one_file(share):
    sas = of_file("/share/f", sp="r")
    assert (await send(share, sas, EVERYTHING["Get File"])).status_code == 200
    other = ("GET", "/share/source", *EVERYTHING["Get File"][2:])
    assert code(await send(share, sas, other)) == (403, "AuthenticationFailed")


async def test_services_and_resource_types_of_an_account_sas(share):
    for fields, expected in (
        ({"ss": "bq"}, "AuthorizationServiceMismatch"),
        ({"srt": "sc"}, "AuthorizationResourceTypeMismatch"),
    ):
        answer = await send(share, of_account(sp="r", **fields), EVERYTHING["Get File"])
        assert code(answer) == (403, expected)
    for operation, kind in (("List Shares", "s"), ("Get Share Stats", "c"), ("Get File", "o")):
        sas = of_account(sp="rl", srt=kind)
        for name in ("List Shares", "Get Share Stats", "Get File"):
            answer = await send(share, sas, EVERYTHING[name])
            assert (answer.status_code == 200) == (name == operation)


@pytest.mark.parametrize("make", [of_account, of_share])
async def test_protocol(share, make):
    sas = make(sp="r", spr="https")
    request = EVERYTHING["Get File"]
    assert code(await send(share, sas, request)) == (403, "AuthorizationProtocolMismatch")
    assert (await send(share, sas, request, scheme="https")).status_code == 200
    sas = make(sp="r", spr="https,http")
    assert (await send(share, sas, request)).status_code == 200


@pytest.mark.parametrize("make", [of_account, of_share])
@pytest.mark.parametrize(
    ("allowed", "good"),
    [
        ("127.0.0.1", True), ("127.0.0.0-127.0.0.9", True), ("0.0.0.0-255.255.255.255", True),
        ("127.0.0.2", False), ("10.0.0.0-10.255.255.255", False), ("nonsense", False),
        ("127.0.0.9-127.0.0.0", False), ("::1", False),
    ],
)  # fmt: skip
async def test_addresses(share, make, allowed, good):
    answer = await send(share, make(sp="r", sip=allowed), EVERYTHING["Get File"])
    if good:
        assert answer.status_code == 200
    else:
        assert code(answer) == (403, "AuthorizationSourceIPMismatch")
        assert xml(answer).findtext("SourceIP") == "127.0.0.1"


def text_of(moment, form="%Y-%m-%dT%H:%M:%SZ"):
    return moment.strftime(form)


@pytest.mark.parametrize("make", [of_account, of_share])
async def test_start_and_expiry(share, make):
    now = datetime.now(UTC)
    hour, day = timedelta(hours=1), timedelta(days=2)
    for fields, good in (
        ({"st": text_of(now - hour)}, True),
        ({"st": text_of(now - day, "%Y-%m-%d")}, True),
        ({"st": text_of(now - hour, "%Y-%m-%dT%H:%MZ")}, True),
        ({"st": text_of(now + hour)}, False),
        ({"se": text_of(now + hour)}, True),
        ({"se": text_of(now + day, "%Y-%m-%d")}, True),
        ({"se": text_of(now - hour)}, False),
        ({"se": "soon"}, False),
    ):
        answer = await send(share, make(sp="r", **fields), EVERYTHING["Get File"])
        assert answer.status_code == (200 if good else 403), fields
        if not good:
            assert code(answer) == (403, "AuthenticationFailed")


@pytest.mark.parametrize("name", ["sp", "se", "sr", "sv", "sig"])
async def test_fields_that_must_be_there(share, name):
    sas = "&".join(p for p in of_share(sp="r").split("&") if not p.startswith(name + "="))
    answer = await send(share, sas, EVERYTHING["Get File"])
    if name == "sig":
        assert code(answer) == (404, "ResourceNotFound")  # as for no credentials at all
    else:
        assert code(answer) == (403, "AuthenticationFailed")
        assert xml(answer).find("AuthenticationErrorDetail") is not None


def policies(*ids, **parts):
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in parts.items())
    return "".join(
        f"<SignedIdentifier><Id>{one}</Id><AccessPolicy>{inner}</AccessPolicy></SignedIdentifier>"
        for one in ids
    )


async def set_policies(client, text):
    body = f"<SignedIdentifiers>{text}</SignedIdentifiers>".encode()
    return await client("PUT", "/share", f"{SHARE}&comp=acl", body=body)


async def test_stored_policies_are_honoured_and_taken_back(share):
    await set_policies(share, policies("p", Expiry=FOREVER, Permission="r"))
    sas = service_sas({"sv": NEWEST, "sr": "s", "si": "p"}, "/share")
    assert (await send(share, sas, EVERYTHING["Get File"])).status_code == 200
    answer = await send(share, sas, EVERYTHING["Delete File"])
    assert code(answer) == (403, "AuthorizationPermissionMismatch")
    await set_policies(share, policies("p", Expiry="2020-01-01T00:00:00Z", Permission="r"))
    assert code(await send(share, sas, EVERYTHING["Get File"])) == (403, "AuthenticationFailed")
    await set_policies(share, policies("other", Expiry=FOREVER, Permission="r"))
    answer = await send(share, sas, EVERYTHING["Get File"])
    assert code(answer) == (403, "AuthenticationFailed")
    assert "p does not exist" in xml(answer).findtext("AuthenticationErrorDetail")


async def test_policy_and_signature_complete_each_other_and_must_not_repeat(share):
    await set_policies(share, policies("p", Permission="r"))
    sas = of_share(si="p")
    assert (await send(share, sas, EVERYTHING["Get File"])).status_code == 200
    answer = await send(share, of_share(si="p", sp="r"), EVERYTHING["Get File"])
    assert code(answer) == (403, "AuthenticationFailed")
    assert "by the policy and by the signature" in answer.text


async def test_at_most_five_policies(share):
    five = [f"p{n}" for n in range(5)]
    answer = await set_policies(share, policies(*five, Permission="r"))
    assert answer.status_code == 200
    answer = await set_policies(share, policies(*five, "p5", Permission="r"))
    assert code(answer) == (400, "InvalidXmlDocument")
    answer = await share("GET", "/share", f"{SHARE}&comp=acl")
    assert len(xml(answer)) == 5
    long = await set_policies(share, policies("p" * 65, Permission="r"))
    assert code(long) == (400, "InvalidXmlDocument")
