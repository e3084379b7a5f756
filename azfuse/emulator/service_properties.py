"""Get and Set File Service Properties: metrics, CORS rules and protocol settings of an account."""

import json
from typing import Any, Final
from xml.etree.ElementTree import Element

from azfuse.emulator.errors import Refusal
from azfuse.emulator.policies import MAX_BODY, bad_xml, parse_document
from azfuse.emulator.request import Request, Response, xml_response
from azfuse.emulator.service import Service
from azfuse.emulator.xml import document, element
from azfuse.rest.errors import ErrorCode

MAX_CORS_RULES: Final = 5
_METHODS: Final = frozenset(
    {"DELETE", "GET", "HEAD", "MERGE", "POST", "OPTIONS", "PUT", "PATCH", "CONNECT", "TRACE"}
)
_OFF: Final = {"Version": "1.0", "Enabled": "false", "RetentionPolicy": {"Enabled": "false"}}
_METRICS_SINCE: Final = "2015-04-05"
_PROTOCOLS_SINCE: Final = "2020-02-10"
_CORS_ORDER: Final = (
    "AllowedMethods", "AllowedOrigins", "AllowedHeaders", "ExposedHeaders", "MaxAgeInSeconds",
)  # fmt: skip
#: Switches below ProtocolSettings: their path, and the value nobody has changed.
_SWITCHES: Final = {
    "SMB/Multichannel/Enabled": ("false", _PROTOCOLS_SINCE),
    "SMB/EncryptionInTransit/Required": (None, "2026-02-06"),
    "NFS/EncryptionInTransit/Required": (None, "2026-02-06"),
}


def _stored(service: Service, account: str) -> dict[str, Any]:
    row = service.store.db.execute(
        "SELECT properties FROM services WHERE account = ?", (account,)
    ).fetchone()
    stored: dict[str, Any] = json.loads(row[0]) if row else {}
    return {"HourMetrics": _OFF, "MinuteMetrics": _OFF, "Cors": [], "Protocols": {}, **stored}


async def get_service_properties(service: Service, request: Request) -> Response:
    """Get File Service Properties, in the order and with the parts of the version asked."""
    stored = _stored(service, request.account)
    inner = ""
    if request.version >= _METRICS_SINCE:
        inner += "".join(_metrics(name, stored[name]) for name in ("HourMetrics", "MinuteMetrics"))
    rules = "".join(
        "<CorsRule>" + "".join(element(name, rule[name]) for name in _CORS_ORDER) + "</CorsRule>"
        for rule in stored["Cors"]
    )
    inner += f"<Cors>{rules}</Cors>" if rules else "<Cors />"
    if request.version >= _PROTOCOLS_SINCE:
        inner += _protocols(stored["Protocols"], request.version)
    return xml_response(document(f"<StorageServiceProperties>{inner}</StorageServiceProperties>"))


def _metrics(tag: str, metrics: dict[str, Any]) -> str:
    inner = element("Version", metrics["Version"]) + element("Enabled", metrics["Enabled"])
    if metrics["Enabled"] == "true":
        inner += element("IncludeAPIs", metrics.get("IncludeAPIs", "false"))
    policy = metrics["RetentionPolicy"]
    retention = element("Enabled", policy["Enabled"])
    if policy["Enabled"] == "true":
        retention += element("Days", policy["Days"])
    return f"<{tag}>{inner}<RetentionPolicy>{retention}</RetentionPolicy></{tag}>"


def _protocols(values: dict[str, str], version: str) -> str:
    inner = ""
    for protocol in ("SMB", "NFS"):
        content = ""
        for path, (default, since) in _SWITCHES.items():
            owner, group, name = path.split("/")
            value = values.get(path, default)
            if owner == protocol and value is not None and version >= since:
                content += f"<{group}>{element(name, value)}</{group}>"
        inner += f"<{protocol}>{content}</{protocol}>" if content else ""
    return f"<ProtocolSettings>{inner}</ProtocolSettings>"


async def set_service_properties(service: Service, request: Request) -> Response:
    """Set File Service Properties: replace the parts that the document has."""
    root = parse_document(await request.body(MAX_BODY), "StorageServiceProperties")
    stored = _stored(service, request.account)
    for part in root:
        if part.tag in ("HourMetrics", "MinuteMetrics"):
            stored[part.tag] = _read_metrics(part)
        elif part.tag == "Cors":
            stored["Cors"] = _read_cors(part)
        elif part.tag == "ProtocolSettings":
            for path in _SWITCHES:
                text = part.findtext(path)
                if text is not None:
                    stored["Protocols"][path] = _boolean(text)
        else:
            raise bad_xml()
    service.store.db.execute(
        "INSERT OR REPLACE INTO services VALUES (?, ?)", (request.account, json.dumps(stored))
    )
    service.cors.pop(request.account, None)
    return Response(202)


def _boolean(text: str | None) -> str:
    value = (text or "").lower()
    if value not in ("true", "false"):
        raise bad_xml()
    return value


def _read_metrics(part: Element) -> dict[str, Any]:
    enabled = _boolean(part.findtext("Enabled"))
    metrics: dict[str, Any] = {"Version": part.findtext("Version") or "", "Enabled": enabled}
    if metrics["Version"] != "1.0":
        raise bad_xml()
    apis = part.findtext("IncludeAPIs")
    if apis is not None:
        metrics["IncludeAPIs"] = _boolean(apis)
    kept = _boolean(part.findtext("RetentionPolicy/Enabled") or "false")
    policy = {"Enabled": kept}
    days = part.findtext("RetentionPolicy/Days")
    if kept == "true":
        if days is None or not (days.isascii() and days.isdigit() and 1 <= int(days) <= 365):
            raise bad_xml()
        policy["Days"] = days
    metrics["RetentionPolicy"] = policy
    return metrics


def _read_cors(part: Element) -> list[dict[str, str]]:
    rules = []
    for item in part:
        rule = {name: (item.findtext(name) or "").strip() for name in _CORS_ORDER}
        if item.tag != "CorsRule" or not rule["AllowedOrigins"] or not rule["AllowedMethods"]:
            raise bad_xml()
        for method in rule["AllowedMethods"].split(","):
            if method.strip().upper() not in _METHODS:
                raise Refusal(
                    ErrorCode.INVALID_XML_NODE_VALUE,
                    ("XmlNodeName", "AllowedMethods"),
                    ("XmlNodeValue", rule["AllowedMethods"]),
                )
        age = rule["MaxAgeInSeconds"] or "0"
        if not (age.isascii() and age.isdigit()):
            raise bad_xml()
        rule["MaxAgeInSeconds"] = age
        for name in ("AllowedHeaders", "ExposedHeaders"):
            words = [word for word in rule[name].split(",") if word]
            # Literal names come before those that end in a star (recorded).
            rule[name] = ",".join(sorted(words, key=lambda word: word.endswith("*")))
        rules.append(rule)
    if len(rules) > MAX_CORS_RULES:
        raise bad_xml()
    return rules
