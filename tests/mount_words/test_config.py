"""The config file: who wins, who said so, and every error with file, line and key."""

import json
import re
import tomllib
from dataclasses import replace

import pytest

from azfuse.mount.choice import choose, named_mount_point
from azfuse.mount.config import config_paths, read_config_file
from azfuse.mount.errors import UsageError
from azfuse.mount.options import option_names
from azfuse.mount.plan import make_plan
from tests.mount_words.conftest import only_sentence

GOOD = """\
# of this team
[defaults]
cache-size = "1G"
actimeo = 30
allow_other = true
noatime = true

[mounts.team]
source = "devstoreaccount1/share/dir"   # a comment
mountpoint = "mnt"
credentials = "team.cred"
actimeo = 2.5
allow-other = false
writeback = true
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def run(run, monkeypatch, tmp_path):
    """The same, without a config file of whoever runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    return run


def test_a_named_mount_before_the_defaults(config, tmp_path):
    choice = choose("team", None, (), {}, config_file=config)
    assert choice.source == "devstoreaccount1/share/dir"
    assert choice.mount_point == str(tmp_path / "mnt")
    options = choice.options
    assert (options.cache_size, options.actimeo, options.writeback) == (1 << 30, 2.5, 0.2)
    assert not options.allow_other
    assert options.fuse_words == {"noatime"}
    assert options.credentials == tmp_path / "team.cred"
    assert choice.origins["cache_size"] == f"{config}:3"
    assert choice.origins["actimeo"] == f"{config}:12"
    assert "allow_other" not in choice.origins


def test_defaults_hold_for_every_mount(config):
    choice = choose("acct/share", "/m", (), {}, config_file=config)
    assert (choice.source, choice.mount_point) == ("acct/share", "/m")
    assert (choice.options.actimeo, choice.options.allow_other) == (30, True)


def test_option_before_environment_before_file(config):
    environ = {"AZFUSE_ACTIMEO": "7", "AZFUSE_CACHE_SIZE": "64M", "AZFUSE_WRITEBACK": "false"}
    choice = choose("team", "/other", ["cache_size=32M"], environ, config_file=config)
    assert choice.mount_point == "/other"
    options = choice.options
    assert (options.actimeo, options.cache_size, options.writeback) == (7, 32 << 20, None)
    assert choice.origins["actimeo"] == "AZFUSE_ACTIMEO"
    assert choice.origins["cache_size"] == "-o"


@pytest.mark.parametrize(
    ("name", "text"),
    [("AZFUSE_RO", "maybe"), ("AZFUSE_UID", "no such user"), ("AZFUSE_CACHE_SIZE", "1")],
)
def test_the_environment_is_checked(name, text):
    with pytest.raises(UsageError, match=name):
        choose("acct/share", "/m", (), {name: text, "AZFUSE_OTHER": "x"})


def test_the_file_of_the_user_goes_before_that_of_the_machine(tmp_path, monkeypatch):
    system = tmp_path / "system.toml"
    system.write_text('[defaults]\nactimeo = 1\nlease = "off"\n')
    monkeypatch.setattr("azfuse.mount.config.SYSTEM_FILE", system)
    user = tmp_path / "azfuse/config.toml"
    user.parent.mkdir()
    user.write_text("[defaults]\nactimeo = 2\n")
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert config_paths(environ) == [system, user]
    options = choose("acct/share", "/m", (), environ).options
    assert (options.actimeo, options.lease) == (2, "off")
    other = tmp_path / "other.toml"
    other.write_text("")
    options = choose("acct/share", "/m", (), {**environ, "AZFUSE_CONFIG": str(other)}).options
    assert options.actimeo == 5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[default]\n", "1: default: unknown table; did you mean defaults?"),
        ("\ndefaults = 1\n", "2: defaults: a table is needed: [defaults]"),
        ("[defaults]\n\ncach-size = 1\n", "3: defaults.cach-size: unknown option; did you mean"),
        ("[defaults]\nkey = 'SECRET'\n", "2: defaults.key: secrets do not belong here"),
        ("[defaults]\nlease = '''\nno\n'''\n", "2: defaults.lease: one of off, auto, always is"),
        ("[defaults]\nfile_mode = 0o644\n", "2: defaults.file_mode: octal permission bits are"),
        ("[defaults]\nro = 'yes'\n", "2: defaults.ro: true or false is needed"),
        ("[defaults]\nactimeo = true\n", "2: defaults.actimeo: a value is needed, not true"),
        ("[defaults]\nuid = [\n1]\n", "2: defaults.uid: a string or a number is needed"),
        ("[defaults]\ndisk-cache-size = 1\n", "2: defaults.disk-cache-size: the cache on disk"),
        ("# x\n[mounts.a]\nro = true\n", "2: mounts.a: a source is needed"),
        ("[mounts.a]\nsource = 'acct'\n", "2: mounts.a.source: source 'acct' names no share"),
        ("[mounts.a]\nsource = 1\n", "2: mounts.a.source: a string is needed"),
        ("[mounts.a]\nsource = 'acct/share'\nmountpint = '/m'\n", "did you mean mountpoint?"),
        ("[mounts]\na = 1\n", "2: mounts.a: a table is needed: [mounts.a]"),
        ("[mounts.'a/b']\nsource = 'acct/share'\n", "1: mounts.a/b: a name without slashes"),
    ],
)
def test_errors_name_file_line_and_key(tmp_path, run, text, problem):
    path = tmp_path / "c.toml"
    path.write_text(text)
    (found,) = read_config_file(path).problems
    assert found.startswith(f"{path}:")
    assert problem in found
    assert "SECRET" not in found
    status, out, err = run("config", "check", "--config", str(path))
    assert (status, out, err) == (1, "", f"azfuse: {found}\n")
    status, out, err = run("config", "show", "--config", str(path))
    assert (status, out, err) == (2, "", f"azfuse: {found}\n")


