"""All rows, by module and name."""

from __future__ import annotations

from rows import Row

import recipes

MODULES = {"recipe": recipes}
ROWS: dict[str, Row] = {
    f"{module}: {row.name}": row for module, held in MODULES.items() for row in held.ROWS
}
