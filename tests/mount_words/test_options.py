"""`-o`: what is understood, what is passed on, what is ignored and what is refused."""

import os
import re
import sys
from pathlib import Path

import pytest

from azfuse.cache.metadata import Belief
from azfuse.mount.errors import UsageError
from azfuse.mount.option_texts import GROUPS
from azfuse.mount.options import (
    MountOptions,
    kind_of,
    option_names,
    parse_options,
    split_options,
)
from azfuse.mount.source import parse_source
from tests.mount_words.conftest import REPOSITORY

SOURCE = parse_source("acct/share/sub")
MIB = 1024 * 1024
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_writeback_may_come_without_a_time():
    delays = [parse_options([text]).writeback for text in ("ro", "writeback", "writeback=0.5")]
    assert delays == [None, 0.2, 0.5]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        (",,ro,", [("ro", None)]),
        ("a,b=c,d=", [("a", None), ("b", "c"), ("d", "")]),
        ('log-file="a,b",ro', [("log-file", "a,b"), ("ro", None)]),
        (r"log-file=a\,b,ro", [("log-file", "a,b"), ("ro", None)]),
        (r"x=a\\b", [("x", r"a\b")]),
        (r"x=C:\dir", [("x", r"C:\dir")]),
        ("x=a=b", [("x", "a=b")]),
    ],
)
def test_splitting(text, parts):
    assert list(split_options(text)) == parts


def test_defaults():
    options = parse_options([])
    assert options == MountOptions()
    settings = options.settings(SOURCE, Path("/state"))
    assert (settings.directory, settings.state_dir) == ("sub", Path("/state"))
    assert (settings.uid, settings.gid) == (os.getuid(), os.getgid())
    assert (settings.file_mode, settings.dir_mode) == (0o644, 0o755)
    assert settings.files == settings.directories == Belief(5.0, 5.0)
    assert (settings.cache_size, settings.read_only) == (512 * MIB, False)
    assert options.fuse_options(SOURCE) == {
        "default_permissions", "subtype=azfuse", "fsname=acct/share/sub",
    }  # fmt: skip


def test_every_value():
    options = parse_options([
        "ro,uid=12,gid=34,file_mode=0600,dir-mode=700,posix=off,actimeo=1.5,cache_size=1G",
        "readahead=0,max-transfers=4,dirty-expire=2,retry-timeout=10,lease=off,lease_wait=7,log-level=debug",
        "exclusive=atomic",
        "log-file=/l,state-dir=/s,credentials=/c,foreground",
    ])  # fmt: skip
    settings = options.settings(SOURCE, Path("/x"))
    assert (settings.uid, settings.gid, settings.read_only) == (12, 34, True)
    assert (settings.file_mode, settings.dir_mode, settings.posix) == (0o600, 0o700, "off")
    assert settings.files == settings.directories == Belief(1.5, 1.5)
    assert (settings.cache_size, settings.readahead) == (1024 * MIB, 0)
    assert (settings.max_transfers, settings.dirty_expire, settings.lease) == (4, 2.0, "off")
    assert settings.lease_wait == 7.0
    assert settings.exclusive == "atomic"
    assert (options.retry_timeout, options.log_level, options.foreground) == (10.0, "debug", True)
    paths = (options.log_file, options.state_dir, options.credentials)
    assert paths == (Path("/l"), Path("/s"), Path("/c"))
    assert "ro" in options.fuse_options(SOURCE)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("", 10.0), ("retry-timeout=3", 3.0), ("retry-timeout=60", 10.0), ("mount-timeout=90", 90.0)],
)
def test_how_long_a_mount_is_tried(words, seconds):
    assert parse_options([words]).first_contact_timeout == seconds


@pytest.mark.parametrize(
    ("text", "files", "directories"),
    [
        ("actimeo=7", (7, 7), (7, 7)),
        ("noac", (0, 0), (0, 0)),
        ("noac,actimeo=3", (3, 3), (3, 3)),
        ("acregmin=3,acregmax=60,acdirmin=30,acdirmax=60", (3, 60), (30, 60)),
        ("acregmax=60", (5, 60), (5, 5)),
        ("acregmax=2", (2, 2), (5, 5)),
        ("acdirmin=1", (5, 5), (1, 5)),
        ("acdirmin=9", (5, 5), (9, 9)),
        ("acdirmax=30,actimeo=10", (10, 10), (10, 30)),
        ("acregmax=0", (0, 0), (5, 5)),
    ],
)
def test_how_long_attributes_are_believed(text, files, directories):
    settings = parse_options([text]).settings(SOURCE, Path("/x"))
    assert (settings.files, settings.directories) == (Belief(*files), Belief(*directories))


def test_names_of_users_and_groups():
    options = parse_options(["uid=root,gid=root"])
    assert (options.uid, options.gid) == (0, 0)


