"""Shell text taken apart into simple commands, and `assay` commands held against the real CLI.

What it understands is what documentation and CI files hold: lists, pipes, redirections, loops and
assignments. Here-documents are skipped.
"""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from assay.cli import app

_BREAKS = {"&&", "||", ";", ";;", "|", "&", "(", ")", "|&"}
_KEYWORDS = {"do", "then", "else", "if", "while", "!", "time", "exec", "{", "}"}
_NOTHING = {"done", "fi", "for", "export", "set", "code", "cd", "umask", "in"}
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_HEREDOC = re.compile(r"<<-?\s*'?(\w+)'?[^\n]*\n.*?^\s*\1$", re.MULTILINE | re.DOTALL)


def logical_lines(script: str) -> Iterator[str]:
    """Yields the lines of a script, continued ones joined, comments and prompts left out."""
    joined = re.sub(r"\\\n\s*", " ", _HEREDOC.sub("", script))
    for line in joined.splitlines():
        text = line.strip().removeprefix("$ ")
        if text and not text.startswith("#"):
            yield text


def simple_commands(line: str) -> Iterator[list[str]]:
    """Yields the commands of one line as lists of words, without redirections and assignments."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    skip = False
    for token in [*lexer, ";"]:
        if skip:
            skip = False
        elif token in _BREAKS:
            if (command := _stripped(words)) and command[0] not in _NOTHING:
                yield command
            words = []
        elif set(token) <= set("<>&") or token in (">", ">>", "<"):
            if words and words[-1].isdigit():
                words.pop()  # the number of the stream
            skip = True
        else:
            words.append(token)


def _stripped(words: list[str]) -> list[str]:
    while words and (words[0] in _KEYWORDS or _ASSIGNMENT.match(words[0])):
        words = words[1:]
    return words


def check_assay(words: list[str]) -> None:
    """Parses an `assay` command as the real one would; nothing is run.

    Args:
        words: the command without `assay` itself.

    Raises:
        AssertionError: the command, an option, a choice or the number of arguments is wrong.
    """
    command, rest = get_command(app), list(words)
    if not rest or rest[0] in ("--version", "--help", "-h", "--install-completion"):
        return
    while commands := getattr(command, "commands", None):
        rest = _after_options(command, rest)
        assert rest, f"assay {shlex.join(words)}: a command of {command.name!r} is missing"
        assert rest[0] in commands, f"assay {shlex.join(words)}: there is no {rest[0]!r}"
        command, rest = commands[rest[0]], rest[1:]
    if {"-h", "--help"} & set(rest):
        return
    try:
        command.make_context(command.name or "", rest)
    except typer.TyperException as error:
        if error.format_message().endswith("does not exist."):
            return  # a file of whoever runs it
        raise AssertionError(f"assay {shlex.join(words)}: {error.format_message()}") from None


def _after_options(group: Any, words: list[str]) -> list[str]:
    """Returns the words after the options of a group itself, which stand before its command."""
    options = {name: one for one in group.params for name in one.opts}
    while words and words[0] in options:
        words = words[1 if options[words[0]].is_flag or "=" in words[0] else 2 :]
    return words
