"""A real server, real clients: what both APIs answer, alone and under load."""

from __future__ import annotations

import base64
import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from fakes import recipe
from serve_fakes import POISON, WEB, HeldEngine, Running, data_url, png, running
from starlette.testclient import TestClient

from rftkit.serve.options import Limits
from rftkit.serve.predictions import Questions
from rftkit.serve.server import Server
from rftkit.serve.service import Served, Service

# temperature and seed of chats that wait together
KINDS = ((0, None), (0, 1), (1, None), (1, None), (1, 7), (1, 7))


@pytest.fixture
def served() -> Iterator[Running]:
    with running() as service:
        yield service


def client_of(served: Running, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0, timeout=60)


def message(text: str, *shades: int) -> list[dict[str, object]]:
    images = [{"type": "image_url", "image_url": {"url": data_url(one)}} for one in shades]
    return [{"role": "user", "content": [{"type": "text", "text": text}, *images]}]


def predicted(served: Running, *shades: int) -> httpx.Response:
    files = [("image", (f"{one}.png", png(one), "image/png")) for one in shades]
    return WEB.post(f"{served.url}/v1/predict", files=files)


def metric(served: Running, name: str) -> float:
    lines = WEB.get(f"{served.url}/metrics").text.splitlines()
    return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))


def test_a_form_with_images_gets_a_record_for_each(served: Running) -> None:
    told = predicted(served, 3, 7).json()
    assert told["model"] == "digits"
    first, second = told["predictions"]
    assert (first["image"], first["answer"], first["text"], first["tokens"]) == (
        "3.png",
        "3",
        "3",
        2,
    )
    assert (second["image"], second["answer"]) == ("7.png", "7")
    assert first["probabilities"]["3"] == 0.91
    assert first["abstained"] is False
    assert told["usage"] == {"prompt_tokens": 60, "completion_tokens": 4, "total_tokens": 64}
    assert 0 < told["seconds"] < 60


@pytest.mark.parametrize(
    "encoded",
    [
        base64.b64encode(png(4)).decode(),
        base64.encodebytes(png(4)).decode(),  # in lines, as the tool base64 writes it
        data_url(4),
    ],
)
def test_json_with_base64_is_the_same(served: Running, encoded: str) -> None:
    asked = {"image": encoded, "name": "four.png", "model": "digits"}
    (found,) = WEB.post(f"{served.url}/v1/predict", json=asked).json()["predictions"]
    assert (found["image"], found["answer"]) == ("four.png", "4")
    several = {"images": [encoded, data_url(5)], "name": "x"}
    told = WEB.post(f"{served.url}/v1/predict", json=several).json()["predictions"]
    assert [(one["image"], one["answer"]) for one in told] == [("x-1", "4"), ("x-2", "5")]


def test_openai_s_client_gets_a_completion(served: Running) -> None:
    made = client_of(served).chat.completions.create(
        model="digits", messages=message("Which?", 6), max_tokens=9
    )  # type: ignore[call-overload]
    assert made.choices[0].message.content == "shade 6: Which?"
    assert made.choices[0].finish_reason == "stop"
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (40, 3)
    (decoding,) = served.engine.decodings
    assert (decoding.max_new_tokens, decoding.temperature) == (9, 0.0)
    assert [model.id for model in client_of(served).models.list()] == ["digits"]


def test_openai_s_client_gets_a_stream_with_its_usage(served: Running) -> None:
    stream = client_of(served).chat.completions.create(
        model="digits", messages=message("Which?", 1), stream=True,
        stream_options={"include_usage": True},
    )  # type: ignore[call-overload]  # fmt: skip
    chunks = list(stream)
    words = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert words == "shade 1: Which?"
    assert [one.choices[0].finish_reason for one in chunks if one.choices] == [None, "length"]
    assert chunks[-1].usage.total_tokens == 43