@pytest.mark.parametrize(
    ("text", "file_mode", "dir_mode"),
    [
        ("umask=077", 0o600, 0o700),
        ("umask=027,dmask=0", 0o640, 0o777),
        ("fmask=0133", 0o644, 0o755),
        ("umask=077,file_mode=0444", 0o444, 0o700),
    ],
)
def test_masks(text, file_mode, dir_mode):
    settings = parse_options([text]).settings(SOURCE, Path("/x"))
    assert (settings.file_mode, settings.dir_mode) == (file_mode, dir_mode)


@pytest.mark.parametrize(
    ("text", "size"),
    [("16M", 16 * MIB), ("1g", 1024 * MIB), ("64MiB", 64 * MIB), ("33554432", 32 * MIB)],
)
def test_sizes(text, size):
    assert parse_options([f"cache-size={text}"]).cache_size == size


def test_a_cache_on_disk():
    assert parse_options([]).settings(SOURCE, Path("/x")).cache_dir is None
    settings = parse_options(["cache-dir=/c"]).settings(SOURCE, Path("/x"))
    assert (settings.cache_dir, settings.disk_cache_size) == (Path("/c"), 10 * 1024 * MIB)
    settings = parse_options(["disk_cache_size=64M,cache_dir=/c"]).settings(SOURCE, Path("/x"))
    assert settings.disk_cache_size == 64 * MIB


def test_the_last_word_wins():
    options = parse_options(["ro,nodev,actimeo=1", "rw,dev,actimeo=2,atime,async"])
    assert not options.read_only
    assert options.actimeo == 2.0
    assert options.fuse_words == {"dev"}


def test_words_for_fuse():
    text = "allow_other,noatime,nodev,nosuid,noexec,sync,dirsync,auto_unmount"
    assert parse_options([text]).fuse_options(SOURCE) >= set(text.split(","))
    assert "allow_root" in parse_options(["allow-root"]).fuse_options(SOURCE)
    # libfuse takes only one of them.
    assert "allow_root" not in parse_options(["allow_root,allow_other"]).fuse_options(SOURCE)


def test_a_source_with_commas_stays_one_option():
    source = parse_source("acct/share/a,b")
    assert r"fsname=acct/share/a\,b" in MountOptions().fuse_options(source)


def test_words_for_mount_and_systemd_are_ignored():
    text = "defaults,_netdev,nofail,user,x-systemd.automount,x-gvfs-show,comment=x,noauto"
    options = parse_options([text])
    assert options.ignored == tuple(word.partition("=")[0] for word in text.split(","))
    assert options.fuse_options(SOURCE) == MountOptions().fuse_options(SOURCE)


def test_a_line_for_cifs_is_understood():
    line = (
        "nofail,credentials=/etc/smbcredentials/a.cred,dir_mode=0777,file_mode=0777,"
        "serverino,nosharesock,actimeo=30,mfsymlinks,vers=3.1.1"
    )
    options = parse_options([line])
    assert (options.actimeo, options.dir_mode, options.file_mode) == (30.0, 0o777, 0o777)


def test_words_of_mount_cifs_that_mean_something():
    options = parse_options([r"cred=/c,username=AZURE\Acct,forceuid,forcegid,noperm,uid=7,gid=8"])
    assert (options.credentials, options.username) == (Path("/c"), "acct")
    settings = options.settings(SOURCE, Path("/x"))
    assert (settings.uid, settings.force_uid) == (7, True)
    assert (settings.gid, settings.force_gid) == (8, True)
    assert "default_permissions" not in options.fuse_options(SOURCE)
    options = parse_options(["user=acct,forceuid,noforceuid,noperm,perm"])
    assert (options.username, options.force_uid) == ("acct", False)
    assert "default_permissions" in options.fuse_options(SOURCE)


def test_words_of_mount_cifs_without_effect():
    text = (
        "nobrl,noserverino,mapposix,soft,rsize=1048576,echo_interval=60,seal,sec=ntlmssp,cache=none"
    )
    options = parse_options([text])
    assert options.ignored == tuple(word.partition("=")[0] for word in text.split(","))
    assert options.fuse_options(SOURCE) == MountOptions().fuse_options(SOURCE)


def test_what_was_chosen_is_known():
    assert parse_options(["rw,nosuid,_netdev,cache_size=1G"]).given == {
        "read_only", "suid", "cache_size",
    }  # fmt: skip


def test_a_snapshot_as_windows_writes_it():
    options = parse_options(["snapshot=@GMT-2026.01.31-12.00.00"])
    assert options.snapshot == "2026-01-31T12:00:00.0000000Z"


