"""`rftkit push` with the hub's real client, against a hub of our own on this machine."""

from __future__ import annotations

import socket
from pathlib import Path

import hub_stub
import pytest
from conftest import Command
from hub_stub import Hub, Repository
from huggingface_hub import constants, snapshot_download

from rftkit.runs.run import RunFolder

REPO = "anna/pets-lora"


def listed(out: str) -> dict[str, int]:
    """File -> bytes, as the dry run lists them."""
    rows = [line.split() for line in out.splitlines() if line.endswith(" bytes")]
    return {row[0]: int(row[-2].replace(",", "")) for row in rows if row[0] != "together"}


def existing(hub: Hub, private: bool, name: str = REPO) -> Repository:
    made = Repository(private)
    made.commit("main", dict(hub_stub.FIRST), "initial commit")
    hub.repositories[name] = made
    return made


def test_what_the_dry_run_lists_is_what_arrives_byte_for_byte(
    rftkit: Command, pets: RunFolder, hub: Hub, tmp_path: Path
) -> None:
    planned = rftkit("push", "out/pets", REPO, "--dry-run")
    assert planned.out.startswith(f"would go to {hub.url}/{REPO} (private, branch main):\n")
    assert planned.out.endswith(
        "stay here: optimizer.pt, photo.png, samples.jsonl\n"
        f"nothing was uploaded; next: rftkit push out/pets {REPO}\n"
    )
    assert hub.requests == []
    done = rftkit("push", "out/pets", REPO)
    assert done.code == 0, done.err
    commit = hub.repositories[REPO].branches["main"][:7]
    assert done.out == f"pushed: {hub.url}/{REPO} (private, commit {commit})\n"
    files = hub.files(REPO)
    assert {name: len(content) for name, content in files.items()} == listed(planned.out)
    there = Path(snapshot_download(REPO, local_dir=tmp_path / "down"))
    assert {name: (there / name).read_bytes() for name in files} == files
    weights = (pets.adapter / "adapter_model.safetensors").read_bytes()
    assert files["adapter_model.safetensors"] == weights


def test_a_new_repository_is_private_unless_public_is_asked_for(
    rftkit: Command, pets: RunFolder, hub: Hub
) -> None:
    assert rftkit("push", "out/pets", REPO).code == 0
    assert rftkit("push", "out/pets", "open", "--public").code == 0
    asked = {body["name"]: body["visibility"] for body in hub.asked("POST /api/repos/create")}
    assert asked == {"pets-lora": "private", "open": "public"}
    assert {name: found.private for name, found in hub.repositories.items()} == {
        REPO: True, "anna/open": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("private", "option", "line"),
    [
        (False, (), "is there already and is public; push with --public, or to another name"),
        (True, ("--public",), "is there already and is private; leave out --public, or change it"),
    ],
)
def test_a_repository_that_is_not_as_was_asked_is_left_alone(
    rftkit: Command, pets: RunFolder, hub: Hub, private: bool, option: tuple[str, ...], line: str
) -> None:
    found = existing(hub, private)
    done = rftkit("push", "out/pets", REPO, *option)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"rftkit: {REPO}: {line}")
    assert len(found.commits) == 1
    assert hub.objects == {}


def test_the_name_of_the_account_is_added(rftkit: Command, pets: RunFolder, hub: Hub) -> None:
    planned = rftkit("push", "out/pets", "pets-lora", "--dry-run")
    assert f"{hub.url}/YOUR_ACCOUNT/pets-lora" in planned.out
    assert rftkit("push", "out/pets", "pets-lora").code == 0
    assert b"anna/pets-lora" in hub.files(REPO)["README.md"]


def test_a_second_push_sends_only_what_has_changed(
    rftkit: Command, pets: RunFolder, hub: Hub
) -> None:
    first = rftkit("push", "out/pets", REPO, "--message", "the first")
    again = rftkit("push", "out/pets", REPO)
    assert again.out == first.out.replace("pushed", "nothing has changed since the last push")
    (pets.adapter / "calibration.json").unlink()
    assert rftkit("push", "out/pets", REPO, "--message", "without temperature").code == 0
    found = hub.repositories[REPO]
    assert found.messages == ["initial commit", "the first", "without temperature"]
    assert len(hub.asked("PUT /lfs")) == 1


def test_a_branch_is_made_and_main_stays_as_it_is(
    rftkit: Command, pets: RunFolder, hub: Hub
) -> None:
    for _ in range(2):
        done = rftkit("push", "out/pets", REPO, "--revision", "trial/1")
        assert done.code == 0, done.err
    assert "adapter_model.safetensors" in hub.files(REPO, "trial/1")
    assert hub.files(REPO) == {}
    assert len(hub.repositories[REPO].messages) == 2


