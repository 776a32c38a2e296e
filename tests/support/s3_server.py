"""An S3 server on this machine (moto's), with one bucket for each test.

It counts what it is asked, and `answers` may answer a request in its place, with an error of S3's.
"""

import logging
import threading
import uuid
from collections.abc import Callable
from io import BytesIO

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

Answer = tuple[str, str] | None  # status line and S3's code, such as ("403 Forbidden", "...")


logging.getLogger("werkzeug").setLevel(logging.WARNING)


class S3Server:
    """The server. The caller closes it."""

    def __init__(self):
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        self._moto = DomainDispatcherApplication(create_backend_app)
        self.answers: Callable[[dict], Answer] = lambda request: None
        self.requests: list[tuple[str, str, int]] = []  # method, path, bytes of the answer
        self._server = make_server("127.0.0.1", 0, self._app, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.port}"

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _app(self, environ, start_response):
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if answer := self.answers(environ):
            status, code = answer
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"
            body = b"" if method == "HEAD" else text.encode()
            start_response(status, [("Content-Type", "application/xml")])
            return [body]
        found = list(self._moto(environ, start_response))
        self.requests.append((method, path, 0 if method == "HEAD" else sum(map(len, found))))
        return found


class Bucket:
    """A bucket of the server: reads and writes objects, as another program would."""

    def __init__(self, server: S3Server):
        self.server, self.name = server, f"b-{uuid.uuid4().hex[:12]}"
        self._files = pa.fs.S3FileSystem(
            access_key="k", secret_key="s", endpoint_override=server.url, region="us-east-1",
            allow_bucket_creation=True,
        )  # fmt: skip
        self._files.create_dir(self.name)

    def __truediv__(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def put(self, key: str, content: bytes) -> str:
        with self._files.open_output_stream(f"{self.name}/{key}") as stream:
            stream.write(content)
        return self / key

    def put_rows(self, key: str, **columns) -> str:
        file = BytesIO()
        pq.write_table(pa.table(columns), file)
        return self.put(key, file.getvalue())

    def get(self, key: str) -> bytes:
        with self._files.open_input_stream(f"{self.name}/{key}") as stream:
            return stream.read()

    def rows(self, key: str) -> list[dict]:
        return pq.read_table(BytesIO(self.get(key))).to_pylist()

    def names(self) -> list[str]:
        found = self._files.get_file_info(pa.fs.FileSelector(self.name, recursive=True))
        names = (info.path for info in found if info.type == pa.fs.FileType.File)
        return sorted(name.removeprefix(f"{self.name}/") for name in names)


@pytest.fixture(scope="session")
def s3_server():
    server = S3Server()
    yield server
    server.close()


@pytest.fixture
def bucket(s3_server, monkeypatch):
    """An empty bucket of a server that the environment names, as a user's would."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    made = Bucket(s3_server)
    s3_server.answers = lambda request: None
    s3_server.requests.clear()
    yield made
    s3_server.answers = lambda request: None
