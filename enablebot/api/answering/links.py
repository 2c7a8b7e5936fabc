"""Which addresses may stay links in an answer, and what the others become. Pure.

Slack makes links of more than Markdown says: of bare domains as well as of URLs. What is not allowed is therefore
taken apart (`evil[.]com`), so that nothing that reads Slack's markup can put it together again.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal["plain", "name", "domain"]

# Endings of files, which are no top-level domains; answers about software and documents are full of them.
_FILE_ENDINGS = """
7z avi bak bat bin bmp bz2 c cfg class conf cpp cs css csv cxx db dll doc docx eml env epub exe gif git go gz h hpp
htm html ini ipynb iso jar java jpeg jpg js json jsonl jsx key kt lock log lua mdx mjs mkv mp3 mp4 odp ods odt pdf
pem php png ppt pptx psd pyc pyi rar rb rst rtf sass scss sql svg swift tar tex tgz tiff toml ts tsv tsx ttf txt vb
vue wasm wav webm webp xls xlsx xml yaml yml
"""
_NO_DOMAIN = frozenset(_FILE_ENDINGS.split())

# Endings that mean an address wherever they stand. A word with any other ending is more often a file or a name in a
# program (`setup.py`, `event.id`); it is shown as code, which Slack leaves alone.
_DOMAIN_ENDINGS = """
academy agency ai arpa asia bank bayern berlin bet bid biz blog casino cat cloud club co com company consulting coop
dev digital edu engineering enterprises eu events example exchange fyi gmbh gov guru hamburg hosting icu inc info
institute international invalid io jobs koeln lgbt limited llc loan lol london ltd mba mil mobi net ngo ninja nyc
ong onion online org paris party photography poker porn pub pw quest rocks ruhr sarl shop site software solutions
swiss sydney systems tech technology test tokyo university ventures vip website wien wiki work wtf xxx xyz yoga ad
ae af ag al ao aq ar au aw ax az ba bb bd bf bg bh bi bj bm bn bo bs bt bv bw bz ca cd cf cg ch ci ck cl cn cr cu cv
cw cx cy cz de dj dk dm dz ec ee eg er es et fi fj fk fo fr ga gb gd gf gg gh gi gl gm gn gp gq gr gs gu gw gy hk hn
hu ie il iq ir je jm jo jp ke kh ki kn kp kr kw ky kz lb lc lk lr ls lu lv ly ma mc mg mh mn mo mq mr mt mu mv mw mx
mz na nc nf ng ni nl np nr nu nz om pa pe pf pg ph pk pn pr pt qa ro ru rw sa sb se sg si sj sk sl sm sn sr ss su sv
sx sy sz tc tf tg tj tk tl tm tn tt tv tw tz ua ug uk uy uz ve vg vi vn vu wf ws ye yt za zm zw
"""
_DOMAINS = frozenset(_DOMAIN_ENDINGS.split())

# Words joined as the parts of a host or an address are.
WORDS = re.compile(r"[\w-]+(?:(?:\\?[.+]|(?<=[^\W_])@)[\w-]+)*")
_EMAIL = re.compile(r"[\w+-]+(?:\.[\w+-]+)*@(?:[\w-]+\.)+[A-Za-z]{2,}")
_ADDRESS = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://[^\s<>\"`|\[\]]+|(?<![\w@/.-])[\w-]+(?:\.[\w-]+)+(?:/[^\s<>\"`|\[\]]*)?"
)
_DOTTED = re.compile(r"[\w.-]+")
_TRAILING = ".,;:!?*_~'\"\\"
_ASCII_ADDRESS = re.compile(r"[\x21-\x7e]+")
_NETWORK = frozenset({"http", "https"})


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may stay a link: these addresses exactly, and everything on these hosts."""

    addresses: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()

    def permits(self, url: str) -> bool:
        """Whether this address, written with its scheme, may be a link."""
        host = host_of(url)
        return host is not None and (host in self.hosts or _canonical(url) in self.addresses)

    def permits_bare(self, address: str) -> bool:
        """Whether an address written without a scheme may stay as it is."""
        return self.permits(f"https://{address}") or self.permits(f"http://{address}")


