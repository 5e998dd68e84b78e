"""TLS for every connection: its files, and the reason of a refused handshake."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from kaption.connections.errors import Fatal
from kaption.connections.settings import KafkaConnection, RedisConnection

# OpenSSL's X509_V_ERR_*; the ssl module has no names for them.
_NOT_YET_VALID = 9
_EXPIRED = 10
_UNKNOWN_ISSUER = {2, 18, 19, 20, 21}
_OTHER_NAME = {62, 64}


def setting(section: str, name: str) -> str:
    """The name of a setting in error messages, with its environment variable."""
    return f"{section}.{name} (KAPTION_{section.upper()}__{name.upper()})"


def tls_context(
    section: str, files: KafkaConnection | RedisConnection, key_password: str | None = None
) -> ssl.SSLContext:
    """A client's context. Raises Fatal, which names the setting, on a file that cannot be used.

    `section` is the part of the settings that `files` comes from: ``kafka``, ``redis``.
    """
    context = authorities(setting(section, "ca_file"), files.ca_file)
    if files.certificate_file is not None and files.key_file is not None:
        try:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(files.certificate_file, files.key_file, key_password or "")
        except (OSError, ValueError) as error:
            names = f"{setting(section, 'certificate_file')} and {setting(section, 'key_file')}"
            raise Fatal(
                f"{names}: {error}; give readable PEM files of a certificate and its key, and the "
                "key's password where it has one"
            ) from error
    return context


def authorities(name: str, ca_file: str | None) -> ssl.SSLContext:
    """A context that trusts the authorities in `ca_file`; None: those of the system.

    `name` is the setting of the file. Raises Fatal on a file that cannot be read.
    """
    # kafka-python makes its contexts so; create_default_context has become stricter since.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if ca_file:
            context.load_verify_locations(ca_file)
        else:
            context.load_default_certs()
    except OSError as error:
        raise Fatal(f"{name}: {ca_file}: {error}; give a readable PEM file") from error
    return context


def tls_refusal(error: BaseException, ca_name: str, host_name: str, server: str) -> str | None:
    """Why we did not accept the certificate of `server`; None if `error` has another cause.

    Libraries wrap the cause, so the whole chain of errors is searched. `ca_name` and `host_name`
    are the settings that give the authorities and the address.
    """
    for cause in _chain(error):
        if not isinstance(cause, ssl.SSLCertVerificationError):
            continue
        if cause.verify_code == _EXPIRED:
            return f"{host_name}: the certificate of {server} has expired: renew it there"
        if cause.verify_code == _NOT_YET_VALID:
            return (
                f"{host_name}: the certificate of {server} is not valid yet: check this machine's "
                "clock"
            )
        if cause.verify_code in _UNKNOWN_ISSUER:
            return (
                f"{ca_name}: the certificate of {server} is signed by an authority that is not "
                "trusted here: name a PEM file with that authority"
            )
        if cause.verify_code in _OTHER_NAME:
            return (
                f"{host_name}: the certificate of {server} is for another name: give one it holds"
            )
        return f"{host_name}: the certificate of {server} is invalid: {cause.verify_message}"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        inner = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        waiting += [found for found in inner if isinstance(found, BaseException)]
