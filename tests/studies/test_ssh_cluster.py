"""A study on a cluster over SSH: a real server on this machine, with keys of its own."""

import asyncio
import contextlib
import threading

import pytest

from tests.studies.recorder import Recorder
from tests.studies.run.test_run_study import curves
from tngd_bench.studies.file.reading import LoadedStudy, make_study
from tngd_bench.studies.run.run_study import run_study

pytest.importorskip("distributed")
asyncssh = pytest.importorskip("asyncssh")


async def shell(process):
    """What sshd does with a command: a shell's process, its streams joined to the connection's."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
    started = await asyncio.create_subprocess_shell(process.command, start_new_session=True, **pipes)
    await process.redirect(stdin=started.stdin, stdout=started.stdout, stderr=started.stderr)
    try:
        process.exit(await started.wait())
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.terminate()


@contextlib.contextmanager
def server(folder):
    """Yield the port of an SSH server for the key in `folder`/key, known in `folder`/known_hosts."""
    host, user = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    user.write_private_key(folder / "key")
    user.write_public_key(folder / "key.pub")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen():
        keys = str(folder / "key.pub")
        return await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[host], authorized_client_keys=keys, process_factory=shell
        )

    listening = asyncio.run_coroutine_threadsafe(listen(), loop).result(30)
    port = listening.get_port()
    known = f"[127.0.0.1]:{port} {host.export_public_key('openssh').decode()}"
    (folder / "known_hosts").write_text(known)
    try:
        yield port
    finally:
        listening.close()
        asyncio.run_coroutine_threadsafe(listening.wait_closed(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.mark.slow(reason="three interpreters start, one after the other")
@pytest.mark.timeout(600)
def test_a_study_over_ssh_has_the_results_of_one_without(table, tmp_path):
    table["cost"] = []
    run_study(LoadedStudy(make_study(table), "here"), tmp_path / "here", Recorder())
    with server(tmp_path) as port:
        connection = {
            "port": port,
            "client_keys": str(tmp_path / "key"),
            "known_hosts": str(tmp_path / "known_hosts"),
        }
        table["execution"] |= {"engine": "dask"}
        table["cluster"] = {
            "kind": "ssh",
            "hosts": ["127.0.0.1", "127.0.0.1"],
            "cores": 1,
            "options": {"connect_options": connection},
        }
        run_study(LoadedStudy(make_study(table), "ssh"), tmp_path / "ssh", Recorder())
    assert curves(tmp_path / "ssh").equals(curves(tmp_path / "here"))