def test_system_messages_come_before_the_user_s_and_images_keep_their_order(
    served: Running,
) -> None:
    asked = [*message("Which?", 2, 8), {"role": "system", "content": "Be brief."}]
    client_of(served).chat.completions.create(model="digits", messages=asked)  # type: ignore[call-overload]
    (prompt,) = served.engine.shown
    assert prompt.text == "Be brief.\n\nWhich?"
    assert [one.open().getpixel((0, 0)) for one in (prompt.image, *prompt.others)] == [
        (2, 2, 2), (8, 8, 8),
    ]  # fmt: skip


def test_an_image_alone_is_asked_the_trained_question(served: Running) -> None:
    content = [{"type": "image_url", "image_url": {"url": data_url(2)}}]
    asked = [{"role": "user", "content": content}]
    client_of(served).chat.completions.create(model="digits", messages=asked)  # type: ignore[call-overload]
    (prompt,) = served.engine.shown
    assert "Choose one of: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in prompt.text


def test_a_sample_with_a_seed_is_drawn_with_it(served: Running) -> None:
    for more in ({"seed": 5, "temperature": 0.5, "top_p": 0.9}, {"temperature": 1.0}):
        client_of(served).chat.completions.create(model="digits", messages=message("x", 1), **more)  # type: ignore[call-overload]
    seeded, drawn = served.engine.decodings
    assert (seeded.seed, seeded.temperature, seeded.top_p) == (5, 0.5, 0.9)
    assert (drawn.temperature, drawn.top_p) == (1.0, 1.0)


def test_a_temperature_of_next_to_nothing_is_greedy(served: Running) -> None:
    for temperature in (1e-300, 0.0099, 0.01):
        asked = message("x", 1)
        client_of(served).chat.completions.create(  # type: ignore[call-overload]
            model="digits", messages=asked, temperature=temperature
        )
    assert [one.temperature for one in served.engine.decodings] == [0, 0, 0.01]


def test_a_host_elsewhere_is_answered_whatever_name_it_is_asked_by() -> None:
    engine = HeldEngine()
    service = Service(Served("digits", Questions(recipe(), (), {}, ()), engine, Limits(), "k"))
    with TestClient(Server(service, "0.0.0.0").config.app) as client:
        assert client.get("/health", headers={"Host": "pets.example"}).status_code == 200
    with TestClient(Server(service, "127.0.0.1").config.app) as client:
        told = client.get("/health", headers={"Host": "pets.example"})
    assert (told.status_code, told.json()["error"]["code"]) == (421, "wrong_host")
    service.close()


def test_a_page_of_another_site_asks_nothing_of_a_service_without_a_key() -> None:
    page = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    simple = {**page, "Content-Type": "text/plain"}  # which browsers send without asking first
    body = json.dumps({"image": data_url(3)}).encode()
    with running() as served:
        told = WEB.post(f"{served.url}/v1/predict", content=body, headers=simple)
        assert (told.status_code, told.json()["error"]["code"]) == (403, "other_site")
        assert told.json()["error"]["message"].startswith("Origin http://evil.example: ")
        assert served.engine.batches == []
        own = {"Origin": served.url, "Sec-Fetch-Site": "same-origin"}
        assert WEB.post(f"{served.url}/v1/predict", content=body, headers=own).status_code == 200
    with running(key="s3cret") as served:  # which no page of another site has
        told = WEB.post(f"{served.url}/v1/predict", content=body, headers=simple)
        assert told.status_code == 401
        keyed = {**page, "Authorization": "Bearer s3cret"}
        assert WEB.post(f"{served.url}/v1/predict", content=body, headers=keyed).status_code == 200


def test_a_client_that_sends_nothing_or_half_a_body_is_cut_off() -> None:
    with running(Limits(seconds=0.2), head_seconds=0.2) as served:
        url = httpx.URL(served.url)
        address = (url.host, url.port or 80)
        half = "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1"
        for sent, status in ((b"", b""), (b"GET /he", b""), (half.encode(), b"408")):
            with socket.create_connection(address, timeout=60) as client:
                client.sendall(sent)
                assert b"".join(iter(lambda: client.recv(4096), b""))[9:12] == status


