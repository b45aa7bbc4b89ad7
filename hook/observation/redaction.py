"""Takes secrets out of texts: the known ones, in each form that a client writes them in, and what looks like one.

Most of what is told was written by others: a driver quotes its connection string, a Go program its request's headers, a
pod's log its environment. `Secrets.cleaner` is the one thing that a text goes through before it leaves the process; it makes
the text `plain` as well. Pure.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache
from typing import TYPE_CHECKING

from hook.observation.plain import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_GONE = "***"

_SHORT = 12
"""A secret shorter than this is taken out only where it stands as a word: `temporal` is a password, too, in some labs."""

_LONG = 128
"""Of a longer one, a token or a key, the head is looked for, and what follows up to the next blank goes with it."""
_HEAD = 40

_LEAST_ENCODED = 6
"""So many characters of base64 are nobody's by chance."""


class Secrets:
    """All that is known to be secret in this process, now or before: an error's text may still hold a rotated password."""

    def __init__(self, *sources: Callable[[], Iterable[str]]) -> None:
        """Ask the sources, such as files that rotate, each time before something is told."""
        self._sources: list[Callable[[], Iterable[str]]] = []
        self._known: set[str] = set()
        for source in sources:
            self.ask(source)

    def learn(self, values: Iterable[str]) -> None:
        """Know these from now on."""
        self._known |= {part for value in values for part in _parts(value)}

    def ask(self, source: Callable[[], Iterable[str]]) -> None:
        """Ask this source as well, from now on."""
        self._sources.append(source)
        self.learn(source())

    def cleaner(self) -> Callable[[str], str]:
        """Return what takes all secrets out of a text, those of now and those that were known before, and makes it plain."""
        for source in self._sources:
            self.learn(source())
        known = frozenset(self._known)
        return lambda text: plain(without_secrets(text, known))


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return the text with asterisks in the place of every secret, and of all that looks like one."""
    known = _pattern(frozenset(secrets))
    text = known.sub(_GONE, text) if known else text
    if "PRIVATE KEY-----" in text:
        text = _PEM.sub(_GONE, text)
    for pattern, replacement in _LOOKS:
        text = pattern.sub(replacement, text)
    return text


def told_by(text: str) -> set[str]:
    """Return the secrets that a command line or an address holds: logins, and values of options and variables."""
    found = {match["value"] for pattern in (_OPTION, _PAIR) for match in pattern.finditer(text)}
    return {value for word in text.split() for value in logins(word)} | set(filter(_is_value, found))


def logins(address: str) -> set[str]:
    """Return user and password of an address (a proxy's, say), as they are written and as they are meant."""
    rest = address.rpartition("://")[2]
    halves = {half for one in (rest.partition("@"), rest.rpartition("@")) if one[1] for half in one[0].split(":", 1)}
    return (halves | {_unquoted(half) for half in halves}) - {""}


def _unquoted(text: str) -> str:
    raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text.encode(errors="replace"))
    return raw.decode(errors="replace")


# --- known secrets ------------------------------------------------------------------------------------------------


def _parts(value: str) -> Iterable[str]:
    """Return a value, or the lines of one that has several: a log may hold any of a key's."""
    lines = value.splitlines()
    parts = [line.strip() for line in lines] if len(lines) > 1 else [value]
    return [part for part in parts if part and not part.startswith("-----")]


@lru_cache(maxsize=16)
def _pattern(secrets: frozenset[str]) -> re.Pattern[str] | None:
    """Return what finds any of the secrets, the longest first: one may contain another."""
    forms = [form for secret in sorted(secrets, key=len, reverse=True) if secret for form in _forms(secret)]
    return re.compile("|".join(forms)) if forms else None


def _forms(secret: str) -> Iterable[str]:
    head = secret if len(secret) <= _LONG else secret[:_HEAD]
    written = "".join(map(_character, re.findall(r"\s+|\S", head)))
    if len(secret) > _LONG:
        yield written + r"""[^\s"'<>,;]*"""
    elif len(secret) >= _SHORT:
        yield written
    else:
        yield rf"(?:(?<![\w-])|(?<=%[0-9A-Fa-f]{{2}})|(?<=\\[nrt])){written}(?![\w-])"
    yield from (f"{core}[A-Za-z0-9+/_-]*={{0,2}}" for core in _cores(head.encode(errors="replace")))


