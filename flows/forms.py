"""What the form of a deployment asks: titles and help texts, as Prefect's UI shows them.

Decides the words of the questions that several flows share, and how a question reaches the form.
Prefect (3.8) writes the parameter's own name and no description over what a pydantic `Field` says
in an annotation; what is given as `json_schema_extra` stays. `tests/flows/test_deployments.py`
holds every parameter of every flow to have both.
"""

from typing import Annotated, Any, Literal

from pydantic import Field


def question(title: str, says: str, *, at_least: int | None = None) -> Any:
    """Returns the annotation that gives a parameter its title and its help text.

    Args:
        title: a few words, in place of the parameter's name.
        says: a sentence on what it means, and on what empty means where it may be empty.
        at_least: the smallest number that makes sense, for numbers.
    """
    return Field(ge=at_least, json_schema_extra={"title": title, "description": says})


ModelName = Annotated[str, question("Model", "The model's name in the trusted store.")]
PolicyFile = Annotated[
    str, question("Policy file", "The thresholds (YAML), from the deployment's working folder.")
]
TaskFile = Annotated[
    str,
    question(
        "Task file",
        "What the model is asked: labels, messages, decoding (YAML), from the deployment's working "
        "folder.",
    ),
]
ServingFile = Annotated[
    str,
    question("Serving file", "How vLLM is started (YAML), from the deployment's working folder."),
]
ProfileName = Annotated[
    Literal["cpu", "gpu"], question("Serving profile", "The profile of the serving file.")
]
LocalBackend = Annotated[
    Literal["docker", "process"] | None,
    question("Engine", "Where the engines run; empty: docker where it can, else a process."),
]
GoldenSet = Annotated[
    str | None,
    question(
        "Golden set",
        "A Git revision such as golden-v1.1.0, or a golden file; empty: the working tree's.",
    ),
]