def test_a_snapshot_is_read_only():
    options = parse_options(["snapshot=2026-01-31T12:00:00.0000000Z,rw"])
    assert options.settings(SOURCE, Path("/x")).read_only
    assert "ro" in options.fuse_options(SOURCE)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cachesize=1G", "unknown option cachesize; did you mean cache-size?"),
        ("alow_other", "did you mean allow-other?"),
        ("zzz", "unknown option zzz; azfuse mount -o help lists all"),
        ("max_read=4096", "unknown option max_read"),
        ("writethrough", "unknown option writethrough"),
        ("writeback=soon", "seconds are needed"),
        ("multiuser", "option multiuser cannot be had: every program uses the credentials"),
        ("prefixpath=dir", "write the directory behind the share"),
        ("sec=krb5i", "takes the place of Kerberos"),
        ("cifsacl", "as -o posix says"),
        ("fsc", "use cache-dir=DIR"),
        ("ro=1", "option ro takes no value"),
        ("noatime=1", "option noatime takes no value"),
        ("uid", "option uid needs a value"),
        ("uid=nobody-here", "there is no such user"),
        ("gid=nobody-here", "there is no such group"),
        ("file_mode=99", "octal permission bits"),
        ("dir_mode=77777", "octal permission bits"),
        ("actimeo=-1", "seconds are needed"),
        ("actimeo=soon", "seconds are needed"),
        ("acregmin", "option acregmin needs a value"),
        ("acdirmax=-1", "seconds are needed"),
        ("acregmin=10,acregmax=2.5", "acregmin=10 and acregmax=2.5: the least is more"),
        ("noac=1", "option noac takes no value"),
        ("cache-size=lots", "a size such as 512M"),
        ("cache-size=1M", "at least 16M"),
        ("cache-dir=/x,disk-cache-size=63M", "the cache on disk needs at least 64M"),
        ("disk-cache-size=1G", "says nothing without cache-dir=DIR"),
        ("cache-dir=", "a path is needed"),
        ("max-transfers=0", "from 1 to 256"),
        ("lease=maybe", "one of off, auto, always"),
        ("posix=ntfs", "one of metadata, acl, off"),
        ("log-level=loud", "one of debug, info, warning, error"),
        ("snapshot=yesterday", "the time of a snapshot"),
        ("uid=99999999999", "a whole number from 0 to 4294967294"),
        ("gid=4294967295", "a whole number from 0 to 4294967294"),
        ("=x", "a value without a name"),
        ("timeo=600", "use retry-timeout=SECONDS"),
        ("file_cache_timeout=9", "use cache-size=SIZE and cache-dir=DIR"),
        ("log-file=~nobody-here/x", "home directory"),
        ("snapshot=@GMT-2026.13.31-12.00.00", "the time of a snapshot"),
        ("log-file=", "a path is needed"),
        ('log-file="x', "a quote that is not closed"),
        ("metrics", "option metrics needs a value"),
        ("metrics=", "a port from 1 to 65535"),
        ("metrics=0", "a port from 1 to 65535"),
        ("metrics=70000", "a port from 1 to 65535"),
        ("metrics=127.0.0.1:http", "a port from 1 to 65535"),
        ("metrics=0.0.0.0:9100", "a port, alone or behind a loopback address"),
        ("metrics=[::]:9100", "a port, alone or behind a loopback address"),
        ("metrics=:9100", "a port, alone or behind a loopback address"),
        ("metrics=example.org:9100", "a port, alone or behind a loopback address"),
    ],
)
def test_refused(text, sentence):
    with pytest.raises(UsageError) as caught:
        parse_options([text])
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9100", "127.0.0.1:9100"),
        ("127.0.0.1:9100", "127.0.0.1:9100"),
        ("127.1.2.3:1", "127.1.2.3:1"),
        ("[::1]:65535", "[::1]:65535"),
    ],
)
def test_where_metrics_are_served(text, address):
    assert str(parse_options([f"metrics={text}"]).metrics) == address


def test_metrics_need_a_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(UsageError, match=r"needs the package prometheus-client: pip install"):
        parse_options(["metrics=9100"])


def test_a_password_behind_a_user_is_refused_and_not_repeated():
    with pytest.raises(UsageError, match="do not belong on the command line") as caught:
        parse_options(["username=acct%SECRET"])
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("name", ["sas", "sas_token", "key", "account-key", "password", "sig"])
def test_secrets_are_refused_and_not_repeated(name):
    with pytest.raises(UsageError, match="do not belong on the command line") as caught:
        parse_options([f"ro,{name}=SECRET"])
    assert "SECRET" not in str(caught.value)


def test_sloppy_ignores_what_is_unknown():
    assert parse_options(["zzz=1,ro"], sloppy=True).ignored == ("zzz",)


def test_every_option_is_explained():
    explained = " ".join(option.words for group in GROUPS for option in group.options)
    words = {word.replace("_", "-") for word in re.findall(r"[a-z_-]+", explained)}
    assert words >= set(option_names()) - {"default-permissions"}
    # And in the README's table, where there is more room.
    told = set(re.findall(r"[a-z_-]+", README.partition("### Options")[2].partition("###")[0]))
    assert {word.replace("_", "-") for word in told} >= {
        name for name in option_names() if not name.startswith("no") and kind_of(name) != "flag"
    }


def test_help_fits_a_terminal(azfuse):
    done = azfuse("mount", "-o", "help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "cache-dir=DIR" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert len(azfuse("mount", "--help").stdout.splitlines()) <= 40
