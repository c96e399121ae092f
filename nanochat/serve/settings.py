"""Settings of the server."""

import os
from dataclasses import dataclass

from nanochat.errors import UserError

API_KEY_VARIABLE = "NANO_OCR_API_KEY"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ServeSettings:
    """Limits and permissions of a server. Raises UserError for contradictory values."""

    host: str = "127.0.0.1"
    """address to listen on; 0.0.0.0 for all networks, together with an API key"""
    port: int = 8000
    """port to listen on"""
    api_key: str = ""
    """bearer token that clients must send; preferably set as the environment variable NANO_OCR_API_KEY"""
    max_concurrency: int = 16
    """number of answers generated at the same time"""
    max_queue: int = 64
    """number of further requests that may wait; any more are refused with status 429"""
    request_timeout: float = 300.0
    """limit in seconds for an answer (including waiting), for an upload, and for a client to read the response"""
    max_upload_mb: float = 50.0
    """size limit of a request"""
    max_megapixels: float = 64.0
    """size limit of a page or image: a small file can decode to gigabytes"""
    max_pages: int = 500
    """page limit of a request"""
    allow_origin: tuple[str, ...] = ()
    """origins of other sites that may call this server (CORS)"""
    allow_remote_images: bool = False
    """fetch images from http(s) URLs in requests, but never from private addresses"""

    def __post_init__(self) -> None:
        for name in ("max_concurrency", "request_timeout", "max_upload_mb", "max_megapixels", "max_pages"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} {getattr(self, name)}: must be a positive number")
        if not 0 <= self.port <= 65535:
            raise UserError(f"port {self.port}: must be from 0 to 65535")
        if self.max_queue < 0:
            raise UserError(f"max_queue {self.max_queue}: must be 0 or more")

    @property
    def most_pixels(self) -> int:
        """Limit of the pixels of a page or image."""
        return round(self.max_megapixels * 1e6)

    @property
    def required_key(self) -> str:
        """The API key from the settings or else the environment; empty if none is needed."""
        return self.api_key or os.environ.get(API_KEY_VARIABLE, "")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK
