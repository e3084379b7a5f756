"""The config file: who wins, who said so, and every error with file, line and key."""

import json

import pytest

from azfuse.mount.choice import choose
from azfuse.mount.config import config_paths, read_config_file
from azfuse.mount.errors import UsageError
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
    assert (status, out, err) == (1, f"{found}\n", "azfuse: the config has 1 error(s)\n")
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
    status, out, _ = run("config", "check", "--config", str(path))
    assert status == 1
    assert out.startswith(f"{path}:1: options acregmin=9 and acregmax=3")


def test_show_says_where_each_value_came_from(config, run):
    words = ["config", "show", "team", "--config", str(config), "-o", "file_mode=600", "--json"]
    status, out, _ = run(*words)
    assert status == 0
    rows = {row["name"]: (row["value"], row["from"]) for row in json.loads(out)}
    assert rows["source"] == ("devstoreaccount1/share/dir", f"{config}:8")
    assert rows["actimeo"] == (2.5, f"{config}:12")
    assert rows["file-mode"] == ("0600", "-o")
    assert rows["lease"] == ("auto", "default")
    assert rows["noatime"] == (True, f"{config}:6")
    assert "given" not in rows
    assert run("config", "check", "--config", str(config))[0] == 0


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
