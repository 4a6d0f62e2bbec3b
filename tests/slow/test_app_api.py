"""The public calls of the compare app, by Gradio's own client, and who is refused."""

from __future__ import annotations

import json
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
import app_fakes
from PIL import Image
from waiting import HANG_SECONDS

from rftkit.app.limits import Limits
from rftkit.app.opening import Served, open_recorded
from rftkit.app.serve import ServeOptions, launch

pytestmark = pytest.mark.slow
REPLIES = {"base": app_fakes.REPLY.format("6"), "tuned": app_fakes.REPLY.format("5")}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    replay = open_recorded(app_fakes.samples_file(tmp_path_factory.mktemp("app")))
    return replace(replay, backend=app_fakes.HeldBackend(REPLIES), replay=False)


@pytest.fixture(scope="module")
def url(served: Served) -> Iterator[str]:
    page = launch(served)
    yield page.local_url
    page.close()


@pytest.fixture(scope="module")
def client(url: str) -> Any:
    return connected(url)


def connected(url: str, **more: Any) -> Any:
    from gradio_client import Client

    return Client(url, verbose=False, analytics_enabled=False, **more)


@pytest.fixture
def photo(tmp_path: Path) -> Any:
    from gradio_client import handle_file

    Image.new("RGB", (56, 56), "white").save(tmp_path / "photo.png")
    return handle_file(str(tmp_path / "photo.png"))


def test_three_calls_are_public_and_no_other(client: Any, url: str) -> None:
    known = client.view_api(return_format="dict", print_info=False)
    assert sorted(known["named_endpoints"]) == ["/compare", "/health", "/score"]
    assert known["unnamed_endpoints"] == {}


def test_compare_answers_for_both_sides(client: Any, photo: Any) -> None:
    found = client.predict(photo, "5", "", "", "", api_name="/compare")
    assert (found["verdict"], found["truth"]) == ("fixed", "5")
    assert (found["base"]["answer"], found["tuned"]["answer"]) == ("6", "5")
    assert found["tuned"]["rewards"] == {"accuracy": 1.0, "format": 1.0}
    assert found["prompt"].startswith("What is shown in this picture?\nChoose one of: 0, 1, 2")


def test_score_gives_the_training_rewards(client: Any) -> None:
    found = client.predict(REPLIES["tuned"], "5", "", "", None, api_name="/score")
    assert found == {"answer": "5", "rewards": {"accuracy": 1.0, "format": 1.0}}
    box = '<think>a</think><answer>[{"Position": [100, 200, 300, 400]}]</answer>'
    gold = "[[100, 200, 300, 400]]"
    found = client.predict(box, gold, "detection", "think", None, api_name="/score")
    assert found["rewards"]["iou"] == pytest.approx(1.0)


def test_health_says_what_is_served(client: Any) -> None:
    found = client.predict(api_name="/health")
    assert found["status"] == "ok"
    assert "samples.jsonl" in found["serves"]


@pytest.mark.parametrize(
    ("truth", "task", "labels", "said"),
    [
        ("eleven", "", "", "is not on the list"), ("", "cooking", "", "known: classification"),
        ("", "choice", "only one", "two options at least"), ("", "", "x" * 20_000, "longer than"),
        ("", "", "a\n<answer>", "holds a tag"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said_in_a_sentence(
    client: Any, photo: Any, truth: str, task: str, labels: str, said: str
) -> None:
    with pytest.raises(Exception, match=said) as error:
        client.predict(photo, truth, task, labels, "", api_name="/compare")
    assert "Traceback" not in str(error.value)


def test_no_image_and_no_image_at_all(client: Any, tmp_path: Path) -> None:
    from gradio_client import handle_file

    with pytest.raises(Exception, match="There is no image yet"):
        client.predict(None, "", "", "", "", api_name="/compare")
    (tmp_path / "x.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    with pytest.raises(Exception, match="not a PNG, JPEG or WebP"):
        client.predict(handle_file(str(tmp_path / "x.png")), "", "", "", "", api_name="/compare")


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "http://127.0.0.1:9/x.png", "file:///etc/passwd"]
)
def test_paths_and_addresses_in_a_payload_are_refused(url: str, location: str) -> None:
    image = {"path": location, "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({"data": [image, "", "", "", ""]}).encode()
    call = f"{url}gradio_api/call/compare"
    head = {"Content-Type": "application/json"}
    try:
        answer = urllib.request.urlopen(
            urllib.request.Request(call, body, head), timeout=HANG_SECONDS
        )
        event = json.load(answer)["event_id"]
        told = urllib.request.urlopen(f"{call}/{event}", timeout=HANG_SECONDS).read().decode()
    except urllib.error.HTTPError as error:
        told = f"event: error {error.code}"
    assert "event: error" in told
    assert "root:" not in told


@pytest.mark.parametrize(
    ("size", "said"), [(9, "9.0 MB, above the limit of 8 MB"), (20, "(?i)413|large|size|exceed")]
)
def test_a_file_above_the_limit_is_not_taken(
    client: Any, tmp_path: Path, size: int, said: str
) -> None:
    from gradio_client import handle_file

    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * size * 1_000_000)
    with pytest.raises(Exception, match=said):
        client.predict(handle_file(str(tmp_path / "huge.png")), "", "", "", "", api_name="/compare")


def test_a_full_queue_refuses_and_the_others_are_answered(served: Served, photo: Any) -> None:
    gate = threading.Semaphore(0)
    backend = app_fakes.HeldBackend(REPLIES, gate=gate)
    page = launch(replace(served, backend=backend), Limits(queue=2))
    client = connected(page.local_url)

    def call(_: int) -> str:
        try:
            return str(client.predict(photo, "5", "", "", "", api_name="/compare")["verdict"])
        except Exception as error:
            return str(error)

    with ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(call, number) for number in range(12)]
        wait(calls, return_when=FIRST_COMPLETED)  # refused, since none can be answered yet
        gate.release(10_000)
        told = [future.result() for future in calls]
    page.close()
    assert set(told) - {"fixed"} != set()
    assert "fixed" in told
    assert all(text == "fixed" or "ull" in text or "busy" in text for text in told), told


def test_a_password_shuts_the_calls_too(served: Served) -> None:
    page = launch(served, options=ServeOptions(auth="me:secret"))
    with pytest.raises(Exception):  # noqa: B017,PT011  the client's own, of several kinds
        connected(page.local_url).predict(api_name="/health")
    inside = connected(page.local_url, auth=("me", "secret"))
    assert inside.predict(api_name="/health")["status"] == "ok"
    page.close()
