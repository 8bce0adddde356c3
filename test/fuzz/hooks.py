"""Schemathesis' knowledge of Caudal: existing ids, what must hold for every answer, and what a schema can't say.

The test writes facts into the file that CAUDAL_FUZZ_FACTS names: see openapi.test.ts.
"""

import json
import os
import random
import re

import jsonschema_rs
import schemathesis
from schemathesis.core import NotSet

with open(os.environ["CAUDAL_FUZZ_FACTS"], encoding="utf-8") as file:
    FACTS = json.load(file)

REASONS = FACTS["reasons"]  # code by reason
INSIDES = re.compile(FACTS["insides"])
KNOWN = FACTS["known"]  # valid values, above all ids of existing resources, by the contract's names of the fields
CHANCE = random.Random(FACTS["seed"])

MAX_PROBLEM_BYTES = 64 * 1024
MAX_ANSWER_BYTES = 4 * 1024 * 1024
# A call over REST has 5 s; the rest is for a busy machine.
MAX_SECONDS = 10


def camel(name):
    return re.sub(r"_([a-z])", lambda letter: letter[1].upper(), name)


KNOWN_IN_BODIES = {camel(name): ids for name, ids in KNOWN.items()}


# ---- Requests


@schemathesis.hook
def before_call(context, case, kwargs):
    """Puts existing ids into half of the requests, so that they reach more than "not found"."""
    for name in case.path_parameters or {}:
        if name in KNOWN and CHANCE.random() < 0.5:
            case.path_parameters[name] = CHANCE.choice(KNOWN[name])
    if not is_positive(case) or phase_of(case) == "coverage":
        return
    if isinstance(case.body, dict):
        case.body = with_known_ids(case.body)
    # Hardly any text is a valid token or mask, and with a wrong one a request reaches no further code.
    if case.query:
        if CHANCE.random() < 0.9:
            case.query.pop("pageToken", None)
        if "readMask" in case.query and CHANCE.random() < 0.9:
            case.query["readMask"] = CHANCE.choice(mask_of(case).split(","))
    if case.headers and CHANCE.random() < 0.9:
        for name in ("Consistency-Token", "If-Match", "Idempotency-Key"):
            case.headers.pop(name, None)


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


def phase_of(case):
    return case.meta.phase.name.value if case.meta is not None else None


