# ---
# jupyter:
#   colab:
#     provenance: []
#   always: gguf
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Export: a fine-tuned model for other programs
#
# @BADGE@
#
# A run holds a small adapter. Here it becomes files that others load: merged weights for
# transformers and vLLM, GGUF for llama.cpp and Ollama. Each export answers held-out images before
# it is published, and one that does not answer as the adapter does is refused.
#
# **Needs** any machine: no GPU, no token. **Takes** under three minutes on 2 cores with the tiny
# model, measured without the installation. A model of 2 billion parameters needs its weights in
# 16 bit on the disk, twice while a GGUF is made; each export prints what it needs and what is free.

# %% tags=["setup"]

# %% [markdown]
# ## Settings
#
# Name a run of your own, or leave `RUN` empty: then a tiny model learns to read handwriting first.

# %%
RUN = ""  # such as "out/pets", or "/content/drive/MyDrive/rftkit/out/pets"
IMAGES = 8  # held-out prompts that prove an export
ACCOUNT = "ACCOUNT"  # yours on the hub, for the rehearsal at the end

# %%
import json
import os
import tomllib
from importlib.util import find_spec
from pathlib import Path

from rftkit import notebook as nb

QUICK = os.environ.get("RFTKIT_NOTEBOOK_TINY") == "1"  # a test of this notebook, not a result
FEW = "--set method.steps=2 --set method.batch_size=2 --set eval.limit=4"
SETTINGS = FEW.split() if QUICK else []
IMAGES = 1 if QUICK else IMAGES
if not RUN:
    RUN = "out/digits"
    nb.train("tiny_direct", RUN, *SETTINGS)
RUN = nb.newest(RUN)

# %% [markdown]
# ## Merged weights
#
# The adapter is merged into the base's 16-bit weights, and the result is loaded by transformers,
# from its folder alone. It answers held-out images, and so does the adapter on its base.

# %%
MERGED = Path("exported/merged")
nb.run("rftkit export", RUN, "--to", "merged", "--out", MERGED, "--images", IMAGES, "--force")

# %% [markdown]
# ## GGUF
#
# Two files: the language model and the image encoder. Here llama.cpp itself answers, through the
# same files that you take away. `--outtype q8_0` makes the first half as large.

# %%
GGUF = Path("exported/gguf")
nb.run("rftkit export", RUN, "--to", "gguf", "--out", GGUF, "--images", IMAGES, "--force")

# %% [markdown]
# ## The proof
#
# How far the log-probabilities of an export are from the adapter's, and how far they may be; beside
# that the base model's distance. Where the base is within the bound too, training has changed too
# little for a proof to see it. `proof.json` of each export has it image by image.

# %%
nb.proofs(MERGED, GGUF)

# %% [markdown]
# ## Ask it without rftkit
#
# Plain transformers, no adapter. The program stands in the export's `README.md` too, with its
# prompt. `AutoProcessor` needs torchvision; where there is none, rftkit's own takes its place.

# %%
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

card = json.loads((MERGED / "rftkit_export.json").read_text("utf-8"))
recipe = tomllib.loads(card["recipe"])
photo = RUN / "example.png"  # a held-out image that training kept; name another file here
if find_spec("torchvision"):
    processor = AutoProcessor.from_pretrained(MERGED)
else:
    from rftkit.models.processing.load import load_processor

    processor = load_processor(str(MERGED))
model = AutoModelForImageTextToText.from_pretrained(MERGED, device_map="auto").eval()

switch = card["template"]  # of models that can think, as in training; else {}
content = [{"type": "image"}, {"type": "text", "text": card["prompt"]}]
text = processor.apply_chat_template(
    [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False, **switch
)
if switch.get("enable_thinking"):
    text = text.removesuffix("<think>\n")  # the reply itself begins with it
image = Image.open(photo).convert("RGB")
shrink = min(1.0, (recipe["model"]["max_pixels"] / (image.width * image.height)) ** 0.5)
image = image.resize((round(image.width * shrink), round(image.height * shrink)))
inputs = processor(text=[text + card["prefill"]], images=[image], return_tensors="pt")
inputs = inputs.to(model.device)
most = recipe["method"]["max_new_tokens"]
made = model.generate(**inputs, max_new_tokens=most, do_sample=False)
written = made[0, inputs["input_ids"].shape[1] :]
reply = card["prefill"] + processor.tokenizer.decode(written, skip_special_tokens=True)
print("the merged weights reply:", reply)

# %% [markdown]
# ## Ollama and vLLM
#
# Both take the same weights, with a file that says how the model was trained: chat template, where
# a reply stops, how long prompts and images may be. On a machine that has them:
#
# ```text
# rftkit export out/digits --to ollama               # the GGUF files and a Modelfile
# cd out/digits/export/ollama
# ollama create digits -f Modelfile
# ollama run digits "THE PROMPT OF README.md ./photo.png"
#
# rftkit export out/digits --to vllm                 # merged weights and serve.sh
# sh out/digits/export/vllm/serve.sh --port 8000     # OpenAI's API at /v1/chat/completions
# ```
#
# Ask both with temperature 0 and the prompt that stands in the export's `README.md`: the model was
# trained on it. What was proved are the weights; vLLM and Ollama are not run by `rftkit export`.

# %% [markdown]
# ## Push, as a rehearsal
#
# What would go to the hub, private, and which files stay: no image travels. This uploads nothing
# and needs no account; without `--dry-run` it does. Without `--export` it is the small adapter.

# %%
nb.run("rftkit push", RUN, f"{ACCOUNT}/digits", "--export", MERGED, "--dry-run")

# %% [markdown]
# ## Take it with you
#
# The files of `exported/` are all that another machine needs.

# %%
for file in sorted([*MERGED.iterdir(), *GGUF.iterdir()]):
    print(f"{file.stat().st_size:>12,} bytes  {file}")
