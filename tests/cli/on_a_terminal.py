"""Runs `assay` on a pseudo-terminal and prints what it showed: `on_a_terminal.py COLUMNS ARGS…`."""

import fcntl
import os
import pty
import struct
import sys
import termios
from pathlib import Path


def main() -> None:
    columns, arguments = int(sys.argv[1]), sys.argv[2:]
    process, terminal = pty.fork()
    if process == 0:
        size = struct.pack("HHHH", 40, columns, 0, 0)
        fcntl.ioctl(1, termios.TIOCSWINSZ, size)
        program = str(Path(sys.executable).with_name("assay"))
        os.execv(program, [program, *arguments])  # noqa: S606 - no shell is meant
    shown = b""
    try:
        while part := os.read(terminal, 65536):
            shown += part
    except OSError:  # Linux says so when the other end is closed
        pass
    os.waitpid(process, 0)
    sys.stdout.buffer.write(shown)


if __name__ == "__main__":
    main()
