"""Other names of targets: instance types (c7g.xlarge), and SageMaker's (ml.c5.large, Neo's ml_c5 and rasp4b).

An instance family may be rented on more than one processor: its preset is the oldest of them, whose code
runs on all. Which processors those are, the catalogue of instance types says; a test holds the two together.
"""

from __future__ import annotations

import re

from modeldyno.base.errors import ConfigError

_FAMILIES = {
    "haswell": ("m4", "c4", "t2"),
    "skylake-avx512": ("m5", "c5", "r5", "t3"),
    "icelake-server": ("m6i", "c6i", "r6i"),
    "sapphirerapids": ("m7i", "m7i-flex", "c7i", "c7i-flex", "r7i", "m8i", "c8i", "c8i-flex", "r8i"),
    "x86-64-v3": ("m5a", "c5a", "t3a"),  # Zen and Zen 2
    "znver3": ("m6a", "c6a"),
    "znver4": ("m7a", "c7a", "r7a"),
    "znver5": ("m8a", "c8a"),
    "cortex-a72": ("a1",),
    "neoverse-n1": ("m6g", "c6g", "r6g", "t4g"),
    "neoverse-v1": ("m7g", "c7g", "r7g"),
    "neoverse-v2": ("m8g", "c8g", "r8g", "m9g", "c9g"),  # Graviton 5 runs what Graviton 4 does
}
_DEVICES = {"rasp4b": "cortex-a72", "rasp5": "cortex-a76"}
_GPUS = {
    "cuda-sm_75": ("g4dn",),
    "cuda-sm_80": ("p4d", "p4de"),
    "cuda-sm_86": ("g5",),
    "cuda-sm_89": ("g6", "g6e", "gr6"),
    "cuda-sm_90": ("p5", "p5e", "p5en"),
}
# Families whose accelerator nothing is compiled for, and the processor beside it.
_ACCELERATED = {
    "g7e": "sapphirerapids",
    "g5g": "neoverse-n1",
    "p2": "haswell",
    "p3": "haswell",
    "inf1": "skylake-avx512",
}
_JETSONS = ("jetson_tx1", "jetson_tx2", "jetson_nano", "jetson_xavier", "jetson_orin")
PRESETS = {
    family: preset
    for named in (_FAMILIES, _GPUS)
    for preset, families in named.items()
    for family in families
}
_TYPE = re.compile(r"(?:ml\.)?([a-z][a-z0-9-]*)\.[a-z0-9-]+|ml_([a-z][a-z0-9-]*)")


def preset_of(name: str) -> str | None:
    """Give the preset that another name stands for; None for a name that is none of these.

    Raises:
        ConfigError: it has an accelerator that nothing is compiled for.
    """
    if name.replace("-", "_") in _JETSONS:
        raise ConfigError(
            f"{name} is not supported: GPU code is made for machines with x86-64 processors alone",
            field="target",
            hint="`target=cortex-a72` compiles for a Jetson's ARM cores, without its GPU",
        )
    if name in _DEVICES:
        return _DEVICES[name]
    found = _TYPE.fullmatch(name)
    family = (found[1] or found[2]) if found else ""
    if family in _ACCELERATED:
        raise ConfigError(
            f"{name} has an accelerator that nothing is compiled for",
            field="target",
            hint=f"`target={_ACCELERATED[family]}` compiles for the processor beside it",
        )
    return PRESETS.get(family)


def other_names(preset: str) -> tuple[str, ...]:
    """Give the instance families and devices that are this preset."""
    devices = [device for device, named in _DEVICES.items() if named == preset]
    return (*_FAMILIES.get(preset, ()), *_GPUS.get(preset, ()), *devices)


def known_names() -> tuple[str, ...]:
    """Give names that a misspelt one may be near to: devices, and each family in Neo's spelling."""
    return (*_DEVICES, *(f"ml_{family}" for family in PRESETS))
