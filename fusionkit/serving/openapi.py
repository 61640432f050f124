"""What a server answers, as OpenAPI 3.1 and as a page for people, made of the network's own inputs and heads."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from fusionkit import __version__
from fusionkit.serving.case import UploadReader
from fusionkit.serving.engine import Engine
from fusionkit.serving.uploads import CELLS

_TEXT = {"type": ["string", "null"]}
_REFUSALS = {
    "400": "the request or the case is wrong; the findings are those of `fusionkit predict`",
    "401": "the token is missing or wrong", "413": "the request is too large",
    "503": "too many cases wait; Retry-After says when to ask again", "504": "the time of the request is over",
}


def described(engine: Engine, reader: UploadReader, with_token: bool) -> dict[str, Any]:
    """The description of the server."""
    form: dict[str, Any] = {name: {"type": "array", "items": {"type": "string", "format": "binary"},
                                   "description": _file_text(engine, name)} for name in reader.file_inputs}
    columns = {column: {"type": ["string", "number", "boolean", "null"], "description": f"of input {name}"}
               for name, names in reader.columns.items() for column in names}
    if columns:
        form[CELLS] = {"type": "object", "additionalProperties": False, "properties": columns}
    finding = {"type": "object", "properties": {"code": {"type": "string"}, "message": {"type": "string"},
                                                "why": _TEXT, "fix": _TEXT, "severity": {"type": "string"}}}
    refused = {"type": "object", "properties": {"error": {"type": "string"},
                                                "diagnostics": {"type": "array", "items": finding}}}
    refusals = {status: {"description": text, "content": {"application/json": {"schema": refused}}}
                for status, text in _REFUSALS.items() if with_token or status != "401"}
    path: dict[str, Any] = {
        "summary": "Predict one case",
        "requestBody": {"required": True, "content": {"multipart/form-data": {
            "schema": {"type": "object", "properties": form,
                       "required": [name for name in reader.file_inputs if not engine.inputs[name].optional]},
            "encoding": {CELLS: {"contentType": "application/json"}}}}},
        "responses": {"200": {"description": "what each head says", "content": {"application/json": {
            "schema": _answer(engine)}}}, **refusals}}
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": f"fusionkit: {engine.name}", "version": __version__,
                 "description": "Research software, no medical device."},
        "paths": {"/predict": {"post": path},
                  "/health": {"get": {"summary": "Whether it answers",
                                      "responses": {"200": {"description": "it does"}}}},
                  "/metrics": {"get": {"summary": "Counters for Prometheus",
                                       "responses": {"200": {"description": "text"}}}}}}
    if with_token:
        made["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        made["security"] = [{"token": []}]
    return made


def _file_text(engine: Engine, name: str) -> str:
    optional = "; may be left out" if engine.inputs[name].optional else ""
    return f"the file of input {name}, its files one by one, or a zip of them{optional}"


def _answer(engine: Engine) -> dict[str, Any]:
    number = {"type": ["number", "null"]}
    heads = {name: {"type": "object", "properties": {
        "task": {"const": head.task}, "valid": {"type": "boolean"}, "predicted": _TEXT,
        "values": {"type": "object", "additionalProperties": number},
        "uncertainty": {"type": "object", "additionalProperties": number},
        "calibrated": {"type": "object", "additionalProperties": number},
        "set": {"type": "array", "items": {"enum": list(head.classes)}}}} for name, head in engine.heads.items()}
    return {"type": "object", "properties": {
        "network": {"const": engine.name}, "uncertainty_method": _TEXT,
        "heads": {"type": "object", "properties": heads},
        "absent": {"type": "array", "items": {"enum": list(engine.inputs)}},
        "warnings": {"type": "array"}, "row": {"type": "object", "additionalProperties": {"type": "string"}}}}


def page(description: Mapping[str, Any], reader: UploadReader) -> str:
    """The page for people: what to send, with an example; it loads nothing from elsewhere."""
    files = [f"-F {name}=@{name}.zip" for name in reader.file_inputs]
    columns = [column for names in reader.columns.values() for column in names]
    cells = [f"-F 'cells={{{', '.join(f'{chr(34)}{column}{chr(34)}: ...' for column in columns)}}}'"] if columns else []
    example = " \\\n     ".join(["curl", *files, *cells, "http://127.0.0.1:8000/predict"])
    rows = "".join(f"<tr><td><code>{escape(name)}</code></td><td>{escape(kind)}</td><td>"
                   f"{escape(', '.join(reader.columns[name]))}</td></tr>" for name, kind in reader.kinds.items())
    return (f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(description['info']['title'])}</title>"
            "<style>body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}td,th{text-align:left;"
            "padding:.2em 1em .2em 0}pre{background:#f4f4f4;padding:1em;overflow:auto}</style>"
            f"<h1>{escape(description['info']['title'])}</h1><p>Research software, no medical device. One request "
            "is one case; the answer is what <code>fusionkit predict</code> says of it.</p>"
            f"<table><tr><th>input<th>sent as<th>columns</tr>{rows}</table><pre>{escape(example)}</pre>"
            '<p><a href="openapi.json">openapi.json</a>, <a href="health">health</a>, '
            '<a href="metrics">metrics</a></p>')
