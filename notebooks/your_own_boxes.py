# ---
# jupyter:
#   accelerator: GPU
#   colab:
#     gpuType: T4
#     provenance: []
#   extras: unsloth
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own boxes: few-shot detection, on a free T4
#
# @BADGE@
#
# You bring images with boxes: COCO json, YOLO with its `data.yaml`, or Pascal VOC, in a folder or a
# zip. A few dozen images are a start. No token is needed.
#
# **Needs** a GPU: *Runtime → Change runtime type → T4 GPU*. A T4 computes in fp16, which is
# seen to by itself. **Memory** is estimated below, before anything is downloaded. **Time** is
# measured below on your machine, in two steps.

# %% tags=["setup"]

# %% [markdown]
# ## Settings
#
# Set `UPLOAD` to choose a zip on your computer, or write the name of one that is here already. With
# neither, handwritten digits on paper stand in for your images. `KEEP_ON_DRIVE` keeps recipe and
# run on your Google Drive, so that they survive the session; put the zip there, too.

# %%
UPLOAD = False  # True asks for a zip
IMAGES = ""  # such as "/content/pets.zip", or a folder
STYLE = "direct"  # or "think": slower, and you can read why
ASK = "category"  # one prompt for each category, or "picture": one for all
MODEL = "Qwen/Qwen2-VL-2B-Instruct"
STEPS = 100
KEEP_ON_DRIVE = False

# %%
import os
import shutil
from pathlib import Path

from rftkit import notebook as nb

QUICK = os.environ.get("RFTKIT_NOTEBOOK_TINY") == "1"  # a test of this notebook, not a result
if QUICK:
    MODEL, STEPS = "tiny-scenes", 3
else:
    nb.require_gpu("T4")
if KEEP_ON_DRIVE:
    from google.colab import drive

    drive.mount("/content/drive")
    work = Path("/content/drive/MyDrive/rftkit")
    work.mkdir(exist_ok=True)
    os.chdir(work)
if UPLOAD and not IMAGES:
    IMAGES = nb.upload()
CHANGES = [f"model.name={MODEL}", f"style={STYLE}", f"method.steps={STEPS}"]
CHANGES += [f"options.ask={ASK}"]
CHANGES += ["method.batch_size=2", "eval.limit=20"] if QUICK else []
SETTINGS = [word for change in CHANGES for word in ("--set", change)]

# %% [markdown]
# ## Look at the images
#
# `init` looks at the folder and writes a recipe. Open it in the file browser: it is short, and
# every line is explained. `check` opens all images and says what rounding costs the boxes, which
# are too small to see, and whether the longest answer fits.

# %%
folder = nb.image_folder(IMAGES) if IMAGES else nb.save_boxes("scenes", 8 if QUICK else 40)
RECIPE = Path(f"{Path(IMAGES or folder).stem}.toml")
if not RECIPE.exists():
    nb.run("rftkit init", folder, "--out", RECIPE)
nb.run("rftkit check", RECIPE, *SETTINGS)

# %%
nb.examples(RECIPE, *CHANGES)

# %% [markdown]
# ## Will it fit?
#
# An estimate, computed from the sizes of the model and the settings above. It downloads nothing.

# %%
nb.run("rftkit plan", RECIPE, "--gpu", "t4", *SETTINGS)

# %% [markdown]
# ## How long will it take?
#
# Two steps, measured: the seconds of a step, times the steps that you set.

# %%
nb.run("rftkit bench", RECIPE, "--steps", 1 if QUICK else 2, "--only", "shared", *SETTINGS)

# %% [markdown]
# ## Train, and continue when the session died
#
# A checkpoint is saved every few steps. **Did the session die?** Connect again and run every cell
# from the top: this one continues from the newest checkpoint, or with the test if only that was
# missing. Colab throws the whole machine away, so this needs `KEEP_ON_DRIVE`; after a mere restart
# of the kernel it continues without. To train anew, give `OUT` another name.

# %% tags=["train"]
OUT = Path("out") / RECIPE.stem
nb.train(RECIPE, OUT, "--save-every", "2" if QUICK else "10", *SETTINGS)

# %% [markdown]
# ## Did it get better?

# %%
nb.page(OUT)

# %% [markdown]
# ## Ask it about new images
#
# Put names of files here. These are from your folder, and some of them were trained on. `found`
# gets a table with a row for each box, and the images with the boxes drawn.

# %%
from IPython.display import Image, display

shutil.rmtree("found", ignore_errors=True)
nb.run("rftkit predict", *nb.image_files(folder, 4), "--ckpt", nb.newest(OUT), "--out", "found")
for path in sorted(Path("found/images").iterdir()):
    display(Image(path))

# %% [markdown]
# ## Take it with you
#
# What was learnt is a small adapter for a model that everybody can download. It is plain PEFT, and
# rftkit takes it, too: `rftkit predict photo.jpg --ckpt adapter`.

# %%
nb.download(shutil.make_archive(f"{RECIPE.stem}_adapter", "zip", nb.newest(OUT) / "adapter"))
nb.download(nb.newest(OUT) / "report.html")
