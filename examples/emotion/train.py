"""Train a small Qwen2 from scratch to answer a case with its label.

Decides the loss and the optimiser. The model is an ordinary `Qwen2ForCausalLM`: nothing here is
needed to serve it. The same rows, recipe and seed give the same weights on the same kind of
machine.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from recipe import Architecture, Schedule
from vocabulary import END, prompt

# One thread: sums are added in one order, and on a busy machine two threads wait for each other
# most of the time (measured: 0.35 s of processor time a step instead of 0.045).
THREADS = 1
_EMBEDDING_STD = 0.1
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One training row as token ids: the rendered prompt, and the label's token."""

    prompt_ids: tuple[int, ...]
    label_id: int
    language: str


def make_deterministic(seed: int) -> None:
    """Fix threads, seeds and algorithms of this process: the sums must be added in one order."""
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)


def encode(
    rows: Sequence[dict[str, str]], tokenizer: PreTrainedTokenizerFast, max_tokens: int = 128
) -> list[Example]:
    """Render and tokenise `rows` (`text`, `label`, `lang`) exactly as the server will."""
    prompts = tokenizer([prompt(tokenizer, row["text"]) for row in rows], add_special_tokens=False)
    return [
        Example(
            prompt_ids=tuple(ids if len(ids) <= max_tokens else ids[: max_tokens - 2] + ids[-2:]),
            label_id=tokenizer.convert_tokens_to_ids(row["label"]),
            language=row["lang"],
        )
        for row, ids in zip(rows, prompts["input_ids"], strict=True)
    ]


def new_model(
    architecture: Architecture, tokenizer: PreTrainedTokenizerFast, seed: int
) -> Qwen2ForCausalLM:
    """Return an untrained model whose embedding also reads the answer out.

    It starts as a bag of words: with near-zero queries and keys the last token attends to all
    others alike, and with values and outputs near the identity it adds up their embeddings. From a
    random start a model this small needs hundreds of steps to find that out, and on few data it
    learns whole texts by heart first.
    """
    make_deterministic(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        use_sliding_window=False,
        **architecture.model_dump(),
    )
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(_EMBEDDING_STD / config.initializer_range)
        for layer in model.model.layers:
            attention = layer.self_attn
            attention.q_proj.weight.mul_(0.1)
            attention.k_proj.weight.mul_(0.1)
            for projection in (attention.v_proj, attention.o_proj):
                projection.weight.add_(torch.eye(*projection.weight.shape))
    return model


class _Batches:
    """An endless, seeded stream of batches; within a batch the lengths are alike."""

    def __init__(self, examples: Sequence[Example], batch_size: int, seed: int) -> None:
        self._lengths = np.array([len(example.prompt_ids) for example in examples])
        self._batch_size = batch_size
        self._rng = np.random.default_rng(seed)
        self._queue: list[np.ndarray] = []

    def next(self) -> np.ndarray:
        if not self._queue:
            # Sorting by length with some jitter saves padding and still mixes the batches.
            jitter = self._rng.uniform(0, 4, size=len(self._lengths))
            order = np.argsort(self._lengths + jitter, kind="stable")
            cuts = np.arange(self._batch_size, len(order), self._batch_size)
            batches = np.split(order, cuts)
            self._rng.shuffle(batches)
            self._queue = batches
        return self._queue.pop()


def _forward(
    model: Qwen2ForCausalLM, ids: torch.Tensor, last: torch.Tensor, dropout: float
) -> torch.Tensor:
    """Return logits [rows, 2, vocabulary] at the prompt's last token and at the answer's."""
    embedded = functional.dropout(model.model.embed_tokens(ids), dropout, model.training)
    # Padding stands on the right and attention looks to the left only: no mask is needed.
    hidden = model.model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    rows = torch.arange(ids.shape[0])
    picked = torch.stack([hidden[rows, last], hidden[rows, last + 1]], dim=1)
    return model.lm_head(functional.dropout(picked, dropout, model.training))


