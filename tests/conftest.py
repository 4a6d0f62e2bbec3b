"""What holds for every test."""

from __future__ import annotations

import os

# where one of these is set, typer colours its help even when nobody watches; it looks once,
# when it is imported
for name in ("GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS"):
    os.environ.pop(name, None)
os.environ["HF_HUB_OFFLINE"] = "1"
