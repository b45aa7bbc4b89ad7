"""An issuer of tokens for Temporal's default claim mapper: its keys by HTTP (RFC 7517), its tokens signed with RS256."""

import json
import threading
import time
from base64 import urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256


def _encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


class TokenAuthority:
    """Serves its keys as a context manager."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "lab"} | {
            name: _encoded(value.to_bytes((value.bit_length() + 7) // 8))
            for name, value in {"n": numbers.n, "e": numbers.e}.items()
        }
        body = json.dumps({"keys": [key]}).encode()

        class Keys(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def authorization(self) -> dict[str, Any]:
        """Temporal's configuration, ``global.authorization``."""
        uri = f"http://127.0.0.1:{self._server.server_port}/keys"
        return {
            "authorizer": "default",
            "claimMapper": "default",
            "permissionsClaimName": "permissions",
            "jwtKeyProvider": {"keySourceURIs": [uri]},
        }

    def token(self, *permissions: str, lifetime_seconds: int = 600) -> str:
        """A token with these permissions, such as ``temporal-system:read``."""
        parts = (
            {"alg": "RS256", "kid": "lab", "typ": "JWT"},
            {"sub": "gate", "exp": int(time.time()) + lifetime_seconds, "permissions": list(permissions)},
        )
        content = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        return f"{content}.{_encoded(self._key.sign(content.encode(), padding.PKCS1v15(), SHA256()))}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()
