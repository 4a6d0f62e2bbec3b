"""Uploading to the hub by its own client, and one line for each way in which that can fail."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.console import Console

from rftkit.data.online import reachable
from rftkit.errors import HubError, UserError
from rftkit.messages import first_line, printable
from rftkit.publish.contents import Parcel

LOGIN = "log in with `hf auth login`, or set HF_TOKEN"
MAIN = "main"


@dataclass(frozen=True)
class Target:
    """Where it goes. repo: `name` or `account/name`; branch: made where it is not there."""

    repo: str
    public: bool = False
    branch: str = MAIN

    @property
    def visibility(self) -> str:
        """In a word."""
        return "public" if self.public else "private"


class Pushed(NamedTuple):
    """url: of the repository. commit: of what is there now. changed: whether a commit was made."""

    url: str
    commit: str
    changed: bool


def check_name(repo: str) -> None:
    """Raises UserError for what the hub does not take as a repository's name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError:
        raise UserError(
            f"{repo!r}: not a name the hub takes; write ACCOUNT/NAME, of letters, digits, and "
            "single - . _ between them"
        ) from None


def url_of(repo: str) -> str:
    """The address of a repository's page."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repo}"


def account() -> str:
    """Who is logged in. Raises UserError without a token that may write, HubError offline."""
    from huggingface_hub import HfApi, constants, get_token

    if get_token() is None:
        raise UserError(f"no token of the hub on this machine: {LOGIN}")
    if constants.HF_HUB_OFFLINE:
        raise HubError("HF_HUB_OFFLINE is set, so nothing is uploaded; unset it")
    if not reachable(constants.ENDPOINT):
        raise HubError(f"{constants.ENDPOINT}: cannot be reached; push again with a network")
    with one_line(""):
        known = HfApi().whoami()
    token = known.get("auth", {}).get("accessToken", {})
    if token.get("role") == "read":
        raise UserError(
            f"the token of {known['name']} may only read; make one that may write at "
            f"{constants.ENDPOINT}/settings/tokens"
        )
    return str(known["name"])


def upload(
    parcels: Callable[[str], Sequence[Parcel]], target: Target, message: str, console: Console
) -> Pushed:
    """Upload, as one commit, into a repository that is made where it is not there.

    parcels: the files, for the repository's full name. What an upload that was stopped has brought
    there already is not sent again. Raises UserError or HubError, in one line.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    name = account()
    repo = target.repo if "/" in target.repo else f"{name}/{target.repo}"
    files, api = parcels(repo), HfApi()
    if not sys.stderr.isatty():
        disable_progress_bars()
    with one_line(repo):
        before = _prepared(api, repo, target)
        line = f"uploading to {url_of(repo)} ({target.visibility})"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
        made = api.create_commit(
            repo,
            [CommitOperationAdd(file.name, file.content) for file in files],
            commit_message=message,
            revision=target.branch,
        )
    return Pushed(url_of(repo), made.oid, made.oid != before)


def _prepared(api: Any, repo: str, target: Target) -> str | None:
    """Find or make repository and branch; the commit that the branch is at."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        found = api.repo_info(repo)
    except RepositoryNotFoundError:
        api.create_repo(repo, private=not target.public)
    else:
        _check_visibility(repo, bool(found.private), target)
    try:
        return str(api.repo_info(repo, revision=target.branch).sha)
    except RevisionNotFoundError:
        if target.branch != MAIN:  # which a repository without a commit may not have yet
            api.create_branch(repo, branch=target.branch)
        return None


def _check_visibility(repo: str, private: bool, target: Target) -> None:
    """Raises UserError if a repository is not as private, or as public, as was asked for."""
    if not private and not target.public:
        raise UserError(
            f"{repo}: is there already and is public; push with --public, or to another name"
        )
    if private and target.public:
        raise UserError(
            f"{repo}: is there already and is private; leave out --public, or change it on "
            f"{url_of(repo)}/settings"
        )


@contextmanager
def one_line(repo: str) -> Iterator[None]:
    """Within it what the hub refuses is a UserError, what may pass by itself a HubError."""
    import httpx
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        raise _refused(repo, error) from None
    except httpx.TransportError as error:
        raise _broken(repo, error) from None
    except ValueError as error:  # of the card's front matter, with a line for each fault
        said = printable(" ".join(str(error).split()))
        raise UserError(f"{repo or 'the hub'}: refused ({said})") from None
    except RuntimeError as error:  # as the client wraps what goes wrong with one file
        if isinstance(error.__cause__, HfHubHTTPError):
            raise _refused(repo, error.__cause__) from None
        raise _broken(repo, error.__cause__ or error) from None


def _broken(repo: str, error: BaseException) -> HubError:
    return HubError(
        f"{repo or 'the hub'}: the connection broke ({printable(first_line(error))}); push again: "
        "what has arrived is not sent twice"
    )


def _refused(repo: str, error: Any) -> UserError:
    """The line for an answer of the hub that is no success."""
    status = error.response.status_code
    said = printable(first_line(ValueError(error.server_message or f"status {status}")))
    if status == 401 and not repo:
        return UserError(f"the hub does not accept the token of this machine: {LOGIN}")
    if status in (401, 403, 404):
        return UserError(
            f"{repo}: no right to write there ({said}); push to an account that is yours, with a "
            "token that may write"
        )
    if status in (409, 412):
        return UserError(
            f"{repo}: the hub sees a conflict ({said}); it exists and your token cannot see it, or "
            "somebody changes it: push again, or to another name"
        )
    if status == 429 or status >= 500:
        return HubError(f"{repo or 'the hub'}: {said}; push again later")
    return UserError(f"{repo or 'the hub'}: refused ({said})")