@pytest.mark.parametrize("clients", [1, 4, 16, 64])
def test_each_of_many_clients_gets_its_own_answer(served: Running, clients: int) -> None:
    with ThreadPoolExecutor(clients) as pool:
        told = [*pool.map(lambda n: predicted(served, n), range(clients))]
    assert [one.status_code for one in told] == [200] * clients
    assert [one.json()["predictions"][0]["answer"] for one in told] == [
        str(n % 10) for n in range(clients)
    ]
    assert sum(served.engine.batches) == clients


def test_what_waits_shares_a_forward_by_its_kind() -> None:
    with running(held=True) as served, ThreadPoolExecutor(16) as pool:
        first = pool.submit(predicted, served, 9)
        assert served.engine.started.wait(60)
        asks = [pool.submit(predicted, served, n) for n in range(5)]
        served.waits(5)
        chats = [
            pool.submit(
                client_of(served).chat.completions.create,
                model="digits", messages=message(f"x{n}", n), temperature=warm, seed=seed,
            )
            for n, (warm, seed) in enumerate(KINDS)
        ]  # type: ignore[call-overload]  # fmt: skip
        served.waits(11)
        assert metric(served, "rftkit_queue_depth") == 11
        served.engine.gate.set()
        assert first.result().json()["predictions"][0]["answer"] == "9"
        assert [one.result().json()["predictions"][0]["answer"] for one in asks] == list("01234")
        assert [one.result().choices[0].message.content for one in chats] == [
            f"shade {n}: x{n}" for n in range(6)
        ]
        # the first, five asks, two greedy chats, two samples, two alone with their seed
        assert sorted(served.engine.batches) == [1, 1, 1, 2, 2, 5]
        assert metric(served, "rftkit_queue_depth") == 0
        assert metric(served, "rftkit_batch_prompts_count") == 6
        assert metric(served, "rftkit_batch_prompts_sum") == 12


def test_a_full_queue_refuses_and_says_when_to_try_again() -> None:
    with running(Limits(queue=2), held=True) as served, ThreadPoolExecutor(8) as pool:
        first = pool.submit(predicted, served, 1)
        assert served.engine.started.wait(60)
        waiting = [pool.submit(predicted, served, n) for n in (2, 3)]
        served.waits(2)
        with pytest.raises(openai.RateLimitError) as refused:
            client_of(served).chat.completions.create(model="digits", messages=message("x", 1))  # type: ignore[call-overload]
        assert "the queue is full: 2 prompts wait" in str(refused.value)
        assert int(refused.value.response.headers["retry-after"]) >= 1
        served.engine.gate.set()
        answers = [one.result().json()["predictions"][0]["answer"] for one in (first, *waiting)]
        assert answers == ["1", "2", "3"]


def test_many_clients_on_a_small_queue_get_their_answer_or_429() -> None:
    with running(Limits(queue=3, batch=2)) as served, ThreadPoolExecutor(32) as pool:
        told = [*pool.map(lambda n: predicted(served, n), range(64))]
    assert {one.status_code for one in told} <= {200, 429}
    right = [n for n, one in enumerate(told) if one.status_code == 200]
    assert right
    assert all(told[n].json()["predictions"][0]["answer"] == str(n % 10) for n in right)
    assert max(served.engine.batches) <= 2


def test_an_answer_that_takes_too_long_is_given_up_and_does_not_stay_in_the_queue() -> None:
    limits = Limits(seconds=0.3)
    with running(limits, held=True) as served, ThreadPoolExecutor(4) as pool:
        running_one = pool.submit(predicted, served, 1)
        assert served.engine.started.wait(60)
        told = predicted(served, 2)
        assert told.status_code == 504
        assert told.json()["error"]["code"] == "timeout"
        assert running_one.result().status_code == 504
        assert served.service.batcher.depth == 0
        served.engine.gate.set()
        assert predicted(served, 3).json()["predictions"][0]["answer"] == "3"
    assert served.engine.batches == [1, 1]  # the second was never computed


