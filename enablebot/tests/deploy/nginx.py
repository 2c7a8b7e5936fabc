"""A real nginx with the very file that docs/deploy/server.md hands out, on free ports of loopback."""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from enablebot.tests.deploy.files import SERVER

_MAIN = """{user}
daemon off;
worker_processes 1;
pid {prefix}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log {prefix}/access.log;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    include {prefix}/enablebot.conf;
}}
"""


@dataclass(frozen=True)
class Nginx:
    """How to start it; it stays in the foreground and ends with SIGTERM."""

    argv: tuple[str, ...]
    prefix: Path


def nginx_binary() -> str:
    """Return the path of nginx; without one the test skips, or fails where it is required."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        _missing("nginx is not installed (on Debian and Ubuntu: apt install nginx-light)")
    return found


def _missing(why: str) -> NoReturn:
    message = f"NO NGINX, docs/deploy/server/nginx.conf is not proven: {why}"
    if os.environ.get("ENABLEBOT_REQUIRE_NGINX") == "1":
        pytest.fail(message)
    pytest.skip(message)


def render(
    prefix: Path, *, api_front: int, web_front: int, instances: Mapping[int, int], with_tls: bool = False
) -> Nginx:
    """Write nginx.conf for this test: other ports and, unless `with_tls`, no https; all else as it is handed out.

    `instances` says for each port in the file where the instance listens instead.
    """
    binary = nginx_binary()
    prefix.mkdir(parents=True, exist_ok=True)
    text = (SERVER / "nginx.conf").read_text()
    for wanted, actual in instances.items():
        text, count = re.subn(rf"server 127\.0\.0\.1:{wanted}\b", f"server 127.0.0.1:{actual}", text)
        assert count, f"nginx.conf has no instance on port {wanted}"
    text, count = re.subn(r"(?ms)^server \{\n    listen 80;.*?^\}\n", "", text)
    assert count == 1, "nginx.conf does not redirect from http exactly once"
    text = re.sub(r"(?m)^ *listen \[::\]:443 .*\n", "", text)
    tls = " ssl" if with_tls else ""
    for front in (api_front, web_front):
        text, count = re.subn("listen 443 ssl;", f"listen 127.0.0.1:{front}{tls};", text, count=1)
        assert count == 1, "nginx.conf does not serve two names over https"
    if with_tls:
        certificate, key = _certificate(prefix)
        text = re.sub(r"(ssl_certificate) .*;", rf"\1 {certificate};", text)
        text = re.sub(r"(ssl_certificate_key) .*;", rf"\1 {key};", text)
    else:
        text = re.sub(r"(?m)^ *ssl_.*\n", "", text)
    (prefix / "enablebot.conf").write_text(text)
    # A root's nginx gives its workers to nobody, who cannot get at this test's files.
    user = "user root;" if os.geteuid() == 0 else ""
    (prefix / "nginx.conf").write_text(_MAIN.format(prefix=prefix, user=user))
    return Nginx((binary, "-p", str(prefix), "-c", str(prefix / "nginx.conf"), "-e", "stderr"), prefix)


def _certificate(prefix: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    paths = prefix / "certificate.pem", prefix / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
