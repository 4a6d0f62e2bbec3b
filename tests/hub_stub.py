"""A hub of our own on this machine, which speaks what the hub's client speaks, and keeps files.

Accounts, repositories with branches and commits, regular files and LFS objects, as far as pushing
a model and downloading it go. `requests` says what was asked of it; `refusals` and `held` make it
fail as the hub does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

LFS = (".safetensors", ".gguf", ".bin")
FIRST = {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}


@dataclass
class Repository:
    """commits: id -> files of it; branches: name -> commit. An LFS file is in `Hub.objects`."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        listing = repr((sorted(files.items()), len(self.commits))).encode()
        name = hashlib.sha1(listing).hexdigest()
        self.commits[name], self.branches[branch] = files, name
        self.messages.append(message)
        return name

    def at(self, revision: str) -> str | None:
        found = self.branches.get(revision, revision)
        return found if found in self.commits else None


@dataclass
class Hub:
    """tokens: token -> (account, role). refusals: start of `METHOD /path` -> status and reason.

    held: a request that starts so sets `arrived` and is answered once `go_on` is set.
    """

    url: str = ""
    tokens: dict[str, tuple[str, str]] = field(
        default_factory=lambda: {"hf_anna": ("anna", "write"), "hf_reader": ("anna", "read")}
    )
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    held: str = ""
    arrived: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def asked(self, start: str) -> list[Any]:
        """The bodies of the requests that start so."""
        return [body for line, body in self.requests if line.startswith(start)]

    def files(self, repo: str, branch: str = "main") -> dict[str, bytes]:
        """What a repository holds, without what the hub itself puts there."""
        found = self.repositories[repo]
        files = found.commits[found.branches[branch]]
        return {name: content for name, content in files.items() if name not in FIRST}


class RefusedError(Exception):
    """An answer that is no success. code: the hub's own name of it, in a header."""

    def __init__(self, status: int, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.status, self.reason, self.code = status, reason, code


@dataclass(frozen=True)
class Asked:
    """A request, as far as an answer needs it."""

    hub: Hub
    account: str
    role: str
    path: tuple[str, ...]
    body: Any

    def repository(self, start: int) -> tuple[str, Repository]:
        """The repository whose account and name begin at a place of the path."""
        name = "/".join(self.path[start : start + 2])
        found = self.hub.repositories.get(name)
        if found is None or (found.private and name.split("/")[0] != self.account):
            raise RefusedError(404 if self.account else 401, "Repository not found", "RepoNotFound")
        return name, found

    def writable(self, start: int) -> tuple[str, Repository]:
        name, found = self.repository(start)
        if name.split("/")[0] != self.account or self.role != "write":
            raise RefusedError(403, "Forbidden: you don't have write access to this repository")
        return name, found

    def commit(self, repository: Repository, revision: str) -> str:
        found = repository.at(unquote(revision))
        if found is None:
            raise RefusedError(404, "Invalid rev id", "RevisionNotFound")
        return found


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """The hub on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def used_by_this_process(hub: Hub, token: str, home: Path) -> Iterator[None]:
    """The hub's client talks to this hub meanwhile, as if the environment had named it."""
    from huggingface_hub import constants, file_download

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(constants, "ENDPOINT", hub.url)
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        for module in (constants, file_download):
            if hasattr(module, "HUGGINGFACE_CO_URL_TEMPLATE"):
                patched.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patched.setattr(constants, "HF_HUB_OFFLINE", False)
        patched.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patched.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
        patched.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "http_proxy", "HTTP_PROXY"):
            patched.delenv(name, raising=False)
        if token:
            patched.setenv("HF_TOKEN", token)
        yield


