"""All rows, by module and name."""

from __future__ import annotations

import bad_commands
import bad_data
import bad_models
import bad_recipes
import bad_runs
import bad_sources
from bad_rows import Row

MODULES = {
    "recipe": bad_recipes,
    "data": bad_data,
    "source": bad_sources,
    "run": bad_runs,
    "model": bad_models,
    "command": bad_commands,
}
ROWS: dict[str, Row] = {
    f"{module}: {row.name}": row for module, held in MODULES.items() for row in held.ROWS
}
