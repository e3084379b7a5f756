"""SOURCE in all its forms, and one sentence for each that is none."""

import pytest

from azfuse.mount.errors import UsageError
from azfuse.mount.source import parse_source

AZURE = "https://acct.file.core.windows.net"


@pytest.mark.parametrize(
    ("text", "account", "share", "directory", "endpoint"),
    [
        ("acct/share", "acct", "share", "", None),
        ("acct/share/", "acct", "share", "", None),
        ("Acct/share/sub/dir//", "acct", "share", "sub/dir", None),
        ("acct/share/100% sure", "acct", "share", "100% sure", None),
        (f"{AZURE}/share", "acct", "share", "", AZURE),
        (f"{AZURE}:443/share/", "acct", "share", "", AZURE),
        ("HTTPS://ACCT.File.core.windows.net/share", "acct", "share", "", AZURE),
        (f"{AZURE}/share/a%20b/%C3%A9%23%25", "acct", "share", "a b/é#%", AZURE),
        ("//acct.file.core.windows.net/share", "acct", "share", "", AZURE),
        ("//acct.file.core.windows.net/share/50%20", "acct", "share", "50%20", AZURE),
        ("\\\\acct.file.core.windows.net\\share\\sub", "acct", "share", "sub", AZURE),
        (
            "https://acct-secondary.file.core.windows.net/share",
            "acct", "share", "", "https://acct-secondary.file.core.windows.net",
        ),
        (
            "https://acct.privatelink.file.core.windows.net/share",
            "acct", "share", "", "https://acct.privatelink.file.core.windows.net",
        ),
        (
            "http://127.0.0.1:10004/devstoreaccount1/share/d",
            "devstoreaccount1", "share", "d", "http://127.0.0.1:10004/devstoreaccount1",
        ),
        ("http://[::1]:10004/acct/share", "acct", "share", "", "http://[::1]:10004/acct"),
        ("http://localhost/acct/share", "acct", "share", "", "http://localhost/acct"),
        ("http://emulator:10004/acct/share", "acct", "share", "", "http://emulator:10004/acct"),
        (
            "http://acct.file.localhost:10004/share",
            "acct", "share", "", "http://acct.file.localhost:10004",
        ),
    ],
)  # fmt: skip
def test_forms(text, account, share, directory, endpoint):
    source = parse_source(text)
    assert source.text == text
    assert (source.account, source.share, source.directory) == (account, share, directory)
    assert (str(source.endpoint) if source.endpoint else None) == endpoint


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must be given as account/share"),
        ("acct\n/share", "must be given as account/share"),
        ("acct", "names no share"),
        ("acct/", "names no share"),
        ("/mnt/x", "is a local path"),
        ("./x", "is a local path"),
        ("acct.file.core.windows.net/share", "begins with a host name: use account/share"),
        ("acct:share/x", "begins with a host name: use account/share"),
        ("ac/share", "no storage account name"),
        ("under_score/share", "no storage account name"),
        ("acct/Share", "no share name"),
        ("acct/sh", "no share name"),
        ("acct/-share", "no share name"),
        ("acct/share-", "no share name"),
        ("acct/share/x\udcff", "must be given as"),
        ("https://acct.blob.core.windows.net/share", "write acct.file in place of acct.blob"),
        ("acct.file.core.windows.net:/other/share", "begins with a host name: use account/share"),
        ("/tmp", "is a local path"),
        ("acct/two--hyphens", "no share name"),
        ("acct/" + "s" * 64, "no share name"),
        ("acct/share/..", "no share can hold: '..'"),
        ("acct/share/a*b", "no share can hold: 'a*b'"),
        ("acct/share/" + "d" * 256, "longer than 255"),
        ("acct/share/" + "/".join(["d" * 250] * 9), "longer than 2048"),
        ("ftp://acct.file.core.windows.net/share", "unknown scheme"),
        ("https:///share", "no usable host name"),
        ("https://a..b/share", "no usable host name"),
        ("https://[::1/share", "is not a URL"),
        ("https://host:port/share", "is not a URL"),
        (f"{AZURE}", "names no share"),
        (f"{AZURE}/", "names no share"),
        (f"{AZURE}/share?restype=share", "after '?' or '#'"),
        (f"{AZURE}/share/50%", "begins no escape"),
        (f"{AZURE}/share/%ff", "not UTF-8"),
        (f"{AZURE}/share/a%5Cb", "no share can hold"),
        ("http://127.0.0.1:10004/devstoreaccount1", "lacks an account or a share"),
        ("http://127.0.0.1:10004/", "lacks an account or a share"),
    ],
)
def test_refused(text, sentence):
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", [f"{AZURE}/share?sv=2024&sig=SECRET", "https://user:SECRET@host.file.x.net/share"]
)
def test_credentials_in_the_source_are_refused_and_not_repeated(text):
    with pytest.raises(UsageError, match="do not belong on the command line") as caught:
        parse_source(text)
    assert "SECRET" not in str(caught.value)


def test_as_an_nfs_server_is_written():
    source = parse_source("acct.file.core.windows.net:/acct/share/a dir")
    assert (source.account, source.share, source.directory) == ("acct", "share", "a dir")
    assert source.text == "acct.file.core.windows.net:/acct/share/a dir"


def test_words_in_the_wrong_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnt").mkdir()
    with pytest.raises(UsageError, match="'mnt' is a file here: the source comes first"):
        parse_source("mnt")
