# ---
# jupyter:
#   accelerator: GPU
#   colab:
#     gpuType: L4
#     provenance: []
#   extras: unsloth
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Think first, or answer at once?
#
# @BADGE@
#
# A hundred variants of aircraft, four images of each to learn from. One model learns to reason
# before it answers, another to answer at once; everything else is the same. Which one names more
# aircraft that it has not seen, and what does the reasoning cost?
#
# **Needs** a GPU with 24 GB, such as an L4: *Runtime → Change runtime type*. No token is needed.
# The images (FGVC-Aircraft) are free for research that is not commercial. **Memory** is estimated
# below. **Time** has not been measured yet.

# %% tags=["setup"]

# %% [markdown]
# ## The plan
#
# A study is a small file: which recipe, which styles, which seeds. Here two runs of the recipe
# `aircraft_4shot`, cut to 100 steps and 500 test images. More seeds make the answer firmer, and
# cost their time; they can be added later.

# %%
import os
from pathlib import Path

from rftkit import notebook as nb

QUICK = os.environ.get("RFTKIT_NOTEBOOK_TINY") == "1"  # a test of this notebook, not a result
RECIPE, STEPS, TESTED = ("quickstart", 3, 20) if QUICK else ("aircraft_4shot", 100, 500)
if not QUICK:
    nb.require_gpu("L4")

STUDY = Path("think_or_direct.toml")
STUDY.write_text(f"""
recipes = ["{RECIPE}"]
styles = ["think", "direct"]
seeds = [0]

[set]
"method.steps" = {STEPS}
"method.batch_size" = {2 if QUICK else 4}
"eval.limit" = {TESTED}
""")
OUT = Path("out/think_or_direct")
nb.run("rftkit study", STUDY, "--out", OUT, "--dry-run")

# %% [markdown]
# Will the hungrier of the two fit? An estimate, computed from the sizes of model and recipe.

# %%
nb.run("rftkit plan", RECIPE, "--gpu", "l4")

# %% [markdown]
# ## The images
#
# Would you know a 737-300 from a 737-500?

# %%
nb.examples(RECIPE, count=8)

# %% [markdown]
# ## Train both
#
# One after the other, each tested at its end. The cell can be stopped and run again: what is done
# is kept, and a run that was cut off continues.

# %%
nb.run("rftkit study", STUDY, "--out", OUT)

# %% [markdown]
# ## The answer
#
# *Helps* and *hurts* are said only where the 95 % interval of the difference leaves zero out.
# Otherwise the page says how large a difference so many images could have shown. One seed says
# how far other images would move the result, not how far other seeds would.

# %%
nb.page(OUT / "study.html")

# %% [markdown]
# ## Where they disagree
#
# Read the reasoning beside the image: does it name what can be seen, or is it decoration?

# %%
think, direct = (next(OUT.glob(f"*-{style}-*-seed0")) for style in ("think", "direct"))
nb.versus(think, direct)

# %% [markdown]
# ## What each learnt, base beside fine-tuned model

# %%
nb.page(think)

# %%
nb.page(direct)
