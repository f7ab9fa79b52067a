"""Runs `vllm bench serve` where the `vllm` command cannot start.

    .venv-serving/bin/python bench/peer_vllm.py --base-url URL ...

vLLM's CPU build comes under another distribution's name, which its command line asks for and does
not find. This calls the same benchmark with the same options, on the CPU platform as it would be.
"""

from vllm import platforms
from vllm.benchmarks.serve import add_cli_args, main
from vllm.platforms.cpu import CpuPlatform
from vllm.utils.argparse_utils import FlexibleArgumentParser

if __name__ == "__main__":
    if platforms.current_platform.is_unspecified():
        platforms.current_platform = CpuPlatform()
    parser = FlexibleArgumentParser(prog="vllm bench serve")
    add_cli_args(parser)
    main(parser.parse_args())
