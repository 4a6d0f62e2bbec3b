# @title Setup: installs rftkit, checks the versions
import importlib.metadata as packages
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

QUICK = os.environ.get("RFTKIT_NOTEBOOK_TINY") == "1"  # a test of the notebook: as on a CPU
GPU = shutil.which("nvidia-smi") is not None and not QUICK
REPOSITORY = "@GITHUB@"  # or set RFTKIT_SOURCE, or upload a wheel or a zip of the repository
EXTRAS = "@EXTRAS@" if GPU else "@ALWAYS@"
PINS = """
@PINS@
"""
GPU_PINS = "@GPU_PINS@"
TORCHVISION = "@TORCHVISION@"  # where there is one, the one that fits torch
TORCH = "@TORCH@"  # any of these is kept where it is there: Colab's fits its driver


class SetupError(Exception):
    def _render_traceback_(self):
        return [f"stopped: {self}"]  # a line in place of a traceback


def version(name):
    try:
        return packages.version(name).split("+")[0]
    except packages.PackageNotFoundError:
        return None


def fits(requirement, found):
    """Whether a version that is here is one of those in a requirement such as torch>=2.11,<2.15."""
    from packaging.requirements import Requirement

    return found is not None and Requirement(requirement).specifier.contains(found)


def uploaded():
    """The newest wheel or zip of rftkit beside this notebook; "" if there is none."""
    here = Path.cwd()
    files = sorted([*here.glob("rftkit*.whl"), *here.glob("rftkit*.zip")], key=os.path.getmtime)
    return files[-1].as_uri() if files else ""


def source():
    """What pip installs: RFTKIT_SOURCE, an uploaded wheel or zip, or the repository."""
    if given := os.environ.get("RFTKIT_SOURCE") or uploaded():
        return given
    if "YOUR_ACCOUNT" not in REPOSITORY:
        return f"git+https://github.com/{REPOSITORY}"
    if importlib.util.find_spec("google.colab"):
        from google.colab import files

        print("upload a wheel of rftkit (rftkit-….whl) or a zip of its repository:")
        files.upload()
    if not uploaded():
        raise SetupError(
            "upload a wheel (rftkit-….whl) or a zip of the repository beside this notebook, or set "
            "RFTKIT_SOURCE, then run this cell again"
        )
    return uploaded()


pins = PINS.split() + (GPU_PINS.split() if GPU else [])
pins += [TORCHVISION] if importlib.util.find_spec("torchvision") else []
if fits(TORCH, version("torch")):
    pins = [pin for pin in pins if pin.partition("==")[0] not in ("torch", "torchvision")]
if importlib.util.find_spec("rftkit") is None:
    place = source()
    command = [sys.executable, "-m", "pip", "install", "--quiet", f"rftkit{EXTRAS} @ {place}"]
    done = subprocess.run([*command, *pins], capture_output=True, text=True)
    if done.returncode:
        print(done.stderr[-4000:])
        raise SetupError(f"pip could not install from {place}, see above: is it right, and online?")
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
if GPU:  # driver, GPU, memory and versions, before anything is downloaded
    checked = subprocess.run(
        [sys.executable, "-m", "rftkit", "doctor"], capture_output=True, text=True
    )
    print(checked.stdout)
    if checked.returncode:
        raise SetupError("this machine cannot train yet: see the lines that say fail")
print("ready:", f"rftkit {packages.version('rftkit')},", "with a GPU" if GPU else "without a GPU")
