"""What the words of a mount come to: option, else environment, else config file, else default."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from azfuse.mount.config import Setting, config_paths, override, read_config
from azfuse.mount.errors import UsageError
from azfuse.mount.options import (
    MountOptions,
    field_of,
    kind_of,
    option_names,
    parse_options,
    split_options,
)

_TRUTH = {"1": True, "true": True, "yes": True, "on": True}
_TRUTH |= {"0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class Choice:
    """A source, a mount point and options, and who chose each.

    `origins` has what was chosen at all, by what an option decides (options.field_of),
    beside `source` and `mountpoint`.
    """

    source: str
    mount_point: str | None
    options: MountOptions
    origins: Mapping[str, str]


def choose(
    source: str,
    mount_point: str | None,
    option_texts: Sequence[str],
    environ: Mapping[str, str],
    *,
    config_file: Path | None = None,
    sloppy: bool = False,
) -> Choice:
    """Put together the words of a mount; *source* may be the name of one. Raises UsageError.

    The files are *config_file*, or the one that AZFUSE_CONFIG names, or the usual ones.
    """
    config = read_config(config_paths(environ, config_file))
    settings = config.defaults
    origins = {"source": "argument", "mountpoint": "argument" if mount_point else "nobody"}
    named = config.mounts.get(source)
    if named is not None and named.source is not None:
        source = named.source
        origins["source"] = named.origin
        if mount_point is None and named.mount_point is not None:
            mount_point = named.mount_point
            origins["mountpoint"] = named.origin
        settings = [*settings, *named.settings]
    elif source and not set(source) & set("/\\:") and config.files:
        names = ", ".join(config.mounts) or "none"
        raise UsageError(
            f"{source!r} names no share (write account/share), and the config file has no mount "
            f"of that name (it has: {names})"
        )
    chosen = override([*settings, *_environment_settings(environ)])
    origins |= {thing: setting.origin for thing, setting in chosen.items()}
    for text in option_texts:
        for written, _ in split_options(text):
            name = written.replace("_", "-")
            if kind_of(name) is not None:
                origins[field_of(name)] = "-o"
    words = [setting.word for setting in chosen.values()]
    return Choice(
        source, mount_point, parse_options([*words, *option_texts], sloppy=sloppy), origins
    )


def named_mount_point(text: str, environ: Mapping[str, str]) -> str:
    """Return the mount point of the named mount *text*; any other text, a path, as it is.

    Raises UsageError where the config file is wrong.
    """
    if "/" in text or os.path.lexists(text):
        return text
    named = read_config(config_paths(environ)).mounts.get(text)
    return text if named is None or named.mount_point is None else named.mount_point


def _environment_settings(environ: Mapping[str, str]) -> list[Setting]:
    """Return what variables such as AZFUSE_CACHE_SIZE say. Raises UsageError."""
    settings = []
    for name in option_names():
        variable = f"AZFUSE_{name.replace('-', '_').upper()}"
        text = environ.get(variable)
        if not text:
            continue
        word = f'{name}="{text}"'
        kind = kind_of(name)
        if kind == "flag" or (kind == "bare" and text.lower() in ("true", "false")):
            if text.lower() not in _TRUTH:
                raise UsageError(f"{variable}={text}: true or false is needed")
            word = name if _TRUTH[text.lower()] else ""
        elif '"' in text:
            raise UsageError(f"{variable} holds a quote")
        else:
            try:
                parse_options([word, *(["cache-dir=/"] if name == "disk-cache-size" else [])])
            except UsageError as error:
                raise UsageError(f"{variable}: {error}") from None
        settings.append(Setting(name, word, variable))
    return settings
