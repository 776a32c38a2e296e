"""The errors of stores, each as one line that says what to type."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from rollout.errors import RolloutError, UserError

PACKAGES = {
    "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs", "oss": "ossfs", "oci": "ocifs",
    "sftp": "paramiko", "smb": "smbprotocol",
}  # fmt: skip


class StorageError(UserError, OSError):
    """A store refuses, lacks or can't be asked for something; says what to type.

    An OSError as well, so that it is handled where errors of local files are.
    """

    def __init__(self, message: str):
        super().__init__(message)
        self.strerror = str(self)


@contextmanager
def explained(url: object) -> Iterator[None]:
    """Raise whatever a store's library raises as a StorageError, or as FileNotFoundError."""
    try:
        yield
    except (RolloutError, AssertionError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "no such file", str(url)) from error
    except Exception as error:  # each library has errors of its own
        if type(error).__module__.startswith("pyarrow") or isinstance(error, UnicodeDecodeError):
            raise  # about what the object holds
        raise StorageError(reason_of(error, str(url))) from error


DAMAGED = re.compile(r"thrift|end of stream|page integrity|corrupt", re.IGNORECASE)
DENIED = re.compile(
    r"ACCESS_DENIED|\b40[13]\b|Forbidden|Unauthorized|INVALID_ACCESS_KEY|INVALID_CLIENT_TOKEN|"
    r"SIGNATURE_DOES_NOT_MATCH|UNRECOGNIZED_CLIENT|EXPIRED_TOKEN|PERMISSION_DENIED|\bgated\b|"
    r"NoCredentials|access token|credentials",
    re.IGNORECASE,
)
UNREACHABLE = re.compile(
    r"NETWORK_CONNECTION|curlCode|UNAVAILABLE|time.?out|timed out|connect|resolve host|"
    r"Name or service|REQUEST_TIME|SLOW_DOWN|offline|HTTP response code 5\d\d",
    re.IGNORECASE,
)
CREDENTIALS = {
    "s3": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "type gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
    "hf": "type hf auth login, or set HF_TOKEN",
}


def reason_of(error: Exception, url: str) -> str:
    """Return one line: what a store's error means and what to type."""
    text = " ".join(str(error).split())
    scheme = url.partition("://")[0]
    if isinstance(error, FileNotFoundError):
        return f"{url}: no such file"
    if "NO_SUCH_BUCKET" in text or ("not found" in text and "esolving region" in text):
        return no_bucket(url)
    if isinstance(error, ImportError):
        package = PACKAGES.get(scheme, "the package it names")
        return f"{url}: {scheme}:// needs another package ({text}); type pip install {package}"
    if isinstance(error, ValueError) and "rotocol not known" in text:
        return f"{url}: {scheme}:// is not known; type a path, or s3://, gs:// or hf://"
    if DAMAGED.search(text):
        return f"{url}: it is damaged ({_short(text)}); copy it again, or write it again"
    if DENIED.search(text):
        advice = CREDENTIALS.get(scheme, "check its credentials")
        return f"{url}: access is denied ({_short(text)}); {advice}"
    if UNREACHABLE.search(text):
        advice = "check the network" + (", or AWS_ENDPOINT_URL" if scheme == "s3" else "")
        return f"{url}: the store can't be reached ({_short(text)}); {advice}"
    return f"{url}: {_short(text) or type(error).__name__}"


def no_bucket(url: str) -> str:
    scheme, _, rest = url.partition("://")
    endpoint = s3_endpoint() if scheme == "s3" else None
    where = f" at {endpoint}" if endpoint else ""
    return f"{url}: there is no bucket {rest.partition('/')[0]!r}{where}; correct the name"


def s3_endpoint() -> str | None:
    """Return the address of a server other than Amazon's, as its own tools take it."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def _short(text: str) -> str:
    """Return the part of an error's text that says why, without ids of requests."""
    text = re.sub(r" ?\(Request ID: [^)]*\)", "", text)
    text = re.sub(r"^When .*?: AWS Error |^google::cloud::Status\(.*?message of ", "", text)
    text = text.partition("; Details:")[0].strip()
    return text if len(text) <= 160 else f"{text[:157]}..."
