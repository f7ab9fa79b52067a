"""What a serving profile may not say: options and variables that Assay sets, or that do harm."""

import pytest
from pydantic import ValidationError

from tests import serving_rig


@pytest.mark.parametrize(
    "argument",
    [
        "--trust-remote-code",
        "--trust_remote_code",
        "--trust-remote-code=true",
        "--trust-rem",
        "--enable_prompt_embeds",
        "--enable-prompt-embeds",
        "--chat_template",
        "--config",
        "--host=0.0.0.0",
        "-q",
    ],
)
def test_an_argument_that_opens_the_engine_is_refused(argument: str) -> None:
    with pytest.raises(ValidationError, match="is not allowed here"):
        serving_rig.profile(arguments=[argument, "x"])


@pytest.mark.parametrize(
    "argument", ["--dtype", "--max-model-len", "-O3", "--enforce-eager", "--enable-prefix-caching"]
)
def test_an_ordinary_argument_is_taken(argument: str) -> None:
    assert argument in serving_rig.profile(arguments=[argument]).arguments


@pytest.mark.parametrize(
    "name", ["VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "VLLM_API_KEY"]
)
def test_a_variable_that_opens_the_engine_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="is not allowed here"):
        serving_rig.profile(environment={name: "1"})
