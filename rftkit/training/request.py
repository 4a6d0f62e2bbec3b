"""What is asked of a training run: by the command line, a study or Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rftkit.messages import runnable
from rftkit.recipe.resolve import with_absolute_paths
from rftkit.recipe.schema import Recipe
from rftkit.recipe.toml import dump_recipe, load_recipe, read_text

Logger = Literal["none", "tensorboard", "trackio", "wandb"]
StopOn = Literal["never", "alarm"]


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """A run to be trained and evaluated.

    recipe: a file, or a recipe made in Python. overrides: `key=value`, on top of a file.
    out: the run folder; a numbered sibling is taken where it holds a run already. command: as it
    was typed, for the run's record. save_every: steps between checkpoints, and between rollouts
    that are kept. stop_on: what ends training early, saved. reward_timeout: seconds that a custom
    reward may take for one completion, 0 for any. base_from: a run whose base responses are reused
    where the settings match.
    """

    recipe: Path | Recipe
    out: Path
    overrides: tuple[str, ...] = ()
    resume: bool = False
    command: str = ""
    save_every: int = 25
    log: Logger = "none"
    base_from: Path | None = None
    stop_on: StopOn = "never"
    reward_timeout: float = 0.0

    def load(self) -> Recipe:
        """The recipe that runs: with its overrides, and with absolute paths."""
        made = self.recipe if isinstance(self.recipe, Recipe) else None
        return with_absolute_paths(made or load_recipe(Path(str(self.recipe)), self.overrides))

    def recipe_text(self) -> str:
        """The recipe as the user wrote it, which is kept in the run folder."""
        if isinstance(self.recipe, Recipe):
            return dump_recipe(self.recipe)
        return read_text(self.recipe)

    def resume_command(self, folder: Path) -> str:
        """What continues this run in `folder`: a command, or a call in Python."""
        if isinstance(self.recipe, Recipe):
            return f"rftkit.train(recipe, {str(folder)!r}, resume=True)"
        changes = [part for override in self.overrides for part in ("--set", override)]
        kept = ["--save-every", str(self.save_every)] if self.save_every != 25 else []
        kept += ["--log", self.log] if self.log != "none" else []
        kept += ["--stop-on", self.stop_on] if self.stop_on != "never" else []
        kept += ["--reward-timeout", f"{self.reward_timeout:g}"] if self.reward_timeout else []
        kept += ["--base-from", str(self.base_from)] if self.base_from else []
        words = ("--out", str(folder), *changes, *kept, "--resume")
        return runnable("train", str(self.recipe), *words)