def test_an_exported_model_is_pushed_with_the_card_of_its_run(
    rftkit: Command, pets: RunFolder, hub: Hub, exported: Path
) -> None:
    assert rftkit("push", "out/pets", REPO, "--export", "exported").code == 0
    files = hub.files(REPO)
    assert [*files] == [
        "Modelfile", "README.md", "config.json", "model.safetensors", "pets-q8_0.gguf",
        "tokenizer.json",
    ]  # fmt: skip
    assert b"accuracy, by the list" in files["README.md"]
    assert b"As others." in files["README.md"]


def test_what_arrived_before_an_upload_broke_off_is_not_sent_again(
    rftkit: Command, pets: RunFolder, hub: Hub
) -> None:
    hub.refusals = {f"POST /api/models/{REPO}/commit": (503, "Service Unavailable")}
    broken = rftkit("push", "out/pets", REPO)
    assert (broken.code, broken.out) == (4, "")
    assert "Service Unavailable; push again later" in broken.err
    assert hub.files(REPO) == {}
    hub.refusals = {}
    assert rftkit("push", "out/pets", REPO).code == 0
    assert len(hub.asked("PUT /lfs")) == 1
    assert len(hub.asked("POST /api/repos/create")) == 1
    assert "adapter_model.safetensors" in hub.files(REPO)


@pytest.mark.parametrize(
    ("request_line", "status", "reason", "line"),
    [
        ("GET /api/whoami-v2", 401, "Invalid user token.",
         "the hub does not accept the token of this machine: log in with `hf auth login`"),
        ("POST /api/repos/create", 403, "Forbidden",
         f"{REPO}: no right to write there (Forbidden)"),
        ("POST /api/repos/create", 409, "You already created this model repo",
         f"{REPO}: the hub sees a conflict (You already created this model repo)"),
        (f"POST /api/models/{REPO}/preupload", 403, "Forbidden",
         f"{REPO}: no right to write there (Forbidden)"),
        ("PUT /lfs", 403, "Request has expired", f"{REPO}: no right to write there (Request has"),
        (f"POST /api/models/{REPO}/commit", 412, "A commit has happened since",
         f"{REPO}: the hub sees a conflict (A commit has happened since)"),
        (f"POST /api/models/{REPO}/commit", 400, "too many files",
         f"{REPO}: refused (too many files)"),
        ("POST /api/validate-yaml", 400, "license must be a string",
         f"{REPO}: refused (Invalid metadata in README.md. - license must be a string)"),
    ],
)  # fmt: skip
def test_what_the_hub_refuses_is_one_line(
    rftkit: Command, pets: RunFolder, hub: Hub, request_line: str, status: int, reason: str,
    line: str,
) -> None:  # fmt: skip
    hub.refusals = {request_line: (status, reason)}
    done = rftkit("push", "out/pets", REPO)
    assert (done.code, done.out) == (1, "")
    said = done.err.splitlines()[-1]
    assert said.startswith(f"rftkit: {line}"), done.err
    assert "Traceback" not in done.err


def test_somebody_elses_repository_is_no_place_to_write(
    rftkit: Command, pets: RunFolder, hub: Hub
) -> None:
    existing(hub, private=False, name="bert/pets")
    for repo, option in (("bert/pets", ["--public"]), ("bert/other", [])):
        done = rftkit("push", "out/pets", repo, *option)
        assert done.code == 1
        assert f"rftkit: {repo}: no right to write there (" in done.err
    assert [*hub.repositories] == ["bert/pets"]


def test_without_a_token_that_may_write_nothing_is_asked_for(
    rftkit: Command, pets: RunFolder, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    done = rftkit("push", "out/pets", REPO)
    assert done.err == (
        "rftkit: the token of anna may only read; make one that may write at "
        f"{hub.url}/settings/tokens\n"
    )
    monkeypatch.delenv("HF_TOKEN")
    done = rftkit("push", "out/pets", REPO)
    line = "no token of the hub on this machine: log in with `hf auth login`, or set HF_TOKEN"
    assert done.err == f"rftkit: {line}\n"
    assert [line for line, _ in hub.requests] == ["GET /api/whoami-v2"]


def test_without_a_network_it_ends_in_one_line(
    rftkit: Command, pets: RunFolder, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # nobody listens there
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
        done = rftkit("push", "out/pets", REPO)
    assert done.code == 4
    assert done.err.endswith("cannot be reached; push again with a network\n")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    done = rftkit("push", "out/pets", REPO)
    assert (done.code, done.err) == (
        4, "rftkit: HF_HUB_OFFLINE is set, so nothing is uploaded; unset it\n",
    )  # fmt: skip


@pytest.mark.parametrize("repo", ["a b", "a/b/c", "-pets", "pets..x", "pets.git", "x" * 97, ""])
def test_a_name_that_the_hub_does_not_take_is_refused_before_anything(
    rftkit: Command, pets: RunFolder, repo: str
) -> None:
    done = rftkit("push", "out/pets", "--", repo)
    assert done.code == 1
    assert done.err.startswith(f"rftkit: {repo!r}: not a name the hub takes; write ACCOUNT/NAME")
