"""One file over HTTPS, given up within seconds where there is no network."""

import http.client
import threading
import urllib.request

from tngd_bench.datasets.finder import FetchError

ANSWER_SECONDS = 4.0
TOTAL_SECONDS = 120.0


def download(
    address: str, answer_seconds: float = ANSWER_SECONDS, total_seconds: float = TOTAL_SECONDS
) -> bytes:
    """Return the bytes at `address`.

    Raises FetchError when the server has not begun to answer within `answer_seconds`, when the whole takes
    more than `total_seconds`, and on any error of the connection. The system's proxy settings are followed.
    """
    answered = threading.Event()
    content: list[bytes] = []
    failure: list[Exception] = []

    def read() -> None:
        try:
            with urllib.request.build_opener().open(address, timeout=answer_seconds) as response:
                answered.set()
                content.append(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            failure.append(error)
        finally:
            answered.set()

    # The name look-up has no timeout of its own, so it runs where it can be left behind.
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    if not answered.wait(answer_seconds):
        raise FetchError(f"no answer within {answer_seconds:g} s")
    thread.join(total_seconds)
    if failure:
        raise FetchError(str(getattr(failure[0], "reason", failure[0])))
    if not content:
        raise FetchError(f"not complete within {total_seconds:g} s")
    return content[0]