def with_known_ids(value):
    if isinstance(value, list):
        return [with_known_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    seldom = {"etag", "updateMask"}
    return {name: known_or(name, inner) for name, inner in value.items() if name not in seldom or CHANCE.random() < 0.1}


def known_or(name, value):
    if name in KNOWN_IN_BODIES and isinstance(value, str) and CHANCE.random() < 0.5:
        return CHANCE.choice(KNOWN_IN_BODIES[name])
    return with_known_ids(value)


def mask_of(case):
    parameters = case.operation.definition.raw["parameters"]
    return next(each for each in parameters if each["name"] == "readMask")["schema"]["examples"][0]


# ---- Checks of every answer


@schemathesis.check
def bounded(ctx, response, case):
    """The answer is bounded, and arrives in time."""
    bound = MAX_ANSWER_BYTES if response.status_code < 400 else MAX_PROBLEM_BYTES
    assert response.content_size <= bound, f"An answer of {response.content_size} bytes"
    assert response.elapsed <= MAX_SECONDS, f"An answer after {response.elapsed:.1f} s"


@schemathesis.check
def closed(ctx, response, case):
    """The answer shows nothing internal."""
    found = INSIDES.search(response.text or "")
    assert found is None, f"The answer shows something internal: {found[0]}"


@schemathesis.check
def problem(ctx, response, case):
    """Every refusal is problem+json with all members that docs/api.md names."""
    if response.status_code < 400:
        return
    # An answer to HEAD has no body.
    if response.request.method == "HEAD":
        return
    assert header(response, "content-type").split(";")[0] == "application/problem+json", header(response, "content-type")
    body = json.loads(response.content)
    for name in ("type", "title", "detail", "instance", "code", "reason"):
        assert isinstance(body.get(name), str) and body[name] != "", f"A problem without {name}"
    unknown = set(body) - {"type", "title", "status", "detail", "instance", "code", "reason", "metadata", "violations", "retryAfterMs"}
    assert unknown == set(), f"A problem with {unknown}"
    assert body["status"] == response.status_code, f"{response.status_code} with a problem of {body['status']}"
    assert REASONS.get(body["reason"]) == body["code"], f"{body['code']} {body['reason']} is not in the catalogue"
    assert body["type"] == f"urn:caudal:reason:{body['reason']}", body["type"]
    assert body["instance"] == f"urn:caudal:request:{header(response, 'x-request-id')}", body["instance"]
    assert all(isinstance(fact, str) for fact in body.get("metadata", {}).values()), "Metadata that is not text"
    violations = body.get("violations", [])
    assert len(violations) <= 50, f"{len(violations)} violations"
    for violation in violations:
        assert set(violation) == {"field", "description"}, f"A violation with {set(violation)}"
    assert "violations" not in body or violations, "Violations without an item"
    needed = {401: "www-authenticate", 405: "allow", 429: "retry-after", 503: "retry-after"}.get(response.status_code)
    assert needed is None or header(response, needed), f"{response.status_code} without {needed}"


def header(response, name):
    return ", ".join(response.headers.get(name, []))


# ---- What a schema can't say


# Reasons that are about the request alone. All other refusals are about the system's state, which no schema knows.
ABOUT_FORM = {"INVALID_REQUEST", "MALFORMED_REQUEST", "UNSUPPORTED_MEDIA_TYPE", "REQUEST_TOO_LARGE", "HEADERS_TOO_LARGE"}

# Rules that the document states in prose only, by the messages about their violation.
IN_WORDS_ONLY = [
    # The names that a mask may have; the schema has only an example.
    re.compile(r'^(read|update)_mask names '),
    re.compile(r"^(read|update)_mask must be names of fields"),
    # Tokens are sealed: only an answer has one.
    re.compile(r"^page_token was not issued by this method"),
    # A pattern that ends at 2^63 would be longer than this file is wide.
    re.compile(r"must be a whole number of 64 bits"),
    re.compile(r"^(ttl|overlap) must be (longer than|at least|at most|a duration)"),
    # Names that follow from the contract, and times that depend on today.
    re.compile(r'^permissions "[a-z_.:]+" is no permission of the API'),
    re.compile(r"^expire_time must lie ahead, by \d+ days at most"),
    # In lists and maps; single texts have a pattern.
    re.compile(r"must not contain the character U\+"),
    re.compile(r"must be the code of a currency in use"),
    # What JSON Schema can't say of domains, of bytes and of composed characters.
    re.compile(r"must be an e-mail address: "),
    re.compile(r"must have at most \d+ bytes"),
    re.compile(r"must have ordinary, composed characters before the @"),
    # Ids that would name other callers, or that paths lose.
    re.compile(r'must not begin with "(service|webhook|public):"'),
    re.compile(r'must not have the part "\."'),
    # Luhn's formula, and the ranges of issuers.
    re.compile(r"must not contain a card number"),
    # The same value in two places.
    re.compile(r"must be the same as in (If-Match|Idempotency-Key)"),
    # The schema of an enum has the name that stands for none.
    re.compile(r"^decision must be given"),
    # HTTP allows a list.
    re.compile(r"^If-Match must be one etag"),
    re.compile(r'must be "[^"]*", as in the path'),
]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Keeps the failures that are faults of the server or of the document."""
    if failure.code == "ST202":  # a request that follows the schema was refused
        return not is_explained(response)
    if failure.code == "ST201":  # one that violates it was accepted
        return not is_lenient(case)
    return True


def is_explained(response):
    try:
        body = json.loads(response.content)
        reason = body["reason"]
    except (ValueError, KeyError, TypeError):
        return False
    if reason not in ABOUT_FORM:
        return True
    said = [f"{each['field']} {each['description']}" for each in body.get("violations", [])]
    return said != [] and all(any(rule.search(text) for rule in IN_WORDS_ONLY) for text in said)


def is_lenient(case):
    """Whether the request is valid in protobuf's JSON, which accepts more spellings than the documented one:
    null for an absent field, numbers of 64 bits as numbers, and enums by number."""
    root = case.operation.schema.raw_schema
    definition = case.operation.definition.raw
    content = definition.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        # Without a body, all fields are absent.
        body = {} if isinstance(case.body, NotSet) else case.body
        if not isinstance(body, dict) or not is_right(usual(body, content["schema"], root), content["schema"], root):
            return False
    for parameter in definition["parameters"]:
        sent = {"query": case.query, "path": case.path_parameters, "header": case.headers}[parameter["in"]] or {}
        if parameter["name"] not in sent or parameter["in"] == "header":
            continue
        schema = parameter["schema"]
        if not is_right(usual(as_typed(sent[parameter["name"]], resolved(schema, root)), schema, root), schema, root):
            return False
    names = {parameter["name"] for parameter in definition["parameters"] if parameter["in"] == "query"}
    return set(case.query or {}) <= names


def is_right(value, schema, root):
    return jsonschema_rs.is_valid({**schema, "components": root["components"]}, value)


def resolved(schema, root):
    if "$ref" not in schema:
        return schema
    return root["components"]["schemas"][schema["$ref"].split("/")[-1]]


def usual(value, schema, root):
    """The value in the document's spelling."""
    schema = resolved(schema, root)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return {name: usual(inner, properties.get(name, {}), root) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [usual(item, schema.get("items", {}), root) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        if schema.get("format") == "int64":
            return str(value)
        if "enum" in schema and 0 <= value < len(schema["enum"]):
            return schema["enum"][value]
    return value


def as_typed(value, schema):
    """The typed value of a text in the path or in the query."""
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value) and (schema.get("type") == "integer" or "enum" in schema):
        return int(value)
    return value
