"""The script of user code: imported, looked at, and its faults told in its own words."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from modeldyno.base.errors import DynoError, ModelError
from modeldyno.serving.models import user_defaults

STEPS = ("input_fn", "predict_fn", "output_fn")
TRANSFORM = "transform_fn"
_MODULE = "inference"
_ARGUMENTS = {"input_fn": 2, "predict_fn": 2, "output_fn": 2, TRANSFORM: 4}


def import_script(script: Path) -> ModuleType:
    """Run the script as a module; what lies beside it can be imported from then on."""
    sys.path.insert(0, str(script.parent.resolve()))
    spec = importlib.util.spec_from_file_location(_MODULE, script)
    if spec is None or spec.loader is None:
        raise ImportError(f"{script} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    spec.loader.exec_module(module)
    return module


def functions_of(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """Give the functions of a script by name, defaults for those that it leaves out.

    Raises:
        ModelError: two ways are mixed, or a function takes other arguments.
    """
    own = {name: getattr(module, name) for name in (*STEPS, TRANSFORM) if hasattr(module, name)}
    if TRANSFORM in own and len(own) > 1:
        raise ModelError(
            f"{module.__file__} has transform_fn beside {', '.join(own)}: keep one or the others"
        )
    for name, function in own.items():
        if arguments(function) not in (_ARGUMENTS[name], _ARGUMENTS[name] + 1):
            raise ModelError(
                f"{module.__file__}: {name} takes {arguments(function)} arguments, expected "
                f"{_ARGUMENTS[name]}, or one more for the context"
            )
    return {**{name: getattr(user_defaults, name) for name in STEPS}, **own}


def arguments(function: Callable[..., Any]) -> int:
    """Count the arguments that a function takes."""
    return len(inspect.signature(function).parameters)


def described(folder: Path, what: str, act: Callable[[], Any]) -> Any:
    """Do `act`; what it raises becomes one error, with the part of the traceback that is the user's.

    Raises:
        ModelError: it failed.
    """
    try:
        return act()
    except DynoError:
        raise
    except (Exception, SystemExit) as error:
        own = [
            frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename, folder)
        ]
        lines = "".join(traceback.format_list(own))
        raise ModelError(
            f"{folder}: {what} failed: {type(error).__name__}: {error}\n{lines}".rstrip()
        ) from error


def _is_users(filename: str, folder: Path) -> bool:
    return Path(filename).resolve().is_relative_to(folder.resolve())