@pytest.mark.parametrize("text", ["[defaults\n", "[defaults]\na = 1\na = 2\n"])
def test_what_is_no_toml_is_refused_with_its_line(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"is not TOML: .*line"):
        read_config_file(path)


def test_words_that_disagree(tmp_path, run):
    path = tmp_path / "c.toml"
    path.write_text('[mounts.a]\nsource = "acct/share"\nacregmin = 9\nacregmax = 3\n')
    status, out, err = run("config", "check", "--config", str(path))
    assert (status, out) == (1, "")
    assert err.startswith(f"azfuse: {path}:1: options acregmin=9 and acregmax=3")


def test_every_error_is_one_line(tmp_path, run):
    path = tmp_path / "c.toml"
    path.write_text("[defaults]\nzzz = 1\nro = 1\n")
    status, out, err = run("config", "check", "--config", str(path))
    assert (status, out) == (1, "")
    assert [line.split(": ")[:3] for line in err.splitlines()] == [
        ["azfuse", f"{path}:2", "defaults.zzz"],
        ["azfuse", f"{path}:3", "defaults.ro"],
    ]
    status, out, err = run("config", "check", "--json", "--config", str(path))
    assert (status, err) == (1, "")
    assert len(json.loads(out)["problems"]) == 2


@pytest.mark.parametrize("words", ["check", "check --json", "show", "show acct/share"])
def test_a_file_that_is_not_there_is_wrong_words(run, tmp_path, monkeypatch, words):
    sentence = f"azfuse: config file {tmp_path}/none.toml: No such file or directory\n"
    path = str(tmp_path / "none.toml")
    assert run("config", *words.split(), "--config", path) == (2, "", sentence)
    monkeypatch.setenv("AZFUSE_CONFIG", path)
    assert run("config", *words.split()) == (2, "", sentence)


def test_show_says_where_each_value_came_from(config, run):
    words = ["config", "show", "team", "--config", str(config), "-o", "file_mode=600", "--json"]
    status, out, _ = run(*words)
    assert status == 0
    rows = {row["name"]: (row["value"], row["from"]) for row in json.loads(out)}
    assert rows["source"] == ("devstoreaccount1/share/dir", f"{config}:9")
    assert rows["mountpoint"] == (str(config.parent / "mnt"), f"{config}:10")
    assert rows["actimeo"] == (2.5, f"{config}:12")
    assert rows["file-mode"] == ("0600", "-o")
    assert rows["lease"] == ("auto", "default")
    assert rows["noatime"] == (True, f"{config}:6")
    assert "given" not in rows
    assert run("config", "check", "--config", str(config))[0] == 0


EVERYTHING = """\
[mounts.all]
source = "acct/share"
mountpoint = "/srv/all \\"it\\""
ro = true
forceuid = true
forcegid = true
noperm = true
uid = 7
umask = "27"
actimeo = 0
acregmax = 2.5
cache-size = "64M"
cache-dir = "/var/cache/a b"
disk-cache-size = 100000001
readahead = "48M"
writeback = true
lease = "always"
snapshot = "2026-01-31T12:00:00.0000000Z"
username = "acct"
log-file = "/var/log/a"
nodev = true
auto-unmount = true
"""


