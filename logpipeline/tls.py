"""TLS: the PEM files of a client, and why a TLS connection failed."""

import ssl
from collections.abc import Iterator
from pathlib import Path

from logpipeline.settings import quoted

UNKNOWN_CA = {18, 19, 20, 21}  # X509_V_ERR_… of OpenSSL's x509_vfy.h
NOT_YET_VALID, EXPIRED, WRONG_HOST = 9, 10, 62
NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING"}


def check(prefix: str, ca: str, certificate: str, key: str, password: str = "") -> None:
    """Raises ValueError, with one sentence that begins with the setting, for a file that cannot be
    used; "" is no file. `prefix` is that of the settings: "KAFKA_SSL_"."""
    for name, path in (("CAFILE", ca), ("CERTFILE", certificate), ("KEYFILE", key)):
        if path:
            _check_file(f"{prefix}{name}={quoted(path)}", path, certificates=name != "KEYFILE")
    if bool(certificate) != bool(key):
        missing, given = ("KEYFILE", "CERTFILE") if certificate else ("CERTFILE", "KEYFILE")
        value = certificate or key
        raise ValueError(f"{prefix}{given}={quoted(value)}: requires {prefix}{missing}")
    if certificate:
        _check_pair(prefix, certificate, key, password)


def describe_tls_error(error: BaseException | None) -> str:
    """Why a TLS connection failed, from the SSLError that `error` is or was raised from; "" when
    TLS was not the cause."""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _describe_certificate_error(cause)
        if isinstance(cause, ssl.SSLError):
            reason = cause.reason or str(cause)
            if reason in NO_TLS:
                return "this port does not use TLS"
            if "ALERT" in reason:
                words = reason.partition("ALERT_")[2].lower().replace("_", " ")
                return f"it refuses this client's certificate, or its absence ({words})"
            return f"the TLS connection failed: {reason.lower().replace('_', ' ')}"
    return ""


def _describe_certificate_error(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == EXPIRED:
        return "its certificate has expired"
    if error.verify_code == NOT_YET_VALID:
        return "its certificate is not yet valid, or this machine's clock is wrong"
    if error.verify_code in UNKNOWN_CA:
        return f"its certificate is from an unknown authority ({error.verify_message})"
    return f"its certificate is invalid: {error.verify_message.rstrip('.')}"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, its cause, and so on. kafka-python also keeps a cause as an argument."""
    while error:
        yield error
        inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
        error = error.__cause__ or error.__context__ or inner


def _check_file(setting: str, path: str, certificates: bool) -> None:
    what = "certificates" if certificates else "a key"
    must_be = f"{setting}: must be a file with {what} in PEM"
    try:
        data = Path(path).read_bytes()
        if certificates:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=data.decode())
    except (ssl.SSLError, ValueError):
        raise ValueError(must_be) from None
    except OSError as error:
        raise ValueError(f"{must_be}; it cannot be read: {error.strerror}") from None


def _check_pair(prefix: str, certificate: str, key: str, password: str) -> None:
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            must_be = f"the key of {prefix}CERTFILE={quoted(certificate)}"
        elif prefix == "KAFKA_SSL_":
            must_be = "a key in PEM, with its KAFKA_SSL_KEY_PASSWORD if it is encrypted"
        else:
            must_be = "a key in PEM without a password"
        raise ValueError(f"{prefix}KEYFILE={quoted(key)}: must be {must_be}") from None
