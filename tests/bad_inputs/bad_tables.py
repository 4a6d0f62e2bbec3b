"""All rows, by module and name."""

from __future__ import annotations

import bad_data
import bad_recipes
from bad_rows import Row

MODULES = {"recipe": bad_recipes, "data": bad_data}
ROWS: dict[str, Row] = {
    f"{module}: {row.name}": row for module, held in MODULES.items() for row in held.ROWS
}
