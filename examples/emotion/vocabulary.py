"""The tokenizer and the chat template of the demonstration models.

A byte-level BPE that splits text exactly as Qwen2's does (whoever loads a Qwen2 model gets Qwen2's
splitting, whatever its tokenizer file says), learnt from the training text alone. Two things are
its own: every label is a single token, so that an answer is one token and an end; and the chat
template lower-cases what users write, because so small a model has no data to learn that "SO HAPPY"
and "so happy" are alike.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

END_OF_TEXT = "<|endoftext|>"
END = "<|end|>"
ROLES = ("user", "assistant")

# The system line is left out on purpose: a model that has learnt one task from scratch cannot
# follow an instruction, and a prompt without it is half as long. The space before the content gives
# a text's first word the same token as the same word elsewhere. Roles are branched on, content
# never.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}"
    "{{- '<|user|> ' + message['content'] | lower + '<|end|>' -}}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{- '<|assistant|>' + message['content'] + '<|end|>' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def learn_tokenizer(
    texts: Iterable[str], labels: Sequence[str], vocab_size: int, min_frequency: int
) -> PreTrainedTokenizerFast:
    """Learn a tokenizer from `texts` in which each of `labels` is one token.

    Args:
        texts: The training texts, in a fixed order (the result depends on it).
        labels: The words the model answers with.
        vocab_size: Size of the vocabulary, special tokens included.
        min_frequency: Pairs seen less often are not merged.

    Raises:
        ValueError: A label did not become a single token.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = (END_OF_TEXT, END, *(f"<|{role}|>" for role in ROLES))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[AddedToken(token, special=True) for token in special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # A label is the first word of the answer, so it has no space before it; texts mostly hold it
    # with one.
    words = [word for word in labels for _ in range(1000)]
    tokenizer.train_from_iterator([*(f" {text.lower()}" for text in texts), *words], trainer)
    for word in labels:
        pieces = tokenizer.encode(word).tokens
        if pieces != [word]:
            raise ValueError(f"label {word!r} became {pieces!r}; expected one token")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END_OF_TEXT,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )


def prompt(tokenizer: PreTrainedTokenizerFast, text: str) -> str:
    """Render what the model sees of a case whose text is `text`, up to where its answer starts."""
    rendered: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
    )
    return rendered


def check_as_served(folder: Path, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> None:
    """Compare the tokens that a server will see with those the model was trained on.

    Args:
        folder: A written checkpoint, loaded the way a server loads it.
        tokenizer: What the model was trained with.
        texts: Some texts of every kind.

    Raises:
        ValueError: The two disagree about a prompt, so the model would be served another language
            than it learnt.
    """
    served = AutoTokenizer.from_pretrained(folder)
    prompts = [prompt(tokenizer, text) for text in texts]
    if prompts != [prompt(served, text) for text in texts]:
        raise ValueError(f"{folder}: the chat template renders otherwise once it is loaded again")
    learnt = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    seen = served(prompts, add_special_tokens=False)["input_ids"]
    different = sum(one != other for one, other in zip(learnt, seen, strict=True))
    if different:
        raise ValueError(
            f"{folder}: {different} of {len(texts)} prompts have other tokens once the tokenizer "
            "is loaded again; its splitting must be Qwen2's own"
        )
