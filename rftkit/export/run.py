"""The steps of an export: merge, convert, prove, publish."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console

from rftkit import files
from rftkit.answers.replies import prefill, thinks
from rftkit.core import Example
from rftkit.export import card, copied, modelfile
from rftkit.export.bounds import bounds_for
from rftkit.export.held_out import asked_of, held_out, prompt_shown
from rftkit.export.llama_cpp import convert, support
from rftkit.export.markup import markup_of
from rftkit.export.proof import PROOF, Proof, prove
from rftkit.export.publish import ProofError, check_free, failed_folder, in_place_of
from rftkit.export.readme import write_readme
from rftkit.export.request import IN_GGUF, ExportRequest, folder_of
from rftkit.export.sides import LONGEST, same_replies, side_of_gguf, side_of_merged, stops_of
from rftkit.export.space import check_space
from rftkit.models import out_of_memory
from rftkit.models.hub import require_model
from rftkit.runs.adapter import Checkpoint, aliases_of, find, labels_of
from rftkit.tasks import get_task

if TYPE_CHECKING:
    from rftkit.export.weights import Merged

IMAGES = 8  # of one prompt, where no held-out example says how many there are
MERGED = "merged"  # in the folder of a GGUF export while it is made


@dataclass(frozen=True)
class Job:
    """One export: of which checkpoint, from which base, to which place.

    examples: held-out ones that prove it; none without a proof.
    """

    ckpt: Checkpoint
    request: ExportRequest
    base: Path
    config: Mapping[str, Any]
    out: Path
    examples: Sequence[Example]
    console: Console

    @property
    def architecture(self) -> str:
        """transformers' name of it."""
        return str(self.config["model_type"])

    @property
    def converted(self) -> bool:
        """Whether it ends as GGUF files."""
        return self.request.kind in IN_GGUF

    def say(self, line: str) -> None:
        """Print a line of progress."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


class Made(NamedTuple):
    """What was written, where the merged weights lie, and what each file is."""

    merged: Path
    weights: Merged
    files: Mapping[str, str]
    copied: Mapping[str, str]
    gguf: convert.GgufFiles | None = None


def export(location: Path, request: ExportRequest, console: Console) -> Path:
    """Export what `--ckpt` would name; the folder. Its proof is printed, and lies in it.

    Raises UserError before anything is written where something is missing, ProofError where the
    export does not answer as its adapter: it is then in a folder beside, marked.
    """
    job = _prepared(location, request, console)
    with in_place_of(job.out, request.force) as folder:
        with out_of_memory.named("merging", "close other programs"):
            made = _made(job, folder)
        fewer = "close other programs, a smaller --images, --no-proof"
        with out_of_memory.named("comparing it with the adapter", fewer):
            proof = _proved(job, made) if job.examples else None
        _described(job, folder, made, proof)
        if proof and not proof.passed:
            raise ProofError(
                f"--to {request.kind}: {'; '.join(proof.faults)}: not exported; it lies in "
                f"{failed_folder(job.out)}, with {PROOF}; what to try: docs/troubleshooting.md"
            )
    if proof is None:
        job.say("nothing was proved: --no-proof; nobody has compared it with the adapter")
    return job.out


def _prepared(location: Path, request: ExportRequest, console: Console) -> Job:
    """Everything that can be refused is refused here, before anything is written."""
    ckpt = find(location)
    out, recipe = folder_of(ckpt, request), ckpt.recipe
    check_free(out, request.force)
    convert.check_tools(request)
    require_model(recipe.model)
    from rftkit.export.weights import base_folder
    from rftkit.models import loading

    base = base_folder(loading.resolve(recipe.model.name))
    config = copied.config_of(base)
    support.check_supported(request, str(config["model_type"]), recipe.model.name)
    room = check_space(base, out, request)
    examples = held_out(recipe, request.images) if request.images else ()
    job = Job(ckpt, request, base, config, out, examples, console)
    for line in (ckpt.note, room, *_notes(job)):
        if line:
            job.say(line)
    return job


def _notes(job: Job) -> list[str]:
    """What a person should know of this export."""
    if not job.converted:
        return []
    notes = [support.support_of(job.architecture).note]
    if known := support.tokenizer_of(job.ckpt.recipe.model.name):
        whole = " and ".join(repr(word) for word in known.words)
        notes.append(
            f"the tokenizer of {job.ckpt.recipe.model.name!r} is rftkit's own, which llama.cpp "
            f"does not know: it is exported as {known.pre!r} with {whole} as words of their own, "
            "which splits prompts like those of training alike, other texts nearly"
        )
    return [f"note: {line}" for line in notes if line]


def _made(job: Job, folder: Path) -> Made:
    """Write weights and what lies beside them, and convert."""
    from rftkit.export.weights import merge

    merged = folder / MERGED if job.converted else folder
    merged.mkdir(exist_ok=True)
    weights = merge(job.base, job.ckpt.adapter, merged)
    hashes = copied.copy_beside(job.base, merged)
    job.say(weights.words())
    if not job.converted:
        names = sorted(path.name for path in merged.glob("*.safetensors"))
        return Made(merged, weights, dict.fromkeys(names, "merged weights"), hashes)
    known = support.tokenizer_of(job.ckpt.recipe.model.name)
    made = convert.convert(merged, folder, job.request, known)
    names_of = {made.text.name: "language model", made.mmproj.name: "image encoder"}
    return Made(merged, weights, names_of, hashes, made)


def _proved(job: Job, made: Made) -> Proof:
    """Let the export answer, then the adapter, one model in memory at a time."""
    import torch

    from rftkit.export.answers import InTransformers
    from rftkit.models import loading
    from rftkit.models.transformers import open_transformers

    copied.check_copies(job.base, made.merged)
    job.say(f"comparing with the adapter on {len(job.examples)} held-out prompts…")
    recipe = job.ckpt.recipe
    asked = asked_of(recipe, job.examples, fitted=job.converted)
    settings = recipe.model.model_copy(update={"load_in_4bit": False})
    if made.gguf:
        as_sent = asked_of(recipe, job.examples, fitted=False).prompts
        side = side_of_gguf(made.gguf, made.merged, settings, asked, as_sent)
    else:
        side = side_of_merged(made.merged, settings, asked)
    out_of_memory.free_memory()
    half = loading.dtype_here() != torch.float32
    bounds = bounds_for(job.request, job.architecture, made.weights.dtype, half=half)
    proof = prove(
        side, InTransformers(open_transformers(settings, job.ckpt.adapter)), asked, bounds
    )
    out_of_memory.free_memory()
    if recipe.model.load_in_4bit:
        quantised = InTransformers(open_transformers(recipe.model, job.ckpt.adapter))
        proof = replace(proof, as_trained=same_replies(side, quantised, asked))
    for line in proof.lines(job.request.kind):
        job.say(line)
    return proof


def _described(job: Job, folder: Path, made: Made, proof: Proof | None) -> None:
    """Write what lies beside the weights: how they are served, proof, card and README."""
    from rftkit.models import loading
    from rftkit.models.processing.template import undecided

    ckpt, kind = job.ckpt, job.request.kind
    written = dict(made.files)
    source = loading.Source(str(made.merged), None)
    processor = loading.load_processor_of(source, ckpt.recipe.model)
    template = undecided(processor, thinks(ckpt.recipe.style))
    if kind in ("ollama", "vllm"):
        written |= _served(job, folder, made, processor)
    if made.gguf:
        shutil.rmtree(made.merged)
    if proof:
        text = json.dumps(proof.record(kind), ensure_ascii=False, indent=1) + "\n"
        files.write_atomically(folder / PROOF, text)
    if job.examples:
        prompt = get_task(ckpt.recipe.task).prompt(job.examples[0], ckpt.recipe.style)
    else:
        prompt = prompt_shown(ckpt.recipe)
    described = card.ExportCard(
        kind=kind,
        recipe=ckpt.recipe,
        labels=labels_of(ckpt),
        aliases=aliases_of(ckpt),
        prompt=prompt,
        prefill=prefill(ckpt.recipe.style),
        template=template,
        files=written,
        proved=proof.passed if proof else None,
    )
    card.write_card(folder, described, made.copied)
    write_readme(folder, _name(job), described, proof)


def _served(job: Job, folder: Path, made: Made, processor: Any) -> dict[str, str]:
    """Write what a server is started with; the files, and what each is."""
    from rftkit.models import loading
    from rftkit.models.processing.template import undecided

    model, recipe = loading.Source(str(made.merged), None), job.ckpt.recipe
    thinking = thinks(recipe.style)
    serving = modelfile.Serving(
        name=_name(job),
        context=min(LONGEST, loading.longest(model)),
        reply=recipe.method.max_new_tokens,
        stops=stops_of(made.merged, processor),
        images=max((len(example.images) for example in job.examples), default=IMAGES),
        template=undecided(processor, thinking),
    )
    if made.gguf:
        text = modelfile.modelfile(made.gguf, markup_of(processor, thinking), serving)
        files.write_atomically(folder / modelfile.MODELFILE, text)
        return {modelfile.MODELFILE: "what `ollama create` reads"}
    text = modelfile.serve_script(processor, serving, made.weights.dtype)
    files.write_atomically(folder / modelfile.SERVE, text)
    written = {modelfile.SERVE: "starts vLLM with this folder"}
    if any(serving.template.values()):
        files.write_atomically(folder / modelfile.THINKING, processor.chat_template)
        written[modelfile.THINKING] = "chat template for vLLM, as in training"
    return written


def _name(job: Job) -> str:
    """What servers call it: the run, or the folder of the adapter."""
    home = job.ckpt.run.folder if job.ckpt.run else job.ckpt.adapter
    return home.resolve().name
