# Copyright (c) 2026 rbee.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How names that users choose are written where HAProxy reads them: configuration, map keys, expressions.

Pure. A map file has one entry a line, the key up to the first white space; a proxy's name has letters, digits and
``-_.:``. Both are in HAProxy's configuration manual, as is the JSON that its ``json_query`` reads.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import urllib.parse


def quoted(text: str) -> str:
    """One word of an HAProxy configuration, whatever is in it."""
    return "'" + text.replace("'", "'\\''") + "'"


def slug(name: str) -> str:
    """A name in the letters of a proxy's name, with a digest where letters had to go, so that it stays unique."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def endpoint(address: str, port: int) -> str:
    """Address and port as ``bind`` and ``server`` take them; an IPv6 address goes into brackets."""
    try:
        return f"[{ipaddress.IPv6Address(address)}]:{port}"
    except ValueError:
        return f"{address}:{port}"


def key(name: str) -> str:
    """A name as the converter ``url_enc`` writes it: without white space, so that it can be the key of a map."""
    return urllib.parse.quote(name, safe="")


def keys(name: str) -> tuple[str, ...]:
    """The keys under which a name is found: ``json_query`` reads the escape ``\\u00e9`` as the byte E9, not UTF-8."""
    try:
        latin = urllib.parse.quote(name, safe="", encoding="latin-1", errors="strict")
    except UnicodeEncodeError:
        latin = key(name)
    return tuple(dict.fromkeys((key(name), latin)))


def pattern(name: str) -> str:
    """A regular expression for ``"model": "<name>"`` in every JSON spelling, for bodies that defeat ``json_query``.

    That knows neither the escape ``\\/`` (PHP writes it) nor ``\\u`` above 00FF (Python does) nor more than 20 levels
    of nesting. A prompt cannot match: inside a string a quote is always escaped. POSIX syntax without white space.
    """
    return '"model"[[:space:]]*:[[:space:]]*"' + "".join(map(_spellings, name)) + '"'


def _spellings(char: str) -> str:
    special = {'"': '\\\\"', "\\": "\\\\\\\\", "/": "\\\\?/", " ": "[[:blank:]]", "^": "\\^"}
    if char < " ":
        plain = "[[:cntrl:]]"
    elif char.isalnum() or not char.isascii():
        plain = char
    else:
        plain = special.get(char, f"[{char}]")
    units = char.encode("utf-16-be")  # one, or two for a surrogate pair
    escape = "".join("\\\\u" + _either_case(units[i : i + 2].hex()) for i in range(0, len(units), 2))
    return f"({plain}|{escape})"


def _either_case(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)