def test_a_request_whose_client_left_is_dropped() -> None:
    with running(held=True) as served, ThreadPoolExecutor(4) as pool:
        first = pool.submit(predicted, served, 1)
        assert served.engine.started.wait(60)
        head = {"Content-Type": "application/json"}
        body = json.dumps({"image": data_url(2)})
        leaving = http.client.HTTPConnection(served.url.removeprefix("http://"))
        leaving.request("POST", "/v1/predict", body, head)
        served.waits(1)
        leaving.close()
        served.waits(0)
        served.engine.gate.set()
        assert first.result().status_code == 200
    assert served.engine.batches == [1]


def test_a_request_that_fails_takes_no_other_along(caplog: pytest.LogCaptureFixture) -> None:
    with running(held=True) as served, ThreadPoolExecutor(8) as pool:
        first = pool.submit(predicted, served, 0)
        assert served.engine.started.wait(60)
        others = [pool.submit(predicted, served, n) for n in (1, POISON, 3, 4)]
        served.waits(4)
        served.engine.gate.set()
        assert first.result().status_code == 200
        assert [one.result().status_code for one in others] == [200, 500, 200, 200]
        assert others[1].result().json()["error"]["message"].startswith("something went wrong")


def test_at_the_end_what_waits_is_answered() -> None:
    with running(Limits(grace=60), held=True) as served, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(predicted, served, 1)]
        assert served.engine.started.wait(60)
        asked.append(pool.submit(predicted, served, 2))
        served.waits(1)
        served.stop()
        batcher = served.service.batcher
        assert batcher.until(lambda: batcher.closing, 60)
        served.engine.gate.set()
        assert [one.result().json()["predictions"][0]["answer"] for one in asked] == ["1", "2"]
        served.thread.join(60)
        assert not served.thread.is_alive()


def test_at_the_end_of_its_grace_what_waits_is_told() -> None:
    with running(Limits(grace=0), held=True) as served, ThreadPoolExecutor(4) as pool:
        first = pool.submit(predicted, served, 1)
        assert served.engine.started.wait(60)
        second = pool.submit(predicted, served, 2)
        served.waits(1)
        served.stop()
        told = second.result()
        assert told.status_code == 503
        assert told.json()["error"]["code"] == "shutting_down"
        served.engine.gate.set()
        assert first.result().json()["predictions"][0]["answer"] == "1"
    assert served.engine.batches == [1]


def test_health_is_open_and_the_rest_wants_the_key() -> None:
    with running(key="s3cret") as served:
        assert WEB.get(f"{served.url}/health").json() == {"status": "ok"}
        assert WEB.get(f"{served.url}/docs").status_code == 200
        for path in ("/metrics", "/v1/models"):
            assert WEB.get(served.url + path).status_code == 401
        assert predicted(served, 1).status_code == 401
        for wrong in ("s3cre", "s3cret2", "ß"):
            told = WEB.get(
                f"{served.url}/v1/models", headers={"Authorization": f"Bearer {wrong}".encode()}
            )
            assert told.status_code == 401
        with pytest.raises(openai.AuthenticationError):
            client_of(served, "wrong").models.list()
        assert [one.id for one in client_of(served, "s3cret").models.list()] == ["digits"]
    assert served.engine.batches == []


def test_metrics_count_requests_tokens_and_seconds(served: Running) -> None:
    predicted(served, 1)
    WEB.get(f"{served.url}/nothing")
    text = WEB.get(f"{served.url}/metrics").text
    assert 'rftkit_requests_total{path="/v1/predict",status="200"} 1.0' in text
    assert 'rftkit_requests_total{path="other",status="404"} 1.0' in text
    assert 'rftkit_tokens_total{kind="prompt"} 30.0' in text
    assert 'rftkit_tokens_total{kind="completion"} 2.0' in text
    assert 'rftkit_request_seconds_count{path="/v1/predict"} 1.0' in text


def test_the_openapi_page_describes_both_bodies(served: Running) -> None:
    paths = WEB.get(f"{served.url}/openapi.json").json()["paths"]
    body = paths["/v1/predict"]["post"]["requestBody"]["content"]
    assert {*body} == {"application/json", "multipart/form-data"}
    assert "image" in body["application/json"]["schema"]["properties"]
    chat = paths["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]
    assert "$ref" not in json.dumps(chat)
    assert "messages" in chat["schema"]["required"]
