"""Where credentials come from, in which order, and that nothing shows them."""

import os
from pathlib import Path

import pytest

from azfuse.mount.credentials import find_login, read_credentials_file
from azfuse.mount.errors import UsageError
from azfuse.mount.source import parse_source
from azfuse.rest.auth import Bearer, Sas, SharedKey

KEY = "a2V5IG9mIHRoZSBhY2NvdW50"
SAS = "sv=2024-11-04&sp=rwdl&sig=SECRETSIG"
SOURCE = parse_source("acct/share")


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_key_from_the_environment_which_forgets_it():
    environ = {"AZURE_STORAGE_ACCOUNT": "acct", "AZURE_STORAGE_KEY": KEY, "HOME": "/"}
    login = find_login(SOURCE, None, environ)
    assert isinstance(login.credentials, SharedKey)
    assert str(login.endpoint) == "https://acct.file.core.windows.net"
    assert environ == {"AZURE_STORAGE_ACCOUNT": "acct", "HOME": "/"}
    assert KEY not in repr(login)


def test_sas_from_the_environment():
    environ = {"AZURE_STORAGE_SAS_TOKEN": f"?{SAS}"}
    login = find_login(SOURCE, None, environ)
    assert isinstance(login.credentials, Sas)
    assert login.credentials.query == SAS
    assert environ == {}
    assert "SECRETSIG" not in repr(login)


def test_connection_string_comes_first_and_names_the_endpoint():
    text = f"AccountName=acct;AccountKey={KEY};FileEndpoint=http://127.0.0.1:9/acct"
    environ = {"AZURE_STORAGE_CONNECTION_STRING": text, "AZURE_STORAGE_SAS_TOKEN": SAS}
    login = find_login(SOURCE, None, environ)
    assert isinstance(login.credentials, SharedKey)
    assert str(login.endpoint) == "http://127.0.0.1:9/acct"
    assert environ == {}


def test_the_endpoint_of_the_source_comes_before_that_of_the_connection_string():
    source = parse_source("http://127.0.0.1:7/acct/share")
    text = f"AccountName=acct;AccountKey={KEY};FileEndpoint=http://127.0.0.1:9/acct"
    login = find_login(source, None, {"AZURE_STORAGE_CONNECTION_STRING": text})
    assert str(login.endpoint) == "http://127.0.0.1:7/acct"


def test_login_with_azure_identity():
    pytest.importorskip("azure.identity")
    login = find_login(SOURCE, None, {"AZURE_STORAGE_AUTH_MODE": "login"})
    assert isinstance(login.credentials, Bearer)


@pytest.mark.parametrize("host", ["127.0.0.1:10004", "localhost:10004", "[::1]:10004"])
def test_the_public_key_serves_an_emulator_on_this_machine(host):
    source = parse_source(f"http://{host}/devstoreaccount1/share")
    assert isinstance(find_login(source, None, {}).credentials, SharedKey)


def test_the_public_key_is_not_sent_elsewhere():
    source = parse_source("http://10.1.2.3:10004/devstoreaccount1/share")
    with pytest.raises(UsageError, match="no credentials for account devstoreaccount1"):
        find_login(source, None, {})


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({}, "no credentials for account acct: set AZURE_STORAGE_KEY"),
        ({"AZURE_STORAGE_KEY": ""}, "no credentials for account acct"),
        ({"AZURE_STORAGE_KEY": "SECRET!"}, "is not base64"),
        ({"AZURE_STORAGE_SAS_TOKEN": "SECRET"}, "no sig= field"),
        (
            {"AZURE_STORAGE_KEY": KEY, "AZURE_STORAGE_ACCOUNT": "other"},
            "the credentials in the environment are for account other",
        ),
        (
            {"AZURE_STORAGE_CONNECTION_STRING": f"AccountName=other;AccountKey={KEY}"},
            "the credentials in the environment are for account other",
        ),
        ({"AZURE_STORAGE_CONNECTION_STRING": "AccountName=acct"}, "neither AccountKey nor"),
        ({"AZURE_STORAGE_CONNECTION_STRING": "SECRET"}, "is not Name=value"),
    ],
)
def test_refused(environ, sentence):
    with pytest.raises(UsageError) as caught:
        find_login(SOURCE, None, environ)
    assert sentence in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f'account = "acct"\nkey = "{KEY}"\n',
        f'# a comment\nAccount-Key = "{KEY}"\n'.replace("Account-Key", "account-key"),
        f"username=acct\npassword={KEY}==\ndomain=x\n".replace("==", ""),
        f"# comment\n\n username = acct \npassword={KEY}\n",
        f'connection_string = "AccountName=acct;AccountKey={KEY}"',
        f"connection_string=AccountName=acct;AccountKey={KEY}",
    ],
)
def test_credentials_files(tmp_path, text):
    file = write(tmp_path / "c", text)
    # The file comes before the environment, which forgets its secrets all the same.
    environ = {"AZURE_STORAGE_SAS_TOKEN": SAS}
    login = find_login(SOURCE, file, environ)
    assert isinstance(login.credentials, SharedKey)
    assert login.found_in == str(file)
    assert environ == {}


def test_a_sas_in_a_credentials_file(tmp_path):
    login = find_login(SOURCE, write(tmp_path / "c", f"sas={SAS}\n"), {})
    assert isinstance(login.credentials, Sas)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_may_touch_is_refused(tmp_path, mode):
    file = write(tmp_path / "c", f"password={KEY}", mode)
    with pytest.raises(UsageError, match=f"run chmod 600 {file}"):
        read_credentials_file(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path, monkeypatch):
    file = write(tmp_path / "c", f"password={KEY}")
    os.chown(file, 4242, 4242)
    with pytest.raises(UsageError, match="belongs to another user"):
        read_credentials_file(file)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no key, sas or connection_string"),
        ("username=acct\n", "holds no key, sas or connection_string"),
        ("user=other\npassword=" + KEY, "are for account other"),
        ("SECRET\n", "neither TOML nor name=value lines"),
        ("passwort=SECRET\n", "unknown name: passwort"),
        ("SECRETABCDEFGH==\n", "a value without a name"),
        ("SECRET" * 8 + "=x\n", "a value without a name"),
        ("key = 17\n", "key must be a string"),
    ],
)
def test_bad_credentials_files(tmp_path, text, sentence):
    with pytest.raises(UsageError) as caught:
        find_login(SOURCE, write(tmp_path / "c", text), {})
    assert sentence in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_unreadable_credentials_files(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read_credentials_file(tmp_path / "missing")
    with pytest.raises(UsageError, match="Is a directory"):
        read_credentials_file(tmp_path)
    file = tmp_path / "c"
    file.write_bytes(b"password=\xff")
    file.chmod(0o600)
    with pytest.raises(UsageError, match="not UTF-8"):
        read_credentials_file(file)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"AZURE_STORAGE_ACCOUNT": "other",
          "AZURE_STORAGE_CONNECTION_STRING": "AccountName=acct;AccountKey=" + KEY}, "other"),
        ({"AZURE_STORAGE_AUTH_MODE": "loggin"}, "must be login or key"),
        ({"AZURE_STORAGE_SAS_TOKEN": "sig=\udcff"}, "AZURE_STORAGE_SAS_TOKEN in the environment"),
    ],
)  # fmt: skip
def test_variables_that_cannot_be_meant(variables, sentence):
    with pytest.raises(UsageError, match=sentence):
        find_login(SOURCE, None, variables)
