"""What keys of the config file take, in words: for azfuse.toml(5)."""

import re
from collections.abc import Sequence
from typing import Final, get_args, get_type_hints

from azfuse.mount.option_texts import OptionText
from azfuse.mount.options import MountOptions, field_of, kind_of, option_names

_KINDS: Final = {
    "flag": "true or false.",
    "bare": "true, false, or a number of seconds.",
    "path": "a path in quotes.",
    "mode": 'octal digits in quotes, such as "0755".',
}
_SIZE: Final = 'a size in quotes, such as "512M" or "10G", or a number of bytes.'
_OWNER: Final = "a number, or a name in quotes."
#: What the types of options do not tell.
_OTHERS: Final = {
    "cache-size": _SIZE,
    "disk-cache-size": _SIZE,
    "readahead": _SIZE,
    "uid": _OWNER,
    "gid": _OWNER,
    "max-transfers": "a number from 1 to 256.",
    "snapshot": "a time in quotes.",
    "username": "the name of an account in quotes.",
    "metrics": 'a port; or an address and a port in quotes, such as "127.0.0.1:9100".',
}


def keys_of(option: OptionText) -> list[str]:
    """Return the keys that *option* explains: those it names, and others for the same thing."""
    written = [re.split(r"[=\[]", word)[0] for word in option.words.split(", ")]
    named = [name for word in written if kind_of(name := word.replace("_", "-")) is not None]
    decided = {field_of(name) for name in named}
    others = [name for name in option_names() if field_of(name) in decided and name not in named]
    return [*named, *others]


def takes(keys: Sequence[str]) -> str:
    """Say what each of *keys* takes, in one sentence if that is the same for all."""
    texts = {key: _takes(key) for key in keys}
    if len(set(texts.values())) == 1:
        return _capitalized(texts[keys[0]])
    return " ".join(f"{key}: {text}" for key, text in texts.items())


def _takes(key: str) -> str:
    kind = kind_of(key)
    if kind in _KINDS:
        return _KINDS[kind]
    if key in _OTHERS:
        return _OTHERS[key]
    hint = get_type_hints(MountOptions)[field_of(key)]
    if float in (hint, *get_args(hint)):
        return "a number of seconds."
    *words, last = [f'"{word}"' for word in get_args(hint)]
    return f"{', '.join(words)} or {last}."


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
