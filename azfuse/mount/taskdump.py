"""What every trio task is doing, for the log (SIGUSR1)."""

import traceback
from collections.abc import Iterator

import trio


def dump_tasks() -> str:
    """Return the tree of tasks with their stacks, innermost call last."""
    root = trio.lowlevel.current_root_task()
    return "\n".join(_lines(root, 0)) if root else "no tasks"


def _lines(task: trio.lowlevel.Task, depth: int) -> Iterator[str]:
    indent = "  " * depth
    yield f"{indent}{task.name}"
    stack = traceback.StackSummary.extract(task.iter_await_frames())
    for frame in stack:
        yield f"{indent}  {frame.filename}:{frame.lineno} {frame.name}: {frame.line}"
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from _lines(child, depth + 1)
