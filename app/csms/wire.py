"""How each version of OCPP-J bounds its frames and spells its errors. A new version is a new constant here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from app.csms.connector import OcppVersion

# Why a frame is refused, in the words of 2.x; `Wire.code` gives the version's own.
FORMAT = "FormatViolation"
RPC_FRAMEWORK = "RpcFrameworkError"
MESSAGE_TYPE = "MessageTypeNotSupported"
OCCURRENCE = "OccurrenceConstraintViolation"
UNREADABLE = "unreadable"  # no word of OCPP's: bytes that are no JSON


@dataclass(frozen=True, slots=True)
class Wire:
    """One version. `spelling` maps the words above, and those of 2.x, to the version's where they differ."""

    version: OcppVersion
    max_frame_bytes: int
    max_depth: int
    spelling: Mapping[str, str] = field(default_factory=dict)
    has_result_errors: bool = False  # CALLRESULTERROR, 5: an answer of ours, or of theirs, was no good
    has_sends: bool = False  # SEND, 6: a call that is never answered

    def code(self, code: str) -> str:
        """`code` as this version spells it."""
        return self.spelling.get(code, code)


WIRE_16 = Wire(
    "1.6",
    max_frame_bytes=64 * 1024,  # the largest message, a MeterValues backlog, stays far below
    max_depth=12,  # the deepest message, a charging profile, nests six levels
    spelling=MappingProxyType(
        {
            FORMAT: "FormationViolation",
            OCCURRENCE: "OccurenceConstraintViolation",
            RPC_FRAMEWORK: "ProtocolError",
            MESSAGE_TYPE: "ProtocolError",
            UNREADABLE: "FormationViolation",
        }
    ),
)
WIRE_201 = Wire(
    "2.0.1",
    max_frame_bytes=1024 * 1024,  # a NotifyReport of a large device model
    max_depth=20,  # ISO 15118's sales tariffs nest eleven levels
    spelling=MappingProxyType({UNREADABLE: RPC_FRAMEWORK}),
)
WIRE_21 = Wire(
    "2.1",
    max_frame_bytes=1024 * 1024,
    max_depth=20,
    spelling=MappingProxyType({UNREADABLE: RPC_FRAMEWORK}),
    has_result_errors=True,
    has_sends=True,
)
LARGEST_FRAME_BYTES = max(wire.max_frame_bytes for wire in (WIRE_16, WIRE_201, WIRE_21))
