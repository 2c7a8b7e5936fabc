"""Whatever a file is called, its download is one header line that names one file."""

import re
from urllib.parse import unquote

import pytest

from enablebot.shared.attachment import attachment_headers

NAMES = [
    ("handbook.pdf", "handbook.pdf", "handbook.pdf"),
    ("Übersicht 2026.pdf", "Ubersicht 2026.pdf", "Übersicht 2026.pdf"),
    ("手册.pdf", "pdf", "手册.pdf"),
    ("手册", "document", "手册"),
    ('a".pdf', "a_.pdf", 'a".pdf'),
    ("100%.pdf", "100_.pdf", "100%.pdf"),
    ("a\r\nSet-Cookie: x=1.pdf", "a__Set-Cookie: x=1.pdf", "aSet-Cookie: x=1.pdf"),
    ("../../etc/passwd", "_.._etc_passwd", ".._.._etc_passwd"),
    ("a\\b\x00.txt", "a_b_.txt", "a_b.txt"),
    ("\u202egpj.exe", "gpj.exe", "gpj.exe"),
    ("a\ud800b", "a_b", "a?b"),
    ("", "document", ""),
]


@pytest.mark.parametrize(("name", "plain", "full"), NAMES)
def test_a_download_has_a_plain_and_a_full_name(name: str, plain: str, full: str) -> None:
    said = attachment_headers(name, size_bytes=7)["Content-Disposition"]
    found = re.fullmatch(r"attachment; filename=\"([^\"\\]*)\"; filename\*=UTF-8''([A-Za-z0-9!#$&+.^_`|~%-]*)", said)
    assert found is not None, said
    assert said.isascii()
    assert said.isprintable()
    assert (found[1], unquote(found[2])) == (plain, full)


def test_a_download_is_never_shown_as_a_page() -> None:
    headers = attachment_headers("page.html", size_bytes=7)
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Length"] == "7"
