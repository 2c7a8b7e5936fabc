"""A download that a browser keeps under a name and never opens by itself."""

import re
import unicodedata
from collections.abc import Mapping
from urllib.parse import quote

# RFC 5987's attr-char: everything else is percent-encoded.
_ATTR_CHARS = "!#$&+-.^_`|~"
# What a quoted string may hold without being escaped, less the percent sign, which old browsers decode (RFC 6266, D).
_ODD = re.compile(r"[^A-Za-z0-9 !#$&'()*+,.:;<=>@\[\]^_`{|}~-]")


def attachment_headers(name: str, *, size_bytes: int) -> Mapping[str, str]:
    """Return the headers of a download called `name`, whatever is in that name.

    The kind is never said: nothing that somebody uploaded is ever to be shown as a page of ours. Two names as RFC 6266
    has them: one in ASCII for old browsers, one in full.
    """
    # Separators of the path, so that no program takes it for one; lone surrogates have no UTF-8.
    plain = re.sub(r"[/\\]", "_", name).encode(errors="replace").decode()
    ascii_name = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    ascii_name = _ODD.sub("_", ascii_name).strip(" .") or "document"
    full_name = quote("".join(each for each in plain if each.isprintable()), safe=_ATTR_CHARS)
    return {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{full_name}",
        "Content-Length": str(size_bytes),
        "X-Content-Type-Options": "nosniff",
    }