NOTHING = Allowed()


def allowed_for(question: str, *, hosts: Iterable[str] = ()) -> Allowed:
    """The asker's own addresses, each exactly as written, and the workspace's `hosts`."""
    addresses: set[str] = set()
    for found in _ADDRESS.finditer(question):
        address = trimmed(found[0])
        for url in [address] if "://" in address else [f"https://{address}", f"http://{address}"]:
            if host_of(url) is not None:
                addresses.add(_canonical(url))
    return Allowed(frozenset(addresses), frozenset(host.lower() for host in hosts))


def host_of(url: str) -> str | None:
    """The host of a plain http(s) address in printable ASCII; None for everything that could read two ways."""
    if not _ASCII_ADDRESS.fullmatch(url) or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
        port = parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in _NETWORK or not host or "@" in parts.netloc or port == 0:
        return None
    return host


def trimmed(url: str) -> str:
    """An address without the punctuation of the sentence around it."""
    while url and (url[-1] in _TRAILING or (url[-1] in ")}" and url.count(url[-1]) > url.count(_OPENING[url[-1]]))):
        url = url[:-1]
    return url


_OPENING = {")": "(", "}": "{"}


def kind_of(words: str, *, in_code: bool = False) -> Kind:
    """Whether words joined by dots read as a domain, as a file or a name in a program, or as neither.

    In code only the last ending counts: `java.net.URL` is a class there.
    """
    if "." not in words or _is_email(words):
        return "plain"
    labels = [label.strip("_-").lower() for label in re.split(r"\\?[.@+]", words)]
    if labels[0] == "www" or any("xn--" in label for label in labels):
        return "domain"
    ends = labels[-1:] if in_code and _DOTTED.fullmatch(words) else labels[1:]
    # Letters of another script and hyphens end a domain for some readers and belong to it for others.
    if any(is_ending(piece) for label in ends for piece in re.findall(r"[a-z0-9]+", label)):
        return "domain"
    last = labels[-1]
    if len(last) < 2 or not last.isalpha() or last in _NO_DOMAIN:
        return "plain"
    return "name"


def is_ending(label: str) -> bool:
    """Whether a label ends a domain wherever it stands."""
    return label.lower() in _DOMAINS or label.lower().startswith("xn--")


def names_a_host(words: str) -> bool:
    """Whether words become a link once a port or a path follows: an IPv4 address, or a host behind a user's name."""
    labels = words.split(".")
    is_address = len(labels) == 4 and all(label.isascii() and label.isdigit() and len(label) <= 3 for label in labels)
    return is_address or ("@" in words and "." in words)


def taken_apart(address: str) -> str:
    """An address as text that nothing makes a link or a mention of: without its scheme, its dots in brackets."""
    rest = address.split("://", 1)[-1].replace("://", ": //").replace("@", " @ ")
    # Signs at its beginning could belong to what stands before it: `[a]` and `(x)` would be a link.
    rest = re.sub(r"^[\W_]+", "", rest)
    apart = re.sub(r"\\?\.", "[.]", rest)
    # Brackets of ours and signs of theirs make no Markdown together, and something always stays to keep words apart.
    return apart.replace("](", "] (").replace("![", "! [") or "…"


def named(destination: str) -> str:
    """Where a link that was taken away pointed: its host, taken apart; empty where it has none."""
    try:
        host = urlsplit(destination.strip()).hostname or ""
    except ValueError:
        host = ""
    if not host:
        first = re.split(r"[/?#:]", destination.strip(), maxsplit=1)[0]
        host = first if "." in first else ""
    return taken_apart(re.sub(r"[^\w.-]", "", host))[:100] if host else ""


def _is_email(words: str) -> bool:
    if not _EMAIL.fullmatch(words) or "xn--" in words.lower():
        return False
    local = words.split("@", 1)[0].lower()
    return not local.startswith("www.") and not set(local.split(".")[1:]) & _DOMAINS


def _canonical(url: str) -> str:
    parts = urlsplit(url)
    path = parts.path if parts.path != "/" else ""
    return parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.lower(), path=path).geturl()
