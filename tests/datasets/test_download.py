import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tngd_bench.datasets.download import download
from tngd_bench.datasets.finder import FetchError


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/absent":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", "10" if self.path == "/short" else "5")
        self.end_headers()
        self.wfile.write(b"bytes")

    def log_message(self, *arguments):
        """Keep the test's output clean."""


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()
        thread.join()


def test_the_bytes_arrive(server):
    assert download(f"{server}/file") == b"bytes"


@pytest.mark.parametrize(("path", "message"), [("absent", "Not Found"), ("short", "IncompleteRead")])
def test_an_answer_that_is_not_the_file_is_a_failure(server, path, message):
    with pytest.raises(FetchError, match=message):
        download(f"{server}/{path}")


def test_a_refused_connection_is_a_failure():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/file"
    with pytest.raises(FetchError, match="refused"):
        download(address)


def test_silence_is_given_up_in_time():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.perf_counter()
        with pytest.raises(FetchError, match=r"no answer within 0.2 s|timed out"):
            download(f"http://127.0.0.1:{silent.getsockname()[1]}/file", answer_seconds=0.2)
        assert time.perf_counter() - start < 2


def test_a_name_look_up_that_hangs_is_given_up_in_time(monkeypatch):
    released = threading.Event()

    def hang(*arguments, **keywords):
        released.wait(10)
        raise OSError("released")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    start = time.perf_counter()
    with pytest.raises(FetchError, match=r"no answer within 0.2 s"):
        download("http://mirror.invalid/file", answer_seconds=0.2)
    assert time.perf_counter() - start < 2
    released.set()
