"""Nothing in rftkit reads a format that can hold code, evaluates a text, or asks a shell."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "rftkit"
MODULES = sorted(ROOT.rglob("*.py"))

BARE = {"eval", "exec", "compile", "__import__"}  # as built-in functions
CODED = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
YAML = {"load", "load_all", "full_load", "unsafe_load", "full_load_all", "unsafe_load_all"}
SHELL = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
UNPACK = {"extractall", "unpack_archive"}


def forbidden(source: str) -> list[str]:
    """`line: call` of each call and import that could run what it reads."""
    found, nodes = [], [*ast.walk(ast.parse(source))]
    safe = {node.name for node in nodes if isinstance(node, ast.ClassDef) and _is_safe(node)}
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [(node.lineno, a.name) for a in node.names if a.name.split(".")[0] in CODED]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in CODED:
            names = {alias.name for alias in node.names}
            found += [] if names == {"UnpicklingError"} else [(node.lineno, node.module or "")]
        elif isinstance(node, ast.Call) and _runs(node, safe):
            found.append((node.lineno, ast.unparse(node)))
    return [f"{line}: {what}" for line, what in sorted(found)]


def _is_safe(loader: ast.ClassDef) -> bool:
    return [ast.unparse(base) for base in loader.bases] == ["yaml.SafeLoader"]


def _runs(call: ast.Call, safe: set[str]) -> bool:
    """safe: names of loaders of YAML that make plain values only."""
    name = ast.unparse(call.func)
    module, _, last = name.rpartition(".")
    keywords = {one.arg: ast.unparse(one.value) for one in call.keywords}
    if name in BARE or name in SHELL or last in UNPACK:
        return True
    if keywords.get("shell", "False") != "False" or keywords.get("allow_pickle") == "True":
        return True
    if name == "torch.load":
        return keywords.get("weights_only") != "True"
    if module == "yaml" and last in YAML:
        return len(call.args) < 2 or ast.unparse(call.args[1]) not in safe
    return last == "read_pickle"


@pytest.mark.parametrize(("source", "found"), [
    ("import pickle", ["1: pickle"]),
    ("def f():\n    from dill import loads", ["2: dill"]),
    ("torch.load(a)", ["1: torch.load(a)"]),
    ("torch.load(a, weights_only=False)", ["1: torch.load(a, weights_only=False)"]),
    ("torch.load(a, weights_only=True)", []),
    ("from pickle import UnpicklingError", []),
    ("from pickle import UnpicklingError, loads", ["1: pickle"]),
    ("yaml.load(a)", ["1: yaml.load(a)"]),
    ("yaml.load(a, Loader)", ["1: yaml.load(a, Loader)"]),
    ("class Mine(yaml.SafeLoader): pass\nyaml.load(a, Mine)", []),
    ("class Mine(yaml.Loader): pass\nyaml.load(a, Mine)", ["2: yaml.load(a, Mine)"]),
    ("yaml.safe_load(a); json.loads(a); model.eval(); re.compile(a)", []),
    ("eval(a)", ["1: eval(a)"]),
    ("exec(a)", ["1: exec(a)"]),
    ("compile(a, b, 'exec')", ["1: compile(a, b, 'exec')"]),
    ("tar.extractall(a)", ["1: tar.extractall(a)"]),
    ("shutil.unpack_archive(a)", ["1: shutil.unpack_archive(a)"]),
    ("subprocess.run(a, shell=True)", ["1: subprocess.run(a, shell=True)"]),
    ("os.system(a)", ["1: os.system(a)"]),
    ("np.load(a, allow_pickle=True)", ["1: np.load(a, allow_pickle=True)"]),
    ("pandas.read_pickle(a)", ["1: pandas.read_pickle(a)"]),
])  # fmt: skip
def test_what_can_run_code_is_seen(source: str, found: list[str]) -> None:
    assert forbidden(source) == found


def test_no_module_can_run_what_it_reads() -> None:
    assert len(MODULES) > 300
    seen = {
        path.relative_to(ROOT).as_posix(): forbidden(path.read_text("utf-8")) for path in MODULES
    }
    assert {path: calls for path, calls in seen.items() if calls} == {}