def train(
    model: Qwen2ForCausalLM,
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerFast,
    schedule: Schedule,
    seed: int,
    say: Progress,
) -> None:
    """Train `model` in place on `examples`; at the end it holds the moving average of its weights.

    Args:
        model: The model, new or trained before.
        examples: What to learn, in any order.
        tokenizer: The model's tokenizer.
        schedule: Steps, rates and noise.
        seed: Decides batches and dropout.
        say: Called with a line of progress about every tenth of the way.
    """
    make_deterministic(seed)
    batches = _Batches(examples, schedule.batch_size, seed)
    end_id = tokenizer.convert_tokens_to_ids(END)
    label_ids = torch.tensor(sorted({example.label_id for example in examples}))
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": schedule.weight_decay},
         {"params": others, "weight_decay": 0.0}],
        lr=schedule.learning_rate, betas=(0.9, 0.98), fused=True,
    )  # fmt: skip
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(schedule.average_decay)
    )
    model.train()
    started = time.monotonic()
    for step in range(schedule.steps):
        batch = [examples[i] for i in batches.next()]
        ids, last, targets = _tensors(batch, tokenizer.pad_token_id, end_id)
        ids = _drop_tokens(ids, last, tokenizer.pad_token_id, schedule.token_dropout)
        logits = _forward(model, ids, last, schedule.dropout)
        loss = _loss(logits, targets, label_ids, schedule.label_smoothing)
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * _rate(step, schedule.steps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update_parameters(model)
        if (step + 1) % max(1, schedule.steps // 10) == 0:
            seconds = time.monotonic() - started
            say(f"step {step + 1}/{schedule.steps}, loss {loss.item():.3f}, {seconds:.0f} s")
    model.load_state_dict(average.module.state_dict())
    model.eval()


def _loss(
    logits: torch.Tensor, targets: torch.Tensor, label_ids: torch.Tensor, smoothing: float
) -> torch.Tensor:
    """Return the cross-entropy of label and end, the label smoothed over the labels alone.

    Smoothing over the whole vocabulary would teach the model to say other words now and then.
    """
    logs = logits.log_softmax(dim=-1)
    said = logs.gather(2, targets[:, :, None])[:, :, 0]
    smooth = logs[:, 0, label_ids].mean(dim=1)
    return -((1 - smoothing) * said[:, 0] + smoothing * smooth + said[:, 1]).mean() / 2


def _tensors(
    batch: Sequence[Example], pad_id: int, end_id: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ids [rows, longest + 1], each prompt's last place, and the two targets."""
    longest = max(len(example.prompt_ids) for example in batch)
    ids = torch.full((len(batch), longest + 1), pad_id)
    for row, example in enumerate(batch):
        ids[row, : len(example.prompt_ids)] = torch.tensor(example.prompt_ids)
        ids[row, len(example.prompt_ids)] = example.label_id
    last = torch.tensor([len(example.prompt_ids) - 1 for example in batch])
    targets = torch.tensor([[example.label_id, end_id] for example in batch])
    return ids, last, targets


def _drop_tokens(
    ids: torch.Tensor, last: torch.Tensor, blank_id: int, share: float
) -> torch.Tensor:
    """Blank a share of the text's tokens: no single word may decide alone."""
    places = torch.arange(ids.shape[1])[None, :]
    # The first token and the last two belong to the template.
    inside = (places > 0) & (places < last[:, None] - 1)
    return torch.where(inside & (torch.rand(ids.shape) < share), blank_id, ids)


def _rate(step: int, steps: int) -> float:
    """Return the learning rate's share of its peak: a short warm-up, then a cosine to nothing."""
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


@torch.inference_mode()
def predict(
    model: Qwen2ForCausalLM,
    examples: Sequence[Example],
    label_ids: Sequence[int],
    end_id: int,
    batch_size: int = 256,
) -> tuple[np.ndarray, int]:
    """Answer `examples` as constrained decoding would.

    Returns:
        The index into `label_ids` for each example, and for how many examples free decoding would
        not have said a label followed by the end of the answer.
    """
    make_deterministic(0)
    answers = np.empty(len(examples), dtype=np.int64)
    strayed = 0
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].prompt_ids))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        ids, last, _ = _tensors([examples[i] for i in rows], end_id, end_id)
        logits = _forward(model, ids, last, 0.0)
        chosen = logits[:, 0, list(label_ids)].argmax(dim=1)
        answers[rows] = chosen.numpy()
        free = logits[:, 0].argmax(dim=1)
        # The model saw the true label as its answer; what follows a label is the end, whichever it
        # was.
        ends = logits[:, 1].argmax(dim=1) == end_id
        strayed += int((~torch.isin(free, torch.tensor(list(label_ids))) | ~ends).sum())
    return answers, strayed
