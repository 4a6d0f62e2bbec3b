"""What the app refuses before Gradio sees it."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serve_fakes import WEB, png

from rftkit.app import entrance, upload_folder
from rftkit.app.entrance import address_in
from rftkit.app.limits import Limits
from rftkit.app.upload_folder import FULL, cleared

sys.path.insert(0, str(Path(__file__).parents[1] / "bad_inputs"))
import bad_calls

AWAY = "http://192.0.2.1/x.png"
JOIN = "gradio_api/queue/join"


@pytest.fixture(scope="module")
def app() -> Iterator[str]:
    with bad_calls.opened(Limits(upload=100_000)) as url:
        yield url


def post(url: str, path: str, body: object) -> httpx.Response:
    return WEB.post(url + path, content=json.dumps(body).encode(), headers=bad_calls.JSON)


def upload(url: str, *contents: bytes) -> httpx.Response:
    files = [("files", (f"{n}.png", content)) for n, content in enumerate(contents)]
    return WEB.post(f"{url}gradio_api/upload", files=files)


@pytest.mark.parametrize(
    "value",
    [
        bad_calls.described(AWAY),
        [bad_calls.described(AWAY)],
        {"a": {"b": bad_calls.described(AWAY)}},
        {"path": "/tmp/x.png", "url": AWAY},
        {"path": None, "url": AWAY},
        {"path": " HTTPS://192.0.2.1"},
        {"path": "//192.0.2.1/x"},
        {"path": "file:///etc/passwd"},
        {"path": "x", "url": f"{AWAY}/gradio_api/file=y"},
    ],
)
@pytest.mark.parametrize("path", [JOIN, "gradio_api/call/score", "gradio_api/run/health"])
def test_no_input_of_any_call_may_be_an_address(app: str, path: str, value: object) -> None:
    body = {"fn_index": 0, "session_hash": "s", "data": ["", value]}
    told = post(app, path, body)
    assert told.status_code == 400
    assert told.json()["detail"].endswith("addresses are not fetched here; upload the file")


@pytest.mark.parametrize(
    "value",
    [
        {"path": "/tmp/x y.png", "url": "http://localhost/gradio_api/file=/tmp/x%20y.png"},
        {"path": "C:\\x.png", "url": "/gradio_api/file=C:\\x.png"},
        {"text": AWAY},
        [AWAY, {"url": None, "path": 3}],
    ],
)
def test_a_file_of_ours_and_an_address_in_a_text_may_pass(value: object) -> None:
    assert address_in({"data": [value]}) == ""


def test_the_file_route_fetches_no_address(app: str) -> None:
    told = WEB.get(f"{app}gradio_api/file={AWAY}")
    assert (told.status_code, told.json()) == (400, {"detail": "addresses are not fetched here"})


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_of_a_call_is_refused(app: str, chunked: bool) -> None:
    body = json.dumps({"fn_index": 0, "data": ["a" * 1_000_001], "session_hash": "s"}).encode()
    content = iter([body[:500_000], body[500_000:]]) if chunked else body
    told = WEB.post(app + JOIN, content=content, headers=bad_calls.JSON)
    assert told.status_code == 413
    assert told.json() == {"detail": "request: 1.0 MB, above the limit of 1 MB; send less"}


def test_a_body_without_end_is_refused_while_it_comes(app: str) -> None:
    url = httpx.URL(app)
    client = http.client.HTTPConnection(url.host, url.port or 80, timeout=60)
    client.putrequest("POST", f"/{JOIN}")
    client.putheader("Transfer-Encoding", "chunked")
    client.endheaders()
    for _ in range(5):
        client.send(b"F4240\r\n" + b"a" * 1_000_000 + b"\r\n")
    assert client.getresponse().status == 413
    client.close()


def test_the_files_of_one_request_are_bounded_together(app: str) -> None:
    assert upload(app, *[png() + bytes(30_000)] * 3).status_code == 200
    told = upload(app, *[png() + bytes(30_000)] * 4)
    assert told.status_code == 413
    assert told.text == "request: 0.1 MB, above the limit of 0.1 MB; send fewer files at once"
    head = {"Content-Type": "multipart/form-data; boundary=x"}
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    chunks = iter([part, *[bytes(30_000)] * 4, b"\r\n--x--\r\n"])
    told = WEB.post(f"{app}gradio_api/upload", content=chunks, headers=head)
    assert (told.status_code, told.text.partition(";")[0]) == (
        413,
        "request: 0.1 MB, above the limit of 0.1 MB",
    )


def test_the_oldest_uploads_make_room(tmp_path: Path) -> None:
    import os

    names = ("new", "old", "page")
    for age, name in enumerate(names):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    uploads = [str(tmp_path / name) for name in names[:2]] + [str(tmp_path / "gone")]
    assert cleared(tmp_path, uploads, 300) == 300
    assert cleared(tmp_path, uploads, 299) == 200
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "page"]
    assert cleared(tmp_path, uploads, 50) == 100
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_a_full_folder_takes_no_more(
    app: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def nothing_goes(self: upload_folder.UploadFolder, app: object, size: int) -> None:
        self.kept = self.most - 10

    monkeypatch.setattr(upload_folder.UploadFolder, "make_room", nothing_goes)
    told = upload(app, png())
    assert (told.status_code, told.text) == (507, FULL)


@pytest.mark.parametrize(
    "path",
    ["monitoring", "monitoring/summary", "gradio_api/proxy=http://192.0.2.1/", "gradio_api/runs",
     "gradio_api/stream/s/1/1/playlist.m3u8", "gradio_api/deep_link", "gradio_api/vibe-code"],
)  # fmt: skip
def test_routes_that_the_page_does_not_use_are_closed(app: str, path: str) -> None:
    told = WEB.get(app + path)
    assert (told.status_code, told.json()) == (404, {"detail": f"/{path}: not part of this app"})


def test_what_gradio_fails_at_is_one_line(app: str, capfd: pytest.CaptureFixture[str]) -> None:
    told = post(app, JOIN, {"fn_index": 9999, "data": [], "session_hash": "s"})
    assert (told.status_code, told.json()) == (500, {"detail": entrance.FAILED})
    assert post(app, "gradio_api/call/v2/compare", {"data": []}).status_code == 404
    assert "Traceback" not in "".join(capfd.readouterr())


def test_another_host_is_not_answered(app: str) -> None:
    told = WEB.get(app, headers={"Host": "evil.example"})
    assert told.status_code == 421
    assert told.json()["detail"].startswith("Host evil.example: ")
    assert WEB.get(app, headers={"Host": "localhost:1"}).status_code == 200


def test_a_page_of_another_site_asks_nothing(app: str) -> None:
    evil = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    body = {"fn_index": 0, "data": [], "session_hash": "s"}
    for path in (JOIN, "gradio_api/call/score", "gradio_api/upload"):
        told = WEB.post(app + path, content=json.dumps(body).encode(), headers=evil)
        assert told.status_code == 403
        assert told.json()["detail"].startswith("Origin http://evil.example: ")
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert WEB.get(app, headers=link).status_code == 200
    own = {**bad_calls.JSON, "Origin": app.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    asked = json.dumps({"data": ["x", "5", "", "", None]}).encode()
    told = WEB.post(f"{app}gradio_api/call/score", content=asked, headers=own)
    assert told.status_code == 200


def test_visitors_are_told_no_folder_of_this_machine(app: str) -> None:
    event = WEB.post(
        f"{app}gradio_api/call/health", content=b'{"data": []}', headers=bad_calls.JSON
    )
    told = WEB.get(f"{app}gradio_api/call/health/{event.json()['event_id']}").text
    assert '"serves": "samples.jsonl"' in told


def test_the_server_s_connections_are_bounded() -> None:
    from rftkit.web.connections import Connection

    with bad_calls.opened_page() as page:
        config = page.server.config
    assert issubclass(config.http_protocol_class, Connection)
    assert (config.http_protocol_class.body_seconds, config.backlog <= 128) == (600, True)
