"""Files people share in Slack, fetched: only from Slack's own file hosts, and with a token that goes nowhere else."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from enablebot.shared.errors import EnableBotError, SlackRateLimited, SlackUnknownOutcome, SlackUnreachable
from enablebot.shared.models.document import MOST_BYTES
from enablebot.shared.sensitive import Sensitive
from enablebot.shared.slack.origins import KnownHosts
from enablebot.shared.slack.wire import proxy_for

METHOD = "files.download"

# Where url_private leads: https://docs.slack.dev/messaging/working-with-files
_FILE_HOSTS = ("files.slack.com",)
_CHUNK = 64 * 1024
_CONNECT_SECONDS = 10.0
# Between two pieces, and for a whole file of 20 MB.
_SILENCE_SECONDS = 15.0
_LONGEST_SECONDS = 120.0
_DEFAULT_RETRY_SECONDS = 30.0
_HEAD = 512
_HTML = ("text/html", "application/xhtml+xml")


class CannotFetch(EnableBotError):
    """This file cannot be had from Slack, and trying again would not help; the message is for who shared it."""

    code = "cannot_fetch"
    status = 422


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file as Slack describes it. `size` is in bytes, None where Slack says none; `address` needs the token."""

    id: str
    name: str = field(repr=False)
    address: str | None = field(repr=False)
    size: int | None
    mimetype: str
    filetype: str
    mode: str
    is_external: bool
    is_stub: bool

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "SharedFile | None":
        """The file in a file object of Slack's; None for what is none."""
        file_id = given.get("id")
        if not isinstance(file_id, str) or not file_id:
            return None
        address = _text(given, "url_private_download") or _text(given, "url_private")
        size = given.get("size")
        return cls(
            id=file_id,
            name=_text(given, "name") or _text(given, "title") or "a file",
            address=address or None,
            size=size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
            mimetype=_text(given, "mimetype").partition(";")[0].strip().lower(),
            filetype=_text(given, "filetype").lower(),
            mode=_text(given, "mode"),
            is_external=given.get("is_external") is True or _text(given, "mode") == "external",
            is_stub=given.get("file_access") == "check_file_info" or not address,
        )

    @property
    def is_html(self) -> bool:
        """Whether the file itself is a page, so that a page is what Slack should send."""
        return self.mimetype in _HTML or self.filetype in {"html", "htm", "xhtml"}


