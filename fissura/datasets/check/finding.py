"""What a check says about files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, order=True)
class Finding:
    """One fault: `files` are paths below the checked folder, `message` says what and the mend.

    Errors make training or scores wrong, warnings are read rightly but look unintended, notes are
    legitimate and worth knowing.
    """

    kind: str
    severity: Severity
    files: tuple[str, ...]
    message: str

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON has it."""
        return {**asdict(self), "files": list(self.files)}
