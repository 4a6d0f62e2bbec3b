"""The doctor: each fault it knows, faked, with its row and the command that fixes it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections import namedtuple
from collections.abc import Callable, Iterable
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from rftkit.cli import main as cli
from rftkit.hardware import doctor, probe
from rftkit.hardware.doctor import Facts, Finding
from rftkit.hardware.probe import Gpu, Imports

GOOD = {
    "torch": "2.13.0", "transformers": "5.17.0", "trl": "1.14.2", "peft": "0.21.2",
    "bitsandbytes": "0.50.2", "datasets": "4.8.5", "accelerate": "1.15.0",
    "unsloth": "2026.10.9", "vllm": "0.27.1", "unsloth_zoo": "2026.10.9", "triton": "3.9.0",
}  # fmt: skip
CARD = Gpu("NVIDIA GeForce RTX 4090", "580.65", 24564, 24000, 8.9)
T4 = Gpu("Tesla T4", "550.54", 15360, 15000, 7.5)
LOADED = dict.fromkeys(GOOD, "")


def facts(
    gpu: Gpu | None = CARD,
    errors: dict[str, str] | None = None,
    versions: dict[str, str] | None = None,
    **told: object,
) -> Facts:
    known = {"cuda": True, "built": "13.0", "bf16": True, **told}
    imports = Imports({**LOADED, **(errors or {})}, **known)  # type: ignore[arg-type]
    return Facts(() if gpu is None else (gpu,), imports, {**GOOD, **(versions or {})})


def rows(found: Iterable[Finding]) -> dict[str, Finding]:
    return {row.name: row for row in found}


def every_row(given: Facts) -> dict[str, Finding]:
    return rows([*doctor.gpu(given), *doctor.torch_build(given), *doctor.modules(given)])


def test_a_sound_machine_is_all_ok() -> None:
    found = every_row(facts())
    assert {row.status for row in found.values()} == {"ok"}
    assert found["torch"].detail == "2.13.0, CUDA 13.0"
    assert found["GPU"].detail == "NVIDIA GeForce RTX 4090, capability 8.9"
    assert found["GPU memory"].detail == "23.4 of 24.0 GiB free"
    assert found["bf16"].detail == "yes"


OOPS = "RuntimeError: operator torchvision::nms does not exist"
FAULTS = {  # what is wrong -> facts, row, status, part of the detail, command
    "no GPU": (facts(None), "GPU", "warn", "none found", "rftkit train quickstart"),
    "an old GPU": (facts(T4), "GPU", "warn", "no bf16 and no vLLM", "rftkit plan quickstart --gpu"),
    "a GPU in use": (facts(Gpu("x", "1", 24564, 2000, 8.9)), "GPU memory", "warn",
                     "2.0 of 24.0 GiB free", "nvidia-smi"),
    "no torch": (facts(versions={"torch": ""}), "torch", "fail", "not installed",
                 "pip install -c constraints.txt torch"),
    "torch that does not load": (facts(errors={"torch": "OSError: libcudnn.so.9"}), "torch",
                                 "fail", "libcudnn.so.9", "pip install --force-reinstall torch"),
    "torch for the CPU": (facts(built="", cuda=False), "torch", "fail", "built for the CPU",
                          "pip install --force-reinstall torch"),
    "an old driver": (facts(cuda=False), "torch", "fail", "the driver is too old",
                      "sudo ubuntu-drivers install"),
    "no TRL": (facts(versions={"trl": ""}), "trl", "fail", "not installed", "pip install -c"),
    "bitsandbytes that does not load": (
        facts(errors={"bitsandbytes": "OSError: libbitsandbytes_cuda130.so"}), "bitsandbytes",
        "fail", "libbitsandbytes_cuda130.so", "pip install --force-reinstall bitsandbytes"),
    "a torchvision of another build": (facts(errors={"torchvision": OOPS}), "torchvision", "fail",
                                       "torchvision::nms", "pip uninstall -y torchvision"),
    "no unsloth": (facts(versions={"unsloth": ""}), "unsloth", "warn", "not installed",
                   "pip install -c constraints.txt -e '.[unsloth]'"),
    "no vllm": (facts(versions={"vllm": ""}), "vllm", "warn", "not installed",
                "pip install -c constraints-vllm.txt -e '.[unsloth,vllm]'"),
    "unsloth that does not load": (facts(errors={"unsloth": "ImportError: x"}), "unsloth", "warn",
                                   "ImportError: x", "pip install --force-reinstall unsloth"),
    "no triton": (facts(errors={"triton": "ImportError: y"}), "triton", "warn", "Unsloth needs it",
                  "pip install triton"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "name", "status", "said", "fix"), FAULTS.values(), ids=FAULTS)
def test_a_fault_has_a_row_and_a_command(
    given: Facts, name: str, status: str, said: str, fix: str
) -> None:
    found = every_row(given)[name]
    assert found.status == status
    assert said in found.detail
    assert found.fix.startswith(fix)
    assert "\n" not in found.detail + found.fix


def test_without_a_gpu_nothing_of_cuda_is_missed() -> None:
    gone = {"unsloth": "", "vllm": "", "triton": ""}
    found = every_row(facts(None, versions=gone, built="", cuda=False))
    assert {name: row.status for name, row in found.items() if row.status != "ok"} == {
        "GPU": "warn"
    }


def test_a_python_that_is_too_old_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [row.status for row in doctor.python_version()] == ["ok"]
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    (row,) = doctor.python_version()
    assert (row.status, row.detail) == ("fail", "3.10.4; 3.11 or later is needed")


REQUIRED = {
    "unsloth": ["torch<2.15,>=2.4", "transformers!=4.1,<=5.17.0", "trl<=1.15.0; extra == 'x'"],
    "vllm": ["torch==2.13.0", "absent>=9"],
    "trl": ["transformers>=4.56; python_version < '3'"],
}


@pytest.mark.parametrize(("versions", "expected"), [
    ({}, []),
    ({"torch": "2.13.0+cpu"}, []),
    ({"transformers": "5.19.0"}, [("transformers", "transformers!=4.1,<=5.17.0 (asked by unslot")]),
    ({"torch": "2.16.0"}, [("torch", "torch<2.15,>=2.4 (asked by unsloth)"),
                           ("torch", "torch==2.13.0 (asked by vllm)")]),
    ({"torch": ""}, []),
])  # fmt: skip
def test_versions_are_held_against_what_the_others_ask(
    versions: dict[str, str], expected: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_requires", lambda name: REQUIRED.get(name, []))
    found = list(doctor.conflicts({**GOOD, **versions}))
    assert [(name, needs[:40]) for name, needs in found] == [(n, w[:40]) for n, w in expected]
    listed = [row for row in doctor.version_conflicts({**GOOD, **versions}) if row.status == "fail"]
    assert [row.fix for row in listed] == [
        f"pip install '{needs.partition(' (')[0]}'" for _, needs in found
    ]


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("free", "status"), [(20e9, "ok"), (5e9, "warn"), (0.5e9, "fail")])
def test_a_disk_that_is_filling_up_is_seen(
    free: float, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1e12, 0, free))
    found = rows(doctor.disk())
    assert [row.status for row in found.values()] == [status] * 2
    assert found["disk, runs"].fix == ("" if status == "ok" else "df -h .")


def test_a_cache_that_cannot_be_written_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RFTKIT_CACHE", str(tmp_path / "file" / "cache"))
    found = rows(doctor.caches())["cache"]
    assert (found.status, found.fix) == ("fail", "export RFTKIT_CACHE=/a/folder/of/yours")
    monkeypatch.setenv("RFTKIT_CACHE", str(tmp_path / "not" / "there" / "yet"))
    assert rows(doctor.caches())["cache"].status == "ok"


class Answer:
    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        return


def raising(error: Exception) -> Callable[..., Answer]:
    def raised(*_: object, **__: object) -> Answer:
        raise error

    return raised


@pytest.mark.parametrize(("answer", "status", "said"), [
    (lambda *_, **__: Answer(), "ok", "answers"),
    (raising(urllib.error.HTTPError("u", 405, "no", None, None)), "ok", "answers (405)"),  # type: ignore[arg-type]
    (raising(urllib.error.URLError("no route")), "warn", "not reached (no route)"),
    (raising(TimeoutError()), "warn", "not reached (TimeoutError)"),
])  # fmt: skip
def test_the_network_is_tried(
    answer: Callable[..., Answer], status: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(urllib.request, "urlopen", answer)
    (row,) = doctor.hub()
    assert row.status == status
    assert row.detail.startswith(said)


def test_being_offline_by_choice_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(urllib.request, "urlopen", raising(AssertionError()))
    assert [(row.status, row.fix) for row in doctor.hub()] == [("warn", "unset HF_HUB_OFFLINE")]


def test_the_token_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_secret")
    assert [row.detail for row in doctor.token()] == ["found"]
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert [row.detail for row in doctor.token()] == ["none: public models need none"]


def smi(text: str, code: int = 0) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    return lambda *_, **__: subprocess.CompletedProcess([], code, text.encode(), b"")


@pytest.mark.parametrize(("text", "code", "expected"), [
    ("Tesla T4, 550.54, 15360, 15000, 7.5\n", 0, [T4]),
    ("A, 1, 10, 5, [N/A]\nB, 1, 20, 15, 9.0\n", 0, [Gpu("A", "1", 10, 5),
                                                 Gpu("B", "1", 20, 15, 9.0)]),
    ("A, 1, 10, 5\n", 0, [Gpu("A", "1", 10, 5)]),
    ("A, 1, [N/A], [N/A], 9.0\n", 0, []),
    ("NVIDIA-SMI has failed\n", 0, []),
    ("Tesla T4, 550.54, 15360, 15000, 7.5\n", 9, []),
    ("", 0, []),
])  # fmt: skip
def test_what_the_driver_says_is_read(
    text: str, code: int, expected: list[Gpu], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", smi(text, code))
    assert probe.gpus() == expected


@pytest.mark.parametrize("error", [
    FileNotFoundError(), PermissionError(), subprocess.TimeoutExpired("nvidia-smi", 5),
])  # fmt: skip
def test_a_driver_that_does_not_answer_is_no_gpu(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", raising(error))
    assert probe.gpus() == []


MODULES = {  # a module's text -> why it does not load
    "sound": ("", ""),
    "broken": ("raise ImportError('libfoo.so: not found\\nmore')", "ImportError: libfoo.so: not"),
    "refusing": ("raise NotImplementedError('no GPU')", "NotImplementedError: no GPU"),
    "leaving": ("raise SystemExit(3)", "SystemExit: 3"),
    "noisy": ("print('@hello\\n@[1]\\nhello', flush=True)", ""),
    "crashing": ("import os; os._exit(11)", "ended without a word"),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_does_not_load_is_named_with_its_reason(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, said = MODULES[name]
    (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "after.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = probe.imports([name, "after"])
    assert found.errors[name].startswith(said)
    assert bool(found.errors[name]) == bool(said)
    assert (found.errors["after"] == "") == (name != "crashing")


@pytest.mark.parametrize("name", ["torch", "trl", "unsloth", "vllm", "torchvision", "triton"])
def test_a_package_that_only_takes_its_time_is_not_called_broken(name: str) -> None:
    found = facts(errors={name: probe.SLOWLY})
    rows = [*doctor.torch_build(found), *doctor.modules(found)]
    assert all(row.status == "ok" and "force-reinstall" not in row.fix for row in rows
               if row.name == name)  # fmt: skip


def test_a_module_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = tmp_path / "ended"
    (tmp_path / "hanging.py").write_text(
        f"import pathlib, time; time.sleep(60); pathlib.Path({str(ended)!r}).touch()"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(probe, "SECONDS", 0.5)
    assert probe.imports(["hanging"]).errors == {"hanging": probe.SLOWLY}
    assert not ended.exists()


def test_torch_is_asked_what_it_was_built_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text(
        "class cuda:\n    is_available = lambda: True\n    is_bf16_supported = lambda emulated: 1\n"
        "class version:\n    cuda = '13.0'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert probe.imports(["torch"]) == Imports({"torch": ""}, True, "13.0", True)


def test_a_check_that_fails_itself_does_not_end_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "gather", lambda: facts(None))
    monkeypatch.setattr(doctor, "hub", lambda: [Finding("hub", "ok", "answers")])
    monkeypatch.setattr(shutil, "disk_usage", raising(RuntimeError("odd")))
    found = doctor.examine()
    assert Finding("disk", "warn", "not looked at: RuntimeError: odd") in found
    assert found[-1].name == "token"


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setattr(doctor, "hub", lambda: [Finding("hub", "ok", "answers")])

    def run(given: Facts, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(doctor, "gather", lambda: given)
        monkeypatch.setattr(sys, "argv", ["rftkit", "doctor", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        written = capsys.readouterr()
        return int(caught.value.code or 0), written.out, written.err

    return run


def test_the_command_fails_only_where_a_run_would(run: Run) -> None:
    code, out, err = run(facts(None))
    assert (code, err) == (0, "")
    assert "warn  GPU " in out
    assert "\n" + " " * 20 + "rftkit train quickstart\n" in out
    code, out, err = run(facts(built="", cuda=False))
    assert (code, err) == (1, "rftkit: torch: see above for how to fix it\n")
    assert "fail  torch " in out


def test_json_has_every_row(run: Run) -> None:
    code, out, _ = run(facts(T4), "--json")
    found = json.loads(out)
    assert (code, found["status"]) == (0, "warn")
    get_task = {row["name"]: row for row in found["rows"]}
    assert get_task["GPU"]["fix"] == "rftkit plan quickstart --gpu t4"
    assert {"Python", "driver", "torch", "versions", "disk, runs", "hub", "token"} <= {*get_task}


def test_a_name_cannot_steer_the_terminal(run: Run) -> None:
    _, out, _ = run(facts(Gpu("\x1b[2Jbad", "1", 24564, 24000, 8.9)))
    assert "\x1b[2J" not in out