class SlackFiles:
    """Fetches shared files; one for all workspaces of the process.

    With `base_url` other than Slack's, files come from exactly this scheme, host and port.
    """

    def __init__(
        self,
        *,
        base_url: str,
        most_bytes: int = MOST_BYTES,
        silence_seconds: float = _SILENCE_SECONDS,
        longest_seconds: float = _LONGEST_SECONDS,
    ) -> None:
        self._hosts = KnownHosts(base_url, _FILE_HOSTS)
        self._most_bytes = most_bytes
        self._silence_seconds = silence_seconds
        self._longest_seconds = longest_seconds
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Open the connection pool. Belongs to the lifespan of the app."""
        self._session = aiohttp.ClientSession(
            # What one file's answer sets is not sent with another workspace's.
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=self._silence_seconds),
            # A small answer that unpacks to gigabytes is not asked for, and not unpacked.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
        )

    async def aclose(self) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def may_ask(self, address: str) -> bool:
        """Whether the token may be sent to this address."""
        return self._hosts.know(address)

    async def fetch(self, file: SharedFile, *, token: Sensitive[str]) -> AsyncIterator[bytes]:
        """Yield the file's bytes as they come, never more of them than a document may have.

        Raises CannotFetch; and SlackRateLimited, SlackUnreachable or SlackUnknownOutcome where it may go well later.
        """
        address = self._checked(file)
        if self._session is None:
            raise RuntimeError("SlackFiles is not open: call open() in the lifespan first")
        try:
            async with self._session.get(
                address,
                headers={"Authorization": f"Bearer {token.reveal()}"},
                # A redirect would carry the token along, to wherever it leads.
                allow_redirects=False,
                proxy=proxy_for(address),
            ) as response:
                self._check(response, file)
                async for chunk in self._counted(response, file):
                    yield chunk
        # `from None`: the error of a library may quote the address, which is a secret of its own.
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise SlackUnreachable(
                f"Slack could not be reached for a file ({type(error).__name__}).", method=METHOD
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _incomplete(type(error).__name__) from None

    def _checked(self, file: SharedFile) -> str:
        if file.is_external:
            raise CannotFetch(
                "it does not lie in Slack, only a link to it does. Download it there and send me the file itself"
            )
        if file.mode in {"tombstone", "hidden_by_limit"}:
            raise CannotFetch("Slack does not keep it any more. Send it again")
        if file.address is None:
            raise CannotFetch("Slack did not say where it lies. Send it again")
        if not self.may_ask(file.address):
            raise CannotFetch("it does not lie on Slack's own file servers, and I fetch files from nowhere else")
        if file.size is not None and file.size > self._most_bytes:
            raise self._too_large()
        return file.address

    def _check(self, response: aiohttp.ClientResponse, file: SharedFile) -> None:
        status = response.status
        if status == 429:
            raise SlackRateLimited(
                "Slack limits how often files are fetched.", method=METHOD, retry_after=_retry_after(response)
            )
        if status >= 500:
            raise _incomplete(f"status {status}")
        if 300 <= status < 400:
            raise CannotFetch("Slack sent me elsewhere for it, where I must not take my key. Send it again")
        if status in {404, 410}:
            raise CannotFetch("Slack does not have it any more. Send it again")
        if status != 200:
            raise CannotFetch(f"Slack did not hand it out (status {status}). {_REMEDY}")
        if response.headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
            raise CannotFetch("Slack sent it packed in a way I did not ask for. Send it again")
        if _is_page(response) and not file.is_html:
            raise CannotFetch(f"Slack showed me its sign-in page instead of it. {_REMEDY}")
        if response.content_length is not None and response.content_length > self._most_bytes:
            raise self._too_large()

    async def _counted(self, response: aiohttp.ClientResponse, file: SharedFile) -> AsyncIterator[bytes]:
        """The body, cut off where it gets too long, and refused where it is a page or too short."""
        size, head = 0, b""
        loop = asyncio.get_running_loop()
        # Looked at with each piece: a timer would go off in whoever takes the pieces.
        give_up_at = loop.time() + self._longest_seconds
        async for chunk in response.content.iter_chunked(_CHUNK):
            if loop.time() > give_up_at:
                raise _incomplete(f"it took longer than {self._longest_seconds:g} s")
            size += len(chunk)
            if size > self._most_bytes:
                raise self._too_large()
            if len(head) < _HEAD:
                head += chunk[: _HEAD - len(head)]
                if _is_sign_in(head, response, file):
                    raise CannotFetch(f"Slack showed me its sign-in page instead of it. {_REMEDY}")
            yield chunk
        if file.mode in {"", "hosted"} and file.size is not None and size < file.size:
            raise _incomplete(f"{size} of {file.size} bytes")

    def _too_large(self) -> CannotFetch:
        return CannotFetch(
            f"it is larger than {self._most_bytes / (1024 * 1024):.3g} MB, the most I read of one file. "
            "Split it, or send a smaller version"
        )


_REMEDY = "An admin may have to add EnableBot to this workspace again, so that it may read files"


def _incomplete(because: str) -> SlackUnknownOutcome:
    # Unlike a Slack that is not reached at all, this costs an attempt: a file that always breaks off is not asked for
    # again and again.
    return SlackUnknownOutcome(f"Slack did not hand out a file completely ({because}).", method=METHOD)


def _is_page(response: aiohttp.ClientResponse) -> bool:
    return response.content_type in _HTML


def _is_sign_in(head: bytes, response: aiohttp.ClientResponse, file: SharedFile) -> bool:
    """Whether these are the first bytes of a page where a file was to come."""
    begins = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].lower()
    if not begins.startswith((b"<!doctype html", b"<html")):
        return False
    if file.is_html:
        # A page was expected: Slack's own does not come as an attachment, and has no length that Slack told before.
        is_attached = response.headers.get("Content-Disposition", "").strip().lower().startswith("attachment")
        return not is_attached and response.content_length != file.size
    # Text may well begin like a page; what is neither text nor a page may not.
    return not file.mimetype.startswith("text/")


def _retry_after(response: aiohttp.ClientResponse) -> float:
    said = response.headers.get("Retry-After", "")
    return min(float(said), 3600.0) if said.isascii() and said.isdigit() else _DEFAULT_RETRY_SECONDS


def _text(mapping: Mapping[str, Any], name: str) -> str:
    value = mapping.get(name)
    return value if isinstance(value, str) else ""
