# ---
# jupyter:
#   colab:
#     provenance: []
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quickstart: a model learns to read handwriting
#
# @BADGE@
#
# A tiny vision-language model knows printed digits. It now sees 160 scans of handwritten ones,
# tries several answers to each, and is rewarded for those that are right. Nobody writes its
# reasoning: it says what it looked at because the reply has a place for that.
#
# **Needs** any machine: no GPU, no token, 1.2 GB of memory. **Takes** one minute of training and
# testing on 2 cores, measured without the installation.

# %% tags=["setup"]

# %%
import os

import rftkit
from rftkit import notebook as nb

QUICK = os.environ.get("RFTKIT_NOTEBOOK_TINY") == "1"  # a test of this notebook, not a result
FEW = "--set method.steps=3 --set method.batch_size=2 --set eval.limit=20"
SETTINGS = FEW.split() if QUICK else []
OUT = "out/quickstart"

# %% [markdown]
# ## The images
#
# Real handwriting, scanned long ago at 8 × 8 pixels. Some of it is hard for you, too.

# %%
nb.examples("quickstart", count=8)

# %% [markdown]
# ## Check before you train
#
# A recipe is one short file that says everything about a run. `check` reads it and the images,
# and shows a prompt with the reply that would earn full marks. It needs no model.

# %%
nb.run("rftkit check quickstart")

# %% [markdown]
# ## Train
#
# Every step: some images, eight tries for each, a reward for each try, a small push towards the
# better ones. Watch `accuracy` rise. Then both models, before and after, answer images that
# neither has seen.

# %%
nb.run("rftkit train quickstart --out", OUT, *SETTINGS)

# %% [markdown]
# ## Did it get better?
#
# The report is one page, the same that lies in `out/quickstart/report.html`. At its top: both
# models with their intervals, and whether the difference could be luck. Below: the curves of the
# training.

# %%
run = rftkit.Run(nb.newest(OUT))
print(run.summary.difference.words)
nb.page(OUT)

# %% [markdown]
# ## See it yourself
#
# What the base model said, what the fine-tuned one says, and why.

# %%
nb.replies(OUT)

# %% [markdown]
# ## Without thinking
#
# The same weights can be asked for the bare answer. Does it need the thought? Every command is
# also a function; here `rftkit.evaluate`.

# %%
direct = rftkit.evaluate(run, style="direct", limit=20 if QUICK else 200)
for name, side in (("base", direct.base), ("fine-tuned", direct.tuned)):
    low, high = side.accuracy.low, side.accuracy.high
    print(f"{name}: {side.accuracy.value:.1%}, 95 % interval {low:.1%} to {high:.1%}")

# %% [markdown]
# ## Images of your own
#
# Name any image files here. These ten are from the images that were kept for testing.

# %%
folder = nb.save_images("digits", "digits", each=1, split="test")
nb.predictions(OUT, sorted(folder.glob("*/1.png")))

# %% [markdown]
# ## Next
#
# - `your_own_images`: your classes, a real model, a free T4
# - `aircraft_think_or_direct`: does thinking help where classes are hard to tell apart?
# - `rftkit recipes` lists more to try on any machine; `rftkit demo` puts both models side by side
#   in a browser, on a machine of your own
