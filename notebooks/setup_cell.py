# @title Setup: installs rftkit, checks the versions
import importlib.metadata as packages
import importlib.util
import os
import shutil
import subprocess
import sys

QUICK = os.environ.get("RFTKIT_NOTEBOOK_TINY") == "1"  # a test of the notebook: as on a CPU
GPU = shutil.which("nvidia-smi") is not None and not QUICK
SOURCE = "git+https://github.com/@GITHUB@"  # or file:///a/folder, or file:///a/wheel.whl
EXTRAS = "@EXTRAS@" if GPU else ""
PINS = """
@PINS@
"""
GPU_PINS = "@GPU_PINS@"
TORCHVISION = "@TORCHVISION@"  # where there is one, the one that fits torch


class SetupError(Exception):
    def _render_traceback_(self):
        return [f"stopped: {self}"]  # a line in place of a traceback


def version(name):
    try:
        return packages.version(name).split("+")[0]
    except packages.PackageNotFoundError:
        return None


pins = PINS.split() + (GPU_PINS.split() if GPU else [])
pins += [TORCHVISION] if importlib.util.find_spec("torchvision") else []
if importlib.util.find_spec("rftkit") is None:
    if "YOUR_ACCOUNT" in SOURCE:
        raise SetupError("put the repository's address in SOURCE, then run this cell again")
    command = [sys.executable, "-m", "pip", "install", "--quiet", f"rftkit{EXTRAS} @ {SOURCE}"]
    done = subprocess.run([*command, *pins], capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-4000:])
        raise SetupError(
            f"pip could not install from {SOURCE}, see above: is SOURCE right, and online?"
        )
    importlib.invalidate_caches()

if missing := [pin for pin in pins if version(pin.partition("==")[0]) is None]:
    raise SetupError(
        f"not installed here; run this, then this cell again: %pip install {' '.join(missing)}"
    )
for pin in pins:
    name, _, pinned = pin.partition("==")
    if version(name) != pinned:
        raise SetupError(f"{name} is {version(name)}; this notebook needs {pin}")
for module, name in {"numpy": "numpy", "PIL": "pillow", "matplotlib": "matplotlib"}.items():
    loaded = getattr(sys.modules.get(module), "__version__", packages.version(name))
    if loaded != packages.version(name):
        raise SetupError("restart the session, then run this cell again")
print("ready:", f"rftkit {packages.version('rftkit')},", "with a GPU" if GPU else "without a GPU")
