"""The tokenizer and the chat template of the demonstration models.

A byte-level BPE in the manner of Qwen's, learnt from the training text alone. Two things are its
own: text is compatibility-normalised and lower-cased, because so small a model has no data to learn
that "SO HAPPY" and "so happy" are alike; and every label is a single token, so that an answer is
one token and an end.
"""

from collections.abc import Iterable, Sequence

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
from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
END = "<|end|>"
ROLES = ("user", "assistant")

# The system line is left out on purpose: a model that has learnt one task from scratch cannot
# follow an instruction, and a prompt without it is half as long. The space before the content gives
# a text's first word the same token as the same word elsewhere. Roles are branched on, content
# never.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}{{- '<|user|> ' + message['content'] + '<|end|>' -}}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{- '<|assistant|>' + message['content'] + '<|end|>' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)

# A word with the space before it; numbers digit by digit and other signs one by one, so that an
# emoji is told apart from the emoji beside it.
_SPLIT = r" ?[\p{L}\p{M}]+(?:'\p{L}+)?|\p{N}|[^\s\p{L}\p{N}]|\s+"


def _normalizer() -> normalizers.Sequence:
    return normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace("’", "'"),
            normalizers.Replace(Regex(r"\s+"), " "),
        ]
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
    tokenizer.normalizer = _normalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
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
    tokenizer.train_from_iterator([*(f" {text}" for text in texts), *words], trainer)
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
