"""`kdtheory completion`: a shell's completion of commands and their options."""

import ast
import contextlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

import tyro


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Print a script by which a shell completes commands and options at the tab key.

    For bash:

    kdtheory completion bash > ~/.local/share/bash-completion/completions/kdtheory

    For zsh, with a FOLDER of its $fpath:

    kdtheory completion zsh > FOLDER/_kdtheory

    Shells that start afterwards have it. Write it again after an upgrade. Values are completed too,
    also the names of arms, and with --import those that a file registers.
    """

    shell: tyro.conf.Positional[Literal["bash", "zsh"]]
    """The shell."""


def completion_script(
    shell: Literal["bash", "zsh"],
    commands: Mapping[str, Any],
    *,
    names: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Return the completion of all commands for a shell: tyro's, which runs Python and no JAX.

    Args:
      shell: whose.
      commands: options (a dataclass) by the command's name, of one word or of two.
      names: values to offer after options that take others too, such as {"--arms": ["labels"]}.

    >>> from kdtheory.commands.models import Models
    >>> "--num-outputs" in completion_script("bash", {"models": Models})
    True
    """
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        tyro.cli(
            _tree(commands),
            prog="kdtheory",
            args=["--tyro-write-completion", shell, "-"],
            config=(tyro.conf.OmitSubcommandPrefixes,),
        )
    return _mended(text.getvalue(), names or {})


def _tree(commands: Mapping[str, Any]) -> Any:
    """Return the type whose parser has these subcommands; those of two words are a group's."""
    groups: dict[str, dict[str, Any]] = {}
    parts = []
    for name, options in commands.items():
        group, _, inner = name.partition(" ")
        if inner:
            groups.setdefault(group, {})[inner] = options
        else:
            parts.append(Annotated[options, tyro.conf.subcommand(name)])
    parts += [Annotated[_tree(of), tyro.conf.subcommand(group)] for group, of in groups.items()]
    return Union[tuple(parts)]  # noqa: UP007


def _mended(script: str, names: Mapping[str, Sequence[str]]) -> str:
    """Return tyro's script with names, and with what its release 1.0.17 leaves out.

    A description of several lines would be offered line by line. Where nothing is known, files
    are what comes next; bash adds the slash after a folder when told that these are files, and
    they begin with the word alone, not with the one before it.
    """
    found = re.search(r"^COMPLETION_SPEC = (.*)$", script, flags=re.MULTILINE)
    if found is not None:
        spec = _on_one_line(ast.literal_eval(found[1]))
        _offer(spec, names)
        script = script[: found.start(1)] + repr(spec) + script[found.end(1) :]
    files = '"$completions" == "__TYRO_COMPLETE_FILES__"'
    script = script.replace(files, f'-z "$completions" || {files}')
    listed = 'COMPREPLY=($(compgen -f -- "$cur"))'
    word = listed.replace("$cur", "${COMP_WORDS[COMP_CWORD]}")
    return script.replace(listed, f"compopt -o filenames 2>/dev/null; {word}")


def _offer(spec: dict[str, Any], names: Mapping[str, Sequence[str]]) -> None:
    """Add names to the options that take them, of a command and of all below it."""
    for option in spec.get("options", ()):
        for flag in set(option["flags"]) & set(names):
            option |= {"type": "choice", "choices": list(names[flag])}
    for command in spec.get("subcommands", {}).values():
        _offer(command, names)


def _on_one_line(part: Any) -> Any:
    """Return nested lists and dictionaries with each text on one line."""
    if isinstance(part, dict):
        return {name: _on_one_line(inner) for name, inner in part.items()}
    if isinstance(part, list):
        return [_on_one_line(inner) for inner in part]
    return " ".join(part.split()) if isinstance(part, str) else part