@pytest.mark.parametrize(
    ("text", "name"),
    [(GOOD, "team"), (EVERYTHING, "all"), ("", "acct/share"), ("[defaults]\n", None)],
)
def test_what_is_shown_can_be_copied_into_the_file(tmp_path, run, text, name):
    path, copy = tmp_path / "c.toml", tmp_path / "copy.toml"
    path.write_text(text)
    words = ["config", "show", *([] if name is None else [name]), "--config"]
    _, out, _ = run(*words, str(path))
    lines = [re.split(r"  +", line) for line in out.splitlines()[1:]]
    copied = [f"{key} = {value}\n" for key, value, _ in lines if value != "-"]
    head = "[defaults]\n" if name is None else f"[mounts.{name.replace('/', '')}]\n"
    copy.write_text(head + "".join(copied))
    assert run("config", "check", "--config", str(copy))[0] == 0, copy.read_text()
    if name is None:
        before, after = (choose("a/b", None, (), {}, config_file=file) for file in (path, copy))
    else:
        before = choose(name, None, (), {}, config_file=path)
        after = choose(name.replace("/", ""), None, (), {}, config_file=copy)
    assert (after.source, after.mount_point) == (before.source, before.mount_point)
    assert replace(after.options, given=frozenset()) == replace(before.options, given=frozenset())
    # The same as JSON, with the types of the file.
    shown = {row["name"]: row["value"] for row in json.loads(run(*words, str(path), "--json")[1])}
    written = tomllib.loads("".join(copied))
    assert written == {key: value for key, value in shown.items() if value is not None}
    assert set(shown) <= {"source", "mountpoint", *option_names()}


def test_values_are_written_as_people_write_them(tmp_path, run):
    path = tmp_path / "c.toml"
    path.write_text(EVERYTHING)
    rows = json.loads(run("config", "show", "all", "--config", str(path), "--json")[1])
    shown = {row["name"]: row["value"] for row in rows}
    assert (shown["ro"], shown["forceuid"], shown["noperm"]) == (True, True, True)
    assert (shown["umask"], shown["actimeo"], shown["acregmax"]) == ("0027", 0, 2.5)
    assert (shown["cache-size"], shown["disk-cache-size"]) == ("64M", 100000001)
    assert (shown["writeback"], shown["auto-unmount"]) == (0.2, True)
    rows = json.loads(run("config", "show", "--json")[1])
    shown = {row["name"]: row["value"] for row in rows}
    assert (shown["ro"], shown["noperm"], shown["writeback"]) == (False, False, False)
    assert (shown["cache-size"], shown["disk-cache-size"], shown["uid"]) == ("512M", None, None)


def test_show_knows_what_is_no_mount(run, monkeypatch, tmp_path):
    monkeypatch.setattr("azfuse.mount.config.SYSTEM_FILE", tmp_path / "none.toml")
    status, out, err = run("config", "show", "anything")
    assert (status, out) == (2, "")
    assert err == (
        "azfuse: there is no mount anything: no config file was found, so none has a name\n"
    )
    status, out, err = run("config", "show", "/anything")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert run("config", "show", "acct/share")[0] == 0


def test_an_unknown_name_says_which_there_are(config, azfuse):
    line = only_sentence(azfuse("mount", "tema", "--config", str(config)), 2)
    assert "'tema' names no share" in line
    assert "(it has: team)" in line


def test_a_plan_of_a_named_mount(config, tmp_path):
    (tmp_path / "mnt").mkdir()
    (tmp_path / "team.cred").write_text('key = "a2V5"\n')
    (tmp_path / "team.cred").chmod(0o600)
    words = ["rw", f"state-dir={tmp_path}/state"]
    plan = make_plan("team", None, words, {}, config_file=config)
    assert (plan.source.account, plan.source.directory) == ("devstoreaccount1", "dir")
    assert plan.mount_point == tmp_path / "mnt"
    assert plan.options.actimeo == 2.5


def test_a_mount_point_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "config.toml"
    file.write_text('[mounts.team]\nsource = "acct/share"\nmountpoint = "/srv/team"\n')
    environ = {"AZFUSE_CONFIG": str(file)}
    assert named_mount_point("team", environ) == "/srv/team"
    for path in ("./team", "/mnt", "nobody"):
        assert named_mount_point(path, environ) == path
    (tmp_path / "team").mkdir()  # what is there goes before what is written
    assert named_mount_point("team", environ) == "team"
