"""Certificates: the PEM files of a TLS client, and what is wrong when a TLS connection fails."""

import ssl
from collections.abc import Iterator
from pathlib import Path

UNKNOWN_CA = {18, 19, 20, 21}  # X509_V_ERR_… of OpenSSL's x509_vfy.h
NOT_YET_VALID, EXPIRED, WRONG_HOST = 9, 10, 62
NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING"}


def check(prefix: str, ca: str, certificate: str, key: str, password: str = "") -> None:
    """Raises ValueError, with one sentence that begins with the setting, for files that can't be
    used; "" stands for none. `prefix` is that of the settings: "KAFKA_SSL_"."""
    for name, path in (("CAFILE", ca), ("CERTFILE", certificate), ("KEYFILE", key)):
        if path:
            _check_file(f"{prefix}{name}={path!r}", path, certificates=name != "KEYFILE")
    if bool(certificate) != bool(key):
        missing, there = ("KEYFILE", "CERTFILE") if certificate else ("CERTFILE", "KEYFILE")
        raise ValueError(f"{prefix}{missing}='': must be a PEM file, with {prefix}{there}")
    if certificate:
        _check_pair(prefix, certificate, key, password)


def describe_tls_error(error: BaseException | None) -> str:
    """Why a TLS connection failed, by the SSLError that `error` is or was raised from, with what
    to do; "" when it was not TLS."""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _mistrust(cause)
        if isinstance(cause, ssl.SSLError):
            reason = cause.reason or str(cause)
            if reason in NO_TLS:
                return "it speaks no TLS there"
            if "ALERT" in reason:
                words = reason.partition("ALERT_")[2].lower().replace("_", " ")
                return f"it refuses this client's certificate, or that there is none ({words})"
            return f"no TLS connection: {reason.lower().replace('_', ' ')}"
    return ""


def _mistrust(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == EXPIRED:
        return "its certificate has expired"
    if error.verify_code == NOT_YET_VALID:
        return "its certificate is not yet valid, or this machine's clock is wrong"
    if error.verify_code in UNKNOWN_CA:
        return f"its certificate is from nobody known here ({error.verify_message})"
    return f"its certificate is refused: {error.verify_message.rstrip('.')}"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on. kafka-python has it as an argument too."""
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
        # Without a password it would ask for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            must_be = f"the key of {prefix}CERTFILE={certificate!r}"
        elif prefix == "KAFKA_SSL_":
            must_be = "a key in PEM, with the right KAFKA_SSL_KEY_PASSWORD if it has one"
        else:
            must_be = "a key in PEM without a password"
        raise ValueError(f"{prefix}KEYFILE={key!r}: must be {must_be}") from None