def _character(part: str) -> str:
    r"""Return what finds a character, or blanks, in any escaping of URLs, JSON (Go writes < as \u003c), HTML and quotes."""
    if part.isspace():
        return r"(?:\s|\+|\\+[nrt]|%(?:25)*(?:20|09|0[AaDd])|" + "|".join(map(_escaped, sorted(set(part)))) + ")+"
    if part.isascii() and part.isalnum():
        return part
    doubled = "{1,2}" if part in _QUOTES else ""
    return rf"(?:\\*{re.escape(part)}{doubled}|{_escaped(part)})"


def _escaped(character: str) -> str:
    percent = "".join(f"%(?:25)*{byte:02X}" for byte in character.encode(errors="replace"))
    units = character.encode("utf-16-be", errors="surrogatepass")
    in_json = "".join(rf"\\+u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
    in_python = [rf"\\+x{ord(character):02x}"] if ord(character) < 256 else []  # noqa: PLR2004 -- a byte
    return f"(?i:{'|'.join((percent, in_json, *in_python, *_ENTITIES.get(character, ())))})"


_QUOTES = "'\"\\"
"""SQL and libpq double a quote, or put a backslash before it; JSON doubles a backslash."""

_ENTITIES = {
    "&": ("&amp;",), "<": ("&lt;",), ">": ("&gt;",), '"': ("&quot;", "&#34;"), "'": ("&apos;", "&#39;", "&#x27;"),
}  # fmt: skip


def _cores(secret: bytes) -> Iterable[str]:
    """Return what a secret becomes in base64, wherever it stands in what is encoded (`user:password` of a header).

    Of the first and the last character some bits belong to its neighbours, so they are left out.
    """
    for before in range(3):
        first = -(-before * 8 // 6)
        end = (before + len(secret)) * 8 // 6
        core = b64encode(bytes(before) + secret).decode()[first:end]
        if len(core) >= _LEAST_ENCODED:
            yield "".join({"+": "[+-]", "/": "[/_]"}.get(one, one) for one in core)


# --- what looks like a secret -------------------------------------------------------------------------------------

_BREAK = r"(?:\s|\\+[nr])"
_KEY = "[A-Z0-9 ]*PRIVATE KEY-----"
_PEM = re.compile(
    rf"-----BEGIN {_KEY}.{{0,20000}}?-----END {_KEY}"
    rf"|-----BEGIN {_KEY}(?:{_BREAK}*[A-Za-z0-9+/]{{16,}}={{0,2}})*"  # cut off
    rf"|(?:[A-Za-z0-9+/]{{16,}}{_BREAK}+)*[A-Za-z0-9+/]+={{0,2}}{_BREAK}*-----END {_KEY}",
    re.DOTALL,
)

_KEYS = "secret[_-]?(?:access[_-]?)?key|client[_-]?secret|(?:api|access|private)[_-]?key"
_STRONG = f"pass(?:word|wd|phrase)|(?<=_)pass|pwd|pw|{_KEYS}"
_WEAK = "secret|token|credentials?|authorization|cookie|auth"
_VALUE = r"""(?:(?<=["'])(?:[^"'\\]|\\(?!["']))+|[^\s"'&]+)"""
"""Up to the other quote where it is quoted, else up to a blank or the next parameter."""
_NO_VALUES = {
    "", "null", "None", "nil", "true", "false", "or", "and", "is", "are", "not", "must", "cannot", "for", "to", "flag",
    "value", "unknown", "required", "missing", "invalid", "authentication", "holds", "give", "set",
}  # fmt: skip
"""What stands after such a name in a sentence."""

_PAIR = re.compile(
    rf"""(?i:(?<![\w./-])(?P<name>[\w.-]{{0,60}}?(?:(?P<strong>{_STRONG})|{_WEAK}))
    (?P<sign>(?:\\*["'])?\s?(?:=>?|:)\s?(?:\\*["']|\[|\()*))(?P<value>{_VALUE})""",
    re.VERBOSE,
)
"""`password=x` of libpq, `SQL_PASSWORD=x` of an environment, `"token":"x"` of JSON, `token: x` of YAML."""

_OPTION = re.compile(rf"""(?i:(?P<sign>(?<!\w)--?(?:[\w-]*-)?(?:{_STRONG}|secret|token)["',\s]+))(?P<value>{_VALUE})""")
"""`--password x` and `'--pw', 'x'` of a command line."""

_SCHEMES = "bearer|basic|negotiate|digest|apikey|token"
_HEADER = re.compile(
    rf"""(?i:authorization(?:\\*["'])?\s?[:=]\s?(?:\\*["']|\[|\()*(?:{_SCHEMES})\s+)(?P<value>[^\s"',;)\]\\]+)"""
)
"""`Authorization: Basic x`, and as Go and Python print their headers: `map[Authorization:[Basic x]]`."""

_BY_SCHEME = re.compile(r"""(?i:\b(?:bearer|basic|negotiate)\s+)(?P<value>[^\s"',;)\]\\]+)""")
"""A header's value without its name, unless it is a word of a sentence."""


def _without_value(found: re.Match[str]) -> str:
    return found[0][: -len(found["value"])] + _GONE if _is_value(found["value"]) else found[0]


def _without_pair(found: re.Match[str]) -> str:
    """Take out the value where the name is a password's, else where it is one that no word of a sentence could be.

    `secret: temporal-db`, `invalid token: expired` tell what is wrong.
    """
    is_assigned = found["sign"].startswith("=")
    return _without_value(found) if found["strong"] or is_assigned or _is_opaque(found["value"]) else found[0]


def _without_opaque(found: re.Match[str]) -> str:
    is_encoded = len(found["value"]) >= _LEAST_ENCODED and re.search("[a-z][A-Z].*[a-z][A-Z]|=$", found["value"])
    return _without_value(found) if is_encoded or _is_opaque(found["value"]) else found[0]


def _is_value(text: str) -> bool:
    return not (text.startswith(_GONE) or text.strip(".,;:)]}") in _NO_VALUES)


def _is_opaque(value: str) -> bool:
    """Tell whether it can be a token: long enough, with digits and letters, and no path."""
    letters = re.search("[A-Za-z]", value)
    return len(value) >= _SHORT and letters is not None and re.search("[0-9]", value) is not None and value[0] != "/"


_NO_PORT = r"""(?!\d{1,5}(?:[/?#\s"']|$))"""
_LOOKS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # //user:password@, whose password may hold a slash or another @; //token@; both as a part of another URL
    (re.compile(rf"""//(?!\[)[^/\s@:"'<>]*:{_NO_PORT}[^\s"'<>]*@"""), f"//{_GONE}@"),
    (re.compile(r"""//[^/\s@:?#"'<>,;()]+@"""), f"//{_GONE}@"),
    (re.compile(r"""(?i:%2F%2F)[^\s&"'<>]*?%40"""), f"%2F%2F{_GONE}%40"),
    # user:password@host without a scheme (HTTPS_PROXY, MySQL's DSN), and no image:tag@sha256
    (re.compile(r"""(?<![\w/:.@%*-])[\w.%+-]{1,64}:[^\s/@:"'<>]{1,256}@(?!sha\d)(?=[\w(\[])"""), f"{_GONE}@"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*){0,2}"), _GONE),  # a JWT: a header of JSON, in base64
    # GitHub's, GitLab's and Slack's tokens, and those of the AWS authenticator for EKS
    (re.compile(r"\b(?:gh[opsu]_|github_pat_|glpat-|xox[abp]-|k8s-aws-v1\.)[\w-]{10,}"), _GONE),
    (_HEADER, _without_value),
    (_OPTION, _without_value),
    (_PAIR, _without_pair),
    (_BY_SCHEME, _without_opaque),
)
