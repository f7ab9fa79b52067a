"""What a compose file or a Kubernetes manifest says of one container, in one form for both.

Decides only how things are named; reading files is `serving_audit_files`', judging them
`serving_audit`'s. Every value keeps the line on which it is written.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_ENGINE_OPTIONS = frozenset(
    {"--model", "--served-model-name", "--max-model-len", "--gpu-memory-utilization"}
)


@dataclass(frozen=True, slots=True)
class Word:
    """A value as it is written, and on which line (from 1)."""

    text: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPort:
    """A port that is reachable from outside the container's own network, and on which address."""

    address: str
    words: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container and the settings that the rules look at.

    None means that a file does not say. `image` is without a value where only a variable names it.
    `secret_words` are environment variables whose values stand in the file itself. `sockets` are
    mounts of the container engine's own socket; `writable_models` mounts of a model that the
    container may write.
    """

    name: str
    line: int
    image: Word | None
    arguments: tuple[Word, ...] = ()
    environment: Mapping[str, Word] = field(default_factory=dict)
    secret_words: Mapping[str, Word] = field(default_factory=dict)
    ports: tuple[PublishedPort, ...] = ()
    host_namespaces: tuple[Word, ...] = ()
    network: Word | None = None
    privileged: Word | None = None
    user: Word | None = None
    read_only: Word | None = None
    dropped: tuple[Word, ...] = ()
    added: tuple[Word, ...] = ()
    no_new_privileges: Word | None = None
    unconfined: Word | None = None
    memory: Word | None = None
    pids: Word | None = None
    limits_pids: bool = True
    mounts_token: Word | None = None
    may_mount_token: bool = False
    sockets: tuple[Word, ...] = ()
    writable_models: tuple[Word, ...] = ()

    @property
    def is_engine(self) -> bool:
        """Whether this container runs vLLM, by its image or by how it is started."""
        named = self.image is not None and "vllm" in self.image.text.lower()
        return named or any(
            "vllm" in word.text.lower() or word.text.split("=")[0] in _ENGINE_OPTIONS
            for word in self.arguments
        )

    def options(self, *names: str) -> Iterator[tuple[Word, str]]:
        """Yields each engine option of one of these names with its value ('' without one)."""
        for number, word in enumerate(self.arguments):
            name, equals, value = word.text.partition("=")
            if name.replace("_", "-") in names:
                following = self.arguments[number + 1 : number + 2]
                if not equals and following and not following[0].text.startswith("-"):
                    value = following[0].text
                yield word, value
