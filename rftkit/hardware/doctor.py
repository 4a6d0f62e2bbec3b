"""What this machine lacks for training, and the one command that fixes each thing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rftkit.cache import cache_folder
from rftkit.hardware import probe
from rftkit.hardware.gpus import CAPABILITY_OF_VLLM
from rftkit.hardware.probe import Gpu, Imports

Status = Literal["ok", "warn", "fail"]

NEEDED = ("torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "accelerate")
INSTALL = {
    "unsloth": "pip install -c constraints.txt -e '.[unsloth]'",
    "vllm": "pip install -c constraints-vllm.txt -e '.[unsloth,vllm]'",
}
OPTIONAL = tuple(INSTALL)
DEMANDING = ("rftkit", "transformers", "trl", "unsloth", "unsloth_zoo", "vllm")  # whose caps count
OLDEST_PYTHON = (3, 11)
DISK_WARN, DISK_FAIL = 15.0, 1.0  # GB free: a 3B model is 7.5 of them
FREE_WARN = 0.8  # of the GPU's memory
HUB_SECONDS = 3.0


@dataclass(frozen=True)
class Finding:
    """A row: what was looked at, what it is like, and a command that fixes it ("" if none does)."""

    name: str
    status: Status
    detail: str
    fix: str = ""


@dataclass(frozen=True)
class Facts:
    """What is asked of the machine once, since it takes seconds."""

    gpus: tuple[Gpu, ...]
    imports: Imports
    versions: dict[str, str]


def examine() -> list[Finding]:
    """All rows, in the order in which to fix them. Takes under ten seconds and never raises."""
    with ThreadPoolExecutor(1) as beside:  # the network may take as long to fail as the imports
        answer = beside.submit(_guarded, hub)
        facts = gather()
        checks: tuple[Callable[[], Iterable[Finding]], ...] = (
            python_version,
            lambda: gpu(facts),
            lambda: torch_build(facts),
            lambda: modules(facts),
            lambda: version_conflicts(facts.versions),
            disk,
            caches,
            answer.result,
            token,
        )
        return [finding for check in checks for finding in _guarded(check)]


def gather() -> Facts:
    """GPUs, versions and imports of this machine."""
    versions = {name: _version(name) for name in (*NEEDED, *OPTIONAL, "unsloth_zoo", "triton")}
    present = [name for name in probe.IMPORTED + probe.SLOW if find_spec(name) is not None]
    return Facts(tuple(probe.gpus()), probe.imports(present), versions)


def python_version() -> Iterator[Finding]:
    """The version of Python."""
    version = sys.version_info
    name = f"{version[0]}.{version[1]}.{version[2]}"
    if version[:2] < OLDEST_PYTHON:
        yield Finding("Python", "fail", f"{name}; 3.11 or later is needed", "uv venv --python 3.12")
    else:
        yield Finding("Python", "ok", name)


def gpu(facts: Facts) -> Iterator[Finding]:
    """Driver, name, capability and free memory of the first GPU."""
    if not facts.gpus:
        yield Finding(
            "GPU", "warn", "none found: the built-in models train here, real ones do not",
            "rftkit train quickstart",
        )  # fmt: skip
        return
    first = facts.gpus[0]
    yield Finding("driver", "ok", first.driver)
    yield _capability(first)
    share, total = first.free / first.total, first.total / 1024
    memory = f"{first.free / 1024:.1f} of {total:.1f} GiB free"
    if share < FREE_WARN:
        yield Finding("GPU memory", "warn", f"{memory}: other programs use it", "nvidia-smi")
    else:
        yield Finding("GPU memory", "ok", memory)


def torch_build(facts: Facts) -> Iterator[Finding]:
    """Whether torch loads, and reaches the GPU."""
    version, imports = facts.versions["torch"], facts.imports
    if not version:
        yield Finding("torch", "fail", "not installed", "pip install -c constraints.txt torch")
        return
    if why := imports.errors.get("torch"):
        yield _not_loaded("torch", version, why)
        return
    if not facts.gpus:
        yield Finding("torch", "ok", version)
    elif not imports.built:
        yield Finding("torch", "fail", f"{version} is built for the CPU", _again("torch"))
    elif not imports.cuda:
        why = f"{version} for CUDA {imports.built} does not reach the GPU: the driver is too old"
        yield Finding("torch", "fail", why, "sudo ubuntu-drivers install")
    else:
        yield Finding("torch", "ok", f"{version}, CUDA {imports.built}")
        yield Finding("bf16", "ok", "yes" if imports.bf16 else "no: fp16 is used")


def modules(facts: Facts) -> Iterator[Finding]:
    """Whether the packages load, and why not."""
    for name in NEEDED[1:]:
        if not facts.versions[name]:
            yield Finding(name, "fail", "not installed", "pip install -c constraints.txt -e .")
        elif why := facts.imports.errors.get(name):
            yield _not_loaded(name, facts.versions[name], why)
        else:
            yield Finding(name, "ok", facts.versions[name])
    if (why := facts.imports.errors.get("torchvision")) not in (None, "", probe.SLOWLY):
        # its build must be torch's; nothing here needs it
        yield Finding("torchvision", "fail", why, "pip uninstall -y torchvision")
    for name in OPTIONAL:
        yield _optional(name, facts)
    why = facts.imports.errors.get("triton", "not installed")
    if facts.gpus and why not in ("", probe.SLOWLY):
        yield Finding("triton", "warn", f"{why}: Unsloth needs it", "pip install triton")


def version_conflicts(versions: dict[str, str]) -> Iterator[Finding]:
    """Whether the installed versions are those that each of them asks for."""
    broken = list(conflicts(versions))
    for name, needs in broken:
        fix = f"pip install '{needs.partition(' (')[0]}'"
        yield Finding("versions", "fail", f"{name} {versions[name]}, but {needs}", fix)
    if not broken:
        yield Finding("versions", "ok", "within what each package asks of the others")


def conflicts(versions: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The packages whose version another refuses: name, and `name>=1,<2 (asked by other)`."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    ours = {canonicalize_name(name): name for name in versions if versions[name]}
    for asking in DEMANDING:
        for line in _requires(asking):
            needed = Requirement(line)
            name = ours.get(canonicalize_name(needed.name))
            if name is None or (needed.marker and not needed.marker.evaluate({"extra": ""})):
                continue
            if not needed.specifier.contains(versions[name], prereleases=True):
                yield name, f"{name}{needed.specifier} (asked by {asking})"


def disk() -> Iterator[Finding]:
    """Room where runs are written, and where models are kept."""
    for name, folder in (("disk, runs", Path.cwd()), ("disk, models", _models())):
        location = next(p for p in (folder, *folder.parents) if p.exists())
        free = shutil.disk_usage(location).free / 1e9
        status: Status = "fail" if free < DISK_FAIL else "warn" if free < DISK_WARN else "ok"
        fix = "" if status == "ok" else "hf cache rm" if name.endswith("models") else "df -h ."
        yield Finding(name, status, f"{free:.1f} GB free at {folder}", fix)


def caches() -> Iterator[Finding]:
    """Whether what is built or downloaded can be kept."""
    for name, folder, variable in (
        ("cache", cache_folder(lambda line: None), "RFTKIT_CACHE"),
        ("hub cache", _models(), "HF_HOME"),
    ):
        location = next(p for p in (folder, *folder.parents) if p.exists())
        if location.is_dir() and os.access(location, os.W_OK):
            yield Finding(name, "ok", str(folder))
        else:
            why = f"{folder}: cannot be written"
            yield Finding(name, "fail", why, f"export {variable}=/a/folder/of/yours")


def hub() -> Iterator[Finding]:
    """Whether models and data can be downloaded."""
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        yield Finding("hub", "warn", "HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE")
        return
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=HUB_SECONDS):
            yield Finding("hub", "ok", "answers")
    except urllib.error.HTTPError as error:
        yield Finding("hub", "ok", f"answers ({error.code})")
    except (OSError, ValueError) as error:
        why = str(getattr(error, "reason", error))[:80] or type(error).__name__
        detail = f"not reached ({why}); models in the cache and folders still work"
        yield Finding("hub", "warn", detail, "curl -I " + constants.ENDPOINT)


def token() -> Iterator[Finding]:
    """Whether there is a token, never which."""
    from huggingface_hub import get_token

    here = get_token() is not None
    yield Finding("token", "ok", "found" if here else "none: public models need none")


def _capability(first: Gpu) -> Finding:
    detail = f"{first.name}, capability {first.capability:g}" if first.capability else first.name
    if first.capability and first.capability < CAPABILITY_OF_VLLM:
        detail += ": fp16, no bf16 and no vLLM"
        return Finding("GPU", "warn", detail, "rftkit plan quickstart --gpu t4")
    return Finding("GPU", "ok", detail)


def _optional(name: str, facts: Facts) -> Finding:
    version, why = facts.versions[name], facts.imports.errors.get(name)
    if not facts.gpus:
        return Finding(name, "ok", version or "not installed; no use without a GPU")
    if not version:
        does = "faster training" if name == "unsloth" else "faster rollouts"
        return Finding(name, "warn", f"not installed: {does}", INSTALL[name])
    return _not_loaded(name, version, why, "warn") if why else Finding(name, "ok", version)


def _not_loaded(name: str, version: str, why: str, status: Status = "fail") -> Finding:
    """The row of a package that has not loaded; one that only takes its time may be sound."""
    if why == probe.SLOWLY:
        return Finding(name, "ok", f"{version}, {why}")
    return Finding(name, status, f"{version}: {why}", _again(name))


def _again(name: str) -> str:
    return f"pip install --force-reinstall {name}"


def _models() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def _guarded(check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The rows of a check; a check that fails itself is a row, not the end of all others."""
    try:
        return list(check())
    except Exception as error:
        name = getattr(check, "__name__", "check").strip("<>")
        return [Finding(name, "warn", f"not looked at: {type(error).__name__}: {error}"[:200])]
