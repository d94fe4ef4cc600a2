"""What a check says about files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SHOWN = 4


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

    def __str__(self) -> str:
        more = f" and {len(self.files) - SHOWN} more" if len(self.files) > SHOWN else ""
        files = ", ".join(self.files[:SHOWN])
        return f"{self.severity:7}  {self.kind:19}  {files}{more}: {self.message}"

    def to_dict(self) -> dict[str, Any]:
        """The finding as JSON has it."""
        return {**asdict(self), "files": list(self.files)}
