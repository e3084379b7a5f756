"""File service properties: metrics, CORS rules and protocol settings, as values and as XML."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from azfuse.rest.errors import InvalidResponse
from azfuse.rest.headers import require
from azfuse.rest.xml import add_text, parse_xml, serialize

_ROOT: Final = "StorageServiceProperties"
_METRICS_SINCE: Final = "2015-04-05"
_PROTOCOLS_SINCE: Final = "2020-02-10"
_ENCRYPTION_SINCE: Final = "2026-02-06"
#: Switches below ProtocolSettings: field, path, first version.
_SWITCHES: Final = (
    ("smb_multichannel", "SMB/Multichannel/Enabled", _PROTOCOLS_SINCE),
    ("smb_encryption_in_transit", "SMB/EncryptionInTransit/Required", _ENCRYPTION_SINCE),
    ("nfs_encryption_in_transit", "NFS/EncryptionInTransit/Required", _ENCRYPTION_SINCE),
)


@dataclass(frozen=True, slots=True)
class Metrics:
    """Whether requests are counted. `retention_days` None keeps the counts for ever."""

    enabled: bool
    include_apis: bool | None = None
    retention_days: int | None = None


@dataclass(frozen=True, slots=True)
class CorsRule:
    """What pages of other origins may do; `*` stands for all. `max_age` is seconds."""

    allowed_origins: Sequence[str]
    allowed_methods: Sequence[str]
    allowed_headers: Sequence[str] = ()
    exposed_headers: Sequence[str] = ()
    max_age: int = 0


@dataclass(frozen=True, slots=True)
class ServiceProperties:
    """Properties of the File service of an account.

    None is what the service did not say, and in a request what is to stay. An
    empty `cors` means that there are no rules.
    """

    hour_metrics: Metrics | None = None
    minute_metrics: Metrics | None = None
    cors: Sequence[CorsRule] | None = None
    smb_multichannel: bool | None = None
    smb_encryption_in_transit: bool | None = None
    nfs_encryption_in_transit: bool | None = None

    def document(self, version: str) -> bytes:
        """Return the XML of Set File Service Properties. Raises UnsupportedByVersion."""
        root = ET.Element(_ROOT)
        for tag, metrics in (
            ("HourMetrics", self.hour_metrics),
            ("MinuteMetrics", self.minute_metrics),
        ):
            if metrics is not None:
                require(version, _METRICS_SINCE, "metrics")
                _add_metrics(ET.SubElement(root, tag), metrics)
        if self.cors is not None:
            cors = ET.SubElement(root, "Cors")
            for rule in self.cors:
                _add_rule(ET.SubElement(cors, "CorsRule"), rule)
        for name, path, since in _SWITCHES:
            value: bool | None = getattr(self, name)
            if value is not None:
                require(version, since, name.replace("_", " "))
                _element_at(root, f"ProtocolSettings/{path}").text = _flag(value)
        return serialize(root)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _element_at(root: ET.Element, path: str) -> ET.Element:
    for tag in path.split("/"):
        found = root.find(tag)
        root = ET.SubElement(root, tag) if found is None else found
    return root


def _add_metrics(element: ET.Element, metrics: Metrics) -> None:
    add_text(element, "Version", "1.0")
    add_text(element, "Enabled", _flag(metrics.enabled))
    if metrics.enabled:
        add_text(element, "IncludeAPIs", _flag(metrics.include_apis or False))
    policy = ET.SubElement(element, "RetentionPolicy")
    add_text(policy, "Enabled", _flag(metrics.retention_days is not None))
    if metrics.retention_days is not None:
        if not 1 <= metrics.retention_days <= 365:
            raise ValueError(f"metrics are kept for 1 to 365 days, not {metrics.retention_days}")
        add_text(policy, "Days", str(metrics.retention_days))


def _add_rule(element: ET.Element, rule: CorsRule) -> None:
    if not rule.allowed_origins or not rule.allowed_methods or rule.max_age < 0:
        raise ValueError("a CORS rule needs origins, methods, and an age of 0 or more seconds")
    add_text(element, "AllowedOrigins", ",".join(rule.allowed_origins))
    add_text(element, "AllowedMethods", ",".join(rule.allowed_methods))
    add_text(element, "AllowedHeaders", ",".join(rule.allowed_headers))
    add_text(element, "ExposedHeaders", ",".join(rule.exposed_headers))
    add_text(element, "MaxAgeInSeconds", str(rule.max_age))


def parse_service_properties(body: bytes) -> ServiceProperties:
    """Read Get File Service Properties. Raises InvalidResponse."""
    what = "GetServiceProperties"
    root = parse_xml(body, what)
    if root.tag != _ROOT:
        raise InvalidResponse(f"{what}: not properties but <{root.tag}>")
    cors = root.find("Cors")
    try:
        return ServiceProperties(
            hour_metrics=_read_metrics(root.find("HourMetrics")),
            minute_metrics=_read_metrics(root.find("MinuteMetrics")),
            cors=None if cors is None else [_read_rule(rule) for rule in cors.iter("CorsRule")],
            **{name: _read_flag(root, f"ProtocolSettings/{path}") for name, path, _ in _SWITCHES},
        )
    except ValueError as error:
        raise InvalidResponse(f"{what}: {error}") from None


def _read_flag(element: ET.Element, path: str) -> bool | None:
    text = element.findtext(path)
    return None if text is None else text.lower() == "true"


def _read_metrics(element: ET.Element | None) -> Metrics | None:
    if element is None:
        return None
    days = element.findtext("RetentionPolicy/Days")
    return Metrics(
        enabled=_read_flag(element, "Enabled") or False,
        include_apis=_read_flag(element, "IncludeAPIs"),
        retention_days=int(days) if days else None,
    )


def _read_rule(element: ET.Element) -> CorsRule:
    def words(tag: str) -> list[str]:
        return [word.strip() for word in (element.findtext(tag) or "").split(",") if word.strip()]

    return CorsRule(
        allowed_origins=words("AllowedOrigins"),
        allowed_methods=words("AllowedMethods"),
        allowed_headers=words("AllowedHeaders"),
        exposed_headers=words("ExposedHeaders"),
        max_age=int(element.findtext("MaxAgeInSeconds") or 0),
    )
