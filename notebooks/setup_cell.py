# @title Setup: installs rftkit, checks the versions
import importlib.metadata as packages
import importlib.util
import os
import shutil
import subprocess
import sys

QUICK = os.environ.get("RFTKIT_NOTEBOOK_TINY") == "1"  # a test of the notebook: as on a CPU
GPU = shutil.which("nvidia-smi") is not None and not QUICK
SOURCE = "git+https://github.com/@GITHUB@"  # or a folder, or a wheel
EXTRAS = "@EXTRAS@" if GPU else ""
PINS = """
@PINS@
"""
GPU_PINS = "@GPU_PINS@"
TORCHVISION = "@TORCHVISION@"  # where there is one, the one that fits torch

pins = PINS.split() + (GPU_PINS.split() if GPU else [])
pins += [TORCHVISION] if importlib.util.find_spec("torchvision") else []
if importlib.util.find_spec("rftkit") is None:
    wanted = [f"rftkit{EXTRAS} @ {SOURCE}", *pins]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted], check=True)
    importlib.invalidate_caches()

for pin in pins:
    name, _, pinned = pin.partition("==")
    version = packages.version(name).split("+")[0]
    assert version == pinned, f"{name} is {version}; this notebook needs {pin}"
for module, name in {"numpy": "numpy", "PIL": "pillow", "matplotlib": "matplotlib"}.items():
    loaded = getattr(sys.modules.get(module), "__version__", packages.version(name))
    assert loaded == packages.version(name), "restart the session, then run this cell again"
print("ready:", f"rftkit {packages.version('rftkit')},", "with a GPU" if GPU else "without a GPU")