def environment(hub: Hub, token: str, home: Path) -> dict[str, str]:
    """What makes a process of its own use this hub."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": token,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            path = urlsplit(self.path).path
            line = f"{self.command} {path}"
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if hub.held and line.startswith(hub.held):
                hub.arrived.set()
                hub.go_on.wait()
            token = str(self.headers.get("Authorization", "")).removeprefix("Bearer ")
            try:
                for start, (status, reason) in hub.refusals.items():
                    if line.startswith(start):
                        raise RefusedError(status, reason)
                if token and token not in hub.tokens:
                    raise RefusedError(401, "Invalid credentials in Authorization header")
                body = _body(raw, str(self.headers.get("Content-Type", "")))
                hub.requests.append((line, body))
                account, role = hub.tokens.get(token, ("", ""))
                parts = tuple(path.strip("/").split("/"))
                self._send(*_route(self.command, Asked(hub, account, role, parts, body)))
            except RefusedError as refused:
                headers = {"X-Error-Message": refused.reason, "Content-Type": "application/json"}
                if refused.code:
                    headers["X-Error-Code"] = refused.code
                errors = [{"message": refused.reason}]
                text = json.dumps({"error": refused.reason, "errors": errors}).encode()
                self._send(refused.status, text, headers)

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                with suppress(ConnectionError):  # whoever asked may be gone
                    self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_HEAD = _answer  # noqa: N815  as http.server calls them

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler


def _body(raw: bytes, kind: str) -> Any:
    if "ndjson" in kind:
        return [json.loads(line) for line in raw.splitlines() if line]
    return json.loads(raw) if raw and "json" in kind else raw


Answer = tuple[int, bytes, dict[str, str]]


def _json(value: object) -> Answer:
    return 200, json.dumps(value).encode(), {"Content-Type": "application/json"}


def _route(method: str, asked: Asked) -> Answer:
    match (method, *asked.path):
        case ("PUT", "lfs", oid):
            return _stored(asked, oid)
        case ("GET", "cdn", oid):
            return 200, asked.hub.objects[oid], {}
        case ("GET", "api", "whoami-v2"):
            return _json(_whoami(asked))
        case ("POST", "api", "validate-yaml"):
            return _json(_validated(asked.body["content"]))
        case ("POST", "api", "repos", "create"):
            return _json(_created(asked))
        case ("GET", "api", "models", _, _):
            return _json(_info(asked, "main"))
        case ("GET", "api", "models", _, _, "revision", revision):
            return _json(_info(asked, revision))
        case ("GET", "api", "models", _, _, "tree", revision, *_):
            return _json(_tree(asked, revision))
        case ("POST", "api", "models", _, _, "branch", branch):
            _, found = asked.writable(2)
            found.branches[unquote(branch)] = found.branches["main"]
            return _json({})
        case ("POST", "api", "models", _, _, "preupload", revision):
            return _json(_modes(asked, revision))
        case ("POST", "api", "models", _, _, "commit", revision):
            return _json(_committed(asked, unquote(revision)))
        case ("POST", _, _, "info", "lfs", "objects", "batch"):
            return _json(_batch(asked))
        case ("HEAD" | "GET", _, _, "resolve", revision, *name):
            return _file(asked, revision, unquote("/".join(name)))
    raise RefusedError(404, f"no {method} of {'/'.join(asked.path)} here")


def _whoami(asked: Asked) -> object:
    if not asked.account:
        raise RefusedError(401, "Invalid credentials in Authorization header")
    token = {"displayName": "a token", "role": asked.role}
    auth = {"type": "access_token", "accessToken": token}
    return {"type": "user", "id": "1", "name": asked.account, "orgs": [], "auth": auth}


def _validated(content: str) -> object:
    data = yaml.safe_load(content.split("---")[1]) or {}
    wrong = [key for key in ("license", "base_model") if not isinstance(data.get(key, ""), str)]
    if wrong:
        raise RefusedError(400, f"{wrong[0]} must be a string")
    return {"errors": [], "warnings": []}


def _created(asked: Asked) -> object:
    owner = asked.body.get("organization") or asked.account
    name = f"{owner}/{asked.body['name']}"
    if owner != asked.account or asked.role != "write":
        raise RefusedError(
            403, f"You don't have the rights to create a model under the name {owner!r}"
        )
    if name in asked.hub.repositories:
        raise RefusedError(409, "You already created this model repo")
    made = Repository(private=asked.body.get("visibility") == "private")
    made.commit("main", dict(FIRST), "initial commit")
    asked.hub.repositories[name] = made
    return {"url": f"{asked.hub.url}/{name}", "name": name, "id": "2"}


def _info(asked: Asked, revision: str) -> object:
    name, found = asked.repository(2)
    commit = asked.commit(found, revision)
    siblings = [{"rfilename": file} for file in found.commits[commit]]
    facts = {"id": name, "modelId": name, "private": found.private, "sha": commit}
    return {"_id": "2", **facts, "siblings": siblings, "tags": [], "downloads": 0}


def _tree(asked: Asked, revision: str) -> object:
    _, found = asked.repository(2)
    files = found.commits[asked.commit(found, revision)]
    return [_entry(name, content) for name, content in sorted(files.items())]


def _entry(name: str, content: bytes) -> dict[str, object]:
    entry = {"type": "file", "path": name, "size": len(content), "oid": _git_hash(content)}
    if name.endswith(LFS):
        sha = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": sha, "size": len(content), "pointerSize": 130}
    return entry


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _modes(asked: Asked, revision: str) -> object:
    _, found = asked.writable(2)
    files = found.commits[asked.commit(found, revision)]
    modes = []
    for file in asked.body["files"]:
        name, is_lfs = file["path"], file["path"].endswith(LFS)
        mode: dict[str, object] = {"path": name, "shouldIgnore": False}
        mode["uploadMode"] = "lfs" if is_lfs else "regular"
        if name in files:
            content = files[name]
            mode["oid"] = hashlib.sha256(content).hexdigest() if is_lfs else _git_hash(content)
        modes.append(mode)
    return {"files": modes}


def _batch(asked: Asked) -> object:
    name = f"{asked.path[0]}/{asked.path[1].removesuffix('.git')}"
    Asked(asked.hub, asked.account, asked.role, tuple(name.split("/")), None).writable(0)
    objects = []
    for item in asked.body["objects"]:
        entry = {"oid": item["oid"], "size": item["size"]}
        if item["oid"] not in asked.hub.objects:
            entry["actions"] = {"upload": {"href": f"{asked.hub.url}/lfs/{item['oid']}"}}
        objects.append(entry)
    return {"transfer": "basic", "objects": objects}


def _stored(asked: Asked, oid: str) -> Answer:
    if hashlib.sha256(asked.body).hexdigest() != oid:
        raise RefusedError(400, "the bytes are not those of the hash")
    asked.hub.objects[oid] = asked.body
    return 200, b"", {}


def _committed(asked: Asked, branch: str) -> object:
    name, found = asked.writable(2)
    files = dict(found.commits[asked.commit(found, branch)])
    header, *operations = asked.body
    read: dict[str, Callable[[Any], bytes]] = {
        "file": lambda value: base64.b64decode(value["content"]),
        "lfsFile": lambda value: asked.hub.objects[value["oid"]],
    }
    for operation in operations:
        value = operation["value"]
        if operation["key"] == "lfsFile" and value["oid"] not in asked.hub.objects:
            raise RefusedError(400, f"LFS object {value['oid']} was not uploaded")
        files[value["path"]] = read[operation["key"]](value)
    commit = found.commit(branch, files, header["value"]["summary"])
    url = f"{asked.hub.url}/{name}/commit/{commit}"
    return {"success": True, "commitOid": commit, "commitUrl": url, "pullRequestUrl": None}


def _file(asked: Asked, revision: str, name: str) -> Answer:
    _, found = asked.repository(0)
    commit = asked.commit(found, revision)
    content = found.commits[commit].get(name)
    if content is None:
        raise RefusedError(404, "Entry not found", "EntryNotFound")
    headers = {"X-Repo-Commit": commit, "ETag": f'"{_git_hash(content)}"'}
    if not name.endswith(LFS):
        return 200, content, headers
    oid = hashlib.sha256(content).hexdigest()
    linked = {"X-Linked-ETag": f'"{oid}"', "X-Linked-Size": str(len(content))}
    elsewhere = asked.hub.url.replace("127.0.0.1", "localhost")  # large files are on another host
    return 302, b"", {**headers, **linked, "Location": f"{elsewhere}/cdn/{oid}"}
