"""What the fakes have in common."""

import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

GCS = "fake_gcs.py"


def buckets(gcs) -> str:
    with urllib.request.urlopen(f"{gcs.url}/storage/v1/b?project=p") as answer:
        return answer.read().decode()


def make_bucket(gcs, name: str) -> None:
    request = urllib.request.Request(f"{gcs.url}/storage/v1/b?project=p", data=b'{"name": "%s"}' % name.encode(), method="POST")
    request.add_header("Content-Type", "application/json")
    urllib.request.urlopen(request).read()


def wait_for(what) -> None:
    deadline = time.time() + 20
    while not what():
        assert time.time() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("drop, done", [("request", False), ("response", True)])
def test_a_held_request_is_done_before_or_never(start, drop, done):
    gcs = start(GCS)
    gcs.arm(op="*", skip=1, drop=drop, hold=30)
    make_bucket(gcs, "first-one")
    failed = []

    def second():
        try:
            make_bucket(gcs, "second-one")
        except (urllib.error.URLError, ConnectionError) as error:
            failed.append(error)

    client = threading.Thread(target=second)
    client.start()
    wait_for(lambda: gcs.control("held"))
    assert ("second-one" in buckets(gcs)) == done
    gcs.control("held", "DELETE")
    client.join(20)
    assert failed and gcs.control("held") == []
    assert ("second-one" in buckets(gcs)) == done


def test_a_held_request_without_a_drop_is_done_late(start):
    gcs = start(GCS)
    gcs.arm(op="*", hold=30)
    client = threading.Thread(target=make_bucket, args=(gcs, "a-late-one"))
    client.start()
    wait_for(lambda: gcs.control("held"))
    assert "a-late-one" not in buckets(gcs)
    gcs.control("held", "DELETE")
    client.join(20)
    assert "a-late-one" in buckets(gcs)


def test_a_fake_ends_with_its_stdin():
    script = Path(__file__).resolve().parent.parent / GCS
    process = subprocess.Popen(
        [sys.executable, str(script), "--port", "0", "--until-eof"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline()
    process.stdin.close()
    assert process.wait(20) == 0
