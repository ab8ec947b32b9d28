from __future__ import annotations
Settings = dict[str, list[str]]
def parse_settings(text: str) -> Settings:
    found: Settings = {}
    for line in text.splitlines():
        name, _space, value = line.partition(" ")
        found.setdefault(name.lower(), []).append(value)
    return found
