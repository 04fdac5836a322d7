"""Runs a command in a pseudo-terminal: terminal.py COLUMNS ROWS STEPS COMMAND..., STEPS as JSON.

Each step is [text to wait for, bytes to type as text]. What the command wrote goes to standard output as JSON, with
how it ended; a command that is silent for too long is killed.
"""
import base64
import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

TIMEOUT_S = 60

columns, rows, steps, command = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4:]
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.execvp(command[0], command)

screen = b""
looked = 0
deadline = time.monotonic() + TIMEOUT_S
while time.monotonic() < deadline:
    if steps:
        at = screen.find(steps[0][0].encode(), looked)
        if at >= 0:
            looked = at + len(steps[0][0].encode())
            os.write(terminal, steps.pop(0)[1].encode())
    if not select.select([terminal], [], [], 0.05)[0]:
        continue
    try:
        part = os.read(terminal, 65536)
    except OSError:  # Linux tells the end of the other side so
        break
    if not part:
        break
    screen += part
else:
    os.kill(child, signal.SIGKILL)
_, status = os.waitpid(child, 0)
print(
    json.dumps(
        {
            "screen": base64.b64encode(screen).decode(),
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else None,
            "steps_left": len(steps),
        }
    )
)
