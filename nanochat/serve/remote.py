"""Images at http(s) addresses that a request names.

They are fetched only if this is allowed, never from private networks, and every redirect is checked as well.
"""

import asyncio
import http.client
import ipaddress
import socket
import ssl
import time
from urllib.parse import SplitResult, urljoin, urlsplit

from anyio import CapacityLimiter, to_thread

from nanochat.serve.errors import ApiError
from nanochat.serve.settings import ServeSettings

REDIRECTS = 3
SECONDS = 10.0  # timeout of each read of the socket
FETCHING = CapacityLimiter(16)  # separate threads, so that other requests do not wait for slow servers


def _refused(message: str) -> ApiError:
    return ApiError(400, message, "invalid_image_url")


def check_address(host: str, port: int) -> str:
    """Resolve `host` to an IP address to connect to. Raises ApiError unless all of its addresses are public."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        raise _refused("the host of the image is unknown") from error
    for address in found:
        ip = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(ip, "ipv4_mapped", None) or ip
        if not mapped.is_global or mapped.is_multicast:
            raise _refused("the address of the image is not public")
    return sorted(found)[0]


class _Pinned(http.client.HTTPSConnection):
    """A connection to an IP address that was checked, without a second DNS query.

    TLS and the Host header use the original host name.
    """

    def __init__(self, parts: SplitResult, address: str, port: int) -> None:
        super().__init__(parts.hostname or "", port, timeout=SECONDS)
        self.address, self.secure = address, parts.scheme == "https"

    def connect(self) -> None:
        self.sock = socket.create_connection((self.address, self.port), SECONDS)
        if self.secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


def fetch(url: str, most_bytes: int, seconds: float) -> bytes:
    """Download from a public address.

    `most_bytes`, `seconds`: limits of size and time. Raises ApiError if the address is private or not reachable, or
    exceeds a limit.
    """
    until = time.monotonic() + seconds
    for _ in range(REDIRECTS + 1):
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise _refused("the URL of the image is broken") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise _refused("the URL of an image must be data:...;base64,... or http(s)")
        connection = _Pinned(parts, check_address(parts.hostname, port), port)
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("GET", path, headers={"User-Agent": "nano-ocr", "Accept": "image/*"})
            response = connection.getresponse()
            if response.status in (301, 302, 303, 307, 308):
                url = urljoin(url, response.headers.get("Location", ""))
                continue
            if response.status != 200:
                raise _refused(f"the server of the image answered {response.status}")
            data = bytearray()
            # the time limit also ends slow downloads
            while len(data) <= most_bytes and (piece := response.read1(65536)):
                data += piece
                if time.monotonic() > until:
                    raise _refused("the image's server took too long")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _refused(f"the image cannot be fetched ({type(error).__name__})") from error
        finally:
            connection.close()
        if len(data) > most_bytes:
            raise ApiError(413, "the image is too large", "request_too_large")
        return bytes(data)
    raise _refused("the image's URL redirects too often")


async def fetch_all(images: list[bytes | str], settings: ServeSettings) -> list[bytes]:
    """The contents of all image files. Addresses are downloaded. Raises ApiError if this is not allowed, or fails."""
    if any(isinstance(image, str) for image in images) and not settings.allow_remote_images:
        raise _refused("this server does not fetch images: send them as data:...;base64,...")
    most = int(settings.max_upload_mb * 1e6)

    async def load(image: bytes | str) -> bytes:
        if isinstance(image, bytes):
            return image
        return await to_thread.run_sync(fetch, image, most, settings.request_timeout, limiter=FETCHING)

    return list(await asyncio.gather(*(load(image) for image in images)))
