"""OAuth: access tokens for Kafka's OAUTHBEARER, by the client credentials grant (RFC 6749, 4.4)."""

import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from http.client import HTTPException
from typing import Any
from urllib.parse import quote_plus, urlencode

from kafka.net.sasl.oauth import AbstractTokenProvider

TIMEOUT = 5.0  # seconds for an answer from the token endpoint
TOKENLESS = "its answer has no access_token"
USED = 0.8  # share of a token's lifetime after which the next connection gets a new one


class TokenError(Exception):
    """No token was issued; str() is one sentence with the reason, without any secret."""


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens from `url`, each used until shortly before it expires. For any thread."""

    def __init__(self, url: str, client: str, secret: str, scope: str, ca: str) -> None:
        self._url = url
        self._client = client
        self._secret = secret
        self._scope = scope
        self._ca = ca
        self._lock = threading.Lock()
        self._token = ""
        self._renew = 0.0  # time.monotonic()

    def token(self) -> str:
        """Raises TokenError."""
        with self._lock:
            if time.monotonic() >= self._renew:
                asked = time.monotonic()
                self._token, life = self._fetch()
                self._renew = asked + USED * life
            return self._token

    def _fetch(self) -> tuple[str, float]:
        """A new token and its lifetime in seconds, 0 when unknown. Raises TokenError."""
        form = {"grant_type": "client_credentials"}
        if self._scope:
            form["scope"] = self._scope
        client = f"{quote_plus(self._client)}:{quote_plus(self._secret)}".encode()
        headers = {"Authorization": f"Basic {b64encode(client).decode()}"}
        request = urllib.request.Request(self._url, urlencode(form).encode(), headers)  # noqa: S310
        try:
            answer = self._ask(request)
            token, life = answer["access_token"], float(answer.get("expires_in") or 0)
        except urllib.error.HTTPError as error:
            with error:
                problem = f"{error.code} {error.reason} for client {self._client!r} and its secret"
        except OSError as error:
            problem = str(getattr(error, "reason", error))
        except (HTTPException, ValueError, KeyError, TypeError, AttributeError):
            problem = TOKENLESS
        else:
            if isinstance(token, str):
                return token, life
            problem = TOKENLESS
        raise TokenError(f"KAFKA_OAUTH_TOKEN_URL={self._url} issued none: {problem}")

    def _ask(self, request: urllib.request.Request) -> Any:
        """Raises OSError, HTTPException, ValueError."""
        context = ssl.create_default_context()
        if self._ca:
            context.load_verify_locations(self._ca)
        with urllib.request.urlopen(request, timeout=TIMEOUT, context=context) as response:  # noqa: S310
            return json.load(response)
